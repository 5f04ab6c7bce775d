/** One attempt of a forwarded request through undici: what its answer means, and so what becomes of it. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import type { MaybePromise } from '../core/ports.js';
import type { Exchange, Step } from '../manager/attempt.js';
import { DRAIN_BYTES, DRAIN_MS, isWorthDraining } from '../manager/discard.js';
import { HeldBody } from '../manager/held-body.js';
import type { Lease } from '../manager/lease.js';
import type { Refusal } from '../manager/refusal.js';
import type { Silence, SilenceListener, StallWatch } from '../manager/stall-watch.js';
import { watchOf } from '../manager/stall-watch.js';
import { STALL_EVIDENCE } from '../manager/stall.js';
import type { Stall } from '../manager/stall.js';
import type { AnswerEnd } from './answer-end.js';
import { answerEndOf } from './answer-end.js';
import { AnswerHead } from './answer-head.js';
import type { CallerAnswer } from './forward-answer.js';
import type { FailureAnswer } from './forward-failure.js';
import { failureOf, networkCodeOf, ownFault } from './forward-failure.js';

/** The request that an attempt is made for, and its caller. */
export interface AttemptOwner {
  readonly method: string;
  readonly path: string;
  readonly exchange: Exchange;
  /** If it wants no more for now, `ForwardAttempt.resume` is called later. */
  readonly answer: CallerAnswer;
  /** The caller went away. */
  readonly isGone: boolean;
  /** The answer is worth nothing; the next attempt follows. */
  retry(lease: Lease, delayMs: number): void;
  refuse(refusal: Refusal): void;
  /** Nothing came of it, and nothing is left to try. */
  fail(answer: FailureAnswer, lease: Lease): void;
  /** The beginning of the answer that the caller gets. */
  open(lease: Lease, head: AnswerHead, headers: Readonly<Record<string, string>>): void;
}

/** undici tells nobody of it: whoever gives up knows why. */
const GIVEN_UP = new Error('the attempt was given up');
const NO_HEADERS: Readonly<Record<string, string>> = {};

/**
 * `waiting` for an answer; `deciding` what it means; `held` back until its body tells; `collecting` the whole of it;
 * `open` to the caller; or `over`: nothing of it is wanted any more.
 */
type Phase = 'waiting' | 'deciding' | 'held' | 'collecting' | 'open' | 'over';
/** Otherwise a code of a connection's error, or the limit that was exceeded. */
type Ending = 'whole' | { readonly code: string };
type Controller = Dispatcher.DispatchController;

export class ForwardAttempt implements Dispatcher.DispatchHandler, SilenceListener {
  readonly #owner: AttemptOwner;
  readonly #lease: Lease;
  readonly #watch: StallWatch | undefined;
  #phase: Phase = 'waiting';
  #controller: Controller | undefined;
  #head: AnswerHead | undefined;
  #held: HeldBody | undefined;
  #end: AnswerEnd | undefined;
  #ending: Ending | undefined;
  /** It broke off while its verdict took its time. */
  #hasBrokenMeanwhile = false;
  #discardedBytes = 0;

  constructor(owner: AttemptOwner, lease: Lease) {
    this.#owner = owner;
    this.#lease = lease;
    this.#watch = watchOf(lease.member.provider.stream, this);
  }

  // --- what undici tells ----------------------------------------------------------------------------------------

