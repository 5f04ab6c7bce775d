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
    const values: string[] = [];
    for (let at = 1; at < this.raw.length; at += 2) {
      const name = this.raw[at - 1] ?? '';
      if (name.length === wanted.length && name.toString('latin1').toLowerCase() === wanted) {
        values.push((this.raw[at] ?? '').toString('latin1'));
      }
    }
    return values.length === 0 ? undefined : values.join(', ');
  }

  setHeader(name: string, value: string): void {
    const kept = this.raw.filter((_, index) => {
      const field = this.raw[index - (index % 2)] ?? '';
      return field.toString('latin1').toLowerCase() !== name;
    });
    this.raw = [...kept, Buffer.from(name), Buffer.from(value)];
  }
}

export class CallbackReceiver implements Receiver {
  readonly emptyTrailers = [];
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
