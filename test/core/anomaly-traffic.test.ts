import { describe, expect, it } from 'vitest';
import {
  INCIDENTS,
  USUAL,
  USUAL_ALLOWANCES,
  USUAL_CALLERS,
  WEEKS,
  delayOf,
  foundIn,
  newCallersIn,
  outsideUseIn,
} from './anomaly-traffic.js';

/** `scripts/anomaly-figures.mjs` asks for more of them, and for the figures. */
const SEEDS = Array.from(
  { length: Number(process.env['KEYMUX_ANOMALY_SEEDS'] ?? 2) },
  (_, index) => index + 1,
);
const ASKS_FIGURES = process.env['KEYMUX_ANOMALY_SEEDS'] !== undefined;
const MONTHS = (WEEKS * 7) / 30;
const DAY_MINUTES = 1_440;

function figure(...cells: readonly (string | number)[]): void {
  if (ASKS_FIGURES) process.stdout.write(`FIGURE | ${cells.join(' | ')} |\n`);
}

function perMonth(count: number): number {
  return Math.round((100 * count) / (SEEDS.length * MONTHS)) / 100;
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
}

describe('false alarms', () => {
  it.each(Object.keys(USUAL))('are rare for traffic of the kind: %s', (name) => {
    const found = SEEDS.flatMap((seed) => foundIn(USUAL[name]!, seed));
    const rates = perMonth(found.filter(({ kind }) => kind === 'rate').length);
    const hours = perMonth(found.filter(({ kind }) => kind === 'hours').length);
    figure(name, rates, hours);
    expect(rates).toBeLessThanOrEqual(0.6);
    expect(hours).toBeLessThanOrEqual(0.6);
  });

  it.each(Object.keys(USUAL_CALLERS))('are rare for callers of the kind: %s', (name) => {
    const told = perMonth(SEEDS.reduce((sum, seed) => sum + newCallersIn(USUAL_CALLERS[name]!, seed), 0));
    figure(`callers: ${name}`, told);
    expect(told).toBeLessThanOrEqual(0.6);
  });

  it.each(Object.keys(USUAL_ALLOWANCES))('are rare for allowances of the kind: %s', (name) => {
    const allowance = USUAL_ALLOWANCES[name]!;
    const days = ASKS_FIGURES ? 30 : 7;
    const found = SEEDS.flatMap((seed) => outsideUseIn(allowance, seed, days * DAY_MINUTES));
    const told = Math.round((100 * found.length * 30) / (SEEDS.length * days)) / 100;
    figure(`allowance: ${name}`, told);
    expect(told).toBeLessThanOrEqual(0.6);
  });
});

describe('an incident', () => {
  it.each(Object.keys(INCIDENTS))('is found while it lasts: %s', (name) => {
    const incident = INCIDENTS[name]!;
    const delays = SEEDS.map((seed) => delayOf(incident.kind, incident, seed));
    const seen = delays.filter((delay) => delay !== undefined);
    const minutes = Math.round(median(seen) / 6_000) / 10;
    figure(name, incident.kind, `${seen.length} of ${SEEDS.length}`, `${minutes} min`);
    expect(seen).toHaveLength(SEEDS.length);
    expect(minutes).toBeLessThan(60);
  });

  it('is found within minutes where a key is used elsewhere', () => {
    const from = 2 * DAY_MINUTES + 7;
    const delays = SEEDS.map((seed) => {
      const thief = { from, perMinute: 60 };
      const found = outsideUseIn(USUAL_ALLOWANCES['nobody else']!, seed, from + 60, thief);
      return (found.find((minute) => minute >= from) ?? Number.POSITIVE_INFINITY) - from + 1;
    });
    figure(
      'a stolen key elsewhere, 60 requests a minute beside 10 of ours',
      'outside-use',
      `${median(delays)} min`,
    );
    expect(Math.max(...delays)).toBeLessThan(10);
  });
});
