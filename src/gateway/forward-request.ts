/** One request of a caller, over all its attempts. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Dispatcher } from 'undici';
import type { MaybePromise } from '../core/ports.js';
import type { Exchange, RequestFacts } from '../manager/attempt.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { Lease } from '../manager/lease.js';
import type { Refusal } from '../manager/refusal.js';
import { isRefusal } from '../manager/refusal.js';
import { isEventStream } from '../providers/rule-match.js';
import type { AnswerHead } from './answer-head.js';
import { CallerAnswer } from './forward-answer.js';
import type { AttemptOwner } from './forward-attempt.js';
import { ForwardAttempt } from './forward-attempt.js';
import type { FailureAnswer } from './forward-failure.js';
import { answerOfRefusal, bodyTooLong, ownFault } from './forward-failure.js';
import type { Imprint } from './forward-headers.js';
import { answerHeaders } from './forward-headers.js';
import { Placement } from './forward-placement.js';
import type { ForwardingLimits } from './forwarder.js';
import { RequestBody } from './request-body.js';
import type { ForwardTarget } from './target.js';
import type { Upstreams } from './upstreams.js';
import { sendOwned } from './upstreams.js';

/** A request, or a connection, that is under way. */
export interface Breakable {
  breakOff(): void;
}

/** What all requests of a gateway have in common. */
export interface ForwardContext {
  readonly manager: KeyManager;
  readonly limits: ForwardingLimits;
  readonly upstreams: Upstreams;
  /** Requests under way. */
  readonly active: Set<Breakable>;
  /** It is under way no longer. */
  left(one: Breakable): void;
  /** No further request follows on a connection. */
  readonly isDraining: boolean;
}

/** Bodies up to this length are read before a key is chosen, and sent in one piece. Bytes. */
const WHOLE_BYTES = 65_536;
/** How long the rest of a request is read after its answer, so that the caller sees that answer. Milliseconds. */
const LINGER_MS = 5_000;

export class ForwardedRequest implements AttemptOwner, RequestFacts {
  readonly method: string;
  // Declared alone, so that there is no such property where the request goes to its own provider only.
  declare unfit?: ReadonlySet<string>;
  readonly answer: CallerAnswer;
  isGone = false;
  readonly #context: ForwardContext;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #placement: Placement;
  readonly #body: RequestBody;
  readonly #target: ForwardTarget;
  #exchange: Exchange | undefined;
  #attempt: ForwardAttempt | undefined;
  #abortController: AbortController | undefined;
  #next: { readonly lease: Lease; readonly timer: NodeJS.Timeout | undefined } | undefined;

