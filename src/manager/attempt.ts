/**
 * Failover, written once. An adapter (fetch, node:http, the library) sends; this decides what an answer means,
 * whether the request may be sent again, with which key, and what the caller gets when nothing is left.
 */
import type { Outcome } from '../core/outcome.js';
import { ABORTED, REFUSED_BEFORE_PROCESSING, SUCCESS } from '../core/outcome.js';
import type { Clock, MaybePromise, Random } from '../core/ports.js';
import type { ProviderDefinition } from '../core/provider.js';
import { peekText } from '../providers/body-peek.js';
import { bodyVerdict, headVerdict } from '../providers/classification.js';
import type { ResponseHead } from '../providers/response-head.js';
import { hasBody } from '../providers/rule-match.js';
import { whyCut } from '../providers/whole-answer.js';
import type { Accesses } from './accesses.js';
import { Blame } from './blame.js';
import { RequestNote } from './decision-note.js';
import type { DecisionNote } from './decision-note.js';
import type { Decisions } from './decisions.js';
import type { Events, RequestEvent } from './events.js';
import { Lease } from './lease.js';
import type { Member } from './members.js';
import type { Pool, Shut } from './pool.js';
import { cutRefusal, refusalFor, unauditedRefusal } from './refusal.js';
import type { Refusal } from './refusal.js';
import { isRepeatable } from './repetition.js';
import { nextRequestNumber, requestIdOf } from './request-ids.js';
import { hasStandIn, membersOf } from './stand-ins.js';
import type { Verdicts } from './verdicts.js';

export interface RequestFacts {
  readonly method: string;
  /** Path and query; only the path is compared with `retry.repeatable`. */
  readonly path: string;
  readonly hasIdempotencyKey: boolean;
  /** Whether the whole body is at hand to be sent again. Asked when it is needed. */
  canReplay(): boolean;
  readonly signal?: AbortSignal | undefined;
  /**
   * Ids of providers that cannot answer this request, though the pool has keys of them. Given, even empty, for every
   * request that a `Crossing` covers: its answer then says in `x-keymux-provider` who gave it.
   */
  readonly unfit?: ReadonlySet<string>;
  /** How its key counts as taken. Default: `request`. */
  readonly way?: 'library';
  /** Who asks, where that is known, such as `gateway token admin`. Never a secret. */
  readonly by?: string | undefined;
}

/** What the adapter does next. */
export type Step =
  /** The caller gets this answer (or error), with these headers set on an answer. */
  | { readonly do: 'deliver'; readonly headers?: Readonly<Record<string, string>> }
  /** Up to 4 KiB of the body are needed for a verdict: hold the answer back and call `afterBody`. */
  | { readonly do: 'peek' }
  /** The whole body is needed: hold the answer back until it has ended and call `afterWhole`. */
  | { readonly do: 'collect' }
  /** Discard this answer and send the request again with this lease, after the delay. */
  | { readonly do: 'retry'; readonly lease: Lease; readonly delayMs: number }
  /** Discard this answer; the caller gets the refusal instead. */
  | { readonly do: 'refuse'; readonly refusal: Refusal };

const DELIVER: Step = { do: 'deliver' };
const PEEK: Step = { do: 'peek' };
const COLLECT: Step = { do: 'collect' };

/** On answers to requests that may cross: the id of the provider that gave it. */
const PROVIDER_HEADER = 'x-keymux-provider';
/** Repetitions after a provider's trouble (5xx, reset): the walk over the keys has its own bound. */
const TROUBLE_REPETITIONS = 2;
const TROUBLE_DELAY_MS = 100;

/** How long the caller is made to wait, as the provider that is asked first has it. */
type Patience = Pick<ProviderDefinition['retry'], 'maxWaitMs' | 'deadlineMs'>;
/** Where there is nobody to ask. */
const NO_PATIENCE: Patience = { maxWaitMs: 0, deadlineMs: 0 };

export interface AttemptContext {
  readonly now: Clock;
  readonly random: Random;
  readonly events: Events;
  readonly verdicts: Verdicts;
  /** Absent where none are remembered. */
  readonly decisions?: Pick<Decisions, 'begin'> | undefined;
}

/** One request of the application, over all its attempts. */
export class Exchange {
  readonly #context: AttemptContext;
  readonly #pool: Pool;
  readonly #facts: RequestFacts;
  readonly #accesses: Accesses | undefined;
  #excluded: ReadonlySet<Member>;
  readonly #number = nextRequestNumber();
  #startedAt = 0;
  #requestId: string | undefined;
  #note: RequestNote | undefined;
  #attempts = 0;
  #troubles = 0;
  /** For keys to return, over all attempts. */
  #waitedMs = 0;
  #patience: Patience;
  #blame: Blame | undefined;
  #hasEnded = false;
  /** When the first attempt failed. */
  #failedAt: number | undefined;
  /** How the provider stood when it began to answer well: its strikes before that, its version after. */
  #strikes = 0;
  #version: number | undefined;

