/** One request of the application through node:http or node:https, over all its attempts. */
import type { IncomingMessage } from 'node:http';
import type { MaybePromise } from '../core/ports.js';
import type { Exchange, RequestFacts } from '../manager/attempt.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { Lease } from '../manager/lease.js';
import type { Translation } from '../manager/managed-origins.js';
import type { Refusal } from '../manager/refusal.js';
import { isRefusal } from '../manager/refusal.js';
import type { Stall } from '../manager/stall.js';
import { STALL_EVIDENCE, stallError } from '../manager/stall.js';
import { discardAnswer, setHeaders } from './http-answer.js';
import { Application, hangUp } from './http-application.js';
import type { AttemptOwner } from './http-attempt.js';
import { HttpAttempt } from './http-attempt.js';
import { headElsewhere } from './http-crossing.js';
import type { HttpSocket, Send } from './http-internals.js';
import type { Judge, Verdict } from './http-judgement.js';
import { bodyOf, judgeAnswer, judgeError } from './http-judgement.js';
import type { HttpRequest } from './http-route.js';
import { Route } from './http-route.js';
import { TimeLimit } from './http-time-limit.js';
import { guardOf } from './key-guard.js';
import { codeOf, isNetworkFailure } from './network-failure.js';
import type { SocketGate } from './socket-gate.js';
import { reportOwnError, whenSettled } from './pass-through.js';

/**
 * `sending`: an attempt is under way and the application has heard nothing. `between`: its answer is being discarded,
 * and the next attempt follows. `refusing`: the application gets an answer that came over no connection. `delivered`:
 * it has its answer or its error, and is alone with the connection.
 */
type Phase = 'sending' | 'between' | 'refusing' | 'delivered';

const NOTHING = Buffer.alloc(0);

const NETWORK_EVENTS: ReadonlySet<string | symbol> = new Set([
  ...['close', 'connect', 'continue', 'drain', 'error', 'finish', 'information', 'prefinish'],
  ...['response', 'socket', 'timeout', 'upgrade'],
]);

export class HttpExchange implements RequestFacts, AttemptOwner, Judge {
  readonly method: string;
  readonly path: string;
  readonly hasIdempotencyKey: boolean;
  unfit?: ReadonlySet<string>;
  readonly send: Send;
  readonly maxBodyBytes: number;
  readonly gate: SocketGate | undefined;
  readonly #manager: KeyManager;
  readonly #http: HttpRequest;
  readonly #app: Application;
  readonly #route: Route;
  exchange: Exchange;
  #abortController: AbortController | undefined;
  #attempt: HttpAttempt;
  #phase: Phase = 'sending';
  #isAborted = false;
  /** The application broke off an answer that it had. */
  #hasLeft = false;
  #abortError: Error | undefined;
  #next: { readonly lease: Lease; readonly readyAt: number } | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** To be called when an attempt has sent what was collected. */
  #isTellingSent = false;
  #onSent: ((error?: Error | null) => void) | undefined;

  constructor(manager: KeyManager, http: HttpRequest) {
    const { request, found, managed } = http;
    this.method = found.method;
    this.path = found.path;
    this.hasIdempotencyKey = found.hasIdempotencyKey;
    this.send = http.send;
    this.maxBodyBytes = managed.provider.retry.maxBodyBytes;
    this.gate = http.gate;
    this.#manager = manager;
    this.#http = http;
    this.#route = new Route(http);
    this.exchange = manager.exchange(managed.pool, this);
    // From here on the request is in our hands; nothing that can fail comes after.
    this.#attempt = new HttpAttempt(request, this);
    this.#app = new Application(this.#attempt);
  }

  // --- what the engine asks -----------------------------------------------------------------------------------

  canReplay(): boolean {
    return this.#http.maker !== undefined && this.#http.request.writableEnded && this.#attempt.wire.isKept;
  }

