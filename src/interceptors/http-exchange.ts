/** One request of the application through node:http or node:https, over all its attempts. */
import type { ClientRequest, IncomingMessage } from 'node:http';
import { SUCCESS } from '../core/outcome.js';
import type { MaybePromise } from '../core/ports.js';
import type { Exchange, Step } from '../manager/attempt.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { Lease } from '../manager/lease.js';
import type { ManagedOrigin } from '../manager/managed-origins.js';
import type { Refusal } from '../manager/refusal.js';
import { isRefusal } from '../manager/refusal.js';
import type { ResponseHead } from '../providers/response-head.js';
import {
  discardAnswer,
  headOf,
  readAhead,
  refusalAnswer,
  setHeaders,
  watchBeginning,
} from './http-answer.js';
import { HttpAttempt } from './http-attempt.js';
import type { FoundHead } from './http-head.js';
import type { Request, Send } from './http-internals.js';
import { setHidden } from './http-internals.js';
import { codeOf, isNetworkFailure } from './network-failure.js';
import type { SocketGate } from './socket-gate.js';
import { orDeliver, reportOwnError, whenSettled } from './pass-through.js';

type Destroy = (this: ClientRequest, error?: Error) => ClientRequest;

export interface HttpRequest {
  /** The request that the application holds. */
  readonly request: Request;
  readonly found: FoundHead;
  readonly managed: ManagedOrigin;
  /** Makes the same request anew; absent where nobody knows how it was made. */
  readonly remake?: (() => ClientRequest) | undefined;
  readonly gate?: SocketGate | undefined;
  /** `_send` as it is without this. */
  readonly send: Send;
}

/**
 * `sending`: an attempt is under way and the application has heard nothing. `between`: its answer is being discarded,
 * and the next attempt follows. `refusing`: the application gets an answer that came over no connection. `delivered`:
 * it has its answer or its error, and is alone with the connection.
 */
type Phase = 'sending' | 'between' | 'refusing' | 'delivered';

const NETWORK_EVENTS: ReadonlySet<string | symbol> = new Set([
  ...['close', 'connect', 'continue', 'drain', 'error', 'finish', 'information', 'prefinish'],
  ...['response', 'socket', 'timeout', 'upgrade'],
]);

