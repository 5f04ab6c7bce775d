/** One attempt of a request through undici: what its answer means, and so what becomes of it. */
import type { MaybePromise } from '../core/ports.js';
import type { Exchange, Step } from '../manager/attempt.js';
import type { Lease } from '../manager/lease.js';
import type { Refusal } from '../manager/refusal.js';
import { stallError } from '../manager/stall.js';
import type { Stall } from '../manager/stall.js';
import { DRAIN_BYTES, DRAIN_MS, isWorthDraining } from '../manager/discard.js';
import { HeldBody } from '../manager/held-body.js';
import { codeOf, isNetworkFailure } from './network-failure.js';
import { orDeliver, reportOwnError } from './pass-through.js';
import type { Silence, SilenceListener, StallWatch } from '../manager/stall-watch.js';
import { watchOf } from '../manager/stall-watch.js';
import type { Application } from './undici-application.js';
import type { Abort, AnswerHead, AttemptEvents } from './undici-handlers.js';
import type { UndiciConnection } from './undici-trust.js';

/** The request that an attempt is made for. */
export interface AttemptOwner {
  readonly method: string;
  readonly path: string;
  readonly application: Application;
  readonly exchange: Exchange;
  /** The answer is worth nothing; the next attempt follows. */
  retry(lease: Lease, delayMs: number): void;
  /** The answer is worth nothing; the application gets this instead. */
  refuse(refusal: Refusal): void;
  /** Where an answer redirects to, as the application may know it. */
  locationFor(lease: Lease, location: string): string;
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
  readonly #lease: Lease;
  /** Present where the connection must be proved to lead to the provider. */
  readonly #connection: UndiciConnection | undefined;
  readonly #watch: StallWatch | undefined;
  #phase: Phase = 'waiting';
  #abort: Abort | undefined;
  #head: AnswerHead | undefined;
  #held: HeldBody | undefined;
  #resume: () => void = nothing;
  /** The verdict took its time, and parts of the answer may have come meanwhile. */
  #hasWaited = false;
  #hasBrokenMeanwhile = false;
  #ending: Ending | undefined;
  /** Its connection was given up: what else it tells is not about the answer. */
  #isCut = false;
  #discardedBytes = 0;

  constructor(owner: AttemptOwner, lease: Lease, isFirst: boolean, connection?: UndiciConnection) {
    this.#owner = owner;
    this.#lease = lease;
    this.#connection = connection;
    this.tellsProgress = isFirst;
    this.#watch = watchOf(lease.member.provider.stream, this);
  }

  // --- what undici tells --------------------------------------------------------------------------------------

  start(abort: Abort, context: unknown): void {
    this.#abort = abort;
    const { application } = this.#owner;
    if (application.isAborted) return abort(application.abortReason);
    const refusal = this.#connection?.refusal();
    if (refusal !== undefined) return this.#refuseConnection(refusal);
    this.#lease.sent();
    this.#watch?.sent();
    application.start(context);
  }

