/** The body of a caller's request: sent on as it comes, and kept so far that it can be sent again. */
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';

export class RequestBody {
  /** There is none. */
  readonly isEmpty: boolean;
  /** As the caller stated it. Bytes; undefined where it comes in chunks. */
  readonly length: number | undefined;
  readonly #request: IncomingMessage;
  readonly #keepBytes: number;
  readonly #onExcess: () => void;
  readonly #mostBytes: number;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  #bytes = 0;
  #isForgotten = false;
  #hasEnded = false;
  #isReading = false;
  #sink: BodyStream | undefined;
  #gathering: { readonly maxBytes: number; readonly done: () => void } | undefined;

  /**
   * `keepBytes`: what is longer than this is sent once. `mostBytes`: of what is longer than this `onExcess` is told,
   * and nothing more is read.
   */
  constructor(request: IncomingMessage, keepBytes: number, mostBytes: number, onExcess: () => void) {
    const { 'content-length': length, 'transfer-encoding': coding } = request.headers;
    this.length = coding === undefined ? Number(length ?? 0) : undefined;
    this.isEmpty = this.length === 0;
    this.#request = request;
    this.#keepBytes = keepBytes;
    this.#mostBytes = mostBytes;
    this.#onExcess = onExcess;
    this.#hasEnded = this.isEmpty;
  }

  get isTooLong(): boolean {
    return (this.length ?? 0) > this.#mostBytes;
  }

  /** All of it, where all of it is there and was kept. */
  get whole(): Buffer | undefined {
    if (!this.#hasEnded || this.#isForgotten) return undefined;
    const [first] = this.#kept;
    return first !== undefined && this.#kept.length === 1 ? first : Buffer.concat(this.#kept);
  }

  /** Whether what came so far can be sent again. */
  get isKept(): boolean {
    return !this.#isForgotten;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Reads until the whole body is there, or more than `maxBytes` of it, and then calls back. */
  gather(maxBytes: number, done: () => void): void {
    if (this.#hasEnded) return done();
    this.#gathering = { maxBytes, done };
    this.#read();
  }

  /** The body from its beginning, for one attempt; the one before it is over. Only while `isKept`. */
  stream(): Readable {
    const sink = new BodyStream(this);
    this.#sink = sink;
    for (const chunk of this.#kept) sink.push(chunk);
    if (this.#hasEnded) sink.push(null);
    return sink;
  }

  /** For the stream: more is wanted. */
  wanted(sink: BodyStream): void {
    if (this.#sink === sink) this.#read();
  }

  /** For the stream: it was given up. */
  left(sink: BodyStream): void {
    if (this.#sink !== sink) return;
    this.#sink = undefined;
    this.#request.pause();
  }

  /** Nobody wants it any more; the rest is read and thrown away. */
  dismiss(): void {
    this.#gathering = undefined;
    this.#sink = undefined;
    this.#kept = [];
    this.#isForgotten = true;
    if (this.#isReading) this.#request.off('data', this.#onData).off('end', this.#onEnd);
    if (!this.#hasEnded) this.#request.resume();
  }

  #read(): void {
    if (this.#hasEnded) return;
    if (this.#isReading) {
      this.#request.resume();
      return;
    }
    this.#isReading = true;
    this.#request.on('data', this.#onData).on('end', this.#onEnd);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#mostBytes) {
      this.#request.pause();
      return this.#onExcess();
    }
    this.#keep(chunk);
    if (this.#sink !== undefined) {
      if (!this.#sink.push(chunk)) this.#request.pause();
    } else if (this.#gathering === undefined) {
      this.#request.pause();
    } else if (this.#bytes > this.#gathering.maxBytes) {
      this.#request.pause();
      this.#gathered();
    }
  };

  readonly #onEnd = (): void => {
    this.#hasEnded = true;
    this.#sink?.push(null);
    this.#gathered();
  };

  #gathered(): void {
    const gathering = this.#gathering;
    this.#gathering = undefined;
    gathering?.done();
  }

  /** What nobody sent on yet is kept, however long it is. */
  #keep(chunk: Buffer): void {
    if (this.#isForgotten) return;
    this.#keptBytes += chunk.length;
    if (this.#sink !== undefined && this.#keptBytes > this.#keepBytes) {
      this.#isForgotten = true;
      this.#kept = [];
    } else {
      this.#kept.push(chunk);
    }
  }
}

/** Paced by whoever reads it. */
class BodyStream extends Readable {
  readonly #body: RequestBody;

  constructor(body: RequestBody) {
    super();
    this.#body = body;
  }

  override _read(): void {
    this.#body.wanted(this);
  }

  /** Whoever gives it up knows why. */
  override _destroy(_error: Error | null, done: (error: Error | null) => void): void {
    this.#body.left(this);
    done(null);
  }
}
