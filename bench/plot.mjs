// Tables of a report as pictures: a bar for each median, a line over its middle half, and the figures in words.

const WIDTH = 860;
const LABEL_WIDTH = 330;
const FIGURES_WIDTH = 190;
const BAR_HEIGHT = 16;
const LINE_HEIGHT = 28;
const HEAD_HEIGHT = 44;
/** From this spread on, what is small would not be seen on an even scale. */
const LOGARITHMIC_FROM = 40;

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escaped = (text) => String(text).replace(/[&<>"]/g, (character) => ESCAPES[character]);
export const rounded = (value) => String(Number(value.toPrecision(3)));

/** Where a value stands between the left and the right end of the bars. */
function scaleOf(rows) {
  const positive = rows.flatMap(({ p25, median, p75 }) => [p25, median, p75]).filter((value) => value > 0);
  const most = Math.max(...positive, 0);
  const least = Math.min(...positive);
  const length = WIDTH - LABEL_WIDTH - FIGURES_WIDTH;
  if (most === 0) return { isLogarithmic: false, place: () => 0 };
  if (most / least < LOGARITHMIC_FROM)
    return { isLogarithmic: false, place: (value) => (Math.max(value, 0) / most) * length };
  const from = Math.log10(least) - 0.3;
  const decades = Math.log10(most) - from;
  return {
    isLogarithmic: true,
    place: (value) => (value > 0 ? ((Math.log10(value) - from) / decades) * length : 0),
  };
}

/** One table as SVG, readable on a light and on a dark page. */
export function plot(title, rows) {
  const { isLogarithmic, place } = scaleOf(rows);
  const height = HEAD_HEIGHT + rows.length * LINE_HEIGHT + 6;
  const bars = rows.map(({ name, unit, median, p25, p75, ratio }, index) => {
    const top = HEAD_HEIGHT + index * LINE_HEIGHT;
    const middle = top + BAR_HEIGHT / 2;
    const at = (value) => (LABEL_WIDTH + place(value)).toFixed(1);
    const times = ratio === undefined ? '' : `, ${rounded(ratio)} ×`;
    const words = `${rounded(median)} ${unit}${times}`;
    return [
      `<text class="label" x="${LABEL_WIDTH - 10}" y="${middle + 4}">${escaped(name)}</text>`,
      `<rect class="${name.startsWith('keymux') ? 'own' : 'other'}" x="${LABEL_WIDTH}" y="${top}" width="${place(median).toFixed(1)}" height="${BAR_HEIGHT}"/>`,
      `<path class="spread" d="M${at(p25)} ${middle}H${at(p75)}M${at(p25)} ${middle - 4}v8M${at(p75)} ${middle - 4}v8"/>`,
      `<text class="words" x="${WIDTH - FIGURES_WIDTH + 14}" y="${middle + 4}">${escaped(words)}</text>`,
    ].join('\n');
  });
  const note = isLogarithmic ? ' (each step to the right is a multiple)' : '';
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
<title>${escaped(title)}</title>
<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px }
.label { text-anchor: end }
.own { fill: #1a7f5a }
.other { fill: #8c959f }
.spread { stroke: #24292f; stroke-width: 1.5; fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .spread { stroke: #e6edf3 }
  .own { fill: #3fb68b }
}
</style>
<text class="title" x="10" y="24">${escaped(title + note)}</text>
${bars.join('\n')}
</svg>
`;
}
