/** The newer of undici's two handler interfaces: `onRequestStart`, `onResponseStart` … with a controller (7 and later). */
import type { Refusal } from '../manager/refusal.js';
import type { RawHeaders } from './undici-callbacks.js';
import { RawHead } from './undici-callbacks.js';
import type { Abort, AnswerHead, AttemptEvents, ProgressHandler, Receiver } from './undici-handlers.js';
import { AttemptHandler } from './undici-handlers.js';

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

export interface ControlledHandler extends ProgressHandler {
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

export class ControlledReceiver implements Receiver {
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

  get emptyTrailers(): ParsedTrailers {
    return { parsed: {}, raw: [] };
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
