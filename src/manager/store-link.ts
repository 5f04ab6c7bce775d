import { KeymuxError } from '../core/errors.js';
import type { Clock, MaybePromise, Random } from '../core/ports.js';
import { SILENCE_MS, isSilence } from '../core/silence.js';

export interface StoreLinkHooks {
  readonly now: Clock;
  readonly random: Random;
  /** The store is lost for certain, or was silent for so long that it counts as lost; called once per loss. */
  onLost(error: unknown): void;
  /**
   * Tries to reach the store, and tells it what happened meanwhile. When it has resolved the store counts as back;
   * when it fails it is called again by and by.
   */
  rejoin(): MaybePromise<void>;
  /** `wasLost`: whether `onLost` was called. */
  onBack(wasLost: boolean): void;
}

const FIRST_RETRY_MS = 50;
/** How far apart two attempts to reach a store that was lost are at most. Milliseconds. */
export const LONGEST_RETRY_MS = 500;

/** Errors of a store that is there: it refuses what it was asked, for a reason of its own. */
const ANSWERS: ReadonlySet<string> = new Set([
  'KEYMUX_USAGE',
  'KEYMUX_CLOSED',
  'KEYMUX_FENCED',
  'KEYMUX_STORE_FORGOT',
]);

/** Whether the store can be asked. Every operation of this thread says here how it went, and this alone decides. */
export class StoreLink {
  readonly #hooks: StoreLinkHooks;
  #lostAt: number | undefined;
  /** Present while only silence says that it is lost. */
  #doubt: Doubt | undefined;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(hooks: StoreLinkHooks) {
    this.#hooks = hooks;
  }

  /** Since when the store cannot be asked; undefined while it answers. */
  get lostAt(): number | undefined {
    return this.#lostAt;
  }

  get isLost(): boolean {
    return this.#lostAt !== undefined;
  }

  /** Nothing was heard of it in time: it may be lost, and it may only be slow. Requests do not touch it meanwhile. */
  get isInDoubt(): boolean {
    return this.#doubt !== undefined;
  }

  /** Asks the store; the answer, or how it failed, is taken into account. */
  ask<T>(question: () => MaybePromise<T>): MaybePromise<T> {
    try {
      const answer = question();
      if (!(answer instanceof Promise)) return answer;
      return answer.catch((error: unknown) => this.#failed(error));
    } catch (error) {
      return this.#failed(error);
    }
  }

  /** The last attempt to tell a store that was lost what happened meanwhile. */
  async finish(): Promise<void> {
    this.close();
    if (this.isLost) await this.#retry();
  }

  /** Nothing is attempted any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#doubt?.end();
  }

  #failed(error: unknown): never {
    if (isLoss(error) && !this.#isClosed) this.#lose(error);
    throw error;
  }

  #lose(error: unknown): void {
    const isNew = this.#lostAt === undefined;
    this.#lostAt ??= this.#hooks.now();
    if (isNew) this.#failures = 0;
    if (!isSilence(error)) {
      if (isNew || this.#doubt !== undefined) this.#conclude(error);
      if (isNew) this.#retryLater();
    } else if (isNew) {
      this.#doubt = new Doubt(() => this.#conclude(error));
      // What waits for the answer is told of it at once, as soon as there is one.
      this.#timer = setTimeout(() => void this.#retry(), 1).unref();
    }
  }

  #conclude(error: unknown): void {
    this.#doubt?.end();
    this.#doubt = undefined;
    this.#hooks.onLost(error);
  }

  #retryLater(): void {
    if (this.#isClosed) return;
    const longestMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
    this.#failures += 1;
    const delayMs = longestMs * (this.#failures === 1 ? 1 : 0.6 + 0.4 * this.#hooks.random());
    this.#timer = setTimeout(() => void this.#retry(), delayMs).unref();
  }

  async #retry(): Promise<void> {
    try {
      await this.#hooks.rejoin();
    } catch (error) {
      if (this.#doubt !== undefined && isLoss(error) && !isSilence(error)) this.#conclude(error);
      this.#retryLater();
      return;
    }
    const wasLost = this.#doubt === undefined;
    this.#doubt?.end();
    this.#doubt = undefined;
    this.#lostAt = undefined;
    this.#hooks.onBack(wasLost);
  }
}

const TURN_MS = 50;
/** A timer that fires later than this shows that the machine has no time. Milliseconds. */
const LATE_MS = 10;
/** The longest that want of time excuses silence. Milliseconds. */
const LONGEST_DOUBT_MS = 2_000;

/** Silence that has yet to last. Only time counts in which the machine had time for us, and so for the store. */
class Doubt {
  readonly #onLoss: () => void;
  #leftMs = SILENCE_MS;
  #excusedMs = 0;
  #turnAt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(onLoss: () => void) {
    this.#onLoss = onLoss;
    this.#wait();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#leftMs = Number.POSITIVE_INFINITY;
  }

  #wait(): void {
    this.#turnAt = performance.now();
    // What lies in a socket is read between the timer and the next turn of setImmediate.
    this.#timer = setTimeout(() => setImmediate(() => this.#look()), TURN_MS).unref();
  }

  #look(): void {
    const tookMs = performance.now() - this.#turnAt;
    if (tookMs > TURN_MS + LATE_MS && this.#excusedMs < LONGEST_DOUBT_MS) this.#excusedMs += tookMs;
    else this.#leftMs -= TURN_MS;
    if (this.#leftMs === Number.POSITIVE_INFINITY) return;
    if (this.#leftMs > 0) this.#wait();
    else this.#onLoss();
  }
}

/** Whether an error says that the store cannot be asked. */
export function isLoss(error: unknown): boolean {
  return !(error instanceof KeymuxError && ANSWERS.has(error.code));
}

/** Whether the store answered that it lost what it knew of the bucket that was asked for. */
export function isForgotten(error: unknown): boolean {
  return error instanceof KeymuxError && error.code === 'KEYMUX_STORE_FORGOT';
}
