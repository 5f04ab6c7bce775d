/** How long a provider may take, for the first byte of its answer and between two chunks of it. */
import type { StreamPolicy } from '../core/provider.js';
import type { Stall } from '../manager/stall.js';

type Kind = Exclude<Stall, 'too-long'>;

/** One timer, over the whole of an attempt. */
export class TimeLimit {
  readonly #policy: StreamPolicy;
  readonly #onExpiry: (kind: Kind) => void;
  #kind: Kind = 'first-byte';
  #isExcused: () => boolean = () => false;
  #timer: NodeJS.Timeout | undefined;
  #isOverdue = false;

  /** Undefined where the provider may take as long as it likes. */
  static of(policy: StreamPolicy, onExpiry: (kind: Kind) => void): TimeLimit | undefined {
    return policy.firstByteMs > 0 || policy.idleMs > 0 ? new TimeLimit(policy, onExpiry) : undefined;
  }

  private constructor(policy: StreamPolicy, onExpiry: (kind: Kind) => void) {
    this.#policy = policy;
    this.#onExpiry = onExpiry;
  }

  get watchesPauses(): boolean {
    return this.#policy.idleMs > 0;
  }

  /** `isExcused`: whether the silence is not the provider's; then it gets the same time once more. */
  start(kind: Kind, isExcused: () => boolean = () => false): void {
    this.stop();
    this.#kind = kind;
    this.#isExcused = isExcused;
    const ms = kind === 'idle' ? this.#policy.idleMs : this.#policy.firstByteMs;
    if (ms > 0) this.#timer = setTimeout(() => this.#expire(), ms).unref();
  }

  /** A sign of life. */
  refresh(): void {
    this.#isOverdue = false;
    this.#timer?.refresh();
  }

  stop(): void {
    this.#isOverdue = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #expire(): void {
    if (this.#isExcused()) return this.refresh();
    this.#isOverdue = true;
    // After a long turn of the application, what arrived in time is read only now.
    setImmediate(() => {
      if (!this.#isOverdue) return;
      this.stop();
      this.#onExpiry(this.#kind);
    });
  }
}
