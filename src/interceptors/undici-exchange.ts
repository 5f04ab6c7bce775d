/** One request of the application through undici, over all its attempts. */
import { SUCCESS } from '../core/outcome.js';
import type { MaybePromise } from '../core/ports.js';
import type { Exchange, Step } from '../manager/attempt.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { Lease } from '../manager/lease.js';
import type { ManagedOrigin } from '../manager/managed-origins.js';
import type { Refusal } from '../manager/refusal.js';
import { isRefusal } from '../manager/refusal.js';
import type { ResponseHead } from '../providers/response-head.js';
import { Delivery } from './delivery.js';
import { DRAIN_BYTES, DRAIN_MS, isWorthDraining } from './discard.js';
import { HeldBody } from './held-body.js';
import { codeOf, isNetworkFailure } from './network-failure.js';
import { orDeliver, reportOwnError, whenSettled } from './pass-through.js';
import { wireHeaders } from './refusal-headers.js';
import type { Abort, AnswerHead, AttemptEvents, Receiver } from './undici-handlers.js';
import type { Dispatch, DispatchOptions, FoundRequest, Replay } from './undici-request.js';
import { collectBody, replayOf } from './undici-request.js';

/** Marks the options of an attempt, which every copy of keymux leaves alone. */
export const ATTEMPT = Symbol.for('keymux.attempt');

export interface Request {
  readonly options: DispatchOptions;
  readonly found: FoundRequest;
  readonly receiver: Receiver;
  readonly managed: ManagedOrigin;
  /** Sends through the client or pool that was about to send. */
  readonly dispatch: Dispatch;
  /** Sends later: through the agent, since the pool may be closed by then. */
  readonly redispatch: Dispatch;
  /** Whether that still accepts requests. */
  isOpen(): boolean;
}

export class UndiciExchange {
  readonly request: Request;
  readonly exchange: Exchange;
  readonly #manager: KeyManager;
  readonly #replay: Replay;
  #body: Buffer | undefined;
  #attempt: Attempt | undefined;
  #attempts = 0;
  #isStarted = false;
  #isOver = false;
  #abortReason: { readonly reason: unknown } | undefined;
  #abortController: AbortController | undefined;
  #next: { readonly lease: Lease; readonly timer: NodeJS.Timeout | undefined } | undefined;

