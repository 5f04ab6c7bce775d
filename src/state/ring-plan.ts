/** How the windows of a bucket become lanes of slots: pure arithmetic, the same in every thread. */
import { KeymuxError } from '../core/errors.js';
import type { QuotaWindow } from '../core/quota.js';
import { powerOfTwo, RING, wholeLines } from './layout.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** No window is longer than this many ticks; 7 days where a tick is 1 ms. */
export const LONGEST_TICKS = 7 * DAY_MS;
/** Limits above this share slots: one slot then stands for several permits. */
const MOST_SLOTS = 65_536;
/** Slots beyond the limit, for threads that write ahead and lose, and for permits that were given back. */
const SPARE_SLOTS = 64;
const HIGHEST_LIMIT = 2 ** 28;

/** One array of slots; position p uses slot `(p >>> shift) & mask`. */
export interface LanePlan {
  /** From the first word of the ring block. */
  readonly offset: number;
  readonly mask: number;
  readonly shift: number;
}

export interface WindowPlan {
  readonly window: QuotaWindow;
  readonly lane: LanePlan;
  /** The limit in slots of its lane. */
  readonly slots: number;
  /** Its length in ticks, rounded up. */
  readonly ticks: number;
}

export interface RingPlan {
  /** What makes two lists of windows the same. */
  readonly text: string;
  readonly textBytes: Uint8Array;
  readonly tickMs: number;
  readonly lanes: readonly LanePlan[];
  readonly windows: readonly WindowPlan[];
  /** Permits of the highest limit; 0 without windows. */
  readonly highestLimit: number;
  /** The words of the whole ring block. */
  readonly words: number;
}

/**
 * Windows of up to 65,536 requests share one lane with a slot per permit. Each larger one has a lane of its own,
 * where a slot stands for a power of two of permits.
 */
export function planRing(windows: readonly QuotaWindow[]): RingPlan {
  for (const window of windows) refuseImpossible(window);
  const normal = windows.map(normalized);
  const text = JSON.stringify(normal);
  const textBytes = new TextEncoder().encode(text);
  const tickMs = Math.max(1, Math.ceil(Math.max(0, ...normal.map(longestMs)) / LONGEST_TICKS));

  let end = wholeLines(RING.words + Math.ceil(textBytes.length / 4));
  const lanes: LanePlan[] = [];
  const addLane = (slots: number, shift: number): LanePlan => {
    const length = powerOfTwo(slots + SPARE_SLOTS);
    const lane = { offset: end, mask: length - 1, shift };
    lanes.push(lane);
    end = wholeLines(end + length);
    return lane;
  };

  const exact = normal.filter((window) => shiftFor(window) === 0);
  const exactLane = exact.length > 0 ? addLane(highest(exact), 0) : undefined;
  const plans = normal.map((window): WindowPlan => {
    const shift = shiftFor(window);
    const slots = Math.floor(window.requests / 2 ** shift);
    const lane = shift === 0 && exactLane !== undefined ? exactLane : addLane(slots, shift);
    return { window, lane, slots, ticks: Math.ceil(window.perMs / tickMs) };
  });
  return { text, textBytes, tickMs, lanes, windows: plans, highestLimit: highest(normal), words: end };
}

/** The windows as `planRing(...).text` holds them. */
export function windowsOf(text: string): readonly QuotaWindow[] {
  return JSON.parse(text) as readonly QuotaWindow[];
}

function normalized({ requests, perMs, calendar }: QuotaWindow): QuotaWindow {
  if (calendar === undefined) return { requests, perMs };
  return { requests, perMs, calendar: { at: calendar.at, timeZone: calendar.timeZone, unit: calendar.unit } };
}

function highest(windows: readonly QuotaWindow[]): number {
  return Math.max(0, ...windows.map((window) => window.requests));
}

function shiftFor(window: QuotaWindow): number {
  return Math.log2(powerOfTwo(window.requests / MOST_SLOTS));
}

/** A day of 25 hours and a month of 31 days, one of them longer, are covered as well. */
function longestMs({ perMs, calendar }: QuotaWindow): number {
  if (calendar === undefined) return perMs;
  return Math.max(perMs, calendar.unit === 'day' ? DAY_MS + 2 * HOUR_MS : 31 * DAY_MS + 2 * HOUR_MS);
}

function refuseImpossible({ requests, perMs }: QuotaWindow): void {
  const isPossible =
    Number.isInteger(requests) &&
    requests >= 1 &&
    requests <= HIGHEST_LIMIT &&
    perMs > 0 &&
    Number.isFinite(perMs);
  if (isPossible) return;
  throw new KeymuxError(
    'KEYMUX_USAGE',
    `A limit of ${requests} requests per ${perMs} ms cannot be enforced.`,
    {
      fix: `Give a whole number of requests from 1 to ${HIGHEST_LIMIT} and a length above 0 ms, or leave the limit out.`,
    },
  );
}
