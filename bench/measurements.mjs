// How the benchmarks take time, sum it up and show it. Variants take turns, so that a busy machine slows all of them;
// what is compared is the ratio (or the difference) of neighbours.
import { cpus, totalmem } from 'node:os';

const NS_PER_MS = 1e6;

/** A variant does `operations` operations and may return how many it did instead. */
export async function compareBatches(variants, { operations, rounds = 15, pauseMs = 0 }) {
  const names = Object.keys(variants);
  const samples = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round <= rounds; round += 1) {
    for (let turn = 0; turn < names.length; turn += 1) {
      const name = names[(turn + round) % names.length];
      const startedAt = process.hrtime.bigint();
      const done = (await variants[name]()) ?? operations;
      const ns = Number(process.hrtime.bigint() - startedAt) / done;
      if (round > 0) samples[name].push(ns); // the first round warms up
      if (pauseMs > 0) await delay(pauseMs);
    }
  }
  return samples;
}

export function delay(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function elapsedMs(startedAt) {
  return Number(process.hrtime.bigint() - startedAt) / NS_PER_MS;
}

export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

export const median = (values) => percentile(values, 0.5);

/** Values of two lists that were measured in the same round. */
export function paired(values, floors, combine) {
  return values.map((value, round) => combine(value, floors[round]));
}

export const ratio = (value, floor) => value / floor;
export const difference = (value, floor) => value - floor;

/** One line of a report. `unit` is that of all values but the ratio, which compares with `floor`, round by round. */
export function row(name, unit, values, floor) {
  const line = {
    name,
    unit,
    min: Math.min(...values),
    median: median(values),
    p25: percentile(values, 0.25),
    p75: percentile(values, 0.75),
    p99: percentile(values, 0.99),
  };
  return floor === undefined ? line : { ...line, ratio: median(paired(values, floor, ratio)) };
}

/** Something that was to be reached: `measured` must be below `target`. */
export function figure(what, measured, target, unit) {
  return { what, measured, target, unit, met: measured < target };
}

export function machine() {
  const [first] = cpus();
  return {
    cpu: first?.model ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    system: `${process.platform} ${process.arch}`,
  };
}

/** `groups` are tables: their title and rows. With `--json` for machines. */
export function publish(name, groups, figures = []) {
  if (process.argv.includes('--json')) console.log(JSON.stringify({ name, groups, figures }));
  else show({ name, groups, figures });
}

export function show({ name, groups, figures }) {
  for (const [title, rows] of Object.entries(groups)) {
    console.log(`\n${name}: ${title}`);
    console.log(`  ${''.padEnd(44)}${['min', 'median', 'p25..p75', 'p99', 'ratio'].map(cell).join('')}`);
    for (const { name: label, unit, min, median: middle, p25, p75, p99, ratio: times } of rows) {
      const values = [round(min), round(middle), `${round(p25)}..${round(p75)}`, round(p99)];
      const last = times === undefined ? '' : `${round(times)} x`;
      console.log(`  ${label.padEnd(44)}${[...values, last].map(cell).join('')}  ${unit}`);
    }
  }
  for (const { what, measured, target, unit, met } of figures) {
    console.log(
      `  ${met ? 'met   ' : 'MISSED'} ${what}: ${round(measured)} ${unit}, to be below ${target} ${unit}`,
    );
  }
}

const cell = (text) => String(text).padStart(16);
const round = (value) => Number(value.toPrecision(3));
