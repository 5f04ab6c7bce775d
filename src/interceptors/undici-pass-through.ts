/** A request that is sent as it came, after an error of our own. */
import type { Application } from './undici-application.js';
import type { Abort, AnswerHead, AttemptEvents } from './undici-handlers.js';

export class PassThrough implements AttemptEvents {
  readonly tellsProgress = true;
  readonly #application: Application;
  #abort: Abort | undefined;

  constructor(application: Application) {
    this.#application = application;
  }

  start(abort: Abort, context: unknown): void {
    this.#abort = abort;
    if (this.#application.isAborted) abort(this.#application.abortReason);
    else this.#application.start(context);
  }

  head(head: AnswerHead, resume: () => void): boolean {
    if (head.status >= 200) return this.#application.head(head, resume, this);
    this.#application.informational(head);
    return true;
  }

  data(chunk: Uint8Array): boolean {
    return this.#application.data(chunk);
  }

  end(trailers: unknown): void {
    this.#application.end(trailers);
  }

  error(error: unknown): void {
    this.#application.fail(error);
  }

  upgrade(head: AnswerHead, socket: unknown): void {
    this.#application.upgrade(head, socket);
  }

  /** Returns whether it will tell of its end by itself. */
  abort(reason: unknown): boolean {
    this.#abort?.(reason);
    return this.#abort !== undefined;
  }

  stop(error: unknown): boolean {
    return this.abort(error);
  }
}
