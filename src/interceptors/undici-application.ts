/** The application's side of a request through undici: one start, one answer and one end, whatever the attempts. */
import type { Refusal } from '../manager/refusal.js';
import { Delivery } from './delivery.js';
import { wireHeaders } from './refusal-headers.js';
import type { Abort, AnswerHead, AttemptEvents, Receiver } from './undici-handlers.js';

/** The attempt whose answer it gets. */
interface AnswerSource {
  /** Ends it with this error. Returns whether it will tell of that end by itself. */
  stop(error: unknown): boolean;
}

export class Application {
  readonly #receiver: Receiver;
  readonly #onAbort: (reason: unknown) => void;
  #isStarted = false;
  #isOver = false;
  #abortion: { readonly reason: unknown } | undefined;
  #source: AnswerSource | undefined;
  /** What waits for its turn. None where all is handed on as it comes: then undici itself keeps the pace. */
  #queue: Delivery | undefined;

  constructor(receiver: Receiver, onAbort: (reason: unknown) => void) {
    this.#receiver = receiver;
    this.#onAbort = onAbort;
  }

  /** It has its end, or its error. */
  get isOver(): boolean {
    return this.#isOver;
  }

  get isAborted(): boolean {
    return this.#abortion !== undefined;
  }

  /** With what it aborted. */
  get abortReason(): unknown {
    return this.#abortion?.reason;
  }

  handlerFor(attempt: AttemptEvents): object {
    return this.#receiver.createHandler(attempt);
  }

  /** Tells it how to abort. */
  start(context: unknown): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    try {
      this.#receiver.start(this.#abort, context);
    } catch (error) {
      this.#abort(error);
    }
  }

  readonly #abort: Abort = (reason) => {
    if (this.#isOver || this.isAborted) return;
    this.#abortion = { reason };
    this.#queue?.clear();
    this.#onAbort(reason);
  };

  informational(head: AnswerHead): void {
    this.#receiver.informational(head);
  }

  upgrade(head: AnswerHead, socket: unknown): void {
    this.#isOver = true;
    this.#receiver.upgrade(head, socket);
  }

  /** From now on it gets each part when it wants it, and `resume` is called when it wants more than there is. */
  enqueue(resume: () => void): void {
    this.#queue = new Delivery(resume);
  }

  /** Returns, as `data` does, whether it wants more now; `resume` is for when it does again. */
  head(head: AnswerHead, resume: () => void, source?: AnswerSource): boolean {
    this.#source = source;
    const queue = this.#queue;
    if (queue === undefined) return this.#handHead(head, resume);
    return queue.push(() => this.#handHead(head, queue.resume));
  }

  data(chunk: Uint8Array): boolean {
    return this.#queue?.push(() => this.#handData(chunk)) ?? this.#handData(chunk);
  }

  end(trailers: unknown): void {
    if (this.#queue === undefined) return this.#handEnd(trailers);
    this.#queue.push(() => {
      this.#handEnd(trailers);
      return true;
    });
  }

  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#queue?.clear();
    this.#receiver.error(error);
  }

  refuse(refusal: Refusal, hasBody: boolean): void {
    const head = this.#receiver.refusalHead({ ...refusal, headers: wireHeaders(refusal) });
    this.enqueue(nothing);
    this.head(head, nothing);
    if (hasBody) this.data(Buffer.from(refusal.body));
    this.end(this.#receiver.emptyTrailers);
  }

  #handHead(head: AnswerHead, resume: () => void): boolean {
    try {
      return this.#receiver.head(head, resume);
    } catch (error) {
      return this.#onThrown(error);
    }
  }

  #handData(chunk: Uint8Array): boolean {
    try {
      return this.#receiver.data(chunk);
    } catch (error) {
      return this.#onThrown(error);
    }
  }

  #handEnd(trailers: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    try {
      this.#receiver.end(trailers);
    } catch (error) {
      this.#receiver.error(error);
    }
  }

  /** As undici does it: what a handler throws becomes the error of its request. */
  #onThrown(error: unknown): true {
    this.#queue?.clear();
    if (this.#source?.stop(error) !== true) this.fail(error);
    return true;
  }
}

function nothing(): void {}
