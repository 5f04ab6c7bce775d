/** Whether an answer that was handed on as it came ended as it should. */
import type { StreamPolicy } from '../core/provider.js';
import { isEventStream } from '../providers/rule-match.js';
import { whyCut } from '../providers/whole-answer.js';
import type { AnswerHead } from './answer-head.js';

const LINE_ENDS = ['\n\n', '\r\n\r\n', '\r\r'];
/** One more than the end mark may be followed by. */
const KEPT_EVENTS = 4;
/** A stream that says itself that it failed. In a text of the answer these quotes would be escaped. */
const ERROR_EVENT = /^event: ?error\b|"error"\s{0,8}:\s{0,8}[{"]/m;
const JSON_TYPE = /^\s*application\/([^\s;]+\+)?json\s*(;|$)/i;

/** Keeps as much of an answer as is needed to tell, when it has ended, that it was cut. */
export class AnswerEnd {
  readonly #head: AnswerHead;
  readonly #policy: StreamPolicy;
  readonly #onlyTail: boolean;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #isTooLong = false;
  /** Which of the chunks end an event, in their order. */
  readonly #ends: boolean[] = [];
  #events = 0;

  constructor(head: AnswerHead, policy: StreamPolicy) {
    this.#head = head;
    this.#policy = policy;
    this.#onlyTail = isEventStream(head) && head.header('content-encoding') === undefined;
  }

  keep(chunk: Uint8Array): void {
    if (this.#isTooLong) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#onlyTail) this.#forgetBeginning(chunk);
    if (this.#bytes <= this.#policy.maxBytes) return;
    this.#isTooLong = true;
    this.#chunks = [];
  }

  /** Why it cannot be whole, in words; undefined where nothing speaks against it, or it is too long to tell. */
  get whyCut(): string | undefined {
    if (this.#isTooLong) return undefined;
    const content = Buffer.concat(this.#chunks);
    const why = whyCut(this.#head, content, this.#policy);
    return why !== undefined && this.#onlyTail && ERROR_EVENT.test(content.toString()) ? undefined : why;
  }

  #forgetBeginning(chunk: Uint8Array): void {
    const text = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const endsEvent = LINE_ENDS.some((ends) => text.includes(ends));
    this.#ends.push(endsEvent);
    if (endsEvent) this.#events += 1;
    while (this.#events > KEPT_EVENTS) {
      this.#bytes -= this.#chunks.shift()?.length ?? 0;
      if (this.#ends.shift() === true) this.#events -= 1;
    }
  }
}

/** Undefined where its end tells by itself, or nothing is known of how it should look. */
export function answerEndOf(head: AnswerHead, policy: StreamPolicy): AnswerEnd | undefined {
  if (head.status < 200 || head.status > 299 || head.method === 'HEAD') return undefined;
  return isEventStream(head) ? endOfStream(head, policy) : endOfJson(head, policy);
}

function endOfStream(head: AnswerHead, policy: StreamPolicy): AnswerEnd | undefined {
  return policy.endMark === undefined ? undefined : new AnswerEnd(head, policy);
}

/** Without a length and chunks, whatever ends the connection is taken for the end of the answer. */
function endOfJson(head: AnswerHead, policy: StreamPolicy): AnswerEnd | undefined {
  // Over HTTP/2 the end is told.
  if (
    head.statusText === '' ||
    head.header('content-length') !== undefined ||
    head.header('transfer-encoding') !== undefined
  )
    return undefined;
  return JSON_TYPE.test(head.header('content-type') ?? '') ? new AnswerEnd(head, policy) : undefined;
}
