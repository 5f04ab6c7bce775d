/**
 * The store's time, told by a monotonic clock between one answer and the next. Times are milliseconds; the store's are
 * epoch milliseconds.
 */
export interface TimeSources {
  readonly monotonicMs: () => number;
  readonly wallMs: () => number;
}

interface Sample {
  /** The store's time minus the monotonic one, taken halfway between question and answer. */
  readonly offsetMs: number;
  /** How far it may be off. */
  readonly errorMs: number;
  readonly atMs: number;
}

/** The scripts have the same figure. */
const TOLERANCE_MS = 1_000;
const SAMPLES = 16;
/** By how much two clocks may drift apart: 100 parts in a million. */
const DRIFT = 1e-4;
/** After so long without an answer the monotonic clock is not trusted to the second any more. */
const TRUSTED_MS = 600_000;

export class StoreClock {
  readonly #time: TimeSources;
  #samples: readonly Sample[] = [];
  /** What makes up for jumps of the server's clock. */
  #adjustmentMs = 0;
  /** The wall clock minus the monotonic one, at the last answer. */
  #wallOffsetMs = 0;
  #latest = Number.NEGATIVE_INFINITY;

  constructor(time: TimeSources) {
    this.#time = time;
  }

  get adjustmentMs(): number {
    return this.#adjustmentMs;
  }

  monotonicMs(): number {
    return this.#time.monotonicMs();
  }

  /**
   * The latest that it may be in the store: what was spent must not be dated earlier than it happened, or its permit
   * would return too soon. Undefined before the first answer. Never runs backwards, unless by more than a second,
   * after long silence.
   */
  now(): number | undefined {
    const best = this.#best();
    if (best === undefined) return undefined;
    const now = this.monotonicMs() + best.offsetMs + this.#errorMs(best);
    if (now > this.#latest || now < this.#latest - TOLERANCE_MS) this.#latest = now;
    return this.#latest;
  }

  /** When `now` says so, a moment of the store has certainly come. */
  certain(storeTime: number): number {
    const best = this.#best();
    return best === undefined ? storeTime : storeTime + 2 * this.#errorMs(best);
  }

  /** The store's time at a monotonic time, as far as is known. */
  at(monotonicMs: number): number | undefined {
    const best = this.#best();
    return best === undefined ? undefined : monotonicMs + best.offsetMs;
  }

  /**
   * What the store's time is at a monotonic time; undefined where that is not certain: long silence, a wall clock that
   * was set, or a machine that slept, which a monotonic clock need not count.
   */
  estimate(monotonicMs: number): number | undefined {
    const [last] = this.#samples;
    const best = this.#best();
    if (last === undefined || best === undefined || monotonicMs - last.atMs > TRUSTED_MS) return undefined;
    const drifted = this.#wallOffset() - this.#wallOffsetMs;
    return Math.abs(drifted) > TOLERANCE_MS / 2 ? undefined : monotonicMs + best.offsetMs;
  }

  /** Takes up an answer that was asked for at `sentMs` and came at `receivedMs`, in monotonic time. */
  learn(storeNow: number, adjustmentMs: number, sentMs: number, receivedMs: number): void {
    const errorMs = (receivedMs - sentMs) / 2;
    const offsetMs = storeNow - (sentMs + receivedMs) / 2;
    const expected = this.estimate(receivedMs);
    const isOther =
      expected === undefined || Math.abs(receivedMs + offsetMs - expected) > TOLERANCE_MS + errorMs;
    this.#samples = [
      { offsetMs, errorMs, atMs: receivedMs },
      ...(isOther ? [] : this.#samples.slice(0, SAMPLES - 1)),
    ];
    this.#adjustmentMs = adjustmentMs;
    this.#wallOffsetMs = this.#wallOffset();
  }

  /**
   * Judges a time that the store and this clock do not agree on, by when it was asked for and came. `slow`: the
   * question or the answer was on its way for long. `unsure`: this clock does not know better. Otherwise the server's
   * clock jumped, and from here on the adjustment makes up for it.
   */
  judge(
    storeNow: number,
    adjustmentMs: number,
    sentMs: number,
    receivedMs: number,
  ): 'slow' | 'unsure' | 'jumped' {
    const sent = this.estimate(sentMs);
    if (sent === undefined) return 'unsure';
    const received = sent + receivedMs - sentMs;
    if (storeNow >= sent - TOLERANCE_MS && storeNow <= received + TOLERANCE_MS) return 'slow';
    this.#adjustmentMs = adjustmentMs + (sent + received) / 2 - storeNow;
    return 'jumped';
  }

  #errorMs({ errorMs, atMs }: Sample): number {
    return errorMs + (this.monotonicMs() - atMs) * DRIFT;
  }

  #best(): Sample | undefined {
    const [last] = this.#samples;
    if (last === undefined) return undefined;
    const worth = ({ errorMs, atMs }: Sample): number => errorMs + (last.atMs - atMs) * DRIFT;
    return this.#samples.reduce((best, sample) => (worth(sample) < worth(best) ? sample : best), last);
  }

  #wallOffset(): number {
    return this.#time.wallMs() - this.monotonicMs();
  }
}
