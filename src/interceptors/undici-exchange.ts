/** One request of the application through undici, over all its attempts. */
import type { MaybePromise } from '../core/ports.js';
import type { Exchange, RequestFacts } from '../manager/attempt.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { Lease } from '../manager/lease.js';
import type { Crossing, ManagedOrigin, Translation } from '../manager/managed-origins.js';
import type { Refusal } from '../manager/refusal.js';
import { isRefusal } from '../manager/refusal.js';
import { Delivery } from './delivery.js';
import { guardOf } from './key-guard.js';
import { reportOwnError, whenSettled } from './pass-through.js';
import { wireHeaders } from './refusal-headers.js';
import type { AttemptOwner } from './undici-attempt.js';
import { Attempt } from './undici-attempt.js';
import type { Abort, AnswerHead, Receiver } from './undici-handlers.js';
import type { Dispatch, Dispatcher, DispatchOptions, FoundRequest, Replay } from './undici-request.js';
import { bytesOf, collectBody, replayOf, translated, wholePath } from './undici-request.js';
import { CONNECTION, UndiciConnection } from './undici-trust.js';

/** Marks the options of an attempt, which every copy of keymux leaves alone. */
export const ATTEMPT = Symbol.for('keymux.attempt');

const MARK = { [ATTEMPT]: true };

export interface Request {
  readonly options: DispatchOptions;
  readonly found: FoundRequest;
  readonly receiver: Receiver;
  readonly managed: ManagedOrigin;
  /** What it connects to. */
  readonly origin: string;
  /** The client or pool that was about to send. */
  readonly dispatcher: Dispatcher;
  /** Sends through that. */
  readonly dispatch: Dispatch;
  /** Who sends later, since the pool may be closed by then: the agent that chose it, or the same again. */
  readonly sender: Dispatcher;
  readonly redispatch: Dispatch;
  /** Present where that can reach other providers, and they this request. */
  readonly crossing: Crossing | undefined;
}

export class UndiciExchange implements AttemptOwner, RequestFacts {
  readonly receiver: Receiver;
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
  #attempt: Attempt | undefined;
  #attempts = 0;
  #isStarted = false;
  #isOver = false;
  #abortReason: { readonly reason: unknown } | undefined;
  #abortController: AbortController | undefined;
  #next: { readonly lease: Lease; readonly timer: NodeJS.Timeout | undefined } | undefined;
  #refusal: Delivery | undefined;

