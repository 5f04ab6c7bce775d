import type { KeymuxError } from '../core/errors.js';
import type { ReadKey, ReferenceContext } from './reference.js';

/** Tried again after a second first, then after twice as long each time. */
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;
/** A source that states a shorter life is not asked without pause. */
const SHORTEST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 2 ** 31 - 1;

export interface Freshness {
  /** How long the last good value is served once its source fails. Milliseconds. */
  readonly staleMs: number;
  /** How often a source is asked that states no end. Milliseconds; absent where it is not asked by itself. */
  readonly refreshMs?: number | undefined;
}

/** One secret as it was read last, and how its source fares. */
export class HeldSecret {
  readonly reference: string;
  /** Of the latest reading of the configuration. */
  context: ReferenceContext;
  /** The reading under way: nobody starts another. */
  flight: Promise<void> | undefined;
  timer: NodeJS.Timeout | undefined;
  readonly #freshness: Freshness;
  #value: ReadKey | undefined;
  #failure: KeymuxError | undefined;
  #failingSince = 0;
  #failures = 0;

  constructor(reference: string, context: ReferenceContext, freshness: Freshness) {
    this.reference = reference;
    this.context = context;
    this.#freshness = freshness;
  }

  get value(): ReadKey | undefined {
    return this.#value;
  }

  /** Absent while the source is as it should be. */
  get failure(): KeymuxError | undefined {
    return this.#failure;
  }

  /** Whether the source stated that the value is good for longer. */
  isGoodAt(now: number): boolean {
    return this.#failure === undefined && (this.#value?.expiresAt ?? 0) > now;
  }

  /** Returns whether it is another value than before. */
  take(value: ReadKey): boolean {
    const isOther = this.#value === undefined || !this.#value.secret.equals(value.secret);
    this.#value = value;
    this.#failure = undefined;
    this.#failures = 0;
    return isOther;
  }

  /** The last good value is given up once its source has failed for too long. */
  fail(error: KeymuxError, now: number): 'first' | 'again' | 'given-up' {
    const isFirst = this.#failure === undefined;
    if (isFirst) this.#failingSince = now;
    this.#failure = error;
    this.#failures += 1;
    if (this.#value !== undefined && now >= this.staleUntil) {
      this.#value = undefined;
      return 'given-up';
    }
    return isFirst ? 'first' : 'again';
  }

  /** Epoch milliseconds; of use while the source fails. */
  get staleUntil(): number {
    return this.#failingSince + this.#freshness.staleMs;
  }

  /**
   * How long until the source is asked again; undefined where nothing asks for it. A value is renewed after 70 to 90 %
   * of its life, so that many programs do not ask at once.
   */
  waitMs(now: number, random: number): number | undefined {
    const wait = this.#plannedWaitMs(now, random);
    return wait === undefined ? undefined : Math.min(Math.max(wait, SHORTEST_WAIT_MS), LONGEST_WAIT_MS);
  }

  #plannedWaitMs(now: number, random: number): number | undefined {
    const share = 0.7 + 0.2 * random;
    if (this.#failure !== undefined) {
      const pause = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1)) * share;
      return this.#value === undefined ? pause : Math.min(pause, this.staleUntil - now);
    }
    const expiresAt = this.#value?.expiresAt;
    if (expiresAt !== undefined) return (expiresAt - now) * share;
    const { refreshMs } = this.#freshness;
    return refreshMs === undefined ? undefined : refreshMs * share;
  }
}
