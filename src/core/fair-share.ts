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
  /** See `Hearsay`. Default: never. */
  readonly scarceUntil?: readonly number[];
  readonly place: Place;
}

/** What was heard of a bucket, beside the last answer. Epoch milliseconds. */
export interface Hearsay {
  /** When it was heard of for the second time, so that it was seen how fast others spend; Infinity before that. */
  readonly since: number;
  /** In each window: until then others are likely to take what is left, for it was spent up lately; 0 for never. */
  readonly scarceUntil: readonly number[];
}

/** A member that has watched a bucket for less than that does not know yet how fast others spend. */
const YOUNG_MS = 1_000;
/** The fall is an average; in doubt it is taken for so many times as fast. */
const CAREFULLY = 2;
/** This part of a limit is left, in doubt, to those that may be leasing: a sudden rush is seen by none of them at once. */
const RESERVE = 0.25;
/** A limit that was spent up within the last five windows is likely to be spent up again. At least, at most: milliseconds. */
const MEMORY = { windows: 5, leastMs: 5_000, mostMs: 120_000 };

function memoryMs({ perMs }: QuotaWindow): number {
  return Math.min(MEMORY.mostMs, Math.max(MEMORY.leastMs, MEMORY.windows * perMs));
}

/** Takes up an answer. Where a window is empty all wait for the same moment, and may then spend up the shorter ones at once. */
export function scarcity(
  windows: readonly QuotaWindow[],
  before: readonly number[],
  { at, left }: Pick<LastAnswer, 'at' | 'left'>,
): readonly number[] {
  return windows.map(({ perMs }, index) => {
    const empty = windows.filter((window, other) => left[other] === 0 && window.perMs >= perMs);
    return Math.max(before[index] ?? 0, ...empty.map((window) => at + memoryMs(window)));
  });
}

/** Takes up that a request was not served though others may have been: whatever was left last, it is taken for spent. */
export function scarcityAfterShortage(
  windows: readonly QuotaWindow[],
  before: readonly number[],
  at: number,
): readonly number[] {
  const shortestMs = Math.min(...windows.map(({ perMs }) => perMs));
  return windows.map((window, index) =>
    window.perMs === shortestMs ? at + memoryMs(window) : (before[index] ?? 0),
  );
}

/**
 * How many permits a member spends, in all, while it is open whether the store is lost, or only it alone does not hear
 * of it, so that the others go on leasing: its part of what was left, less what fell since, and less a reserve.
 * Nothing where others would take that anyway: of a limit that was spent up lately, or that it hardly knows.
 */
export function doubtfulPermits(
  windows: readonly QuotaWindow[],
  { lostAt, answer, place }: Farewell,
  hearsay: Hearsay,
  now: number,
): number {
  if (answer === undefined || lostAt - hearsay.since < YOUNG_MS) return 0;
  const parts = windows.map(({ requests }, index) => {
    if (lostAt < (hearsay.scarceUntil[index] ?? 0)) return 0;
    const left = leftAt(answer, index, now, CAREFULLY) - Math.ceil(requests * RESERVE);
    return fairShare(Math.max(0, left), place);
  });
  return Math.min(Number.MAX_SAFE_INTEGER, ...parts);
}

/** What is left of a window if it goes on falling as it did, or so many times as fast. */
function leftAt({ at, left, fallPerMs }: LastAnswer, index: number, now: number, times = 1): number {
  const fallen = times * Math.max(0, fallPerMs[index] ?? 0) * Math.max(0, now - at);
  return Math.max(0, Math.floor((left[index] ?? 0) - fallen));
}

export interface AloneLimit {
  readonly permits: number;
  /** When the limit becomes the plain share; `now` or earlier: it is that. */
  readonly until: number;
}

/**
 * The limit of each window for a member that is alone. As long as what was spent before the loss may still count, the
 * members together keep to what was left; from then on each has its share of the whole. The sum over all members
 * never exceeds the limit in any rolling window, given that each one's last answer was the latest. Of a window that was
 * spent up lately nothing counts as left: who asked last knows nothing of what others took since. Elsewhere, where
 * others were granted `g` permits after the answer, and it was not seen to fall so fast, a member exceeds its part by
 * at most its share of `g`, until `until`.
 */
export function aloneLimits(windows: readonly QuotaWindow[], farewell: Farewell, now: number): AloneLimit[] {
  const { lostAt, own, answer, place, scarceUntil = [] } = farewell;
  return windows.map((window, index) => {
    const share = fairShare(window.requests, place);
    const until = window.calendar === undefined ? lostAt + window.perMs : nextReset(window.calendar, lostAt);
    if (now >= until || answer === undefined) return { permits: share, until: now };
    const isScarce = lostAt < (scarceUntil[index] ?? 0);
    const part = isScarce ? 0 : fairShare(leftAt(answer, index, lostAt), place);
    return { permits: Math.min(share, (own[index] ?? 0) + part), until };
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