  constructor(manager: KeyManager, request: Request) {
    const { options, found, managed, receiver } = request;
    this.#manager = manager;
    this.#request = request;
    this.receiver = receiver;
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
    const { sender } = this.#request;
    return this.#replay !== 'never' && sender.closed !== true && sender.destroyed !== true;
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

  get isAborted(): boolean {
    return this.#abortReason !== undefined;
  }

  get abortReason(): unknown {
    return this.#abortReason?.reason;
  }

  // --- sending ------------------------------------------------------------------------------------------------

  /** Whether the dispatcher takes more, as `dispatch` returns it. */
  begin(): boolean {
    if (this.#replay !== 'collect') return this.#acquire();
    this.startReceiver(null);
    collectBody(this.#request.options.body)
      .then(
        (body) => {
          this.#collected = body;
          if (!this.#isOver) this.#acquire();
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
      this.#cross();
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
        if (isRefusal(result)) this.refuse(result);
        else takesMore = this.#send(result);
      },
      (error) => {
        reportOwnError(error);
        this.#passThrough();
      },
    );
    return takesMore;
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
    const { options, receiver, dispatch } = this.#request;
    const attempt = new Attempt(this, undefined, false);
    this.#attempt = attempt;
    return dispatch({ ...options, ...this.#replayedBody(), ...MARK }, receiver.createHandler(attempt));
  }

  #send(lease: Lease): boolean {
    if (this.#isOver || this.isAborted) {
      lease.cancel();
      return true;
    }
    const { receiver, dispatch, redispatch, sender, dispatcher } = this.#request;
    const isFirst = this.#attempts === 0;
    this.#attempts += 1;
    try {
      const translation = this.#translation(lease);
      const isDirect = isFirst && translation === undefined;
      const connection = this.#connectionFor(lease, translation, isDirect ? dispatcher : sender);
      const attempt = new Attempt(this, lease, isFirst, connection);
      this.#attempt = attempt;
      const options = this.#optionsFor(lease, translation, connection);
      return (isDirect ? dispatch : redispatch)(options, receiver.createHandler(attempt));
    } catch (error) {
      lease.cancel();
      if (isFirst && !this.#isStarted) throw error;
      this.fail(error);
      return true;
    }
  }

  #translation(lease: Lease): Translation | undefined {
    return this.#crossing?.translate(this.#wholePath, this.#body, lease);
  }

  /** Must be proved where it decides over a real key, and where an agent was told to go elsewhere. */
  #connectionFor(
    { member }: Lease,
    translation: Translation | undefined,
    sender: Dispatcher,
  ): UndiciConnection | undefined {
    const isVirtual = member.provider.mode === 'virtual';
    if (!isVirtual && translation === undefined) return undefined;
    const origin = translation?.origin ?? this.#request.origin;
    return new UndiciConnection(member.provider.id, origin, this.#request.sender, sender, isVirtual);
  }

  #optionsFor(
    lease: Lease,
    translation: Translation | undefined,
    connection: UndiciConnection | undefined,
  ): DispatchOptions {
    const { found, options } = this.#request;
    const marks = connection === undefined ? MARK : { ...MARK, [CONNECTION]: connection };
    if (translation !== undefined) return { ...translated(options, translation), ...marks };
    return { ...found.withKey(lease.apiKey), ...this.#replayedBody(), ...marks };
  }

  #replayedBody(): Pick<DispatchOptions, 'body'> {
    return this.#collected === undefined ? {} : { body: this.#collected };
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

  // --- the application ----------------------------------------------------------------------------------------

  /** Tells the application how to abort; once, however many attempts there are. */
  startReceiver(context: unknown): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    try {
      this.receiver.start(this.#abort, context);
    } catch (error) {
      this.#abort(error);
    }
  }

  readonly #abort: Abort = (reason) => {
    if (this.#isOver || this.isAborted) return;
    this.#abortReason = { reason };
    this.#abortController?.abort();
    clearTimeout(this.#next?.timer);
    this.#next?.lease.cancel();
    this.#next = undefined;
    this.#refusal?.clear();
    // An attempt that can be aborted tells of its end by itself.
    if (this.#attempt?.abort(reason) !== true) this.fail(reason ?? abortError());
  };

  locationFor(lease: Lease, location: string): string {
    const { origin } = this.#request;
    const { origin: requested, path } = this.#translation(lease) ?? { origin, path: this.#wholePath };
    return guardOf(this.#manager).redirect(lease, requested + path, location);
  }

  refuse(refusal: Refusal): void {
    queueMicrotask(() => {
      this.startReceiver(null);
      if (!this.#isOver && !this.isAborted) this.#answer(refusal);
    });
  }

  #answer(refusal: Refusal): void {
    const { receiver } = this;
    const head = receiver.refusalHead({ ...refusal, headers: wireHeaders(refusal) });
    const delivery = new Delivery(() => {});
    const push = (part: () => boolean): void => {
      delivery.push(() => {
        try {
          return part();
        } catch (error) {
          this.#abort(error);
          return true;
        }
      });
    };
    this.#refusal = delivery;
    push(() => receiver.head(head, delivery.resume));
    if (this.method !== 'HEAD') push(() => receiver.data(Buffer.from(refusal.body)));
    push(() => {
      this.end(receiver.emptyTrailers);
      return true;
    });
  }

  upgrade(head: AnswerHead, socket: unknown): void {
    this.#isOver = true;
    this.receiver.upgrade(head, socket);
  }

  end(trailers: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    try {
      this.receiver.end(trailers);
    } catch (error) {
      this.receiver.error(error);
    }
  }

  fail(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.receiver.error(error);
  }
}

/** As undici words it. */
function abortError(): Error {
  return Object.assign(new Error('Request aborted'), { name: 'AbortError', code: 'UND_ERR_ABORTED' });
}
