import type { Clock } from '../core/ports.js';

/** Epoch milliseconds with fractions; never runs backwards. */
export function epochNow(): number {
  return performance.timeOrigin + performance.now();
}

interface Planned {
  readonly at: number;
  readonly run: () => void;
}

/** Longer delays would overflow the system's timer and fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * What is planned for later. Changes take effect on time for every request, even if a timer fires late, because
 * each request first runs what is due. No timer runs before `start()`, and none by a clock of somebody else's.
 */
export class Timeline {
  readonly #clock: Clock | undefined;
  #planned: Planned[] = [];
  #timer: NodeJS.Timeout | undefined;
  #started = false;

  constructor(clock?: Clock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock?.() ?? epochNow();
  }

  start(): void {
    this.#started = true;
    this.#arm();
  }

  add(at: number, run: () => void): () => void {
    const planned = { at, run };
    this.#planned.push(planned);
    this.#planned.sort((a, b) => a.at - b.at);
    this.#arm();
    return () => {
      this.#planned = this.#planned.filter((other) => other !== planned);
      this.#arm();
    };
  }

  runDue(now: number): void {
    for (let next = this.#planned[0]; next !== undefined && next.at <= now; next = this.#planned[0]) {
      this.#planned.shift();
      next.run();
    }
  }

  clear(): void {
    this.#planned = [];
    this.#arm();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const next = this.#planned[0];
    if (next === undefined || !this.#started || this.#clock !== undefined) return;
    const delayMs = Math.min(LONGEST_TIMER_MS, Math.max(0, Math.ceil(next.at - epochNow())));
    this.#timer = setTimeout(() => {
      this.runDue(epochNow());
      this.#arm();
    }, delayMs);
  }
}