  constructor(context: AttemptContext, pool: Pool, facts: RequestFacts, accesses?: Accesses) {
    this.#context = context;
    this.#accesses = accesses;
    this.#pool = pool;
    this.#facts = facts;
    this.#excluded = membersOf(pool, facts.unfit);
    const likely = pool.contenders.find(({ member }) => !this.#excluded.has(member));
    this.#patience = likely?.member.provider.retry ?? NO_PATIENCE;
  }

  get requestId(): string {
    return (this.#requestId ??= requestIdOf(this.#number));
  }

  /** The key for the first attempt, or the refusal that the caller gets. */
  first(): MaybePromise<Lease | Refusal> {
    this.#startedAt = this.#context.now();
    if (this.#accesses?.refusal !== undefined) {
      this.#tellEnd('refused');
      return unauditedRefusal(this.#accesses.refusal);
    }
    if (this.#context.decisions !== undefined)
      this.#note = new RequestNote(this.#number, this.#pool.service, this.#startedAt, this.#facts.unfit);
    const result = this.#acquire(this.#excluded, this.#startedAt);
    return result instanceof Promise
      ? result.then((settled) => this.#leaseOrRefusal(settled))
      : this.#leaseOrRefusal(result);
  }

  /** The head of an answer is there. */
  afterHead(lease: Lease, head: ResponseHead): MaybePromise<Step> {
    const now = this.#context.now();
    const { provider } = lease.member;
    this.#pool.learn(lease, head);
    const verdict = headVerdict(provider, head, now);
    if (provider.stream.commit === 'complete' && this.#isWorthCollecting(head, verdict)) return COLLECT;
    return verdict === 'needs-body' ? PEEK : this.#conclude(lease, verdict);
  }

  /** The beginning of the body is there, decoded. */
  afterBody(lease: Lease, head: ResponseHead, bodyText: string): MaybePromise<Step> {
    return this.#conclude(lease, bodyVerdict(lease.member.provider, head, bodyText, this.#context.now()));
  }

  /** The whole body has arrived, as it came over the wire. Only after `collect`. */
  afterWhole(lease: Lease, head: ResponseHead, body: Uint8Array): MaybePromise<Step> {
    const { provider } = lease.member;
    const text = peekText(body, head.header('content-encoding'));
    const verdict = bodyVerdict(provider, head, text, this.#context.now());
    const cut = verdict.kind === 'success' ? whyCut(head, body, provider.stream) : undefined;
    if (cut === undefined) return this.#conclude(lease, verdict);
    const outcome: Outcome = { kind: 'network', scope: 'provider', evidence: cut, executed: 'maybe' };
    return this.#conclude(lease, outcome, { do: 'refuse', refusal: cutRefusal(lease, cut) });
  }

  /** An answer that the application already has broke off or stalled: nothing is repeated, but it counts. */
  broken(lease: Lease, evidence: string): void {
    const { verdicts } = this.#context;
    const outcome: Outcome = { kind: 'network', scope: 'provider', evidence, executed: 'maybe' };
    const version = this.#version ?? verdicts.providerVersion(lease.member);
    verdicts.strikeProvider(lease.member, outcome, { version, strikes: this.#strikes });
  }

  /** The attempt failed without an answer. `unsent`: nothing of the request reached the provider. */
  afterError(lease: Lease, evidence: string, progress: 'unsent' | 'sent'): MaybePromise<Step> {
    return this.#conclude(lease, {
      kind: 'network',
      scope: 'provider',
      evidence,
      executed: progress === 'unsent' ? 'no' : 'maybe',
    });
  }

  /** The attempt ended in a way that the adapter judged itself. */
  afterOutcome(lease: Lease, outcome: Outcome): MaybePromise<Step> {
    return this.#conclude(lease, outcome);
  }

  /** The provider switched protocols, and the connection is the caller's from now on. */
  upgraded(lease: Lease): void {
    this.#delivered(lease, SUCCESS);
  }

  /** The caller went away: no further attempt, no blame. */
  aborted(lease: Lease): void {
    lease.report(ABORTED);
    lease.end();
    this.#tellEnd('aborted', lease);
  }

  #isWorthCollecting(head: ResponseHead, verdict: Outcome | 'needs-body'): boolean {
    if (head.status < 200 || head.status > 299 || this.#facts.method === 'HEAD' || !hasBody(head))
      return false;
    return verdict === 'needs-body' || verdict.kind === 'success';
  }

  #leaseOrRefusal(result: Lease | Shut): Lease | Refusal {
    if (result instanceof Lease) {
      result.request = this;
      this.#attempts += 1;
      if (this.#accesses?.isActive === true) this.#noteAccess(this.#accesses, result);
      this.#patience = result.member.provider.retry;
      return result;
    }
    this.#tellEnd('refused');
    return this.#refuse(result);
  }

  /** A request that was let in goes on, also where no new one is by now. */
  #noteAccess(accesses: Accesses, { keyId }: Lease): void {
    if (accesses.refusal !== undefined) return;
    const { way = 'request', by } = this.#facts;
    accesses.note(way, this.#pool.service, keyId, by);
  }

  /** `undeliverable`: what the caller gets instead of this answer where it cannot be repeated. */
  #conclude(lease: Lease, outcome: Outcome, undeliverable?: Step): MaybePromise<Step> {
    const isAnswered = outcome.kind === 'success' || outcome.kind === 'bad-request';
    if (isAnswered) return this.#delivered(lease, outcome);
    lease.report(this.#withCircumstances(lease, outcome));
    if (outcome.kind === 'aborted') {
      this.#tellEnd('aborted', lease);
      return DELIVER;
    }
    this.#failedAt ??= this.#context.now();
    this.#blameKey(lease, outcome);
    if (!this.#mayRepeat(lease, outcome)) {
      this.#settleBlame();
      this.#tellEnd('failed', lease);
      return undeliverable ?? this.#deliver(lease);
    }
    const isTrouble = !REFUSED_BEFORE_PROCESSING.has(outcome.kind);
    if (isTrouble) this.#troubles += 1;
    const next = isTrouble ? this.#acquireElsewhere(lease.member) : this.#acquire(this.#excluded);
    return next instanceof Promise
      ? next.then((settled) => this.#goOn(lease, outcome, settled, undeliverable))
      : this.#goOn(lease, outcome, next, undeliverable);
  }

  #delivered(lease: Lease, outcome: Outcome): Step {
    const { verdicts } = this.#context;
    this.#strikes = verdicts.providerStrikes(lease.member);
    lease.report(outcome);
    this.#version = verdicts.providerVersion(lease.member);
    this.#blame?.clear();
    this.#tellEnd('answered', lease);
    return this.#deliver(lease);
  }

  /** Whoever has its answer may still go away: only the first end counts. */
  #tellEnd(end: RequestEvent['end'], lease?: Lease): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const { events, now } = this.#context;
    const isHeard = events.isHeard('request');
    if (!isHeard && this.#note === undefined) return;
    const at = now();
    this.#note?.ended(end, at);
    if (!isHeard) return;
    const isRescued = end === 'answered' && this.#failedAt !== undefined;
    events.emit('request', {
      requestId: this.requestId,
      service: this.#pool.service,
      end,
      ...(lease === undefined ? {} : { provider: lease.provider, key: lease.keyId }),
      attempts: this.#attempts,
      durationMs: at - this.#startedAt,
      ...(isRescued ? { rescuedAfterMs: at - (this.#failedAt ?? at) } : {}),
      waitedMs: this.#waitedMs,
      at,
    });
  }

  #deliver(lease: Lease, headers?: Readonly<Record<string, string>>): Step {
    if (this.#facts.unfit === undefined) return headers === undefined ? DELIVER : { do: 'deliver', headers };
    return { do: 'deliver', headers: { ...headers, [PROVIDER_HEADER]: lease.provider } };
  }

  /** A guess that benches the only key would be an outage of our own making. */
  #withCircumstances(lease: Lease, outcome: Outcome): Outcome {
    if (outcome.kind !== 'rate-limited' || outcome.retryAt !== undefined) return outcome;
    const { now } = this.#context;
    const hasOther = hasStandIn(this.#pool, lease.member, outcome, this.#excluded, now());
    return hasOther ? outcome : { ...outcome, noOther: true };
  }

  /** A refused key is not asked again by this request; a key that rests is passed over by itself. */
  #blameKey(lease: Lease, outcome: Outcome): void {
    if (!REFUSED_BEFORE_PROCESSING.has(outcome.kind)) return;
    if (outcome.kind === 'rejected' || outcome.kind === 'restricted' || outcome.scope === 'route')
      this.#excluded = new Set([...this.#excluded, lease.member]);
    (this.#blame ??= new Blame(this.#context.verdicts)).add(lease, outcome);
  }

  /** Whether it turned out that no key was to blame. */
  #settleBlame(): boolean {
    const findings = this.#blame?.settle() ?? [];
    for (const finding of findings) {
      const at = this.#context.now();
      const { requestId } = this;
      this.#context.events.emit('refused-alike', { requestId, service: this.#pool.service, ...finding, at });
    }
    return findings.length > 0;
  }

  #goOn(lease: Lease, outcome: Outcome, next: Lease | Shut, undeliverable: Step | undefined): Step {
    if (!(next instanceof Lease)) return this.#giveUp(lease, outcome, next, undeliverable);
    if (this.#facts.signal?.aborted === true) {
      next.cancel();
      this.#tellEnd('aborted', lease);
      return DELIVER;
    }
    next.request = this;
    this.#attempts += 1;
    if (this.#accesses?.isActive === true) this.#noteAccess(this.#accesses, next);
    this.#context.events.emit('failover', {
      requestId: this.requestId,
      service: this.#pool.service,
      from: lease.keyId,
      to: next.keyId,
      reason: outcome.kind,
      ...(outcome.status === undefined ? {} : { status: outcome.status }),
      attempt: this.#attempts,
      at: this.#context.now(),
    });
    return { do: 'retry', lease: next, delayMs: this.#delayAfter(outcome) };
  }

  /** After a provider's trouble: as long as it says, else a short and growing pause. */
  #delayAfter(outcome: Outcome): number {
    if (REFUSED_BEFORE_PROCESSING.has(outcome.kind)) return 0;
    const pauseMs = TROUBLE_DELAY_MS * 2 ** (this.#troubles - 1) * (0.5 + this.#context.random());
    return Math.max(pauseMs, this.#statedWaitMs(outcome));
  }

  #statedWaitMs({ retryAt }: Outcome): number {
    return retryAt === undefined ? 0 : retryAt - this.#context.now();
  }

  /** The provider's own answer stands, told when a retry makes sense; a dead key's answer may hide that. */
  #giveUp(lease: Lease, outcome: Outcome, shut: Shut, undeliverable: Step | undefined): Step {
    const wasNoKey = this.#settleBlame();
    this.#tellEnd('failed', lease);
    if (undeliverable !== undefined) return undeliverable;
    if (wasNoKey || outcome.kind === 'restricted') return this.#deliver(lease);
    const refusal = this.#refuse(shut);
    if (outcome.kind === 'rejected' && refusal.status === 429) return { do: 'refuse', refusal };
    return this.#deliver(lease, refusal.headers);
  }

  #refuse(shut: Shut): Refusal {
    const now = this.#context.now();
    const refusal = refusalFor(this.#pool, shut, now, this.#facts.unfit);
    this.#context.events.emit('exhausted', {
      service: this.#pool.service,
      ...(refusal.retryAt === undefined ? {} : { retryAt: refusal.retryAt }),
      at: now,
    });
    return refusal;
  }

  #acquire(
    excluded: ReadonlySet<Member>,
    now = this.#context.now(),
    note = this.#noteFor(now),
  ): MaybePromise<Lease | Shut> {
    const { maxWaitMs, deadlineMs } = this.#patience;
    const waitUntil = Math.min(now + maxWaitMs - this.#waitedMs, this.#startedAt + deadlineMs);
    const result = this.#pool.acquire({ excluded, waitUntil, caller: this.#facts, note }, now);
    if (!(result instanceof Promise)) return result;
    return result.finally(() => (this.#waitedMs += this.#context.now() - now));
  }

  #noteFor(now: number): DecisionNote | undefined {
    return this.#note && this.#context.decisions?.begin(this.#note, now);
  }

  /** After a provider's trouble another provider is preferred, then another key, but the same one will do. */
  #acquireElsewhere(member: Member): MaybePromise<Lease | Shut> {
    const ofProvider = membersOf(this.#pool, new Set([member.provider.id]));
    const choices = [ofProvider, new Set([member])].map((less) => new Set([...this.#excluded, ...less]));
    const note = this.#noteFor(this.#context.now());
    const tryNext = (): MaybePromise<Lease | Shut> => {
      const excluded = choices.shift();
      if (excluded === undefined) return this.#acquire(this.#excluded, this.#context.now(), note);
      const result = this.#pool.tryAcquire(excluded, this.#context.now(), note);
      const orNext = (settled: Lease | Shut): MaybePromise<Lease | Shut> =>
        settled instanceof Lease ? settled : tryNext();
      return result instanceof Promise ? result.then(orNext) : orNext(result);
    };
    return tryNext();
  }

  #mayRepeat(lease: Lease, outcome: Outcome): boolean {
    const { provider } = lease.member;
    const { maxWaitMs, deadlineMs } = this.#patience;
    if (this.#attempts >= provider.retry.maxAttempts) return false;
    if (this.#context.now() >= this.#startedAt + deadlineMs) return false;
    if (this.#facts.signal?.aborted === true || !this.#facts.canReplay()) return false;
    if (REFUSED_BEFORE_PROCESSING.has(outcome.kind)) return outcome.scope !== 'request';
    if (this.#troubles >= TROUBLE_REPETITIONS || this.#statedWaitMs(outcome) > maxWaitMs) return false;
    if (outcome.executed === 'no') return true;
    const others = this.#pool.contenders.map((contender) => contender.member.provider);
    return isRepeatable(this.#facts, provider, others);
  }
}
