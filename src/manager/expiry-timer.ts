import type { Clock } from '../core/ports.js';

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** One timer for the soonest of many deadlines. It keeps no program alive. */
export class ExpiryTimer {
  readonly #now: Clock;
  readonly #onExpiry: () => void;
  #armed: { readonly timer: NodeJS.Timeout; readonly at: number } | undefined;

  constructor(now: Clock, onExpiry: () => void) {
    this.#now = now;
    this.#onExpiry = onExpiry;
  }

  /** Calls back then, unless an earlier deadline comes first. */
  expireAt(at: number): void {
    if (this.#armed !== undefined && this.#armed.at <= at) return;
    clearTimeout(this.#armed?.timer);
    const delayMs = Math.min(LONGEST_TIMER_MS, Math.max(1, Math.ceil(at - this.#now())));
    const timer = setTimeout(() => {
      this.#armed = undefined;
      this.#onExpiry();
    }, delayMs).unref();
    this.#armed = { timer, at };
  }

  stop(): void {
    clearTimeout(this.#armed?.timer);
  }
}
