/** Lines over time, drawn as SVG: read by mouse, by touch, by arrow keys, by a screen reader, or as a table. */
import { el, setAttribute, setText, svg } from './dom.js';

const HEIGHT = 190;
const MARGIN = { top: 12, right: 12, bottom: 24, left: 52 };
/** Steps of an axis are 1, 2 or 5 times a power of ten. */
const STEPS = [1, 2, 5, 10];

/**
 * @typedef {{ at: number }} Slot
 * @typedef {{ name: string, style: 'solid' | 'dashed', valueOf: (slot: Slot) => number | undefined }} Line
 * @param {{ title: string, lines: readonly Line[], format: (value: number) => string, nothing: string, top?: number }} shape
 *   `top`: the least upper end of the axis
 */
export function plot({ title, lines, format, nothing, top = 0 }) {
  const drawing = svg('svg', { class: 'plot-drawing', 'aria-hidden': 'true', focusable: 'false' });
  const reading = el('p', { class: 'plot-reading' });
  const frame = el(
    'div',
    {
      class: 'plot-frame',
      tabindex: 0,
      role: 'slider',
      'aria-label': `${title}, over time`,
      'aria-orientation': 'horizontal',
    },
    drawing,
  );
  const legend = el(
    'p',
    { class: 'legend' },
    ...lines.map(({ name, style }, index) =>
      el('span', { class: `legend-entry line-${index}` }, sample(style, index), name),
    ),
  );
  const rows = el('tbody');
  const details = el(
    'details',
    { class: 'plot-table' },
    el('summary', {}, 'As a table'),
    el(
      'div',
      { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': `${title} as a table` },
      el(
        'table',
        {},
        el('caption', { class: 'unseen' }, title),
        el(
          'thead',
          {},
          el(
            'tr',
            {},
            ...['Time', ...lines.map(({ name }) => name)].map((text) => el('th', { scope: 'col' }, text)),
          ),
        ),
        rows,
      ),
    ),
  );
  const element = el(
    'figure',
    { class: 'plot' },
    el('figcaption', {}, el('h3', {}, title), legend),
    frame,
    reading,
    details,
  );

  let slots = [];
  /** Of the slot that is pointed at. */
  let place;
  let scale;

  const hasValue = (slot) => lines.some(({ valueOf }) => valueOf(slot) !== undefined);
  /** The slot that is pointed at, or the latest one with a value. */
  const placeNow = () => {
    const latest = slots.findLastIndex(hasValue);
    return Math.min(place ?? (latest === -1 ? slots.length - 1 : latest), slots.length - 1);
  };
  const read = () => {
    const index = placeNow();
    const slot = slots[index];
    const text =
      slot === undefined || (place === undefined && !hasValue(slot))
        ? nothing
        : `${timeText(slot.at)}: ${valuesText(lines, slot, format)}`;
    setText(reading, text);
    setAttribute(frame, 'aria-valuemin', 0);
    setAttribute(frame, 'aria-valuemax', Math.max(0, slots.length - 1));
    setAttribute(frame, 'aria-valuenow', Math.max(0, index));
    setAttribute(frame, 'aria-valuetext', text);
    if (scale !== undefined && slot !== undefined) scale.point(place === undefined ? undefined : slot, lines);
  };
  const draw = () => {
    const width = Math.max(220, Math.round(frame.clientWidth));
    scale = drawPlot(drawing, { width, slots, lines, format, nothing, top });
    read();
  };
  const fillTable = () => {
    if (!details.open) return;
    const filled = slots.filter(hasValue).reverse();
    rows.replaceChildren(...filled.map((slot) => tableRow(slot, lines, format)));
  };
  const move = (index) => {
    place = Math.max(0, Math.min(slots.length - 1, index));
    read();
  };

  details.addEventListener('toggle', fillTable);
  frame.addEventListener('keydown', (event) => {
    const from = placeNow();
    const to = {
      ArrowLeft: from - 1,
      ArrowRight: from + 1,
      ArrowDown: from - 1,
      ArrowUp: from + 1,
      PageUp: from + 12,
      PageDown: from - 12,
      Home: 0,
      End: slots.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    move(to);
  });
  frame.addEventListener('pointermove', (event) => {
    if (slots.length > 0 && scale !== undefined)
      move(scale.placeAt(event.clientX - frame.getBoundingClientRect().left));
  });
  const leave = () => {
    place = undefined;
    read();
  };
  frame.addEventListener('pointerleave', leave);
  frame.addEventListener('blur', leave);
  new ResizeObserver(draw).observe(frame);

  element.update = (next) => {
    slots = next;
    draw();
    fillTable();
  };
  return element;
}

function sample(style, index) {
  const line = svg('line', { x1: 0, y1: 4, x2: 22, y2: 4, class: `plot-line line-${index} ${style}` });
  return svg('svg', { width: 22, height: 8, 'aria-hidden': 'true' }, line);
}

function tableRow(slot, lines, format) {
  const cells = lines.map(({ valueOf }) => {
    const value = valueOf(slot);
    return el('td', {}, value === undefined ? '–' : format(value));
  });
  return el('tr', {}, el('th', { scope: 'row' }, timeText(slot.at)), ...cells);
}

function valuesText(lines, slot, format) {
  const told = lines.flatMap(({ name, valueOf }) => {
    const value = valueOf(slot);
    return value === undefined ? [] : [`${name} ${format(value)}`];
  });
  return told.length === 0 ? 'nothing was sent' : told.join(', ');
}

function timeText(at) {
  return new Date(at).toLocaleTimeString('en-GB');
}

/** Draws everything anew; returns how to point at a slot. */
function drawPlot(drawing, { width, slots, lines, format, nothing, top }) {
  const inner = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
  const values = slots
    .flatMap((slot) => lines.map(({ valueOf }) => valueOf(slot)))
    .filter((value) => value !== undefined);
  const ticks = ticksUpTo(Math.max(top, ...values));
  const most = ticks.at(-1);
  const x = (index) =>
    MARGIN.left + (slots.length < 2 ? inner.width : (index / (slots.length - 1)) * inner.width);
  const y = (value) => MARGIN.top + inner.height - (value / most) * inner.height;
  setAttribute(drawing, 'viewBox', `0 0 ${width} ${HEIGHT}`);
  setAttribute(drawing, 'width', width);
  setAttribute(drawing, 'height', HEIGHT);
  const pointer = svg('g', { class: 'plot-pointer' });
  drawing.replaceChildren(
    ...ticks.flatMap((tick) => [
      svg('line', {
        class: 'plot-grid',
        x1: MARGIN.left,
        x2: width - MARGIN.right,
        y1: y(tick),
        y2: y(tick),
      }),
      svg(
        'text',
        { class: 'plot-label', x: MARGIN.left - 8, y: y(tick) + 4, 'text-anchor': 'end' },
        format(tick),
      ),
    ]),
    ...timeLabels(slots, x, inner.width),
    ...lines.flatMap(({ valueOf, style }, index) =>
      lineParts(slots, valueOf, { x, y }, `plot-line line-${index} ${style}`),
    ),
    pointer,
  );
  if (values.length === 0) {
    drawing.append(
      svg(
        'text',
        {
          class: 'plot-nothing',
          x: MARGIN.left + inner.width / 2,
          y: MARGIN.top + inner.height / 2,
          'text-anchor': 'middle',
        },
        nothing,
      ),
    );
  }
  return {
    placeAt: (left) => Math.round(((left - MARGIN.left) / inner.width) * (slots.length - 1)),
    point(slot, pointed) {
      if (slot === undefined) return pointer.replaceChildren();
      const at = x(slots.indexOf(slot));
      pointer.replaceChildren(
        svg('line', { x1: at, x2: at, y1: MARGIN.top, y2: MARGIN.top + inner.height }),
        ...pointed.flatMap(({ valueOf }, index) => {
          const value = valueOf(slot);
          return value === undefined
            ? []
            : [svg('circle', { class: `line-${index}`, cx: at, cy: y(value), r: 4 })];
        }),
      );
    },
  };
}

/** One path for each run of slots that have a value; a value that stands alone is a dot. */
function lineParts(slots, valueOf, { x, y }, name) {
  const runs = [[]];
  for (const [index, slot] of slots.entries()) {
    const value = valueOf(slot);
    if (value === undefined) runs.push([]);
    else runs.at(-1).push(`${x(index).toFixed(1)},${y(value).toFixed(1)}`);
  }
  return runs
    .filter((run) => run.length > 0)
    .map((run) =>
      svg('path', {
        class: run.length === 1 ? `${name} alone` : name,
        d: `M${run.length === 1 ? `${run[0]} ${run[0]}` : run.join('L')}`,
      }),
    );
}

function timeLabels(slots, x, width) {
  if (slots.length < 2) return [];
  const count = Math.max(2, Math.min(6, Math.floor(width / 90)));
  return Array.from({ length: count }, (_, place) => {
    const index = Math.round((place / (count - 1)) * (slots.length - 1));
    const anchor = place === 0 ? 'start' : place === count - 1 ? 'end' : 'middle';
    const text = new Date(slots[index].at).toLocaleTimeString('en-GB', {
      hour: '2-digit',
      minute: '2-digit',
    });
    return svg('text', { class: 'plot-label', x: x(index), y: HEIGHT - 6, 'text-anchor': anchor }, text);
  });
}

/** From 0 to at least `most`, in at most five round steps. */
function ticksUpTo(most) {
  const rough = (most <= 0 ? 1 : most) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * (STEPS.find((one) => one * power >= rough) ?? 10);
  const count = Math.max(1, Math.ceil(most / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, index) => index * step);
}
