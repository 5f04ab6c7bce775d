/** For so long after a loss whoever makes a bucket anew may not know yet what was spent from it. Milliseconds. */
const TOLD_WITHIN_MS = 10_000;

/** Which life of the fleet's data this process knows: flushed, or restarted empty, a server begins another. */
export class Generation {
  readonly #monotonicMs: () => number;
  readonly #onLost: () => void;
  #epoch = '';
  #lostAtMs = Number.NEGATIVE_INFINITY;

  constructor(monotonicMs: () => number, onLost: () => void) {
    this.#monotonicMs = monotonicMs;
    this.#onLost = onLost;
  }

  /** Empty before the first answer. */
  get epoch(): string {
    return this.#epoch;
  }

  /** The data was lost so short a time ago that not all have told what they had spent. */
  get isUntold(): boolean {
    return this.#monotonicMs() - this.#lostAtMs < TOLD_WITHIN_MS;
  }

  /** Takes up what an answer says; empty where the server knows of no fleet. */
  learn(epoch: string): void {
    if (epoch === this.#epoch) return;
    const isLost = this.#epoch !== '';
    this.#epoch = epoch;
    if (!isLost) return;
    this.#lostAtMs = this.#monotonicMs();
    this.#onLost();
  }
}
