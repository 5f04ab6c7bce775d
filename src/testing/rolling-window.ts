/** The judge of rate limits: counts events in windows that may begin at any moment, not only on round seconds. */

/**
 * The most events that any window of this length holds. A window is half-open, `[t, t + perMs)`: two events exactly
 * `perMs` apart never share one. The timestamps need no order; all figures are milliseconds.
 */
export function maxInAnyWindow(timestamps: readonly number[], perMs: number): number {
  const sorted = Float64Array.from(timestamps).sort();
  let most = 0;
  let first = 0;
  sorted.forEach((at, index) => {
    while (at - (sorted[first] ?? at) >= perMs) first += 1;
    most = Math.max(most, index - first + 1);
  });
  return most;
}

const COMPACT_FROM = 1_024;

/** A log of moments, in the order in which they came, that tells how many lie within the last `perMs`. */
export class RollingLog {
  #times: number[] = [];

  /** `at` must not lie before the last one. */
  add(at: number): void {
    this.#times.push(at);
  }

  /** How many moments lie in `(now - perMs, now]`. */
  countSince(now: number, perMs: number): number {
    return this.#times.length - this.#firstWithin(now, perMs);
  }

  /** How long until fewer than `limit` moments lie within the last `perMs`; 0 if that is so now. */
  waitMs(now: number, perMs: number, limit: number): number {
    const surplus = this.countSince(now, perMs) - limit;
    if (surplus < 0) return 0;
    const leaving = this.#times[this.#firstWithin(now, perMs) + surplus];
    return leaving === undefined ? perMs : perMs - (now - leaving);
  }

  /** Forgets what lies further back than `perMs`. */
  forgetBefore(now: number, perMs: number): void {
    const first = this.#firstWithin(now, perMs);
    if (first >= COMPACT_FROM) this.#times = this.#times.slice(first);
  }

  #firstWithin(now: number, perMs: number): number {
    let low = 0;
    let high = this.#times.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      // The same subtraction as in `maxInAnyWindow`, so that rounding cannot make the two disagree.
      if (now - (this.#times[middle] ?? now) >= perMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
