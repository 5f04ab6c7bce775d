/** The request that the application holds. It tells of one request, however many attempts there are. */
import type { IncomingMessage } from 'node:http';
import type { Refusal } from '../manager/refusal.js';
import { refusalAnswer } from './http-answer.js';
import type { HttpAttempt } from './http-attempt.js';
import type { HttpSocket, Request } from './http-internals.js';
import { setHidden } from './http-internals.js';

export class Application {
  readonly request: Request;
  readonly #first: HttpAttempt;
  #hasError = false;
  #isClosed = false;

  constructor(first: HttpAttempt) {
    this.#first = first;
    this.request = first.request;
  }

  emit(event: string | symbol, args: unknown[]): boolean {
    return this.#first.emitOn(this.request, event, args);
  }

  /** It is not over, although the request of an attempt is. */
  reopen(): void {
    const { request } = this;
    request.destroyed = false;
    request._closed = false;
    request.res = null;
  }

  /** The connection of a later attempt. */
  connect(attempt: HttpAttempt, socket: HttpSocket): void {
    const { request } = this;
    const isFirst = (request.socket as HttpSocket | null) === null;
    request.socket = socket;
    setHidden(request, 'setTimeout', (ms: number, onTimeout?: () => void) => {
      if (onTimeout !== undefined) request.once('timeout', onTimeout);
      attempt.request.setTimeout(ms);
      return request;
    });
    if (!isFirst) return;
    this.emit('socket', [socket]);
    // Who listens for time-outs stops listening at the end.
    attempt.request.timeoutCb ??= request.timeoutCb;
  }

  respond(attempt: HttpAttempt, answer: IncomingMessage): boolean {
    if (attempt.isFirst) this.request.res = answer;
    else attempt.lendTo(this.request, answer);
    const isHeard = this.emit('response', [answer]);
    if (!isHeard) answer.resume();
    return isHeard;
  }

  /** An answer that came over no connection. */
  refuse(refusal: Refusal): void {
    const { request } = this;
    this.reopen();
    const answer = refusalAnswer(refusal, request);
    request.res = answer;
    answer.once('close', () => this.close());
    if (!this.emit('response', [answer])) answer.resume();
  }

  /** An error is told once. */
  fail(error: unknown): boolean {
    if (this.#hasError) return true;
    this.#hasError = true;
    return this.emit('error', [error]);
  }

  /** The end is told once. */
  close(): boolean {
    this.request.destroyed = true;
    this.request._closed = true;
    if (this.#isClosed) return true;
    this.#isClosed = true;
    return this.emit('close', []);
  }
}

/** As Node words it. */
export function hangUp(message = 'socket hang up'): Error {
  return Object.assign(new Error(message), { code: 'ECONNRESET' });
}
