/**
 * Whether a key is used outside keymux: what its provider says is left shrinks by more than all of ours spend. A request may
 * cost several units, and a colleague may use the same account: what is usual is learnt. Times are epoch milliseconds.
 */
import type { Unusual } from './anomaly.js';

/** Two statements are compared after so long at least. Milliseconds. */
const SHORTEST_MS = 60_000;
/** So many comparisons are remembered, and so few say nothing yet. */
export const MOST_RATIOS = 100;
export const FEWEST_RATIOS = 20;
/** This share of the comparisons is usual. */
const QUANTILE = 0.95;
/** What goes beyond so many times the usual adds up; so many units, or such a share of the limit, in sum are unusual. */
const FACTOR = 1.5;
const FEWEST_UNITS = 20;
const FEWEST_SHARE = 0.02;
/** Statements of the same window differ by rounding. Milliseconds. */
const SAME_END_MS = 5_000;
/** Found once within so long. Milliseconds. */
const REST_MS = 3_600_000;

/** One moment of an allowance, and of what we spent. */
export interface Spending {
  readonly at: number;
  /** What the provider says is left, and when its window ends. */
  readonly left: number;
  readonly until: number;
  readonly limit: number;
  readonly kind: 'fixed' | 'refilling';
  /** Requests of the whole fleet so far; only grows. */
  readonly spent: number;
  /** Requests under way, which the provider may have counted. */
  readonly underWay: number;
}

export interface OutsideUse {
  /** Where the comparison under way began. */
  from?: Spending;
  /** Units for each of our requests, the oldest first. */
  ratios: number[];
  /** Units beyond the usual, less what stayed below it since, and when that began. */
  excess: number;
  excessFrom: number;
  toldAt?: number;
}

export function newOutsideUse(): OutsideUse {
  return { ratios: [], excess: 0, excessFrom: 0 };
}

/** Compares with an earlier moment, once that is long enough ago. */
export function judgeOutsideUse(known: OutsideUse, now: Spending): Unusual | undefined {
  const { from } = known;
  if (from === undefined || !isSameWindow(from, now) || now.spent < from.spent) {
    known.from = now;
    return undefined;
  }
  const passedMs = now.at - from.at;
  const requests = now.spent - from.spent;
  // An allowance is stated in answers: without one of ours nothing was said.
  if (passedMs < SHORTEST_MS || requests === 0) return undefined;
  known.from = now;
  const units = from.left - now.left;
  return units <= 0 ? undefined : compare(known, units, requests, from.at, now);
}

/** What two processes learnt. */
export function mergedOutsideUse(a: OutsideUse, b: OutsideUse): OutsideUse {
  const toldAt = Math.max(a.toldAt ?? 0, b.toldAt ?? 0);
  const ratios = a.ratios.length >= b.ratios.length ? a.ratios : b.ratios;
  return { ...newOutsideUse(), ratios: [...ratios], ...(toldAt === 0 ? {} : { toldAt }) };
}

/** Sums up what goes beyond the usual (a CUSUM), so that a little for long is found as well as much at once. */
function compare(
  known: OutsideUse,
  units: number,
  requests: number,
  from: number,
  { at, limit, underWay }: Spending,
): Unusual | undefined {
  const usual = usualRatio(known.ratios);
  // What is unusual is learnt little by little: what lasts for hours is usual in the end.
  known.ratios.push(Math.min(units / requests, usual === undefined ? Infinity : FACTOR * usual));
  if (known.ratios.length > MOST_RATIOS) known.ratios.shift();
  if (usual === undefined) return undefined;
  if (known.excess === 0) known.excessFrom = from;
  known.excess = Math.max(0, known.excess + units - FACTOR * usual * (requests + underWay));
  const threshold = Math.ceil(Math.max(FEWEST_UNITS, FEWEST_SHARE * limit));
  if (known.excess <= threshold) return undefined;
  const excess = Math.round(known.excess);
  known.excess = 0;
  if (known.toldAt !== undefined && at - known.toldAt < REST_MS) return undefined;
  known.toldAt = at;
  const minutes = Math.max(1, Math.round((at - known.excessFrom) / 60_000));
  return {
    kind: 'outside-use',
    evidence: `Within ${minutes} min the provider counted ${excess} more off its allowance than what keymux sent explains.`,
    value: excess,
    threshold,
  };
}

/** With fixed windows, one end is one window. What refills in between only hides use, and accuses nobody. */
function isSameWindow(from: Spending, now: Spending): boolean {
  if (from.kind !== now.kind || from.limit !== now.limit) return false;
  return now.kind === 'refilling' || Math.abs(now.until - from.until) <= SAME_END_MS;
}

function usualRatio(ratios: readonly number[]): number | undefined {
  if (ratios.length < FEWEST_RATIOS) return undefined;
  return [...ratios].sort((a, b) => a - b)[Math.ceil(ratios.length * QUANTILE) - 1];
}
