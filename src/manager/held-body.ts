import { PEEK_BYTES, peekText } from '../providers/body-peek.js';
import { hasSpoken } from '../providers/first-events.js';
import type { ResponseHead } from '../providers/response-head.js';
import { isEventStream } from '../providers/rule-match.js';

/** The beginning of a body, or the whole of it, that is held back until it tells what the answer means. */
export class HeldBody {
  readonly chunks: Uint8Array[] = [];
  readonly #head: ResponseHead;
  #isEventStream: boolean | undefined;
  bytes = 0;

  constructor(head: ResponseHead) {
    this.#head = head;
  }

  /** Holds without a look at what it says. */
  keep(chunk: Uint8Array): void {
    this.chunks.push(chunk);
    this.bytes += chunk.length;
  }

  /** Returns whether a verdict needs no more. */
  add(chunk: Uint8Array): boolean {
    this.keep(chunk);
    if (this.bytes >= PEEK_BYTES) return true;
    this.#isEventStream ??= isEventStream(this.#head);
    return this.#isEventStream && hasSpoken(this.text);
  }

  /** As it came over the wire. */
  get whole(): Uint8Array {
    const [first] = this.chunks;
    return first !== undefined && this.chunks.length === 1 ? first : Buffer.concat(this.chunks);
  }

  /** Decoded. */
  get text(): string {
    return peekText(this.whole, this.#head.header('content-encoding'));
  }
}
