import { KeymuxError } from '../core/errors.js';
import type { Clock, MaybePromise, Random } from '../core/ports.js';

export interface StoreLinkHooks {
  readonly now: Clock;
  readonly random: Random;
  /** The store does not answer any more; called once per loss. */
  onLost(error: unknown): void;
  /**
   * Tries to reach the store, and tells it what happened meanwhile. When it has resolved the store counts as back;
   * when it fails it is called again by and by.
   */
  rejoin(): MaybePromise<void>;
  onBack(): void;
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
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(hooks: StoreLinkHooks) {
    this.#hooks = hooks;
  }

  /** When the store was lost; undefined while it answers. */
  get lostAt(): number | undefined {
    return this.#lostAt;
  }

  get isLost(): boolean {
    return this.#lostAt !== undefined;
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
  }

  #failed(error: unknown): never {
    if (isLoss(error) && this.#lostAt === undefined && !this.#isClosed) {
      this.#lostAt = this.#hooks.now();
      this.#failures = 0;
      this.#hooks.onLost(error);
      this.#retryLater();
    }
    throw error;
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
    } catch {
      this.#retryLater();
      return;
    }
    this.#lostAt = undefined;
    this.#hooks.onBack();
  }
}

/** Whether an error says that the store cannot be asked. */
export function isLoss(error: unknown): boolean {
  return !(error instanceof KeymuxError && ANSWERS.has(error.code));
}
