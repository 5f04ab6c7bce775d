/** The older of undici's two handler interfaces: `onConnect`, `onHeaders` … (5 to 7). */
import type { Refusal } from '../manager/refusal.js';
import type { Abort, AnswerHead, AttemptEvents, ProgressHandler, Receiver } from './undici-handlers.js';
import { AttemptHandler } from './undici-handlers.js';

export type RawHeaders = readonly (Buffer | string)[];

export interface CallbackHandler extends ProgressHandler {
  onConnect?(abort: Abort, context: unknown): void;
  onUpgrade?(status: number, headers: RawHeaders, socket: unknown): void;
  onHeaders?(status: number, headers: RawHeaders, resume: () => void, statusText: string): unknown;
  onData?(chunk: Uint8Array): unknown;
  onComplete?(trailers: unknown): void;
  onError?(error: unknown): void;
}

export class RawHead implements AnswerHead {
  readonly status: number;
  readonly statusText: string;
  raw: RawHeaders;

  constructor(status: number, raw: RawHeaders, statusText: string) {
    this.status = status;
    this.raw = raw;
    this.statusText = statusText;
  }

  header(wanted: string): string | undefined {
    let found: string | undefined;
    for (let at = 1; at < this.raw.length; at += 2) {
      if (!isNamed(this.raw[at - 1], wanted)) continue;
      const value = (this.raw[at] as Buffer | string).toString('latin1');
      found = found === undefined ? value : `${found}, ${value}`;
    }
    return found;
  }

  setHeader(name: string, value: string): void {
    const kept = this.raw.filter((_, index) => !isNamed(this.raw[index - (index % 2)], name));
    this.raw = [...kept, Buffer.from(name), Buffer.from(value)];
  }
}

/** Every answer is asked for several headers: bytes are compared, and no text is made of them. */
function isNamed(field: Buffer | string | undefined, lowerName: string): boolean {
  if (field?.length !== lowerName.length) return false;
  if (typeof field === 'string') return field.toLowerCase() === lowerName;
  for (let at = 0; at < lowerName.length; at++) {
    const wanted = lowerName.charCodeAt(at);
    const byte = field.readUInt8(at);
    // Upper case differs from lower case in this bit alone.
    if (byte !== wanted && (byte | 0x20) !== wanted) return false;
  }
  return true;
}

export class CallbackReceiver implements Receiver {
  readonly #handler: CallbackHandler;

  constructor(handler: CallbackHandler) {
    this.#handler = handler;
  }

  start(abort: Abort, context: unknown): void {
    this.#handler.onConnect?.(abort, context);
  }

  informational(head: RawHead): void {
    this.#handler.onHeaders?.(head.status, head.raw, () => {}, head.statusText);
  }

  head(head: RawHead, resume: () => void): boolean {
    return this.#handler.onHeaders?.(head.status, head.raw, resume, head.statusText) !== false;
  }

  data(chunk: Uint8Array): boolean {
    return this.#handler.onData?.(chunk) !== false;
  }

  end(trailers: unknown): void {
    this.#handler.onComplete?.(trailers);
  }

  error(error: unknown): void {
    this.#handler.onError?.(error);
  }

  upgrade(head: RawHead, socket: unknown): void {
    this.#handler.onUpgrade?.(head.status, head.raw, socket);
  }

  refusalHead({ status, statusText, headers }: Refusal): AnswerHead {
    const raw = Object.entries(headers).flatMap((field) => field.map((text) => Buffer.from(text)));
    return new RawHead(status, raw, statusText);
  }

  get emptyTrailers(): unknown[] {
    return [];
  }

  createHandler(attempt: AttemptEvents): CallbackHandler {
    return new CallbackAttemptHandler(this.#handler, attempt);
  }
}

class CallbackAttemptHandler extends AttemptHandler<CallbackHandler> implements CallbackHandler {
  onConnect(abort: Abort, context: unknown): void {
    this.attempt.start(abort, context);
  }

  onUpgrade(status: number, raw: RawHeaders, socket: unknown): void {
    this.attempt.upgrade(new RawHead(status, raw, ''), socket);
  }

  onHeaders(status: number, raw: RawHeaders, resume: () => void, statusText: string): boolean {
    return this.attempt.head(new RawHead(status, raw, statusText), resume);
  }

  onData(chunk: Uint8Array): boolean {
    return this.attempt.data(chunk);
  }

  onComplete(trailers: unknown): void {
    this.attempt.end(trailers);
  }

  onError(error: unknown): void {
    this.attempt.error(error);
  }
}
