import type { KeymuxError } from '../core/errors.js';
import type { Lease } from './lease.js';
import { stallError } from './stall.js';
import type { Stall } from './stall.js';

/** One attempt under the limits of its provider; what exceeds them is aborted, as the caller's signal aborts it. */
export class AnswerLimits {
  /** For the attempt: aborted by the caller or by a limit. */
  readonly signal: AbortSignal | null;
  readonly #lease: Lease;
  readonly #controller: AbortController | undefined;
  #exceeded: Stall | undefined;

  constructor(lease: Lease, callers: AbortSignal | null) {
    const { commit, firstByteMs, idleMs } = lease.member.provider.stream;
    this.#lease = lease;
    this.signal = callers;
    if (commit === 'first-event' && firstByteMs === 0 && idleMs === 0) return;
    const { signal } = (this.#controller = new AbortController());
    this.signal = callers === null ? signal : AbortSignal.any([callers, signal]);
  }

  /** Which limit ended the attempt, if one did. */
  get exceeded(): Stall | undefined {
    return this.#exceeded;
  }

  readonly exceed = (stall: Stall): KeymuxError => {
    const error = stallError(this.#lease, stall);
    this.#exceeded = stall;
    this.#controller?.abort(error);
    return error;
  };

  async untilFirstByte<T>(answering: () => Promise<T>): Promise<T> {
    const { firstByteMs } = this.#lease.member.provider.stream;
    if (firstByteMs === 0) return answering();
    const timer = setTimeout(() => this.exceed('first-byte'), firstByteMs);
    try {
      return await answering();
    } finally {
      clearTimeout(timer);
    }
  }
}
