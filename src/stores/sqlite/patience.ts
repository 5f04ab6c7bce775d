/** How long to wait for the locks of others: as long as they get on, but not for one that hangs. */

export interface Patience {
  /** For so long nobody, neither this member nor another, may have written anything. Milliseconds. */
  readonly quietMs: number;
  /** The end of all waiting, however busy the others are. Milliseconds. */
  readonly longestMs: number;
  /** The longest pause between two looks; the shortest is 1 ms. Who looks more often is served sooner. Milliseconds. */
  readonly pauseMs: number;
  /** How often to look after each pause, a turn of the event loop apart: the lock is often free only for a moment. */
  readonly looks: number;
  /** Lets others go first that came at most so much later. Milliseconds. */
  readonly yieldsMs: number;
}

/**
 * What a request waits for: it must not be held up by more than 50 ms because the store is lost. To see who holds the
 * lock takes a few more than `quietMs`.
 */
export const FOR_REQUESTS: Patience = { quietMs: 34, longestMs: 3_000, pauseMs: 4, looks: 1, yieldsMs: 0 };
/** What others are to know soon. */
export const FOR_NEWS: Patience = { quietMs: 1_000, longestMs: 5_000, pauseMs: 2, looks: 10, yieldsMs: 0 };
/** What holds up nobody. */
export const FOR_REPORTS: Patience = {
  quietMs: 1_000,
  longestMs: 5_000,
  pauseMs: 8,
  looks: 1,
  yieldsMs: 100,
};
/** A dozen others may have to check the whole file first. */
export const FOR_OPENING: Patience = { quietMs: 5_000, longestMs: 5_000, pauseMs: 15, looks: 1, yieldsMs: 0 };

/**
 * The most that a pause counts for beyond its length. Where a look comes later than that, it was this process or the
 * whole machine that had no time, which says nothing about the store.
 */
const LATE_MS = 1;

/** How much silence is excused while the one who holds the lock only waits for the processor. Milliseconds. */
const MOST_EXCUSED_MS = 250;

const SHORTEST_PAUSE_MS = 1;

/** How long to pause before the next look, so that not all look at once. Milliseconds. */
export function randomPauseMs(longestMs: number, random: number): number {
  return SHORTEST_PAUSE_MS + random * (longestMs - SHORTEST_PAUSE_MS);
}

export class Wait {
  readonly #patience: Patience;
  readonly #startedAt: number;
  #lookedAt: number;
  #quietMs = 0;
  #excusedMs = 0;

  constructor(patience: Patience, now: number) {
    this.#patience = patience;
    this.#startedAt = now;
    this.#lookedAt = now;
  }

  /**
   * Whether to go on waiting after another look. `isMoving`: somebody has written something since the last one.
   * `isExcused` is asked only where patience would end.
   */
  goesOn(now: number, isMoving: boolean, isExcused: () => boolean): boolean {
    const sinceMs = Math.min(this.#patience.pauseMs + LATE_MS, now - this.#lookedAt);
    this.#lookedAt = now;
    this.#quietMs = isMoving ? 0 : this.#quietMs + sinceMs;
    if (now - this.#startedAt >= this.#patience.longestMs) return false;
    if (this.#quietMs < this.#patience.quietMs) return true;
    if (this.#excusedMs + this.#quietMs > MOST_EXCUSED_MS || !isExcused()) return false;
    this.#excusedMs += this.#quietMs;
    this.#quietMs = 0;
    return true;
  }
}