  constructor(
    context: ForwardContext,
    request: IncomingMessage,
    response: ServerResponse,
    target: ForwardTarget,
  ) {
    const { manager, limits } = context;
    this.#context = context;
    this.#target = target;
    this.#request = request;
    this.#response = response;
    this.method = request.method ?? 'GET';
    this.answer = new CallerAnswer(request, response, () => this.#attempt?.resume());
    this.#placement = new Placement(manager, target, request.rawHeaders);
    const keepBytes = target.pool.contenders[0]?.member.provider.retry.maxBodyBytes ?? 0;
    this.#body = new RequestBody(request, keepBytes, limits.maxBodyBytes, () => this.#onExcess());
    context.active.add(this);
    response.on('close', () => this.#onClose());
  }

  // --- facts ------------------------------------------------------------------------------------------------------

  get path(): string {
    return this.#placement.path;
  }

  get by(): string | undefined {
    return this.#target.by === undefined ? undefined : `gateway token ${this.#target.by}`;
  }

  get hasIdempotencyKey(): boolean {
    return this.#request.headers['idempotency-key'] !== undefined;
  }

  canReplay(): boolean {
    return this.#body.isKept;
  }

  get signal(): AbortSignal {
    return (this.#abortController ??= new AbortController()).signal;
  }

  /** Made once it is known who can answer. */
  get exchange(): Exchange {
    return (this.#exchange ??= this.#context.manager.exchange(this.#target.pool, this));
  }

  // --- sending ----------------------------------------------------------------------------------------------------

  begin(): void {
    if (this.#body.isTooLong) return this.#onExcess();
    const { crossing } = this.#placement;
    const { length } = this.#body;
    if (crossing !== undefined) return this.#body.gather(crossing.home.retry.maxBodyBytes, this.#acquire);
    if (length !== undefined && length <= WHOLE_BYTES) return this.#body.gather(WHOLE_BYTES, this.#acquire);
    this.#acquire();
  }

  readonly #acquire = (): void => {
    try {
      this.#cross();
      const first = this.#first();
      if (first instanceof Promise) first.then(this.#go, this.#failUnsent);
      else this.#go(first);
    } catch (error) {
      this.#failUnsent(error);
    }
  };

  #first(): MaybePromise<Lease | Refusal> {
    const recovered = this.#context.manager.recovered();
    return recovered instanceof Promise ? recovered.then(() => this.exchange.first()) : this.exchange.first();
  }

  /** Finds out which providers cannot answer. */
  #cross(): void {
    const { crossing } = this.#placement;
    if (crossing === undefined) return;
    const { hasEnded, isEmpty, whole } = this.#body;
    this.unfit = hasEnded
      ? crossing.unfit(this.path, isEmpty ? undefined : whole)
      : crossing.unfitForOpaque();
  }

  readonly #go = (first: Lease | Refusal): void => {
    if (isRefusal(first)) this.refuse(first);
    else this.#send(first);
  };

  readonly #failUnsent = (error: unknown): void => this.#own(ownFault(this.#target.name, error));

  #send(lease: Lease): void {
    if (this.isGone) return this.#forgo(lease);
    try {
      const body = this.#body.isEmpty ? undefined : this.#body.whole;
      const placed = this.#placement.place(lease, body);
      const attempt = new ForwardAttempt(this, lease);
      this.#attempt = attempt;
      const { headersMs, pauseMs } = this.#context.limits;
      const options: Dispatcher.DispatchOptions = {
        path: placed.path,
        method: this.method,
        headers: placed.headers,
        body: placed.body ?? body ?? (this.#body.isEmpty ? null : this.#body.stream()),
        headersTimeout: headersMs,
        bodyTimeout: pauseMs,
      };
      sendOwned(() => this.#context.upstreams.to(placed.origin).dispatch(options, attempt));
    } catch (error) {
      lease.cancel();
      this.#failUnsent(error);
    }
  }

  #forgo(lease: Lease): void {
    lease.cancel();
    this.exchange.aborted(lease);
  }

  retry(lease: Lease, delayMs: number): void {
    this.#attempt = undefined;
    const go = (): void => {
      if (this.#next?.lease !== lease) return;
      this.#next = undefined;
      this.#send(lease);
    };
    this.#next = { lease, timer: delayMs > 0 ? setTimeout(go, delayMs) : undefined };
    // Not from within the callbacks of the answer that is being discarded.
    if (delayMs <= 0) queueMicrotask(go);
  }

  // --- answering --------------------------------------------------------------------------------------------------

  refuse(refusal: Refusal): void {
    this.#own(answerOfRefusal(refusal));
  }

  fail(answer: FailureAnswer, lease: Lease): void {
    this.#own(answer, lease);
  }

  #own(answer: FailureAnswer, lease?: Lease): void {
    if (this.isGone) return;
    this.#keepAliveOrNot();
    this.answer.own(answer, this.#imprint(lease));
  }

  #imprint(lease: Lease | undefined): Imprint {
    const { requestId } = this.exchange;
    return lease === undefined ? { requestId } : { requestId, keyId: lease.keyId, provider: lease.provider };
  }

  #keepAliveOrNot(): void {
    if (this.#context.isDraining) this.#response.shouldKeepAlive = false;
  }

  open(lease: Lease, head: AnswerHead, extra: Readonly<Record<string, string>>): void {
    const { status, statusText, headers } = head;
    if (status >= 300 && status < 400 && typeof headers.location === 'string')
      headers.location = this.#placement.locationFor(lease, headers.location);
    this.#keepAliveOrNot();
    const key = lease.member.credential.secret.reveal();
    const raw = answerHeaders(headers, extra, key, this.#imprint(lease));
    this.answer.open({ status, statusText, headers: raw, isStream: isEventStream(head) });
  }

  /** Breaks off, whatever goes on. */
  breakOff(): void {
    this.#attempt?.abort();
    this.answer.cut();
  }

  // --- the caller -------------------------------------------------------------------------------------------------

  #onExcess(): void {
    this.#attempt?.abort();
    if (this.answer.hasBegun) this.answer.cut();
    else this.#own(bodyTooLong(this.#context.limits.maxBodyBytes));
  }

  #onClose(): void {
    this.#context.left(this);
    if (!this.#response.writableFinished) this.#leave();
    if (!this.#body.hasEnded) this.#linger();
  }

  #linger(): void {
    this.#body.dismiss();
    const { socket } = this.#request;
    if (socket.destroyed) return;
    setTimeout(() => {
      if (!this.#request.complete) socket.destroy();
    }, LINGER_MS).unref();
  }

  /** The caller went away. */
  #leave(): void {
    this.isGone = true;
    this.#abortController?.abort();
    const next = this.#next;
    this.#next = undefined;
    clearTimeout(next?.timer);
    if (next !== undefined) this.#forgo(next.lease);
    this.#attempt?.abort();
  }
}
