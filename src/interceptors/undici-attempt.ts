/** One attempt of a request through undici: its answer, from the connection to the application. */
import { SUCCESS } from '../core/outcome.js';
import type { MaybePromise } from '../core/ports.js';
import type { Exchange, Step } from '../manager/attempt.js';
import type { Lease } from '../manager/lease.js';
import type { Refusal } from '../manager/refusal.js';
import { stallError } from '../manager/stall.js';
import type { Stall } from '../manager/stall.js';
import { Delivery } from './delivery.js';
import { DRAIN_BYTES, DRAIN_MS, isWorthDraining } from './discard.js';
import { HeldBody } from './held-body.js';
import { codeOf, isNetworkFailure } from './network-failure.js';
import { orDeliver, reportOwnError, whenSettled } from './pass-through.js';
import type { Silence, SilenceListener, StallWatch } from './stall-watch.js';
import { watchOf } from './stall-watch.js';
import type { Abort, AnswerHead, AttemptEvents, Receiver } from './undici-handlers.js';
import type { UndiciConnection } from './undici-trust.js';

/** The request that an attempt is made for. */
export interface AttemptOwner {
  readonly method: string;
  readonly path: string;
  readonly receiver: Receiver;
  readonly exchange: Exchange;
  readonly isAborted: boolean;
  /** With what the application aborted. */
  readonly abortReason: unknown;
  startReceiver(context: unknown): void;
  /** The answer is worth nothing; the next attempt follows. */
  retry(lease: Lease, delayMs: number): void;
  /** The answer is worth nothing; the application gets this instead. */
  refuse(refusal: Refusal): void;
  /** Where an answer redirects to, as the application may know it. */
  locationFor(lease: Lease, location: string): string;
  upgrade(head: AnswerHead, socket: unknown): void;
  end(trailers: unknown): void;
  fail(error: unknown): void;
}

type Ending = { readonly trailers: unknown } | { readonly error: unknown };

/**
 * `waiting` for an answer; `deciding` what it means; `held` back until its body tells; `collecting` the whole of it;
 * `open` to the application; or `discarded`.
 */
type Phase = 'waiting' | 'deciding' | 'held' | 'collecting' | 'open' | 'discarded';

export class Attempt implements AttemptEvents, SilenceListener {
  readonly tellsProgress: boolean;
  readonly #owner: AttemptOwner;
  /** None where keymux stays out of it. */
  readonly #lease: Lease | undefined;
  /** Present where the connection must be proved to lead to the provider. */
  readonly #connection: UndiciConnection | undefined;
  readonly #watch: StallWatch | undefined;
  #phase: Phase = 'waiting';
  #abort: Abort | undefined;
  #head: AnswerHead | undefined;
  #held: HeldBody | undefined;
  #delivery: Delivery | undefined;
  #resume: () => void = nothing;
  #ending: Ending | undefined;
  /** Its connection was given up: what else it tells is not about the answer. */
  #isCut = false;
  #discardedBytes = 0;

  constructor(
    owner: AttemptOwner,
    lease: Lease | undefined,
    isFirst: boolean,
    connection?: UndiciConnection,
  ) {
    this.#owner = owner;
    this.#lease = lease;
    this.#connection = connection;
    this.tellsProgress = isFirst || lease === undefined;
    if (lease !== undefined) this.#watch = watchOf(lease.member.provider.stream, this);
  }

  // --- what undici tells --------------------------------------------------------------------------------------

