import type { StreamPolicy } from '../core/provider.js';

export type Silence = 'first-byte' | 'idle';

export interface SilenceListener {
  onSilence(silence: Silence): void;
}

/** Undefined where the policy has no limit, so that nothing need be watched. */
export function watchOf(policy: StreamPolicy, listener: SilenceListener): StallWatch | undefined {
  return policy.firstByteMs > 0 || policy.idleMs > 0 ? new StallWatch(policy, listener) : undefined;
}

/** Tells when an answer does not begin, or pauses, for longer than its provider may. One timer at most. */
export class StallWatch {
  readonly #policy: StreamPolicy;
  readonly #listener: SilenceListener;
  #awaited: Silence = 'first-byte';
  #timer: NodeJS.Timeout | undefined;
  #lastLook: NodeJS.Immediate | undefined;

  constructor(policy: StreamPolicy, listener: SilenceListener) {
    this.#policy = policy;
    this.#listener = listener;
  }

  /** The request went out. */
  sent(): void {
    this.#expect('first-byte', this.#policy.firstByteMs);
  }

  /** Something of the answer is there, or is wanted again after a pause of the reader. */
  arrived(): void {
    if (this.#awaited === 'idle' && this.#timer !== undefined && this.#lastLook === undefined) {
      this.#timer.refresh();
      return;
    }
    this.#expect('idle', this.#policy.idleMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#lastLook);
    this.#timer = undefined;
    this.#lastLook = undefined;
  }

  #expect(awaited: Silence, limitMs: number): void {
    this.stop();
    this.#awaited = awaited;
    if (limitMs > 0) this.#timer = setTimeout(() => this.#lookOnceMore(), limitMs);
  }

  /** What came while this thread was busy has not been read yet. */
  #lookOnceMore(): void {
    this.#lastLook = setImmediate(() => {
      this.stop();
      this.#listener.onSilence(this.#awaited);
    });
  }
}