  constructor(manager: KeyManager, request: Request) {
    const { options, found, managed } = request;
    this.#manager = manager;
    this.request = request;
    const { maxBodyBytes } = managed.provider.retry;
    this.#replay = replayOf(options.body, () => found.header('content-length'), maxBodyBytes);
    const signal = (): AbortSignal => (this.#abortController ??= new AbortController()).signal;
    this.exchange = manager.exchange(managed.pool, {
      method: options.method ?? 'GET',
      path: options.path,
      get hasIdempotencyKey() {
        return found.header('idempotency-key') !== undefined;
      },
      canReplay: () => this.#replay !== 'never' && request.isOpen(),
      get signal() {
        return signal();
      },
    });
  }

  get isAborted(): boolean {
    return this.#abortReason !== undefined;
  }

  /** Whether the dispatcher takes more, as `dispatch` returns it. */
  begin(): boolean {
    if (this.#replay !== 'collect') return this.#acquire();
    this.startReceiver(null);
    collectBody(this.request.options.body)
      .then(
        (body) => {
          this.#body = body;
          this.#acquire();
        },
        (error: unknown) => this.fail(error),
      )
      .catch(reportOwnError);
    return true;
  }

  #acquire(): boolean {
    let takesMore = true;
    let first: MaybePromise<Lease | Refusal>;
    try {
      const recovered = this.#manager.recovered();
      first =
        recovered instanceof Promise ? recovered.then(() => this.exchange.first()) : this.exchange.first();
    } catch (error) {
      reportOwnError(error);
      return this.#passThrough();
    }
    if (first instanceof Promise) this.startReceiver(null);
    whenSettled(
      first,
      (result) => {
        if (isRefusal(result)) queueMicrotask(() => this.#answer(result));
        else takesMore = this.send(result);
      },
      (error) => {
        reportOwnError(error);
        this.#passThrough();
      },
    );
    return takesMore;
  }

  /** The request as it came, after an error of our own. */
  #passThrough(): boolean {
    const { options, receiver, dispatch } = this.request;
    const attempt = new Attempt(this, undefined, false);
    this.#attempt = attempt;
    return dispatch({ ...options, ...this.#replayedBody(), ...MARK }, receiver.createHandler(attempt));
  }

  send(lease: Lease): boolean {
    if (this.#isOver || this.isAborted) {
      lease.cancel();
      return true;
    }
    const { found, receiver, dispatch, redispatch } = this.request;
    const isFirst = this.#attempts === 0;
    this.#attempts += 1;
    const attempt = new Attempt(this, lease, isFirst);
    this.#attempt = attempt;
    const options = { ...found.withKey(lease.apiKey), ...this.#replayedBody(), ...MARK };
    try {
      return (isFirst ? dispatch : redispatch)(options, receiver.createHandler(attempt));
    } catch (error) {
      lease.cancel();
      if (isFirst && !this.#isStarted) throw error;
      this.fail(error);
      return true;
    }
  }

  #replayedBody(): Pick<DispatchOptions, 'body'> {
    return this.#body === undefined ? {} : { body: this.#body };
  }

  /** Tells the application how to abort; once, however many attempts there are. */
  startReceiver(context: unknown): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    this.request.receiver.start(this.#abort, context);
  }

  readonly #abort: Abort = (reason) => {
    if (this.#isOver || this.isAborted) return;
    this.#abortReason = { reason };
    this.#abortController?.abort();
    clearTimeout(this.#next?.timer);
    this.#next?.lease.cancel();
    this.#next = undefined;
    // An attempt that can be aborted tells of its end by itself.
    if (this.#attempt?.abort(reason) !== true) this.fail(reason ?? abortError());
  };

  /** The reason with which the application aborted. */
  get abortReason(): unknown {
    return this.#abortReason?.reason;
  }

  /** The answer of the last attempt is worth nothing; the next one follows. */
  retry(lease: Lease, delayMs: number): void {
    const go = (): void => {
      if (this.#next?.lease !== lease) return;
      this.#next = undefined;
      this.send(lease);
    };
    this.#next = { lease, timer: delayMs > 0 ? setTimeout(go, delayMs) : undefined };
    // Not from within the callbacks of the answer that is being discarded.
    if (delayMs <= 0) queueMicrotask(go);
  }

  refuse(refusal: Refusal): void {
    queueMicrotask(() => this.#answer(refusal));
  }

  #answer(refusal: Refusal): void {
    const { receiver, options } = this.request;
    this.startReceiver(null);
    if (this.#isOver || this.isAborted) return;
    this.#isOver = true;
    const head = receiver.refusalHead({ ...refusal, headers: wireHeaders(refusal) });
    const delivery = new Delivery(() => {});
    delivery.push(() => receiver.head(head, delivery.resume));
    if (options.method !== 'HEAD') delivery.push(() => receiver.data(Buffer.from(refusal.body)));
    delivery.push(() => {
      receiver.end(receiver.emptyTrailers);
      return true;
    });
  }

  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.request.receiver.error(error);
  }

  over(): void {
    this.#isOver = true;
  }
}

const MARK = { [ATTEMPT]: true };

/** As undici words it. */
function abortError(): Error {
  return Object.assign(new Error('Request aborted'), { name: 'AbortError', code: 'UND_ERR_ABORTED' });
}

type Ending = { readonly trailers: unknown } | { readonly error: unknown };

/**
 * One attempt. `waiting` for an answer; `deciding` what it means; `held` back until its body tells; `open` to the
 * application; or `discarded`.
 */
class Attempt implements AttemptEvents {
  readonly tellsProgress: boolean;
  readonly #run: UndiciExchange;
  /** None where keymux stays out of it. */
  readonly #lease: Lease | undefined;
  #phase: 'waiting' | 'deciding' | 'held' | 'open' | 'discarded' = 'waiting';
  #abort: Abort | undefined;
  #head: AnswerHead | undefined;
  #held: HeldBody | undefined;
  #delivery: Delivery | undefined;
  #resume: () => void = () => {};
  #ending: Ending | undefined;
  #discardedBytes = 0;

  constructor(run: UndiciExchange, lease: Lease | undefined, isFirst: boolean) {
    this.#run = run;
    this.#lease = lease;
    this.tellsProgress = isFirst || lease === undefined;
  }

  start(abort: Abort, context: unknown): void {
    this.#abort = abort;
    if (this.#run.isAborted) return abort(this.#run.abortReason);
    this.#lease?.sent();
    this.#run.startReceiver(context);
  }

  /** Returns false where there is nothing to abort, or nothing left that would tell of it. */
  abort(reason: unknown): boolean {
    if (this.#phase === 'discarded') return false;
    if (this.#abort === undefined) {
      this.#lease?.cancel();
      return false;
    }
    if (this.#lease !== undefined) this.#run.exchange.aborted(this.#lease);
    this.#abort(reason);
    return true;
  }

  head(head: AnswerHead, resume: () => void): boolean {
    if (head.status < 200) {
      this.#run.request.receiver.informational(head);
      return true;
    }
    this.#head = head;
    this.#resume = resume;
    const lease = this.#lease;
    const facts = this.#factsOf(head);
    return this.#decide(() =>
      lease === undefined ? { do: 'deliver' } : this.#run.exchange.afterHead(lease, facts),
    );
  }

  data(chunk: Uint8Array): boolean {
    switch (this.#phase) {
      case 'open':
        return this.#delivery?.push(() => this.#run.request.receiver.data(chunk)) ?? true;
      case 'held':
        return this.#held?.add(chunk) === true ? this.#decideByBody() : true;
      case 'discarded':
        this.#discardedBytes += chunk.length;
        if (this.#discardedBytes > DRAIN_BYTES) this.#abort?.();
        return true;
      default:
        this.#hold().add(chunk);
        return this.#hold().bytes < DRAIN_BYTES;
    }
  }

  end(trailers: unknown): void {
    this.#ending = { trailers };
    if (this.#phase === 'open') this.#close();
    else if (this.#phase === 'held') this.#decideByBody();
  }

  error(error: unknown): void {
    if (this.#phase === 'discarded') return;
    this.#ending = { error };
    const lease = this.#lease;
    if (this.#run.isAborted || lease === undefined || this.#phase === 'open') return this.#close();
    if (this.#phase === 'deciding') return;
    if (this.#head === undefined && !isNetworkFailure(error)) {
      if (this.#abort === undefined) lease.cancel();
      else this.#run.exchange.aborted(lease);
      return this.#close();
    }
    const progress = this.#abort === undefined ? 'unsent' : 'sent';
    this.#decide(() => this.#run.exchange.afterError(lease, codeOf(error) ?? 'network', progress));
  }

  upgrade(head: AnswerHead, socket: unknown): void {
    const lease = this.#lease;
    if (lease !== undefined) {
      lease.report(SUCCESS);
      (socket as NodeJS.EventEmitter).once('close', () => lease.end());
    }
    this.#run.over();
    this.#run.request.receiver.upgrade(head, socket);
  }

  #factsOf(head: AnswerHead): ResponseHead {
    const { method = 'GET', path } = this.#run.request.options;
    return { status: head.status, header: (name) => head.header(name), method, path };
  }

  #hold(): HeldBody {
    return (this.#held ??= new HeldBody(this.#head ?? { status: 0, header: () => undefined }));
  }

  #decideByBody(): boolean {
    const [head, lease] = [this.#head, this.#lease];
    if (head === undefined || lease === undefined) return true;
    const text = this.#held?.text ?? '';
    return this.#decide(() => this.#run.exchange.afterBody(lease, this.#factsOf(head), text));
  }

  /** Returns whether more of the answer is wanted now. */
  #decide(judge: () => MaybePromise<Step>): boolean {
    this.#phase = 'deciding';
    const step = orDeliver(judge);
    if (!(step instanceof Promise)) return this.#follow(step);
    whenSettled(
      step,
      (settled) => {
        if (this.#follow(settled)) this.#resume();
      },
      (error) => {
        reportOwnError(error);
        if (this.#follow({ do: 'deliver' })) this.#resume();
      },
    );
    // A short answer is read meanwhile: another request may need the connection, and hold the key that this waits for.
    return true;
  }

  #follow(step: Step): boolean {
    if (this.#run.isAborted) {
      if (step.do === 'retry') step.lease.cancel();
      this.#close();
      return true;
    }
    switch (step.do) {
      case 'peek':
        this.#phase = 'held';
        this.#hold();
        return this.#ending === undefined ? true : this.#decideByBody();
      case 'deliver':
        return this.#deliver(step.headers ?? {});
      case 'retry':
        this.#discard();
        this.#run.retry(step.lease, step.delayMs);
        return true;
      case 'refuse':
        this.#discard();
        this.#run.refuse(step.refusal);
        return true;
    }
  }

  #deliver(headers: Readonly<Record<string, string>>): boolean {
    this.#phase = 'open';
    const head = this.#head;
    if (head === undefined) {
      this.#close();
      return true;
    }
    for (const [name, value] of Object.entries(headers)) head.setHeader(name, value);
    const { receiver } = this.#run.request;
    const delivery = new Delivery(() => this.#resume());
    this.#delivery = delivery;
    let wantsMore = delivery.push(() => receiver.head(head, delivery.resume));
    for (const chunk of this.#held?.chunks ?? []) wantsMore = delivery.push(() => receiver.data(chunk));
    this.#held = undefined;
    if (this.#ending !== undefined) this.#close();
    return wantsMore;
  }

  /** The attempt is over, and what it ended with is the application's. */
  #close(): void {
    this.#lease?.end();
    const ending = this.#ending;
    if (ending === undefined) return;
    if ('error' in ending) {
      this.#delivery?.clear();
      this.#run.fail(ending.error);
      return;
    }
    this.#delivery?.push(() => {
      this.#run.over();
      this.#run.request.receiver.end(ending.trailers);
      return true;
    });
  }

  /** Lets a short answer run out, so that its connection can be used again. */
  #discard(): void {
    this.#phase = 'discarded';
    this.#lease?.end();
    this.#held = undefined;
    if (this.#ending !== undefined) return;
    if (isWorthDraining(this.#head?.header('content-length'))) {
      setTimeout(() => this.#ending ?? this.#abort?.(), DRAIN_MS).unref();
    } else {
      this.#abort?.();
    }
  }
}