  get signal(): AbortSignal {
    return (this.#abortController ??= new AbortController()).signal;
  }

  // --- the first attempt --------------------------------------------------------------------------------------

  /** Finds a key; until it is there, what the application writes is held back. */
  begin(): void {
    if (this.#route.mayCross) this.#attempt.collect(() => this.#contend());
    else this.#acquire();
  }

  /** The body is known, and with it who can answer. */
  #contend(): void {
    if (this.#isAborted || this.#phase !== 'sending') return;
    const { pool, unfit } = this.#route.contenders(this.#attempt.wire);
    if (unfit !== undefined) this.unfit = unfit;
    this.exchange = this.#manager.exchange(pool, this);
    this.#acquire();
  }

  #acquire(): void {
    const exchange = this.exchange;
    let first: MaybePromise<Lease | Refusal>;
    try {
      const recovered = this.#manager.recovered();
      first = recovered instanceof Promise ? recovered.then(() => exchange.first()) : exchange.first();
    } catch (error) {
      this.#passThrough(error);
      return;
    }
    if (!(first instanceof Promise)) return this.#onFirst(first);
    this.#attempt.park();
    whenSettled(
      first,
      (result) => this.#onFirst(result),
      (error) => this.#passThrough(error),
    );
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
      this.#orFail(result, () => this.#sendFirst(result));
    }
  }

  #sendFirst(lease: Lease): void {
    const attempt = this.#attempt;
    const translation = this.#route.translate(attempt.wire, lease);
    if (translation !== undefined) {
      this.#onSent = attempt.yieldBody();
      this.#send(lease, translation);
      attempt.releaseSocket();
    } else if (attempt.error !== undefined) {
      this.#replaceConnection(attempt, lease);
    } else {
      this.#lend(attempt, lease);
      attempt.sendHead(this.#http.found.withKey(lease.apiKey));
      attempt.awaitAnswer();
    }
  }

