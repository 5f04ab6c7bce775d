/** An answer on its way to the caller, whoever it is from. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { FailureAnswer } from './forward-failure.js';
import type { Imprint, RawHeaders } from './forward-headers.js';
import { imprintHeaders } from './forward-headers.js';

/** How long a head waits for what follows it: an answer that breaks off at once is still replaced. Milliseconds. */
const HEAD_WAITS_MS = 20;

interface Head {
  readonly status: number;
  readonly statusText: string;
  readonly headers: RawHeaders;
  /** A stream's head is shown at once. */
  readonly isStream: boolean;
}

export class CallerAnswer {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #onDrain: () => void;
  #isListening = false;
  /** Nothing was sent of it yet. */
  #head: Head | undefined;

  /** `onDrain`: more is wanted, after `write` said otherwise. */
  constructor(request: IncomingMessage, response: ServerResponse, onDrain: () => void) {
    this.#request = request;
    this.#response = response;
    this.#onDrain = onDrain;
  }

  get hasBegun(): boolean {
    return this.#response.headersSent;
  }

  /** The whole of an answer of ours; nothing where another one has begun. */
  own({ status, headers, body }: FailureAnswer, imprint: Imprint): void {
    if (this.#response.headersSent) return;
    this.#head = undefined;
    this.#response.writeHead(status, ownHeaders(headers, body, imprint)).end(body);
  }

  open(head: Head): void {
    this.#head = head;
    setImmediate(lookForBody, this);
  }

  /** Returns whether more is wanted now. */
  write(chunk: Uint8Array): boolean {
    this.#begin();
    const wantsMore = this.#response.write(chunk);
    if (!wantsMore && !this.#isListening) {
      this.#isListening = true;
      this.#response.on('drain', this.#onDrain);
    }
    return wantsMore;
  }

  end(): void {
    this.#begin();
    this.#response.end();
  }

  /** What was handed on does not look complete. */
  cut(): void {
    this.#head = undefined;
    const { socket } = this.#response;
    // Without chunks the end of the connection could be the end of the answer, but not its reset.
    if (this.#request.httpVersion === '1.0' && socket instanceof Socket && !(socket instanceof TLSSocket))
      socket.resetAndDestroy();
    else this.#response.destroy();
  }

  /** No body came along with the head. */
  waitForBody(): void {
    if (this.#head === undefined) return;
    if (this.#head.isStream) this.show();
    else setTimeout(show, HEAD_WAITS_MS, this);
  }

  show(): void {
    if (this.#begin()) this.#response.flushHeaders();
  }

  #begin(): boolean {
    const head = this.#head;
    if (head === undefined) return false;
    this.#head = undefined;
    this.#response.writeHead(head.status, head.statusText, head.headers);
    return true;
  }
}

export function ownHeaders(headers: FailureAnswer['headers'], body: string, imprint: Imprint): RawHeaders {
  const raw = imprintHeaders(imprint);
  raw.push('content-type', 'application/json', 'content-length', String(Buffer.byteLength(body)));
  for (const name in headers) raw.push(name, headers[name] as string);
  return raw;
}

function lookForBody(answer: CallerAnswer): void {
  answer.waitForBody();
}

function show(answer: CallerAnswer): void {
  answer.show();
}