  onRequestStart(controller: Controller): void {
    this.#controller = controller;
    if (this.#phase === 'over') return controller.abort(GIVEN_UP);
    this.#lease.sent();
    this.#watch?.sent();
  }

  onResponseStart(_: Controller, status: number, headers: IncomingHttpHeaders, text = ''): void {
    if (status < 200 || this.#phase !== 'waiting') return;
    const head = (this.#head = new AnswerHead(status, headers, text, this.#owner));
    this.#decide(this.#owner.exchange.afterHead(this.#lease, head));
  }

  onResponseData(controller: Controller, chunk: Uint8Array): void {
    switch (this.#phase) {
      case 'open':
        this.#end?.keep(chunk);
        return this.#pace(this.#owner.answer.write(chunk));
      case 'held':
        this.#watch?.arrived();
        if (this.#hold().add(chunk)) this.#decideByBody();
        return;
      case 'collecting':
        this.#watch?.arrived();
        this.#hold().keep(chunk);
        return this.#limitLength();
      case 'over':
        this.#discardedBytes += chunk.length;
        if (this.#discardedBytes > DRAIN_BYTES) controller.abort(GIVEN_UP);
        return;
      default:
        this.#hold().keep(chunk);
        if (this.#hold().bytes >= DRAIN_BYTES) controller.pause();
    }
  }

  onResponseEnd(): void {
    this.#watch?.stop();
    this.#ending = 'whole';
    if (this.#phase === 'open') this.#finish();
    else this.#decideByEnding();
  }

  onResponseError(_: Controller | undefined, error: Error): void {
    if (this.#phase === 'over' || this.#ending !== undefined) return;
    this.#watch?.stop();
    const code = networkCodeOf(error);
    this.#ending = { code: code ?? error.name };
    if (code === undefined) return this.#failOnOurSide(error);
    if (this.#phase === 'open') return this.#break(code);
    this.#hasBrokenMeanwhile = this.#phase === 'deciding';
    this.#decideByEnding();
  }

  // --- what the owner tells -------------------------------------------------------------------------------------

  /** The caller went away: nothing else is tried, and nobody is blamed. */
  abort(): void {
    const phase = this.#phase;
    if (phase === 'over') return;
    if (this.#controller === undefined) this.#lease.cancel();
    if (phase !== 'open') this.#owner.exchange.aborted(this.#lease);
    this.#giveUp();
  }

  /** The caller wants more again. */
  resume(): void {
    if (this.#phase !== 'open' || this.#ending !== undefined) return;
    this.#watch?.arrived();
    this.#controller?.resume();
  }

  // --- limits ---------------------------------------------------------------------------------------------------

  onSilence(silence: Silence): void {
    this.#exceed(silence);
  }

  #exceed(stall: Stall): void {
    const lease = this.#lease;
    if (this.#phase === 'open') return this.#break(STALL_EVIDENCE[stall]);
    this.#phase = 'deciding';
    this.#head = undefined;
    this.#held = undefined;
    this.#ending = { code: stall };
    this.#controller?.abort(GIVEN_UP);
    this.#decide(this.#owner.exchange.afterError(lease, STALL_EVIDENCE[stall], 'sent'));
  }

  #limitLength(): void {
    if (this.#hold().bytes > this.#lease.member.provider.stream.maxBytes) this.#exceed('too-long');
  }

  // --- verdicts -------------------------------------------------------------------------------------------------

  /** Nothing of a body comes before its head. */
  get #knownHead(): AnswerHead {
    return this.#head as AnswerHead;
  }

  #hold(): HeldBody {
    return (this.#held ??= new HeldBody(this.#knownHead));
  }

  #decideByBody(): void {
    this.#decide(this.#owner.exchange.afterBody(this.#lease, this.#knownHead, this.#hold().text));
  }

  #decideByEnding(): void {
    const { exchange } = this.#owner;
    const ending = this.#ending;
    // Whoever decides finds the ending.
    if (ending === undefined || this.#phase === 'deciding' || this.#phase === 'over') return;
    if (ending !== 'whole') {
      this.#head = undefined;
      this.#held = undefined;
      this.#decide(exchange.afterError(this.#lease, ending.code, this.#progress));
    } else if (this.#phase === 'collecting') {
      this.#decide(exchange.afterWhole(this.#lease, this.#knownHead, this.#hold().whole));
    } else {
      this.#decideByBody();
    }
  }

  get #progress(): 'unsent' | 'sent' {
    return this.#controller === undefined ? 'unsent' : 'sent';
  }

  #decide(step: MaybePromise<Step>): void {
    this.#phase = 'deciding';
    if (!(step instanceof Promise)) return this.#follow(step);
    // It is we who take our time.
    this.#watch?.stop();
    step.then(
      (settled) => {
        this.#follow(settled);
        if (this.#ending === undefined && this.#phase !== 'over') this.#controller?.resume();
      },
      (error: unknown) => this.#failOnOurSide(error),
    );
  }

  #follow(step: Step): void {
    if (this.#phase === 'over' || this.#owner.isGone) {
      if (step.do === 'retry') step.lease.cancel();
      return this.#giveUp();
    }
    switch (step.do) {
      case 'peek':
        this.#phase = 'held';
        return this.#decideByEnding();
      case 'collect':
        this.#phase = 'collecting';
        return this.#decideByEnding();
      case 'deliver':
        return this.#deliver(step.headers ?? NO_HEADERS);
      case 'retry':
        this.#discard();
        return this.#owner.retry(step.lease, step.delayMs);
      case 'refuse':
        this.#discard();
        return this.#owner.refuse(step.refusal);
    }
  }

  // --- to the caller --------------------------------------------------------------------------------------------

  #deliver(headers: Readonly<Record<string, string>>): void {
    const ending = this.#ending;
    if (typeof ending === 'object') return this.#deliverFailure(ending.code, headers);
    const head = this.#knownHead;
    this.#phase = 'open';
    this.#end = answerEndOf(head, this.#lease.member.provider.stream);
    this.#owner.open(this.#lease, head, headers);
    let wantsMore = true;
    for (const chunk of this.#held?.chunks ?? []) {
      this.#end?.keep(chunk);
      wantsMore = this.#owner.answer.write(chunk);
    }
    this.#held = undefined;
    if (ending === undefined) this.#pace(wantsMore);
    else this.#finish();
  }

  #deliverFailure(code: string, headers: Readonly<Record<string, string>>): void {
    const lease = this.#lease;
    if (this.#hasBrokenMeanwhile) this.#owner.exchange.broken(lease, code);
    this.#giveUp();
    this.#owner.fail(failureOf(lease, code, this.#progress, headers), lease);
  }

  /** A reader that wants no more now cannot be kept waiting. */
  #pace(wantsMore: boolean): void {
    if (wantsMore) return this.#watch?.arrived();
    this.#watch?.stop();
    this.#controller?.pause();
  }

  #finish(): void {
    const cut = this.#end?.whyCut;
    if (cut !== undefined) return this.#break(cut);
    this.#phase = 'over';
    this.#lease.end();
    this.#owner.answer.end();
  }

  /** An answer that the caller has in part broke off. */
  #break(evidence: string): void {
    const lease = this.#lease;
    this.#owner.exchange.broken(lease, evidence);
    this.#giveUp();
    if (this.#owner.answer.hasBegun) this.#owner.answer.cut();
    else this.#owner.fail(failureOf(lease, evidence, 'sent'), lease);
  }

  /** The request cannot be sent as it is, or we failed: nobody else is to blame. */
  #failOnOurSide(error: unknown): void {
    const lease = this.#lease;
    const wasOpen = this.#phase === 'open';
    if (this.#controller === undefined) lease.cancel();
    this.#owner.exchange.aborted(lease);
    this.#giveUp();
    if (wasOpen) this.#owner.answer.cut();
    else this.#owner.fail(ownFault(lease.keyId, error), lease);
  }

  #giveUp(): void {
    this.#phase = 'over';
    this.#watch?.stop();
    this.#lease.end();
    this.#held = undefined;
    if (this.#ending === undefined) this.#controller?.abort(GIVEN_UP);
  }

  /** Lets a short answer run out, so that its connection can be used again. */
  #discard(): void {
    if (this.#ending !== undefined || !isWorthDraining(this.#head?.header('content-length')))
      return this.#giveUp();
    this.#phase = 'over';
    this.#watch?.stop();
    this.#lease.end();
    this.#held = undefined;
    this.#controller?.resume();
    setTimeout(() => this.#ending ?? this.#controller?.abort(GIVEN_UP), DRAIN_MS).unref();
  }
}
