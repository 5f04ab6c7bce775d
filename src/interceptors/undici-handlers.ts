/**
 * undici tells a handler what becomes of a request. There are two interfaces: `onConnect`, `onHeaders` … (5 to 7), and
 * `onRequestStart`, `onResponseStart` … with a controller (7 and later). Here both have one face.
 */
import type { Refusal } from '../manager/refusal.js';
import type { ResponseHead } from '../providers/response-head.js';

export type Abort = (reason?: unknown) => void;

/** The head of an answer, with what is needed to hand it on as it came. */
export interface AnswerHead extends ResponseHead {
  setHeader(name: string, value: string): void;
}

/** The application's handler. `head` and `data` return whether it wants more now. */
export interface Receiver {
  start(abort: Abort, context: unknown): void;
  informational(head: AnswerHead): void;
  head(head: AnswerHead, resume: () => void): boolean;
  data(chunk: Uint8Array): boolean;
  end(trailers: unknown): void;
  error(error: unknown): void;
  upgrade(head: AnswerHead, socket: unknown): void;
  refusalHead(refusal: Refusal): AnswerHead;
  readonly emptyTrailers: unknown;
  /** A handler of the same interface. */
  createHandler(attempt: AttemptEvents): object;
}

/** One attempt, as the dispatcher tells of it. `head` and `data` return whether more is wanted now. */
export interface AttemptEvents {
  start(abort: Abort, context: unknown): void;
  head(head: AnswerHead, resume: () => void): boolean;
  data(chunk: Uint8Array): boolean;
  end(trailers: unknown): void;
  error(error: unknown): void;
  upgrade(head: AnswerHead, socket: unknown): void;
  /** What is sent of the body, for the first attempt only: the application need not know of the others. */
  readonly tellsProgress: boolean;
}

export function receiverOf(handler: object): Receiver {
  return isControlled(handler) ? new ControlledReceiver(handler) : new CallbackReceiver(handler);
}

function isControlled(handler: object): handler is ControlledHandler {
  return 'onRequestStart' in handler && handler.onRequestStart !== undefined;
}

interface ProgressHandler {
  onBodySent?(chunk: unknown): void;
  onRequestSent?(): void;
  onResponseStarted?(): void;
}

/** What only watches, and need not know of the attempts after the first. */
abstract class AttemptHandler<Handler extends ProgressHandler> implements ProgressHandler {
  protected readonly handler: Handler;
  protected readonly attempt: AttemptEvents;

  constructor(handler: Handler, attempt: AttemptEvents) {
    this.handler = handler;
    this.attempt = attempt;
  }

  onBodySent(chunk: unknown): void {
    if (this.attempt.tellsProgress) this.handler.onBodySent?.(chunk);
  }

  onRequestSent(): void {
    if (this.attempt.tellsProgress) this.handler.onRequestSent?.();
  }

  onResponseStarted(): void {
    this.handler.onResponseStarted?.();
  }
}

// --- onConnect, onHeaders, … ------------------------------------------------------------------------------------

type RawHeaders = readonly (Buffer | string)[];

interface CallbackHandler extends ProgressHandler {
  onConnect?(abort: Abort, context: unknown): void;
  onUpgrade?(status: number, headers: RawHeaders, socket: unknown): void;
  onHeaders?(status: number, headers: RawHeaders, resume: () => void, statusText: string): unknown;
  onData?(chunk: Uint8Array): unknown;
  onComplete?(trailers: unknown): void;
  onError?(error: unknown): void;
}

class RawHead implements AnswerHead {
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

class CallbackReceiver implements Receiver {
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

// --- onRequestStart, onResponseStart, … -------------------------------------------------------------------------

interface ParsedTrailers {
  readonly parsed: unknown;
  readonly raw: unknown;
}

type ParsedHeaders = Record<string, string | string[] | undefined>;

interface Controller {
  readonly paused: boolean;
  readonly aborted: boolean;
  readonly reason: unknown;
  rawHeaders?: unknown;
  rawTrailers?: unknown;
  pause(): void;
  resume(): void;
  abort(reason?: unknown): void;
}

interface ControlledHandler extends ProgressHandler {
  onRequestStart?(controller: Controller, context: unknown): void;
  onRequestUpgrade?(controller: Controller, status: number, headers: ParsedHeaders, socket: unknown): void;
  onResponseStart?(controller: Controller, status: number, headers: ParsedHeaders, text?: string): void;
  onResponseData?(controller: Controller, chunk: Uint8Array): void;
  onResponseEnd?(controller: Controller, trailers: unknown): void;
  onResponseError?(controller: Controller | null, error: unknown): void;
}

class ParsedHead implements AnswerHead {
  readonly status: number;
  readonly headers: ParsedHeaders;
  readonly statusText: string | undefined;
  raw: unknown;