  /** The connection broke while the key was waited for: nothing was sent. */
  #replaceConnection(attempt: HttpAttempt, lease: Lease): void {
    if (this.canReplay()) {
      attempt.dropOutput();
      this.#next = { lease, readyAt: 0 };
      this.#leave(attempt, undefined, () => this.#sendNext());
    } else {
      lease.cancel();
      this.#deliverError();
    }
  }

  #passThrough(error: unknown): void {
    reportOwnError(error);
    if (this.#attempt.error !== undefined) return this.#deliverError();
    this.#phase = 'delivered';
    this.#attempt.sendHead(undefined);
  }

  #lend(attempt: HttpAttempt, lease: Lease): void {
    attempt.lease = lease;
    attempt.limit = TimeLimit.of(lease.member.provider.stream, (kind) => this.#onStall(attempt, lease, kind));
  }

  // --- events -------------------------------------------------------------------------------------------------

  /** Returns what `emit` returns. Whatever is not named here reaches the application as it came. */
  onEvent(attempt: HttpAttempt, event: string | symbol, args: unknown[]): boolean {
    // An earlier attempt is over; but the first one's request is the application's, which may emit what it likes.
    if (attempt !== this.#attempt)
      return (NETWORK_EVENTS.has(event) && !this.#isTellingSent) || this.#app.emit(event, args);
    switch (event) {
      case 'finish':
        attempt.lease?.sent();
        attempt.limit?.refresh();
        return attempt.isFirst ? this.#app.emit(event, args) : this.#tellSent();
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
        attempt.awaitAnswer();
        if (attempt.isFirst) return this.#app.emit(event, args);
        this.#app.connect(attempt, args[0] as HttpSocket);
        return true;
      case 'prefinish':
      case 'drain':
        return attempt.isFirst ? this.#app.emit(event, args) : true;
      default:
        return this.#app.emit(event, args);
    }
  }

  #tellSent(): boolean {
    const onSent = this.#onSent;
    this.#onSent = undefined;
    this.#isTellingSent = true;
    onSent?.();
    this.#isTellingSent = false;
    return true;
  }

  #onResponse(answer: IncomingMessage): boolean {
    const attempt = this.#attempt;
    attempt.answer = answer;
    if (this.#phase !== 'sending' || this.#isAborted || attempt.lease === undefined)
      return this.#hand(answer);
    judgeAnswer(this, attempt, attempt.lease, answer);
    return true;
  }

  onVerdict(attempt: HttpAttempt, answer: IncomingMessage | undefined, verdict: Verdict): void {
    if (this.#isAborted) {
      if (verdict.do === 'retry') verdict.lease.cancel();
      return;
    }
    switch (verdict.do) {
      case 'deliver':
        if (answer === undefined) return this.#deliverError();
        if (verdict.headers !== undefined) setHeaders(answer, verdict.headers);
        this.#hand(answer);
        return;
      case 'retry':
        if (verdict.delayMs > 0 || this.#route.mayCross) attempt.spendConnection();
        this.#next = { lease: verdict.lease, readyAt: performance.now() + verdict.delayMs };
        this.#leave(attempt, answer, () => this.#sendNext());
        return;
      case 'refuse':
        this.#leave(attempt, answer, () => this.#answerWith(verdict.refusal));
        return;
    }
  }

  onCut(): void {
    if (!this.#isAborted) this.#onError(hangUp('aborted'));
  }

  onTooLong(lease: Lease): void {
    this.#breakOff(lease, 'too-long');
  }

  #hand(answer: IncomingMessage): boolean {
    this.#phase = 'delivered';
    const attempt = this.#attempt;
    const { lease, limit } = attempt;
    const location = isRedirect(answer) ? answer.headers.location : undefined;
    if (lease !== undefined && location !== undefined)
      setHeaders(answer, {
        location: guardOf(this.#manager).redirect(lease, this.#urlOf(attempt), location),
      });
    attempt.answerBody?.release();
    if (limit !== undefined) {
      if (answer.complete || !limit.watchesPauses) limit.stop();
      else bodyOf(this, attempt, answer).watchPauses(limit);
    }
    const isHeard = this.#app.respond(attempt, answer);
    if (attempt.isClosed) process.nextTick(() => this.#close());
    return isHeard;
  }

  #onError(error: unknown): boolean {
    const attempt = this.#attempt;
    if (this.#phase === 'delivered' || this.#isAborted) return this.#app.fail(error);
    if (this.#phase !== 'sending' || attempt.error !== undefined) return true;
    attempt.error = { error };
    const { lease } = attempt;
    if (lease !== undefined && !attempt.isInDoubt) this.#afterError(lease, error);
    // While a key is waited for, another connection may still do.
    else if (lease === undefined && (this.#http.maker === undefined || !isNetworkFailure(error)))
      this.#deliverError();
    return true;
  }

  #afterError(lease: Lease, error: unknown): void {
    const attempt = this.#attempt;
    if (!isNetworkFailure(error)) {
      this.exchange.aborted(lease);
      this.#deliverError();
      return;
    }
    const progress = attempt.isUnsent(error) ? 'unsent' : 'sent';
    judgeError(this, attempt, lease, codeOf(error) ?? 'network', progress);
  }

  #deliverError(): void {
    this.#phase = 'delivered';
    const attempt = this.#attempt;
    this.#app.fail(attempt.error?.error);
    if (attempt.isClosed) process.nextTick(() => this.#close());
  }

  #onClose(): boolean {
    const attempt = this.#attempt;
    attempt.isClosed = true;
    attempt.limit?.stop();
    if (this.#isAborted && this.#phase !== 'delivered') this.#app.fail(this.#abortError ?? hangUp());
    if (this.#isAborted || this.#phase === 'delivered') return this.#close();
    if (attempt.isFirst) this.#app.reopen();
    if (this.#phase === 'between') process.nextTick(() => attempt.leave());
    return true;
  }

  #close(): boolean {
    const { lease, isUpgraded, answer } = this.#attempt;
    if (lease !== undefined && !isUpgraded) {
      // What the application breaks off by itself has no such error.
      const isBroken = answer?.complete === false && codeOf(answer.errored) === 'ECONNRESET';
      if (isBroken && !this.#hasLeft) this.exchange.broken(lease, 'answer broken off');
      lease.end();
    }
    return this.#app.close();
  }

  #onUpgrade([answer, socket, ...rest]: [IncomingMessage, NodeJS.EventEmitter, ...unknown[]]): boolean {
    const attempt = this.#attempt;
    const { lease } = attempt;
    attempt.limit?.stop();
    if (lease !== undefined && this.#phase === 'sending') {
      this.exchange.upgraded(lease);
      attempt.isUpgraded = true;
      socket.once('close', () => lease.end());
    }
    this.#phase = 'delivered';
    if (!attempt.isFirst) attempt.lendTo(this.#app.request, answer);
    return this.#app.emit('upgrade', [answer, socket, ...rest]);
  }

  // --- answers that take too long -----------------------------------------------------------------------------

  #onStall(attempt: HttpAttempt, lease: Lease, kind: Exclude<Stall, 'too-long'>): void {
    if (this.#phase !== 'delivered') return this.#breakOff(lease, kind);
    this.exchange.broken(lease, STALL_EVIDENCE[kind]);
    // An error of the connection would be one of the request as well, which the application has had answered.
    attempt.request.socket.destroy();
    attempt.answer?.destroy(stallError(lease, kind));
  }

  #breakOff(lease: Lease, kind: Stall): void {
    const attempt = this.#attempt;
    const progress = attempt.isUnsent(undefined) ? 'unsent' : 'sent';
    attempt.error = { error: stallError(lease, kind) };
    attempt.limit?.stop();
    attempt.answerBody?.abandon();
    attempt.destroy();
    judgeError(this, attempt, lease, STALL_EVIDENCE[kind], progress);
  }

  // --- the next attempt ---------------------------------------------------------------------------------------

  /** Goes on when the connection of the attempt is free again, or gone. */
  #leave(attempt: HttpAttempt, answer: IncomingMessage | undefined, onLeft: () => void): void {
    this.#phase = 'between';
    attempt.lease?.end();
    attempt.limit?.stop();
    attempt.onLeft = onLeft;
    // Node does not tell of the end of a request for which its agent found no connection.
    if (attempt.isClosed || (attempt.request.socket as HttpSocket | null) === null)
      process.nextTick(() => attempt.leave());
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
    const { lease } = next;
    this.#orFail(lease, () => this.#send(lease, this.#route.translate(this.#attempt.wire, lease)));
  }

  #send(lease: Lease, translation: Translation | undefined): void {
    const app = this.#app.request;
    const request = this.#route.make(translation, this.#attempt.request.socket);
    // Node asks whether anybody listens before it tells of an upgrade.
    if (app.listenerCount('upgrade') > 0) request.on('upgrade', () => {});
    const attempt = this.#attempt.succeedBy(request);
    attempt.destination = translation;
    this.#attempt = attempt;
    this.#phase = 'sending';
    this.#app.reopen();
    this.#lend(attempt, lease);
    if (translation === undefined) attempt.sendAll(this.#http.found.withKey(lease.apiKey));
    else attempt.sendAll(headElsewhere(attempt.wire.head, translation), translation.body ?? NOTHING);
  }

  /** What cannot be sent ends as the request of the application. */
  #orFail(lease: Lease, send: () => void): void {
    try {
      send();
    } catch (error) {
      lease.cancel();
      const attempt = this.#attempt;
      attempt.error = { error };
      this.#deliverError();
      if (attempt.isClosed) return;
      attempt.dropOutput();
      attempt.destroy();
      process.nextTick(() => this.#close());
    }
  }

  #urlOf({ destination }: HttpAttempt): string {
    return destination === undefined ? this.#http.origin + this.path : destination.origin + destination.path;
  }

  #answerWith(refusal: Refusal): void {
    if (this.#isAborted) return;
    this.#phase = 'refusing';
    this.#app.refuse(refusal);
    this.#attempt.releaseSocket();
  }

  // --- the application goes away ------------------------------------------------------------------------------

  onDestroy(error?: Error): void {
    const { request: app } = this.#app;
    const attempt = this.#attempt;
    if (this.#isAborted || this.#phase === 'delivered') {
      this.#hasLeft = true;
      attempt.destroy(error);
      app.destroyed = true;
      return;
    }
    this.#isAborted = true;
    this.#abortError = error;
    this.#abortController?.abort();
    clearTimeout(this.#timer);
    this.#next?.lease.cancel();
    this.#next = undefined;
    attempt.limit?.stop();
    if (attempt.lease !== undefined) this.exchange.aborted(attempt.lease);
    // Node tells of the end of a request that has a connection, or waits for one.
    const isAlive = this.#phase === 'sending' && !attempt.isClosed && this.gate?.isWaiting !== true;
    const { res } = app;
    if (isAlive) attempt.destroy(error);
    app.destroyed = true;
    if (isAlive) return;
    if (this.#phase === 'refusing' && res !== null) res.destroy();
    else
      process.nextTick(() => {
        this.#app.fail(error ?? hangUp());
        this.#app.close();
      });
  }
}

function isRedirect({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 300 && statusCode < 400;
}
