/** The body of an answer of node:http on its way into the stream that the application reads. */
import type { IncomingMessage } from 'node:http';
import type { ResponseHead } from '../providers/response-head.js';
import { HeldBody } from '../manager/held-body.js';
import { setHidden } from './http-internals.js';
import type { TimeLimit } from './http-time-limit.js';

type Push = (this: IncomingMessage, chunk: Uint8Array | null, encoding?: BufferEncoding) => boolean;
type Destroy = (this: IncomingMessage, error?: Error) => IncomingMessage;
type Read = (this: IncomingMessage, size: number) => void;

/** What happens with the body of an answer that the application does not have yet. */
interface Hold {
  /** Returns whether it has all it wants; null: the body has ended. */
  add(chunk: Uint8Array | null): boolean;
  onEnough(): void;
  /** Whether it takes more than a stream would keep. */
  readonly isGreedy: boolean;
}

/**
 * Looks at a body while nobody reads it; what was looked at stays in the stream. It also gives the signs of life that
 * a time limit waits for.
 */
export class AnswerBody {
  readonly answer: IncomingMessage;
  readonly #limit: TimeLimit | undefined;
  readonly #onCut: () => void;
  #hold: Hold | undefined;
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;
  #isEnded = false;

  /** `onCut` is called if the connection breaks while something is held back. */
  constructor(answer: IncomingMessage, limit: TimeLimit | undefined, onCut: () => void) {
    this.answer = answer;
    this.#limit = limit;
    this.#onCut = onCut;
    const members = answer as { push: Push; destroy: Destroy };
    const { push, destroy } = members;
    members.destroy = (error) => this.#destroy(destroy, error);
    members.push = (chunk, encoding) => this.#push(push, chunk, encoding);
  }

  /** Holds it back until its beginning allows a verdict; `onEnough` gets the decoded text. */
  peek(head: ResponseHead, onEnough: (text: string) => void): void {
    const held = new HeldBody(head);
    this.#hold = {
      add: (chunk) => chunk === null || held.add(chunk),
      onEnough: () => onEnough(held.text),
      isGreedy: false,
    };
  }

  /** Holds it back to its end, unless it is longer than that. */
  collect(maxBytes: number, onWhole: (bytes: Uint8Array) => void, onTooLong: () => void): void {
    const hold: Hold = {
      add: (chunk) => chunk === null || this.#bytes > maxBytes,
      onEnough: () => (this.#bytes > maxBytes ? onTooLong() : onWhole(Buffer.concat(this.#chunks))),
      isGreedy: true,
    };
    if (this.#isEnded || this.#bytes > maxBytes) return hold.onEnough();
    this.#hold = hold;
    // It may have stopped at what a stream keeps.
    if (this.#chunks.length > 0) this.answer._read(0);
  }

  /** Nothing is held back any more. */
  release(): void {
    this.#hold = undefined;
    // The one that was added last goes first: otherwise V8 turns the answer into a slow object.
    if (this.#limit === undefined || this.#isEnded) Reflect.deleteProperty(this.answer, 'push');
    Reflect.deleteProperty(this.answer, 'destroy');
  }

  /** Nobody wants it any more. */
  abandon(): void {
    this.release();
    this.answer.on('error', () => {});
  }

  /** The application has the answer; it counts as a pause where nothing comes although somebody waits for it. */
  watchPauses(limit: TimeLimit): void {
    const answer = this.answer;
    limit.start('idle', () => !isAwaited(answer));
    const { _read: read } = answer as { _read: Read };
    setHidden(answer, '_read', (size: number) => {
      limit.refresh();
      read.call(answer, size);
    });
  }

  #push(push: Push, chunk: Uint8Array | null, encoding?: BufferEncoding): boolean {
    const hold = this.#hold;
    this.#isEnded ||= chunk === null;
    if (chunk === null) this.#limit?.stop();
    else if (hold !== undefined && this.#bytes === 0) this.#limit?.start('idle');
    else this.#limit?.refresh();
    if (hold === undefined) return push.call(this.answer, chunk, encoding);
    if (chunk !== null) {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
    }
    const isEnough = hold.add(chunk);
    const wantsMore = push.call(this.answer, chunk, encoding);
    if (isEnough) {
      this.#hold = undefined;
      hold.onEnough();
    }
    return hold.isGreedy || wantsMore;
  }

  #destroy(destroy: Destroy, error?: Error): IncomingMessage {
    const isHeld = this.#hold !== undefined;
    if (isHeld) {
      this.abandon();
      this.#onCut();
    }
    return destroy.call(this.answer, error);
  }
}

/** Whether somebody reads and has read all there is. */
function isAwaited(answer: IncomingMessage): boolean {
  const isRead = answer.readableFlowing === true || answer.listenerCount('readable') > 0;
  return isRead && answer.readableLength === 0;
}
