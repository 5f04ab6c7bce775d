// One report of all benchmarks that ran: figures first, then every table with its picture.
import { plot, rounded } from './plot.mjs';

const fileNameOf = (benchmark, index) => `${benchmark}-${index + 1}.svg`;
const cell = (text) => String(text).replaceAll('|', '\\|');
const line = (cells) => `| ${cells.map(cell).join(' | ')} |`;
const table = (head, rows) => [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');

function groupText(benchmark, [title, rows], index) {
  const cells = rows.map(({ name, unit, min, median, p25, p75, p99, ratio }) => [
    name,
    `${rounded(median)} ${unit}`,
    `${rounded(p25)} to ${rounded(p75)}`,
    rounded(min),
    rounded(p99),
    ratio === undefined ? '' : `${rounded(ratio)} ×`,
  ]);
  const head = ['', 'median', 'middle half', 'least', 'p99', 'next to the floor'];
  return `### ${title}\n\n![${title}](${fileNameOf(benchmark, index)})\n\n${table(head, cells)}`;
}

function benchmarkText({ name, groups }) {
  const parts = Object.entries(groups).map((group, index) => groupText(name, group, index));
  return [`## ${name}`, `\`npm run bench -- --only ${name}\``, ...parts].join('\n\n');
}

/** The files of the report by their names: `report.md` and a picture for each table. */
export function reportFiles({ date, machine, benchmarks }) {
  const { cpu, cores, memoryGb, node, system } = machine;
  const figures = benchmarks.flatMap(({ name, figures: own }) =>
    own.map(({ what, measured, target, unit, met }) => [
      what,
      `< ${rounded(target)} ${unit}`,
      `${rounded(measured)} ${unit}`,
      met ? 'met' : 'missed',
      `\`${name}\``,
    ]),
  );
  const text = [
    '# Benchmarks',
    `${date}, ${cores} cores (${cpu}), ${memoryGb} GB, Node ${node}, ${system}. Written by \`npm run bench\`; do not edit.`,
    'Variants take turns in one run. What counts is the ratio or the difference of neighbours; absolute times are those of this machine. The line over a bar is the middle half of the rounds.',
    table(['figure', 'to be', 'measured', '', 'benchmark'], figures),
    ...benchmarks.map(benchmarkText),
  ].join('\n\n');
  const pictures = benchmarks.flatMap(({ name, groups }) =>
    Object.entries(groups).map(([title, rows], index) => [fileNameOf(name, index), plot(title, rows)]),
  );
  return new Map([['report.md', `${text}\n`], ...pictures]);
}
