/** One request of the application through undici, over all its attempts. */
import type { MaybePromise } from '../core/ports.js';
import type { Exchange, RequestFacts } from '../manager/attempt.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { Lease } from '../manager/lease.js';
import type { Crossing, ManagedOrigin, Translation } from '../manager/managed-origins.js';
import type { Refusal } from '../manager/refusal.js';
import { isRefusal } from '../manager/refusal.js';
import { guardOf } from './key-guard.js';
import { reportOwnError } from './pass-through.js';
import { Application } from './undici-application.js';
import type { AttemptOwner } from './undici-attempt.js';
import { Attempt } from './undici-attempt.js';
import type { DispatchOptions, Way } from './undici-dispatcher.js';
import { CONNECTION } from './undici-dispatcher.js';
import type { Receiver } from './undici-handlers.js';
import { PassThrough } from './undici-pass-through.js';
import type { FoundRequest, OwnOptions, Replay } from './undici-request.js';
import { attemptOptions, bytesOf, collectBody, replayOf, translated, wholePath } from './undici-request.js';
import { UndiciConnection } from './undici-trust.js';

export interface Request {
  readonly options: DispatchOptions;
  readonly found: FoundRequest;
  readonly receiver: Receiver;
  readonly managed: ManagedOrigin;
  /** What it connects to. */
  readonly origin: string;
  /** Through the client or pool that was about to send. */
  readonly way: Way;
  /** Who sends later, since the pool may be closed by then: the agent that chose it, or the same again. */
  readonly laterWay: Way;
  /** Present where that can reach other providers, and they this request. */
  readonly crossing: Crossing | undefined;
}

export class UndiciExchange implements AttemptOwner, RequestFacts {
  readonly application: Application;
  // Declared alone, so that there is no such property where the request goes to its own provider only.
  declare unfit?: ReadonlySet<string>;
  readonly #request: Request;
  readonly #manager: KeyManager;
  readonly #replay: Replay;
  #exchange: Exchange | undefined;
  /** Set once it is known that others can have the body. */
  #crossing: Crossing | undefined;
  /** The whole body for them; undefined where there is none. */
  #body: Uint8Array | undefined;
  #collected: Buffer | undefined;
  #attempt: Attempt | PassThrough | undefined;
  #attempts = 0;
  #abortController: AbortController | undefined;
  #next: { readonly lease: Lease; readonly timer: NodeJS.Timeout | undefined } | undefined;

  constructor(manager: KeyManager, request: Request) {
    const { options, found, managed, receiver } = request;
    this.#manager = manager;
    this.#request = request;
    this.application = new Application(receiver, (reason) => this.#onAbort(reason));
    this.#replay = replayOf(options.body, found, managed.provider.retry.maxBodyBytes);
  }

  // --- facts --------------------------------------------------------------------------------------------------

  get method(): string {
    return this.#request.options.method ?? 'GET';
  }

  get path(): string {
    return this.#request.options.path;
  }

  get hasIdempotencyKey(): boolean {
    return this.#request.found.header('idempotency-key') !== undefined;
  }

  canReplay(): boolean {
    return this.#replay !== 'never' && !this.#request.laterWay.isClosed;
  }

  get signal(): AbortSignal {
    return (this.#abortController ??= new AbortController()).signal;
  }

  get exchange(): Exchange {
    return (this.#exchange ??= this.#manager.exchange(
      this.#crossing?.pool ?? this.#request.managed.pool,
      this,
    ));
  }

  // --- sending ------------------------------------------------------------------------------------------------

  /** Whether the dispatcher takes more, as `dispatch` returns it. */
  begin(): boolean {
    if (this.#replay !== 'collect') return this.#acquire();
    this.application.start(null);
    collectBody(this.#request.options.body)
      .then(
        (body) => {
          this.#collected = body;
          if (!this.application.isOver) this.#acquire();
        },
        (error: unknown) => this.application.fail(error),
      )
      .catch(reportOwnError);
    return true;
  }

  #acquire(): boolean {
    let first: MaybePromise<Lease | Refusal>;
    try {
      this.#cross();
      const recovered = this.#manager.recovered();
      first =
        recovered instanceof Promise ? recovered.then(() => this.exchange.first()) : this.exchange.first();
    } catch (error) {
      reportOwnError(error);
      return this.#passThrough();
    }
    if (!(first instanceof Promise)) return this.#go(first);
    this.application.start(null);
    first
      .then(
        (result) => this.#go(result),
        (error: unknown) => {
          reportOwnError(error);
          return this.#passThrough();
        },
      )
      .catch(reportOwnError);
    return true;
  }

  #go(first: Lease | Refusal): boolean {
    if (!isRefusal(first)) return this.#send(first);
    this.refuse(first);
    return true;
  }

  /** Other providers come into question where the whole request is at hand. */
  #cross(): void {
    const { crossing, options, managed } = this.#request;
    if (crossing === undefined) return;
    const body = this.#collected ?? bytesOf(options.body);
    const isAtHand =
      body === undefined
        ? options.body === undefined || options.body === null
        : body.byteLength <= managed.provider.retry.maxBodyBytes;
    if (!isAtHand) return;
    this.#body = body;
    this.unfit = crossing.unfit(this.#wholePath, body);
    this.#crossing = crossing;
  }

  get #wholePath(): string {
    return wholePath(this.#request.options);
  }

  /** The request as it came, after an error of our own. */
  #passThrough(): boolean {
    if (this.application.isOver) return true;
    const attempt = new PassThrough(this.application);
    this.#attempt = attempt;
    const { options, way } = this.#request;
    const own = this.#withBody(attemptOptions(options));
    return way.send(own, this.application.handlerFor(attempt));
  }