  start(abort: Abort, context: unknown): void {
    this.#abort = abort;
    if (this.#owner.isAborted) return abort(this.#owner.abortReason);
    const refusal = this.#connection?.refusal();
    if (refusal !== undefined) return this.#refuseConnection(refusal);
    this.#lease?.sent();
    this.#watch?.sent();
    this.#owner.startReceiver(context);
  }

  head(head: AnswerHead, resume: () => void): boolean {
    if (this.#isCut) return true;
    if (head.status < 200) {
      this.#owner.receiver.informational(head);
      return true;
    }
    this.#head = head;
    this.#resume = resume;
    const lease = this.#lease;
    if (lease === undefined) return this.#deliver();
    head.method = this.#owner.method;
    head.path = this.#owner.path;
    return this.#decide(() => this.#owner.exchange.afterHead(lease, head));
  }

  data(chunk: Uint8Array): boolean {
    if (this.#isCut) return true;
    switch (this.#phase) {
      case 'open':
        return this.#pace(this.#delivery?.pass(this.#handData, chunk) ?? true);
      case 'held':
        this.#watch?.arrived();
        return this.#hold().add(chunk) ? this.#decideByBody() : true;
      case 'collecting':
        this.#watch?.arrived();
        return this.#collect(chunk);
      case 'discarded':
        this.#discardedBytes += chunk.length;
        if (this.#discardedBytes > DRAIN_BYTES) this.#abort?.();
        return true;
      default:
        this.#hold().keep(chunk);
        return this.#hold().bytes < DRAIN_BYTES;
    }
  }

  end(trailers: unknown): void {
    if (this.#isCut) return;
    this.#watch?.stop();
    this.#ending = { trailers };
    if (this.#phase === 'open') this.#close();
    else if (this.#phase === 'held' || this.#phase === 'collecting') this.#decideByEnding();
  }

  error(error: unknown): void {
    if (this.#phase === 'discarded' || this.#isCut) return;
    this.#watch?.stop();
    this.#ending = { error };
    const lease = this.#lease;
    if (this.#owner.isAborted || lease === undefined) return this.#close();
    if (this.#phase === 'open') {
      if (isNetworkFailure(error)) this.#owner.exchange.broken(lease, codeOf(error) ?? 'network');
      return this.#close();
    }
    // Whoever decides finds the ending.
    if (this.#phase !== 'deciding') this.#decideByError(lease, error);
  }

  upgrade(head: AnswerHead, socket: unknown): void {
    const lease = this.#lease;
    this.#watch?.stop();
    if (lease !== undefined) {
      lease.report(SUCCESS);
      (socket as NodeJS.EventEmitter).once('close', () => lease.end());
    }
    this.#owner.upgrade(head, socket);
  }

  // --- endings before their time ------------------------------------------------------------------------------

  /** The application goes away. Returns false where nothing is left that would tell it of the end. */
  abort(reason: unknown): boolean {
    if (this.#phase === 'discarded') return false;
    this.#watch?.stop();
    this.#delivery?.clear();
    if (this.#abort === undefined) {
      this.#lease?.cancel();
      return false;
    }
    if (this.#lease !== undefined) this.#owner.exchange.aborted(this.#lease);
    if (this.#ending !== undefined) return false;
    this.#abort(reason);
    return true;
  }

  #refuseConnection(refusal: Error): void {
    this.#lease?.cancel();
    this.#cut({ error: refusal });
    this.#close();
  }

  onSilence(silence: Silence): void {
    const { firstByteMs, idleMs } = this.#lease?.member.provider.stream ?? {};
    const evidence =
      silence === 'first-byte' ? `no first byte within ${firstByteMs} ms` : `nothing within ${idleMs} ms`;
    this.#giveUp(silence, evidence);
  }

  #giveUp(stall: Stall, evidence: string): void {
    const lease = this.#lease;
    if (lease === undefined) return;
    const isOpen = this.#phase === 'open';
    this.#cut({ error: stallError(lease, stall) });
    if (isOpen) {
      this.#owner.exchange.broken(lease, evidence);
      return this.#close();
    }
    this.#withhold();
    this.#decide(() => this.#owner.exchange.afterError(lease, evidence, 'sent'));
  }

  #cut(ending: Ending): void {
    this.#watch?.stop();
    this.#ending = ending;
    this.#isCut = true;
    this.#abort?.();
  }

  /** Nothing of this answer is for the application. */
  #withhold(): void {
    this.#head = undefined;
    this.#held = undefined;
  }

  // --- verdicts -----------------------------------------------------------------------------------------------

  #hold(): HeldBody {
    return (this.#held ??= new HeldBody(this.#head ?? { status: 0, header: () => undefined }));
  }

  #collect(chunk: Uint8Array): boolean {
    this.#hold().keep(chunk);
    return this.#isTooLong();
  }

  /** Returns true, since whatever is collected is not held up. */
  #isTooLong(): true {
    const maxBytes = this.#lease?.member.provider.stream.maxBytes ?? Infinity;
    if (this.#hold().bytes > maxBytes) this.#giveUp('too-long', `answer longer than ${maxBytes} bytes`);
    return true;
  }

  #decideByBody(): boolean {
    const [head, lease] = [this.#head, this.#lease];
    if (head === undefined || lease === undefined) return true;
    const text = this.#held?.text ?? '';
    return this.#decide(() => this.#owner.exchange.afterBody(lease, head, text));
  }

  #decideByWhole(): boolean {
    const [head, lease] = [this.#head, this.#lease];
    if (head === undefined || lease === undefined) return true;
    const { whole } = this.#hold();
    return this.#decide(() => this.#owner.exchange.afterWhole(lease, head, whole));
  }

  #decideByEnding(): boolean {
    const [ending, lease] = [this.#ending, this.#lease];
    if (ending !== undefined && 'error' in ending && lease !== undefined)
      return this.#decideByError(lease, ending.error);
    return this.#phase === 'collecting' ? this.#decideByWhole() : this.#decideByBody();
  }

  #decideByError(lease: Lease, error: unknown): boolean {
    // What was to be whole is never shown in part.
    if (this.#phase === 'collecting') this.#withhold();
    const progress = this.#abort === undefined ? 'unsent' : 'sent';
    if (isNetworkFailure(error))
      return this.#decide(() => this.#owner.exchange.afterError(lease, codeOf(error) ?? 'network', progress));
    if (progress === 'unsent') lease.cancel();
    else this.#owner.exchange.aborted(lease);
    return this.#deliver();
  }

  /** Returns whether more of the answer is wanted now. */
  #decide(judge: () => MaybePromise<Step>): boolean {
    this.#phase = 'deciding';
    const step = orDeliver(judge);
    if (!(step instanceof Promise)) return this.#follow(step);
    // It is we who take our time.
    this.#watch?.stop();
    whenSettled(
      step,
      (settled) => {
        if (this.#follow(settled)) this.#resume();
      },
      (error) => {
        reportOwnError(error);
        if (this.#deliver()) this.#resume();
      },
    );
    // A short answer is read meanwhile: another request may need the connection, and hold the key that this waits for.
    return true;
  }

  #follow(step: Step): boolean {
    if (this.#owner.isAborted) {
      if (step.do === 'retry') step.lease.cancel();
      this.#close();
      return true;
    }
    switch (step.do) {
      case 'peek':
        this.#phase = 'held';
        return this.#ending === undefined ? true : this.#decideByEnding();
      case 'collect':
        this.#phase = 'collecting';
        return this.#ending === undefined ? this.#isTooLong() : this.#decideByEnding();
      case 'deliver':
        return this.#deliver(step.headers);
      case 'retry':
        this.#discard();
        this.#owner.retry(step.lease, step.delayMs);
        return true;
      case 'refuse':
        this.#discard();
        this.#owner.refuse(step.refusal);
        return true;
    }
  }

  // --- to the application -------------------------------------------------------------------------------------

  #deliver(headers?: Readonly<Record<string, string>>): boolean {
    this.#phase = 'open';
    const head = this.#head;
    if (head === undefined) {
      this.#close();
      return true;
    }
    for (const name in headers) head.setHeader(name, headers[name] ?? '');
    if (head.status >= 300 && head.status < 400) this.#sanitize(head);
    const delivery = new Delivery(() => {
      this.#watch?.arrived();
      this.#resume();
    });
    this.#delivery = delivery;
    let wantsMore = delivery.pass(this.#handHead, head);
    for (const chunk of this.#held?.chunks ?? []) wantsMore = delivery.pass(this.#handData, chunk);
    this.#held = undefined;
    if (this.#ending === undefined) return this.#pace(wantsMore);
    this.#close();
    return wantsMore;
  }

  #sanitize(head: AnswerHead): void {
    const location = head.header('location');
    if (location === undefined || this.#lease === undefined) return;
    const safe = this.#owner.locationFor(this.#lease, location);
    if (safe !== location) head.setHeader('location', safe);
  }

  readonly #handHead = (head: AnswerHead): boolean => {
    try {
      return this.#owner.receiver.head(head, this.#delivery?.resume ?? nothing);
    } catch (error) {
      return this.#failed(error);
    }
  };

  readonly #handData = (chunk: Uint8Array): boolean => {
    try {
      return this.#owner.receiver.data(chunk);
    } catch (error) {
      return this.#failed(error);
    }
  };

  /** As undici does it: what a handler throws becomes the error of its request. */
  #failed(error: unknown): true {
    this.#delivery?.clear();
    if (this.#ending === undefined) this.#abort?.(error);
    else this.#owner.fail(error);
    return true;
  }

  /** A reader that wants no more now cannot be kept waiting. */
  #pace(wantsMore: boolean): boolean {
    if (wantsMore) this.#watch?.arrived();
    else this.#watch?.stop();
    return wantsMore;
  }

  /** The attempt is over, and what it ended with is the application's. */
  #close(): void {
    this.#watch?.stop();
    this.#lease?.end();
    const ending = this.#ending;
    if (ending === undefined) return;
    if ('error' in ending) {
      this.#delivery?.clear();
      this.#owner.fail(ending.error);
      return;
    }
    this.#delivery?.push(() => {
      this.#owner.end(ending.trailers);
      return true;
    });
  }

  /** Lets a short answer run out, so that its connection can be used again. */
  #discard(): void {
    this.#phase = 'discarded';
    this.#watch?.stop();
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

function nothing(): void {}