  head(head: AnswerHead, resume: () => void): boolean {
    if (this.#isCut) return true;
    if (head.status < 200) {
      this.#owner.application.informational(head);
      return true;
    }
    this.#head = head;
    this.#resume = resume;
    head.method = this.#owner.method;
    head.path = this.#owner.path;
    return this.#decide(() => this.#owner.exchange.afterHead(this.#lease, head));
  }

  data(chunk: Uint8Array): boolean {
    if (this.#isCut) return true;
    switch (this.#phase) {
      case 'open':
        return this.#pace(this.#owner.application.data(chunk));
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
    else if (this.#phase === 'held' || this.#phase === 'collecting') this.#decideByEnding(this.#ending);
  }

  error(error: unknown): void {
    if (this.#phase === 'discarded' || this.#isCut) return;
    this.#watch?.stop();
    this.#ending = { error };
    if (this.#owner.application.isAborted) return this.#close();
    if (this.#phase === 'open') {
      this.#noteBreak(error);
      return this.#close();
    }
    // Whoever decides finds the ending.
    if (this.#phase === 'deciding') this.#hasBrokenMeanwhile = true;
    else this.#decideByError(error);
  }

  /** An answer that the application gets, or got, broke off. */
  #noteBreak(error: unknown): void {
    const code = networkCodeOf(error);
    if (code !== undefined) this.#owner.exchange.broken(this.#lease, code);
  }

  upgrade(head: AnswerHead, socket: unknown): void {
    this.#watch?.stop();
    this.#owner.exchange.upgraded(this.#lease);
    (socket as NodeJS.EventEmitter).once('close', () => this.#lease.end());
    this.#owner.application.upgrade(head, socket);
  }

  // --- endings before their time ------------------------------------------------------------------------------

  /** The application goes away. Returns false where nothing is left that would tell it of the end. */
  abort(reason: unknown): boolean {
    if (this.#phase === 'discarded') return false;
    this.#watch?.stop();
    if (this.#abort === undefined) {
      this.#lease.cancel();
      return false;
    }
    this.#owner.exchange.aborted(this.#lease);
    if (this.#ending !== undefined) return false;
    this.#abort(reason);
    return true;
  }

  #refuseConnection(refusal: Error): void {
    this.#lease.cancel();
    this.#cut({ error: refusal });
    this.#close();
  }

  onSilence(silence: Silence): void {
    const { firstByteMs, idleMs } = this.#lease.member.provider.stream;
    const evidence =
      silence === 'first-byte' ? `no first byte within ${firstByteMs} ms` : `nothing within ${idleMs} ms`;
    this.#giveUp(silence, evidence);
  }

  #giveUp(stall: Stall, evidence: string): void {
    const lease = this.#lease;
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

  /** Nothing of a body comes before its head. */
  get #knownHead(): AnswerHead {
    return this.#head as AnswerHead;
  }

  #hold(): HeldBody {
    return (this.#held ??= new HeldBody(this.#knownHead));
  }

  #collect(chunk: Uint8Array): boolean {
    this.#hold().keep(chunk);
    return this.#isTooLong();
  }

  /** Returns true, since whatever is collected is not held up. */
  #isTooLong(): true {
    const { maxBytes } = this.#lease.member.provider.stream;
    if (this.#hold().bytes > maxBytes) this.#giveUp('too-long', `answer longer than ${maxBytes} bytes`);
    return true;
  }

  #decideByBody(): boolean {
    const { text } = this.#hold();
    return this.#decide(() => this.#owner.exchange.afterBody(this.#lease, this.#knownHead, text));
  }

  #decideByWhole(): boolean {
    const { whole } = this.#hold();
    return this.#decide(() => this.#owner.exchange.afterWhole(this.#lease, this.#knownHead, whole));
  }

  #decideByEnding(ending: Ending): boolean {
    if ('error' in ending) return this.#decideByError(ending.error);
    return this.#phase === 'collecting' ? this.#decideByWhole() : this.#decideByBody();
  }

  #decideByError(error: unknown): boolean {
    const lease = this.#lease;
    // What was to be whole is never shown in part.
    if (this.#phase === 'collecting') this.#withhold();
    const progress = this.#abort === undefined ? 'unsent' : 'sent';
    const code = networkCodeOf(error);
    if (code !== undefined) return this.#decide(() => this.#owner.exchange.afterError(lease, code, progress));
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
    this.#hasWaited = true;
    step
      .catch((error: unknown): Step => {
        reportOwnError(error);
        return { do: 'deliver' };
      })
      .then((settled) => {
        if (this.#follow(settled)) this.#resume();
      })
      .catch(reportOwnError);
    // A short answer is read meanwhile: another request may need the connection, and hold the key that this waits for.
    return true;
  }

  #follow(step: Step): boolean {
    if (this.#owner.application.isAborted) {
      if (step.do === 'retry') step.lease.cancel();
      this.#close();
      return true;
    }
    switch (step.do) {
      case 'peek':
        this.#phase = 'held';
        return this.#ending === undefined ? true : this.#decideByEnding(this.#ending);
      case 'collect':
        this.#phase = 'collecting';
        return this.#ending === undefined ? this.#isTooLong() : this.#decideByEnding(this.#ending);
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

  #deliver(headers = NO_HEADERS): boolean {
    this.#phase = 'open';
    const head = this.#head;
    if (head === undefined) {
      this.#close();
      return true;
    }
    for (const [name, value] of Object.entries(headers)) head.setHeader(name, value);
    if (head.status >= 300 && head.status < 400) this.#sanitize(head);
    const { application } = this.#owner;
    if (this.#isFresh) return application.head(head, this.#resume, this);
    application.enqueue(() => {
      this.#watch?.arrived();
      this.#resume();
    });
    let wantsMore = application.head(head, this.#resume, this);
    for (const chunk of this.#held?.chunks ?? []) wantsMore = application.data(chunk);
    this.#held = undefined;
    if (this.#ending === undefined) return this.#pace(wantsMore);
    // Whatever came to this verdict did not know of the break.
    if ('error' in this.#ending && this.#hasBrokenMeanwhile) this.#noteBreak(this.#ending.error);
    this.#close();
    return wantsMore;
  }

  /** Nothing but its head is there, undici waits for an answer to that, and nobody looks at the clock. */
  get #isFresh(): boolean {
    return (
      !this.#hasWaited && this.#held === undefined && this.#ending === undefined && this.#watch === undefined
    );
  }

  #sanitize(head: AnswerHead): void {
    const location = head.header('location');
    if (location === undefined) return;
    const safe = this.#owner.locationFor(this.#lease, location);
    if (safe !== location) head.setHeader('location', safe);
  }

  stop(error: unknown): boolean {
    if (this.#ending !== undefined) return false;
    this.#abort?.(error);
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
    this.#lease.end();
    const ending = this.#ending;
    if (ending === undefined) return;
    if ('error' in ending) this.#owner.application.fail(ending.error);
    else this.#owner.application.end(ending.trailers);
  }

  /** Lets a short answer run out, so that its connection can be used again. */
  #discard(): void {
    this.#phase = 'discarded';
    this.#watch?.stop();
    this.#lease.end();
    this.#held = undefined;
    if (this.#ending !== undefined) return;
    if (isWorthDraining(this.#head?.header('content-length'))) {
      setTimeout(() => this.#ending ?? this.#abort?.(), DRAIN_MS).unref();
    } else {
      this.#abort?.();
    }
  }
}

function networkCodeOf(error: unknown): string | undefined {
  return isNetworkFailure(error) ? codeOf(error) : undefined;
}

const NO_HEADERS: Readonly<Record<string, string>> = {};

function nothing(): void {}