  #send(lease: Lease): boolean {
    if (this.application.isOver) {
      lease.cancel();
      return true;
    }
    const isFirst = this.#attempts === 0;
    this.#attempts += 1;
    try {
      const translation = this.#translation(lease);
      const way = isFirst && translation === undefined ? this.#firstWay : this.#request.laterWay;
      const connection = this.#connectionFor(lease, translation, way);
      const attempt = new Attempt(this, lease, isFirst, connection);
      this.#attempt = attempt;
      return way.send(this.#optionsFor(lease, translation, connection), this.application.handlerFor(attempt));
    } catch (error) {
      lease.cancel();
      this.application.fail(error);
      return true;
    }
  }

  /** Agents close pools that they no longer need, even while a request for one of them waits for a key. */
  get #firstWay(): Way {
    const { way, laterWay } = this.#request;
    return way.isClosed ? laterWay : way;
  }

  #translation(lease: Lease): Translation | undefined {
    return this.#crossing?.translate(this.#wholePath, this.#body, lease);
  }

  /** Must be proved where it decides over a real key, and where an agent was told to go elsewhere. */
  #connectionFor(
    { member }: Lease,
    translation: Translation | undefined,
    way: Way,
  ): UndiciConnection | undefined {
    const isVirtual = member.provider.mode === 'virtual';
    if (!isVirtual && translation === undefined) return undefined;
    const origin = translation?.origin ?? this.#request.origin;
    const agent = this.#request.laterWay.dispatcher;
    return new UndiciConnection(member.provider.id, origin, agent, way.dispatcher, isVirtual);
  }

  #optionsFor(
    lease: Lease,
    translation: Translation | undefined,
    connection: UndiciConnection | undefined,
  ): DispatchOptions {
    const { found, options } = this.#request;
    const own =
      translation === undefined
        ? this.#withBody(found.withKey(lease.apiKey))
        : translated(options, translation);
    if (connection !== undefined) own[CONNECTION] = connection;
    return own;
  }

  /** What was collected cannot be read again. */
  #withBody(own: OwnOptions): OwnOptions {
    if (this.#collected !== undefined) own.body = this.#collected;
    return own;
  }

  retry(lease: Lease, delayMs: number): void {
    const go = (): void => {
      if (this.#next?.lease !== lease) return;
      this.#next = undefined;
      this.#send(lease);
    };
    this.#next = { lease, timer: delayMs > 0 ? setTimeout(go, delayMs) : undefined };
    // Not from within the callbacks of the answer that is being discarded.
    if (delayMs <= 0) queueMicrotask(go);
  }

  refuse(refusal: Refusal): void {
    queueMicrotask(() => {
      const { application } = this;
      application.start(null);
      if (!application.isOver && !application.isAborted) application.refuse(refusal, this.method !== 'HEAD');
    });
  }

  #onAbort(reason: unknown): void {
    this.#abortController?.abort();
    clearTimeout(this.#next?.timer);
    this.#next?.lease.cancel();
    this.#next = undefined;
    // An attempt that can be aborted tells of its end by itself.
    if (this.#attempt?.abort(reason) !== true) this.application.fail(reason ?? abortError());
  }

  locationFor(lease: Lease, location: string): string {
    const { origin } = this.#request;
    const { origin: requested, path } = this.#translation(lease) ?? { origin, path: this.#wholePath };
    return guardOf(this.#manager).redirect(lease, requested + path, location);
  }
}

/** As undici words it. */
function abortError(): Error {
  return Object.assign(new Error('Request aborted'), { name: 'AbortError', code: 'UND_ERR_ABORTED' });
}
