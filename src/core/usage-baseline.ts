/**
 * What is usual: how many requests each slot of the last day saw. A few slots far from the others do not move it, and
 * what comes every day at the same time is usual from the second day on.
 */

const DAY_MS = 86_400_000;
/** Fewer slots than this say nothing about what is usual. */
export const FEWEST_SLOTS = 24;
/** However short a slot is. */
const MOST_SLOTS = 1_500;
/** This share of the slots is at most as busy as the usual maximum. */
const QUANTILE = 0.95;
/** Slots before and after the same time of yesterday that count as the same time. */
const NEAR = 2;
/** Fewer requests in a slot are never unusual. */
export const FEWEST_REQUESTS = 20;
/** Requests that come by chance scatter by the root of their mean; so many times that is no chance any more. */
const SCATTER = 6;

export interface UsageBaseline {
  readonly slotMs: number;
  /** The slot under way: its number since the epoch. */
  readonly slot: number;
  /** The count when the slot began, and when it was last looked at. */
  readonly startedWith: number;
  readonly total: number;
  /** Requests of the slots before it, the oldest first. */
  readonly slots: readonly number[];
}

export function newBaseline(slotMs: number, total: number, at: number): UsageBaseline {
  return { slotMs, slot: Math.floor(at / slotMs), startedWith: total, total, slots: [] };
}

/** `total` is a count that only grows; one that is lower than before began anew. */
export function afterCount(baseline: UsageBaseline, total: number, at: number): UsageBaseline {
  const { slotMs, slots } = baseline;
  const began = total < baseline.total ? { ...baseline, startedWith: total } : baseline;
  const slot = Math.floor(at / slotMs);
  const passed = slot - baseline.slot;
  if (passed <= 0) return { ...began, total };
  const most = daySlots(slotMs) + NEAR + 1;
  // While nobody looked, nothing was sent: requests and looks are made by one process.
  const idle = new Array<number>(Math.min(passed - 1, most)).fill(0);
  const all = [...slots, total - began.startedWith, ...idle].slice(-most);
  return { slotMs, slot, startedWith: total, total, slots: all };
}

/** Requests of the busier one of the slot under way and the one before it. */
export function presentUsage({ total, startedWith, slots }: UsageBaseline): number {
  return Math.max(total - startedWith, slots.at(-1) ?? 0);
}

/** The most requests that a slot usually sees; undefined where too little is known. */
export function usualMaximum({ slotMs, slots }: UsageBaseline): number | undefined {
  // The last one is what is judged.
  const past = slots.slice(0, -1);
  if (past.length < FEWEST_SLOTS) return undefined;
  const day = daySlots(slotMs);
  const lately = past.slice(-day).sort((a, b) => a - b);
  const usual = lately[Math.ceil(lately.length * QUANTILE) - 1] ?? 0;
  const yesterday = slots.length - day;
  const sameTime = slots.slice(Math.max(0, yesterday - NEAR), Math.max(0, yesterday + NEAR + 1));
  return Math.max(usual, ...sameTime);
}

/** Above so many requests a slot is unusual: `factor` times the usual maximum, and more than chance explains. */
export function unusualAbove(usual: number, factor: number): number {
  return Math.max(FEWEST_REQUESTS, factor * usual, usual + SCATTER * Math.sqrt(usual));
}

function daySlots(slotMs: number): number {
  return Math.min(MOST_SLOTS, Math.max(FEWEST_SLOTS, Math.ceil(DAY_MS / slotMs)));
}
