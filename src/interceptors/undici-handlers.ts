/**
 * undici tells a handler what becomes of a request. There are two interfaces: `onConnect`, `onHeaders` … (5 to 7), and
 * `onRequestStart`, `onResponseStart` … with a controller (7 and later). This is the one face of both.
 */
import type { Refusal } from '../manager/refusal.js';
import type { ResponseHead } from '../providers/response-head.js';

export type Abort = (reason?: unknown) => void;

/** The head of an answer, with what is needed to hand it on as it came. */
export interface AnswerHead extends ResponseHead {
  /** Those of the request. */
  method?: string;
  path?: string;
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

export interface ProgressHandler {
  onBodySent?(chunk: unknown): void;
  onRequestSent?(): void;
  onResponseStarted?(): void;
}

/** What only watches, and need not know of the attempts after the first. */
export abstract class AttemptHandler<Handler extends ProgressHandler> implements ProgressHandler {
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
