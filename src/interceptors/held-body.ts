import { PEEK_BYTES, peekText } from '../providers/body-peek.js';
import type { ResponseHead } from '../providers/response-head.js';

/** A blank line ends an event; https://html.spec.whatwg.org/multipage/server-sent-events.html. */
const END_OF_EVENT = /\r\n\r\n|\n\n|\r\r/;

/** The beginning of a body that is held back until it tells what the answer means. */
export class HeldBody {
  readonly chunks: Uint8Array[] = [];
  readonly #encoding: string | undefined;
  readonly #isEventStream: boolean;
  bytes = 0;

  constructor(head: ResponseHead) {
    this.#encoding = head.header('content-encoding');
    this.#isEventStream = head.header('content-type')?.includes('event-stream') === true;
  }

  /** Returns whether a verdict needs no more. */
  add(chunk: Uint8Array): boolean {
    this.chunks.push(chunk);
    this.bytes += chunk.length;
    return this.bytes >= PEEK_BYTES || (this.#isEventStream && END_OF_EVENT.test(this.text));
  }

  /** Decoded. */
  get text(): string {
    return peekText(Buffer.concat(this.chunks), this.#encoding);
  }
}
