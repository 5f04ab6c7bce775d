/** How a process spends while it cannot ask the store: its share, so that all together keep to the limit. */
import { nextReset } from './quota.js';
import type { QuotaWindow } from './quota.js';

export interface Place {
  /** Members of the fleet, 1 or more. */
  readonly size: number;
  /** From 0; no two members have the same. */
  readonly rank: number;
}

/** This member's part of permits that all members share out: the parts of all ranks add up to exactly `permits`. */
export function fairShare(permits: number, { size, rank }: Place): number {
  if (rank >= size) return 0;
  return Math.floor(permits / size) + (rank < permits % size ? 1 : 0);
}

/** What the store last said of a bucket, for each of its windows. */
export interface LastAnswer {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly left: readonly number[];
  /** How many permits others took per millisecond, as far as could be seen. */
  readonly fallPerMs: readonly number[];
}

/** How things stood when a member was left alone. */
export interface Farewell {
  /** Epoch milliseconds. */
  readonly lostAt: number;
  /** In each window: what the member spent and still counts, and what it holds leased. */
  readonly own: readonly number[];
  /** Absent: the store never said what was left. */
  readonly answer?: LastAnswer;
  readonly place: Place;
}

export interface AloneLimit {
  readonly permits: number;
  /** When the limit becomes the plain share; `now` or earlier: it is that. */
  readonly until: number;
}

/**
 * The limit of each window for a member that is alone. As long as what was spent before the loss may still count, the
 * members together keep to what was left; from then on each has its share of the whole. The sum over all members
 * never exceeds the limit in any rolling window, given that each one's last answer was the latest. Where others were
 * granted `g` permits after that, and it was not seen to fall so fast, a member exceeds its part by at most its share
 * of `g`, until `until`.
 */
export function aloneLimits(windows: readonly QuotaWindow[], farewell: Farewell, now: number): AloneLimit[] {
  const { lostAt, own, answer, place } = farewell;
  return windows.map((window, index) => {
    const share = fairShare(window.requests, place);
    const until = window.calendar === undefined ? lostAt + window.perMs : nextReset(window.calendar, lostAt);
    if (now >= until || answer === undefined) return { permits: share, until: now };
    const fallen = Math.max(0, answer.fallPerMs[index] ?? 0) * Math.max(0, lostAt - answer.at);
    const left = Math.max(0, Math.floor((answer.left[index] ?? 0) - fallen));
    return { permits: Math.min(share, (own[index] ?? 0) + fairShare(left, place)), until };
  });
}

/** The fall of each window since the answer before, without what this member itself was granted; half new, half old. */
export function fallSince(
  before: LastAnswer | undefined,
  now: { readonly at: number; readonly left: readonly number[] },
  granted: number,
): readonly number[] {
  return now.left.map((left, index) => {
    const leftBefore = before?.left[index];
    if (before === undefined || leftBefore === undefined) return 0;
    const elapsedMs = Math.max(1, now.at - before.at);
    const fell = Math.max(0, leftBefore - granted - left) / elapsedMs;
    return (fell + (before.fallPerMs[index] ?? 0)) / 2;
  });
}