  constructor(status: number, headers: ParsedHeaders, statusText: string | undefined, raw: unknown) {
    this.status = status;
    this.headers = headers;
    this.statusText = statusText;
    this.raw = raw;
  }

  header(name: string): string | undefined {
    const value = this.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }

  setHeader(name: string, value: string): void {
    this.headers[name] = value;
    if (!Array.isArray(this.raw)) return;
    const raw = new RawHead(this.status, this.raw as RawHeaders, '');
    raw.setHeader(name, value);
    this.raw = raw.raw;
  }
}

/** What the application holds on to while attempts, each with a controller of its own, come and go. */
class LastingController implements Controller {
  rawHeaders: unknown = null;
  rawTrailers: unknown = null;
  paused = false;
  aborted = false;
  reason: unknown = null;
  resumeAnswer: () => void = () => {};
  readonly #abort: Abort;

  constructor(abort: Abort) {
    this.#abort = abort;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.resumeAnswer();
  }

  abort(reason?: unknown): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    this.#abort(reason);
  }
}

class ControlledReceiver implements Receiver {
  readonly emptyTrailers: ParsedTrailers = { parsed: {}, raw: [] };
  readonly #handler: ControlledHandler;
  #controller = new LastingController(() => {});

  constructor(handler: ControlledHandler) {
    this.#handler = handler;
  }

  start(abort: Abort, context: unknown): void {
    this.#controller = new LastingController(abort);
    this.#handler.onRequestStart?.(this.#controller, context);
  }

  informational(head: ParsedHead): void {
    this.#handler.onResponseStart?.(this.#controller, head.status, head.headers, head.statusText);
  }

  head(head: ParsedHead, resume: () => void): boolean {
    this.#controller.resumeAnswer = resume;
    this.#controller.rawHeaders = head.raw;
    this.#handler.onResponseStart?.(this.#controller, head.status, head.headers, head.statusText);
    return !this.#controller.paused;
  }

  data(chunk: Uint8Array): boolean {
    this.#handler.onResponseData?.(this.#controller, chunk);
    return !this.#controller.paused;
  }

  end(trailers: ParsedTrailers): void {
    this.#controller.rawTrailers = trailers.raw;
    this.#handler.onResponseEnd?.(this.#controller, trailers.parsed);
  }

  error(error: unknown): void {
    this.#handler.onResponseError?.(this.#controller, error);
  }

  upgrade(head: ParsedHead, socket: unknown): void {
    this.#controller.rawHeaders = head.raw;
    this.#handler.onRequestUpgrade?.(this.#controller, head.status, head.headers, socket);
  }

  refusalHead({ status, statusText, headers }: Refusal): AnswerHead {
    const raw = Object.entries(headers).flatMap((field) => field.map((text) => Buffer.from(text)));
    return new ParsedHead(status, { ...headers }, statusText, raw);
  }

  createHandler(attempt: AttemptEvents): ControlledHandler {
    return new ControlledAttemptHandler(this.#handler, attempt);
  }
}

class ControlledAttemptHandler extends AttemptHandler<ControlledHandler> implements ControlledHandler {
  onRequestStart(controller: Controller, context: unknown): void {
    this.attempt.start((reason) => controller.abort(reason), context);
  }

  onRequestUpgrade(controller: Controller, status: number, headers: ParsedHeaders, socket: unknown): void {
    this.attempt.upgrade(new ParsedHead(status, headers, undefined, controller.rawHeaders), socket);
  }

  onResponseStart(controller: Controller, status: number, headers: ParsedHeaders, text?: string): void {
    const head = new ParsedHead(status, headers, text, controller.rawHeaders);
    if (!this.attempt.head(head, () => controller.resume())) controller.pause();
  }

  onResponseData(controller: Controller, chunk: Uint8Array): void {
    if (!this.attempt.data(chunk)) controller.pause();
  }

  onResponseEnd(controller: Controller, parsed: unknown): void {
    this.attempt.end({ parsed, raw: controller.rawTrailers });
  }

  onResponseError(_controller: Controller | null, error: unknown): void {
    this.attempt.error(error);
  }
}