export class HttpExchange {
  readonly #manager: KeyManager;
  readonly #http: HttpRequest;
  readonly #app: Request;
  readonly #exchange: Exchange;
  #abortController: AbortController | undefined;
  readonly #first: HttpAttempt;
  #attempt: HttpAttempt;
  #phase: Phase = 'sending';
  #isAborted = false;
  #abortError: Error | undefined;
  #next: { readonly lease: Lease; readonly readyAt: number } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(manager: KeyManager, http: HttpRequest) {
    const { request, found, managed } = http;
    this.#manager = manager;
    this.#http = http;
    this.#app = request;
    const signal = (): AbortSignal => (this.#abortController ??= new AbortController()).signal;
    this.#exchange = manager.exchange(managed.pool, {
      method: found.method,
      path: found.path,
      hasIdempotencyKey: found.hasIdempotencyKey,
      canReplay: () => http.remake !== undefined && request.writableEnded && this.#attempt.body !== undefined,
      get signal() {
        return signal();
      },
    });
    // From here on the request is in our hands; nothing that can fail comes after.
    this.#first = new HttpAttempt(request, {
      send: http.send,
      maxBodyBytes: managed.provider.retry.maxBodyBytes,
      gate: http.gate,
      onEvent: (attempt, event, args) => this.#onEvent(attempt, event, args),
    });
    this.#attempt = this.#first;
    const { destroy } = request as { destroy: Destroy };
    setHidden(request, 'destroy', (error?: Error) => this.#destroy(destroy, error));
  }

  /** Finds a key; until it is there, what the application writes is held back. */
  begin(): void {
    let first: MaybePromise<Lease | Refusal>;
    try {
      const recovered = this.#manager.recovered();
      first =
        recovered instanceof Promise ? recovered.then(() => this.#exchange.first()) : this.#exchange.first();
    } catch (error) {
      this.#passThrough(error);
      return;
    }
    whenSettled(
      first,
      (result) => this.#onFirst(result),
      (error) => this.#passThrough(error),
    );
    if (first instanceof Promise) this.#attempt.park();
  }

  #onFirst(result: Lease | Refusal): void {
    const isTooLate = this.#isAborted || this.#phase !== 'sending';
    if (isRefusal(result)) {
      if (isTooLate) return;
      this.#phase = 'refusing';
      this.#attempt.dropOutput();
      // Not from within the call with which the application sends.
      process.nextTick(() => this.#answerWith(result));
    } else if (isTooLate) {
      result.cancel();
    } else {
      this.#attempt.sendHead(this.#http.found.withKey(result.apiKey), result);
    }
  }

  #passThrough(error: unknown): void {
    reportOwnError(error);
    this.#phase = 'delivered';
    this.#attempt.sendHead(undefined, undefined);
  }

  // --- events -------------------------------------------------------------------------------------------------

  /** Returns what `emit` returns. Whatever is not named here reaches the application as it came. */
  #onEvent(attempt: HttpAttempt, event: string | symbol, args: unknown[]): boolean {
    // An earlier attempt is over; but the first one's request is the application's, which may emit what it likes.
    if (attempt !== this.#attempt) return NETWORK_EVENTS.has(event) || this.#emit(event, args);
    switch (event) {
      case 'finish':
        attempt.lease?.sent();
        return attempt.isFirst ? this.#emit(event, args) : true;
      case 'response':
        return this.#onResponse(args[0] as IncomingMessage);
      case 'error':
        return this.#onError(args[0]);
      case 'close':
        return this.#onClose();
      case 'upgrade':
        return this.#onUpgrade(args as [IncomingMessage, NodeJS.EventEmitter]);
      case 'socket':
        if (this.#phase === 'refusing') attempt.releaseSocket();
        return attempt.isFirst ? this.#emit(event, args) : true;
      case 'prefinish':
      case 'drain':
        return attempt.isFirst ? this.#emit(event, args) : true;
      default:
        return this.#emit(event, args);
    }
  }

  #emit(event: string | symbol, args: unknown[]): boolean {
    return this.#first.emitOn(this.#app, event, args);
  }

  #onResponse(answer: IncomingMessage): boolean {
    const { lease } = this.#attempt;
    if (this.#phase !== 'sending' || this.#isAborted || lease === undefined) return this.#hand(answer);
    const { method, path } = this.#http.found;
    const head = headOf(answer, method, path);
    this.#decide(answer, head, () => this.#exchange.afterHead(lease, head));
    return true;
  }

  /** `answer` is what the step is about; undefined where there is none. */
  #decide(
    answer: IncomingMessage | undefined,
    head: ResponseHead | undefined,
    judge: () => MaybePromise<Step>,
  ): void {
    const attempt = this.#attempt;
    const step = orDeliver(judge);
    // While another key is waited for, the connection may be needed by the request that holds it.
    const kept = step instanceof Promise && answer !== undefined ? readAhead(answer) : answer;
    whenSettled(
      step,
      (settled) => this.#follow(attempt, kept, head, settled),
      (error) => {
        reportOwnError(error);
        this.#follow(attempt, kept, head, { do: 'deliver' });
      },
    );
  }

  #follow(
    attempt: HttpAttempt,
    answer: IncomingMessage | undefined,
    head: ResponseHead | undefined,
    step: Step,
  ): void {
    if (this.#isAborted) {
      if (step.do === 'retry') step.lease.cancel();
      return;
    }
    switch (step.do) {
      case 'peek':
        if (answer !== undefined && head !== undefined) this.#peek(attempt, answer, head);
        return;
      case 'deliver':
        if (answer === undefined) return this.#deliverError();
        setHeaders(answer, step.headers ?? {});
        this.#hand(answer);
        return;
      case 'retry':
        this.#next = { lease: step.lease, readyAt: performance.now() + step.delayMs };
        this.#leave(answer, () => this.#sendNext());
        return;
      case 'refuse':
        this.#leave(answer, () => this.#answerWith(step.refusal));
        return;
    }
  }

  #peek(attempt: HttpAttempt, answer: IncomingMessage, head: ResponseHead): void {
    const { lease } = attempt;
    if (lease === undefined) return;
    watchBeginning(
      answer,
      head,
      (text) => this.#decide(answer, head, () => this.#exchange.afterBody(lease, head, text)),
      () => {
        if (!this.#isAborted) this.#onError(hangUp('aborted'));
      },
    );
  }

  #hand(answer: IncomingMessage): boolean {
    this.#phase = 'delivered';
    const attempt = this.#attempt;
    const app = this.#app;
    if (!attempt.isFirst) attempt.lendTo(app, answer);
    const isHeard = this.#emit('response', [answer]);
    if (!isHeard) answer.resume();
    if (attempt.isClosed) process.nextTick(() => this.#close());
    return isHeard;
  }

  #onError(error: unknown): boolean {
    const attempt = this.#attempt;
    if (this.#phase === 'delivered' || this.#isAborted)
      return attempt.isErrorNew() ? this.#emit('error', [error]) : true;
    if (this.#phase !== 'sending' || attempt.error !== undefined) return true;
    attempt.error = { error };
    const { lease } = attempt;
    if (lease === undefined || !isNetworkFailure(error)) {
      if (lease !== undefined) this.#exchange.aborted(lease);
      this.#deliverError();
      return true;
    }
    const progress = attempt.isUnsent(error) ? 'unsent' : 'sent';
    this.#decide(undefined, undefined, () =>
      this.#exchange.afterError(lease, codeOf(error) ?? 'network', progress),
    );
    return true;
  }

  #deliverError(): void {
    this.#phase = 'delivered';
    const attempt = this.#attempt;
    if (attempt.isErrorNew()) this.#emit('error', [attempt.error?.error]);
    if (attempt.isClosed) process.nextTick(() => this.#close());
  }

  #onClose(): boolean {
    const attempt = this.#attempt;
    attempt.isClosed = true;
    if (this.#phase === 'between') process.nextTick(() => attempt.onLeft?.());
    if (this.#isAborted && this.#phase !== 'delivered' && attempt.isErrorNew())
      this.#emit('error', [this.#abortError ?? hangUp()]);
    if (this.#isAborted || this.#phase === 'delivered') return this.#close();
    return true;
  }

  #close(): boolean {
    const attempt = this.#attempt;
    if (!attempt.isUpgraded) attempt.lease?.end();
    if (!attempt.isFirst) {
      this.#app.destroyed = true;
      this.#app._closed = true;
    }
    return this.#emit('close', []);
  }

  #onUpgrade([answer, socket, ...rest]: [IncomingMessage, NodeJS.EventEmitter, ...unknown[]]): boolean {
    const attempt = this.#attempt;
    const { lease } = attempt;
    if (lease !== undefined && this.#phase === 'sending') {
      lease.report(SUCCESS);
      attempt.isUpgraded = true;
      socket.once('close', () => lease.end());
    }
    this.#phase = 'delivered';
    if (!attempt.isFirst) attempt.lendTo(this.#app, answer);
    return this.#emit('upgrade', [answer, socket, ...rest]);
  }

  // --- the next attempt ---------------------------------------------------------------------------------------

  /** Goes on when the connection of the attempt is free again, or gone. */
  #leave(answer: IncomingMessage | undefined, onLeft: () => void): void {
    this.#phase = 'between';
    const attempt = this.#attempt;
    attempt.lease?.end();
    attempt.onLeft = onLeft;
    if (attempt.isClosed) process.nextTick(onLeft);
    else if (answer !== undefined) discardAnswer(answer);
  }

  #sendNext(): void {
    const next = this.#next;
    if (next === undefined) return;
    const delayMs = next.readyAt - performance.now();
    if (delayMs > 0) {
      this.#timer = setTimeout(() => this.#sendNext(), delayMs);
      return;
    }
    this.#next = undefined;
    try {
      const request = this.#http.remake?.();
      if (request === undefined)
        throw new TypeError('A request that cannot be made anew was to be repeated.');
      // Node asks whether anybody listens before it tells of an upgrade.
      if (this.#app.listenerCount('upgrade') > 0) request.on('upgrade', () => {});
      this.#attempt = this.#attempt.succeedBy(request);
      this.#phase = 'sending';
      this.#app.destroyed = false;
      this.#app._closed = false;
      this.#app.res = null;
      this.#attempt.sendAll(this.#http.found.withKey(next.lease.apiKey), next.lease);
    } catch (error) {
      next.lease.cancel();
      this.#attempt.error = { error };
      this.#deliverError();
    }
  }

  #answerWith(refusal: Refusal): void {
    if (this.#isAborted) return;
    const app = this.#app;
    const attempt = this.#attempt;
    this.#phase = 'refusing';
    // Until now it looked as closed as the request of the last attempt.
    app.destroyed = false;
    app._closed = false;
    const answer = refusalAnswer(refusal, app);
    app.res = answer;
    answer.once('close', () => {
      app.destroyed = true;
      app._closed = true;
      this.#emit('close', []);
    });
    if (!this.#emit('response', [answer])) answer.resume();
    attempt.releaseSocket();
  }

  // --- the application goes away ------------------------------------------------------------------------------

  #destroy(original: Destroy, error?: Error): ClientRequest {
    const app = this.#app;
    const attempt = this.#attempt;
    if (this.#isAborted) return original.call(app, error);
    if (this.#phase === 'delivered')
      return attempt.isFirst ? original.call(app, error) : attempt.destroy(app, error);
    this.#isAborted = true;
    this.#abortError = error;
    this.#abortController?.abort();
    clearTimeout(this.#timer);
    this.#next?.lease.cancel();
    this.#next = undefined;
    if (attempt.lease !== undefined) this.#exchange.aborted(attempt.lease);
    // Node tells of the end of a request that has a connection, or waits for one.
    const isAlive = this.#phase === 'sending' && !attempt.isClosed && this.#http.gate?.isWaiting !== true;
    if (isAlive) return attempt.isFirst ? original.call(app, error) : attempt.destroy(app, error);
    app.destroyed = true;
    if (this.#phase === 'refusing' && app.res !== null) {
      app.res.destroy();
      return app;
    }
    process.nextTick(() => {
      if (attempt.isErrorNew()) this.#emit('error', [error ?? hangUp()]);
      app._closed = true;
      this.#emit('close', []);
    });
    return app;
  }
}

/** As Node words it. */
function hangUp(message = 'socket hang up'): Error {
  return Object.assign(new Error(message), { code: 'ECONNRESET' });
}
