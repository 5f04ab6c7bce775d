/**
 * Where requests wait for a key, first come, first served. One is woken at a time: it tries, and only if it was
 * served is the next one woken, so that a returning key meets one request and not the whole queue.
 */
export class WaitingRoom {
  #queue: Waiter[] = [];
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Number.POSITIVE_INFINITY;

  get size(): number {
    return this.#queue.length;
  }

  /** When the first in line tries again without any event, in epoch milliseconds. */
  get nextTryAt(): number {
    return this.#queue[0]?.tryAt ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Resolves when it is this caller's turn (an event, or `tryAt` while first in line), at its `deadline`, or when the
   * signal aborts. One that was woken in vain comes back to the `first` place. While somebody waits the process stays
   * alive.
   */
  wait(
    times: { readonly tryAt: number; readonly deadline: number },
    now: number,
    place: 'first' | 'last',
    signal?: AbortSignal,
  ): Promise<void> {
    return new Promise((resolve) => {
      const leave = (): void => {
        this.#queue = this.#queue.filter((other) => other !== waiter);
        waiter.wake();
        this.#arm(now);
      };
      const waiter: Waiter = {
        ...times,
        wake: () => {
          signal?.removeEventListener('abort', leave);
          resolve();
        },
      };
      if (place === 'first') this.#queue.unshift(waiter);
      else this.#queue.push(waiter);
      signal?.addEventListener('abort', leave, { once: true });
      this.#arm(now);
    });
  }

  /** Something changed that may let a waiting request go on. */
  wakeOne(): void {
    const waiter = this.#queue.shift();
    if (waiter === undefined) return;
    if (this.#queue.length === 0) this.#disarm();
    waiter.wake();
  }

  wakeAll(): void {
    this.#disarm();
    for (const waiter of this.#queue.splice(0)) waiter.wake();
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#armedFor = Number.POSITIVE_INFINITY;
  }

  #arm(now: number): void {
    const dueAt = this.#queue.reduce((soonest, { deadline }) => Math.min(soonest, deadline), this.nextTryAt);
    if (dueAt === this.#armedFor) return;
    this.#disarm();
    if (dueAt === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.max(1, Math.min(Math.ceil(dueAt - now), LONGEST_TIMER_MS));
    this.#armedFor = dueAt;
    this.#timer = setTimeout(() => this.#onTimer(now + delayMs), delayMs);
  }

  #onTimer(now: number): void {
    const first = this.#queue[0];
    const due = this.#queue.filter(
      (waiter) => waiter.deadline <= now || (waiter === first && waiter.tryAt <= now),
    );
    this.#queue = this.#queue.filter((waiter) => !due.includes(waiter));
    this.#disarm();
    this.#arm(now);
    for (const waiter of due) waiter.wake();
  }
}

interface Waiter {
  readonly tryAt: number;
  readonly deadline: number;
  readonly wake: () => void;
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;
