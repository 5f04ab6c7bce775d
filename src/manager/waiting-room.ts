import type { Clock } from '../core/ports.js';

/**
 * Where requests wait for a key, first come, first served. One is woken at a time: it tries, and only if it was
 * served is the next one woken, so that a returning key meets one request and not the whole queue. One that cannot
 * take every key is woken together with the next one, which it must not hold up.
 */
export class WaitingRoom {
  readonly #now: Clock;
  /** By ticket. */
  #queue: Waiter[] = [];
  /** How many wait with each. One listener serves them all: Node warns of a leak where a signal has eleven. */
  readonly #signals = new Map<AbortSignal, number>();
  #tickets = 0;
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Number.POSITIVE_INFINITY;

  readonly #onAbort = ({ currentTarget }: Event): void => {
    const leaving = this.#queue.filter(({ signal }) => signal === currentTarget);
    this.#queue = this.#queue.filter(({ signal }) => signal !== currentTarget);
    for (const waiter of leaving) waiter.wake();
    this.#arm();
  };

  constructor(now: Clock) {
    this.#now = now;
  }

  get size(): number {
    return this.#queue.length;
  }

  /** When somebody tries again without any event, in epoch milliseconds. */
  get nextTryAt(): number {
    return this.#firstInLine().reduce(
      (soonest, { tryAt }) => Math.min(soonest, tryAt),
      Number.POSITIVE_INFINITY,
    );
  }

  /** A place in the order of arrival, to keep while waiting several times. */
  ticket(): number {
    this.#tickets += 1;
    return this.#tickets;
  }

  /**
   * Resolves when it is this caller's turn (an event, or `tryAt` while first in line), at its `deadline`, or when the
   * signal aborts. While somebody waits the process stays alive.
   */
  wait(visit: Visit, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        if (signal !== undefined) this.#unfollow(signal);
        resolve();
      };
      if (signal !== undefined) this.#follow(signal);
      const behind = this.#queue.findIndex(({ ticket }) => ticket > visit.ticket);
      this.#queue.splice(behind < 0 ? this.#queue.length : behind, 0, { ...visit, signal, wake });
      this.#arm();
    });
  }

  /** Something changed that may let a waiting request go on. */
  wakeOne(): void {
    if (this.#queue.length === 0) return;
    const first = this.#firstInLine();
    this.#queue.splice(0, first.length);
    if (this.#queue.length === 0) this.#disarm();
    for (const waiter of first) waiter.wake();
  }

  wakeAll(): void {
    this.#disarm();
    for (const waiter of this.#queue.splice(0)) waiter.wake();
  }

  #follow(signal: AbortSignal): void {
    const count = this.#signals.get(signal) ?? 0;
    if (count === 0) signal.addEventListener('abort', this.#onAbort);
    this.#signals.set(signal, count + 1);
  }

  #unfollow(signal: AbortSignal): void {
    const count = this.#signals.get(signal) ?? 0;
    if (count > 1) {
      this.#signals.set(signal, count - 1);
      return;
    }
    this.#signals.delete(signal);
    signal.removeEventListener('abort', this.#onAbort);
  }

  #firstInLine(): Waiter[] {
    const end = this.#queue.findIndex(({ takesAny }) => takesAny);
    return this.#queue.slice(0, end < 0 ? this.#queue.length : end + 1);
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#armedFor = Number.POSITIVE_INFINITY;
  }

  #arm(now = this.#now()): void {
    const dueAt = this.#queue.reduce((soonest, { deadline }) => Math.min(soonest, deadline), this.nextTryAt);
    if (dueAt === this.#armedFor) return;
    this.#disarm();
    if (dueAt === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.max(1, Math.min(Math.ceil(dueAt - now), LONGEST_TIMER_MS));
    this.#armedFor = dueAt;
    this.#timer = setTimeout(() => this.#onTimer(now + delayMs), delayMs);
  }

  #onTimer(dueAt: number): void {
    const now = Math.max(dueAt, this.#now());
    const first = this.#firstInLine();
    const due = this.#queue.filter(
      (waiter) => waiter.deadline <= now || (waiter.tryAt <= now && first.includes(waiter)),
    );
    this.#queue = this.#queue.filter((waiter) => !due.includes(waiter));
    this.#disarm();
    this.#arm(now);
    for (const waiter of due) waiter.wake();
  }
}

/** Times are epoch milliseconds. */
export interface Visit {
  readonly ticket: number;
  /** When to try without any event. */
  readonly tryAt: number;
  readonly deadline: number;
  /** False where some key will not do for this request. */
  readonly takesAny: boolean;
}

interface Waiter extends Visit {
  readonly signal: AbortSignal | undefined;
  readonly wake: () => void;
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;
