/**
 * How well a provider does, 0 to 1: one minus the share of requests that lately ended in its own trouble (5xx,
 * overload, no connection). Old trouble fades, so that a provider that was left for another one is tried again.
 */
import type { Clock } from '../core/ports.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';

const MILLION = 1_000_000;
/** Each request counts this much against all before it. */
const SHARE = 1 / 8;
const HALF_LIFE_MS = 30_000;
/** Less than this is forgotten, so that a threshold of 1 can be met again. */
const NEGLIGIBLE = 0.01;

export function healthScore(table: StateTable, providerRow: number, now: number): number {
  return 1 - troubleShare(table, providerRow, now);
}

export function recordHealth(
  table: StateTable,
  providerRow: number,
  hadTrouble: boolean,
  clock: Clock,
): void {
  if (!hadTrouble && table.get(providerRow, COUNTER.troublePpm) === 0) return;
  const now = clock();
  const before = troubleShare(table, providerRow, now);
  if (before === 0 && !hadTrouble) return;
  const after = before + (Number(hadTrouble) - before) * SHARE;
  table.set(providerRow, COUNTER.troublePpm, Math.round(after * MILLION));
  table.set(providerRow, COUNTER.troubleAt, table.tickOf(now));
}

function troubleShare(table: StateTable, providerRow: number, now: number): number {
  const share = table.get(providerRow, COUNTER.troublePpm) / MILLION;
  if (share === 0) return 0;
  const ageMs = Math.max(0, now - table.timeOf(table.get(providerRow, COUNTER.troubleAt)));
  const faded = share * 0.5 ** (ageMs / HALF_LIFE_MS);
  return faded < NEGLIGIBLE ? 0 : faded;
}
