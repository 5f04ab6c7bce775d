import { PEEK_BYTES } from '../providers/body-peek.js';
import { hasSpoken } from '../providers/first-events.js';
import type { Stall } from './stall.js';

/** The body of an answer of `fetch`, read under the limits of its provider. */
export class AnswerBody {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #idleMs: number;
  readonly #onStall: (stall: Stall) => Error;
  /** What was read and not yet handed on. */
  readonly #held: Uint8Array[] = [];
  #size = 0;
  #hasEnded = false;

  /** `idleMs` 0: no limit. `onStall` is told of a limit that was exceeded, and gives the error that reading ends with. */
  constructor(body: ReadableStream<Uint8Array>, idleMs: number, onStall: (stall: Stall) => Error) {
    this.#reader = body.getReader();
    this.#idleMs = idleMs;
    this.#onStall = onStall;
  }

  /** The first event of an event stream, or the first 4 KiB of anything else; all of what is shorter. */
  async beginning(isEventStream: boolean): Promise<Uint8Array> {
    while (!this.#hasEnded && this.#size < PEEK_BYTES && !(isEventStream && this.#holdsEvent()))
      await this.#read();
    return Buffer.concat(this.#held);
  }

  async whole(maxBytes: number): Promise<Uint8Array> {
    while (!this.#hasEnded) {
      await this.#read();
      if (this.#size > maxBytes) throw this.#onStall('too-long');
    }
    return Buffer.concat(this.#held);
  }

  /** The whole body, for the application. `onEnd` is called once, with the error if there was one. */
  stream(onEnd: (error?: unknown) => void): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            if (this.#held.length === 0 && !this.#hasEnded) await this.#read();
          } catch (error) {
            onEnd(error);
            throw error;
          }
          const chunk = this.#held.shift();
          if (chunk !== undefined) return controller.enqueue(chunk);
          onEnd();
          controller.close();
        },
        cancel: async (reason) => {
          onEnd();
          await this.cancel(reason);
        },
      },
      // Read ahead by so much that a short answer ends though nobody reads it.
      { highWaterMark: 2 },
    );
  }

  /** Never rejects. */
  async cancel(reason?: unknown): Promise<void> {
    await this.#reader.cancel(reason).catch(() => {});
  }

  #holdsEvent(): boolean {
    return hasSpoken(Buffer.concat(this.#held).toString());
  }

  async #read(): Promise<void> {
    const { done, value } = await this.#withinLimit(this.#reader.read());
    if (done) {
      this.#hasEnded = true;
      return;
    }
    this.#held.push(value);
    this.#size += value.length;
  }

  #withinLimit<T>(reading: Promise<T>): Promise<T> {
    if (this.#idleMs === 0) return reading;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(this.#onStall('idle')), this.#idleMs);
      reading.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }
}
