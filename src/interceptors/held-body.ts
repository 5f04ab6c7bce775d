import { PEEK_BYTES, peekText } from '../providers/body-peek.js';
import { hasSpoken } from '../providers/first-events.js';
import type { ResponseHead } from '../providers/response-head.js';

/** The beginning of a body, or the whole of it, that is held back until it tells what the answer means. */
export class HeldBody {
  readonly chunks: Uint8Array[] = [];
  readonly #encoding: string | undefined;
  readonly #isEventStream: boolean;
  bytes = 0;

  constructor(head: ResponseHead) {
    this.#encoding = head.header('content-encoding');
    this.#isEventStream = head.header('content-type')?.includes('event-stream') === true;
  }

  /** Holds without a look at what it says. */
  keep(chunk: Uint8Array): void {
    this.chunks.push(chunk);
    this.bytes += chunk.length;
  }

  /** Returns whether a verdict needs no more. */
  add(chunk: Uint8Array): boolean {
    this.keep(chunk);
    return this.bytes >= PEEK_BYTES || (this.#isEventStream && hasSpoken(this.text));
  }

  /** As it came over the wire. */
  get whole(): Buffer {
    return Buffer.concat(this.chunks);
  }

  /** Decoded. */
  get text(): string {
    return peekText(this.whole, this.#encoding);
  }
}
