// Whether something grew between the first third of the plateaus and the last one.

/** Bytes; a collected heap wanders by some per cent, as caches of code and shapes come and go. */
const MIB = 1_048_576;

/**
 * What is looked at: `allowed` is how much the median of the last third may lie above that of the first. Open files are
 * mostly connections that clients keep for later, of which there are now more, now less.
 */
const MEASURES = [
  {
    name: 'heap',
    unit: 'MiB',
    of: (sample) => sample.heapBytes / MIB,
    allowed: (first) => Math.max(3, first * 0.04),
  },
  { name: 'buffers', unit: 'MiB', of: (sample) => sample.bufferBytes / MIB, allowed: () => 2 },
  { name: 'sockets in use', unit: '', of: (sample) => sample.sockets, allowed: () => 0 },
  { name: 'open files', unit: '', of: (sample) => sample.files, allowed: () => 16 },
  { name: 'timers', unit: '', of: (sample) => sample.timers, allowed: () => 4 },
  { name: 'listeners on process', unit: '', of: (sample) => sample.processListeners, allowed: () => 0 },
  { name: 'listeners on agents', unit: '', of: (sample) => sample.agentListeners, allowed: () => 0 },
  { name: 'subscribers of channels', unit: '', of: (sample) => sample.subscribers, allowed: () => 0 },
  { name: 'keys known', unit: '', of: (sample) => sample.keys, allowed: () => 0 },
];

/** Fewer plateaus than this tell nothing. */
const FEWEST_SAMPLES = 3;

/** `samples` as traffic.mjs takes them, after warming up. */
export function judge(samples) {
  if (samples.length < FEWEST_SAMPLES) {
    return { table: '', problems: [`only ${samples.length} plateaus: give it more time`] };
  }
  const third = Math.max(1, Math.floor(samples.length / 3));
  const lines = [
    ['', 'first', 'last', 'growth', 'allowed'].map((cell, i) => cell.padEnd(i === 0 ? 26 : 9)).join(''),
  ];
  const problems = [];
  for (const { name, unit, of, allowed } of MEASURES) {
    const first = median(samples.slice(0, third).map(of));
    const last = median(samples.slice(-third).map(of));
    const limit = allowed(first);
    const cells = [first, last, last - first, limit].map((value) => show(value).padEnd(9));
    lines.push(`${`${name} ${unit}`.padEnd(26)}${cells.join('')}`);
    if (last - first > limit) problems.push(`${name} grew by ${show(last - first)} ${unit}`.trimEnd());
  }
  const open = Math.max(...samples.map(({ inFlight }) => inFlight));
  lines.push(`${'leases at plateaus'.padEnd(26)}${String(open).padEnd(27)}0`);
  if (open > 0) problems.push(`${open} leases were not returned`);
  const { warnings, lost } = samples.at(-1);
  for (const warning of warnings) problems.push(`a warning of Node: ${warning}`);
  for (const [row, error] of Object.entries(lost)) problems.push(`${row} did not succeed: ${error}`);
  return { table: lines.join('\n'), problems };
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function show(value) {
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}
