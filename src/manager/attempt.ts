/**
 * Failover, written once. An adapter (fetch, node:http, the library) sends; this decides what an answer means,
 * whether the request may be sent again, with which key, and what the caller gets when nothing is left.
 */
import { threadId } from 'node:worker_threads';
import type { Outcome } from '../core/outcome.js';
import { ABORTED, REFUSED_BEFORE_PROCESSING } from '../core/outcome.js';
import type { MaybePromise } from '../core/ports.js';
import type { RetryPolicy } from '../core/provider.js';
import { bodyVerdict, headVerdict } from '../providers/classification.js';
import { peekText } from '../providers/body-peek.js';
import type { ResponseHead } from '../providers/response-head.js';
import { spentUntil } from '../providers/retry-after.js';
import type { Events } from './events.js';
import { Lease } from './lease.js';
import type { Member } from './members.js';
import type { Pool, Shut } from './pool.js';
import { refusalFor } from './refusal.js';
import type { Refusal } from './refusal.js';

export interface RequestFacts {
  readonly method: string;
  /** Path and query; only the path is compared with `retry.repeatable`. */
  readonly path: string;
  readonly hasIdempotencyKey: boolean;
  /** Whether the whole body is at hand to be sent again. Asked when it is needed. */
  canReplay(): boolean;
  readonly signal?: AbortSignal | undefined;
  /** Ids of providers that cannot answer this request, though the pool has keys of them. */
  readonly unfit?: ReadonlySet<string>;
}

/** What the adapter does next. */
export type Step =
  /** The caller gets this answer (or error); `headers` are set on an answer that is a refusal. */
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

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);
/** Repetitions after a provider's trouble (5xx, reset): the walk over the keys has its own bound. */
const TROUBLE_REPETITIONS = 2;
const TROUBLE_DELAY_MS = 100;

export interface AttemptContext {
  readonly now: () => number;
  readonly random: () => number;
  readonly events: Events;
}

let requests = 0;

/** Unique on this machine for as long as process ids are; names a request in events. */
function nextRequestId(): string {
  requests += 1;
  return `${process.pid.toString(36)}-${threadId.toString(36)}-${requests.toString(36)}`;
}

/** One request of the application, over all its attempts. */
export class Exchange {
  readonly #context: AttemptContext;
  readonly #pool: Pool;
  readonly #facts: RequestFacts;
  readonly #excluded = new Set<Member>();
  readonly #startedAt: number;
  #requestId: string | undefined;
  #attempts = 0;
  #troubles = 0;
  readonly #policy: RetryPolicy | undefined;

  constructor(context: AttemptContext, pool: Pool, facts: RequestFacts) {
    this.#context = context;
    this.#pool = pool;
    this.#facts = facts;
    this.#startedAt = context.now();
    this.#policy = pool.contenders[0]?.member.provider.retry;
  }

  get requestId(): string {
    return (this.#requestId ??= nextRequestId());
  }

  /** The key for the first attempt, or the refusal that the caller gets. */
  first(): MaybePromise<Lease | Refusal> {
    const result = this.#acquire(this.#excluded);
    return result instanceof Promise
      ? result.then((settled) => this.#leaseOrRefusal(settled))
      : this.#leaseOrRefusal(result);
  }

  /** The head of an answer is there. */
  afterHead(lease: Lease, head: ResponseHead): MaybePromise<Step> {
    const now = this.#context.now();
    // A refusal tells by itself when to come back.
    const spent = head.status < 400 ? spentUntil(head, now) : undefined;
    if (spent !== undefined) this.#pool.learnShortage(lease.member, spent.at);
    const verdict = headVerdict(lease.member.provider, head, now);
    return verdict === 'needs-body' ? PEEK : this.#conclude(lease, verdict);
  }

  /** The beginning of the body is there, decoded. */
  afterBody(lease: Lease, head: ResponseHead, bodyText: string): MaybePromise<Step> {
    return this.#conclude(lease, bodyVerdict(lease.member.provider, head, bodyText, this.#context.now()));
  }

  /** The whole body has arrived, as it came over the wire. Only after `collect`. */
  afterWhole(lease: Lease, head: ResponseHead, body: Uint8Array): MaybePromise<Step> {
    const text = peekText(body, head.header('content-encoding'));
    return this.#conclude(lease, bodyVerdict(lease.member.provider, head, text, this.#context.now()));
  }

  /** An answer that the application already has broke off or stalled: nothing is repeated, but it counts. */
  broken(lease: Lease, evidence: string): void {
    void lease;
    void evidence;
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

  /** The caller went away: no further attempt, no blame. */
  aborted(lease: Lease): void {
    lease.report(ABORTED);
    lease.end();
  }

  #leaseOrRefusal(result: Lease | Shut): Lease | Refusal {
    if (result instanceof Lease) {
      this.#attempts += 1;
      return result;
    }
    return this.#refuse(result);
  }

  #conclude(lease: Lease, outcome: Outcome): MaybePromise<Step> {
    lease.report(outcome);
    if (outcome.kind === 'success' || outcome.kind === 'bad-request' || outcome.kind === 'aborted')
      return DELIVER;
    if (!this.#mayRepeat(outcome)) return DELIVER;
    const isTrouble = !REFUSED_BEFORE_PROCESSING.has(outcome.kind);
    if (isTrouble) this.#troubles += 1;
    // A key that rests is passed over by itself; one that merely lacks this route must be remembered.
    else if (outcome.scope === 'route') this.#excluded.add(lease.member);
    const next = isTrouble ? this.#acquireElsewhere(lease.member) : this.#acquire(this.#excluded);
    return next instanceof Promise
      ? next.then((settled) => this.#goOn(lease, outcome, settled))
      : this.#goOn(lease, outcome, next);
  }

  #goOn(lease: Lease, outcome: Outcome, next: Lease | Shut): Step {
    if (!(next instanceof Lease)) return this.#giveUp(outcome, next);
    if (this.#facts.signal?.aborted === true) {
      next.cancel();
      return DELIVER;
    }
    this.#attempts += 1;
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
  #giveUp(outcome: Outcome, shut: Shut): Step {
    if (outcome.kind === 'restricted') return DELIVER;
    const refusal = this.#refuse(shut);
    if (outcome.kind === 'rejected' && refusal.status === 429) return { do: 'refuse', refusal };
    return { do: 'deliver', headers: refusal.headers };
  }

  #refuse(shut: Shut): Refusal {
    const now = this.#context.now();
    const refusal = refusalFor(this.#pool, shut, now);
    this.#context.events.emit('exhausted', {
      service: this.#pool.service,
      ...(refusal.retryAt === undefined ? {} : { retryAt: refusal.retryAt }),
      at: now,
    });
    return refusal;
  }

  #acquire(excluded: ReadonlySet<Member>): MaybePromise<Lease | Shut> {
    const now = this.#context.now();
    const { maxWaitMs = 0, deadlineMs = 0 } = this.#policy ?? {};
    const facts = this.#facts;
    return this.#pool.acquire({
      excluded,
      waitUntil: Math.min(now + maxWaitMs, this.#startedAt + deadlineMs),
      // Only who has to wait looks at it, and an adapter may have to make one.
      get signal() {
        return facts.signal;
      },
    });
  }

  /** After a provider's trouble another key is preferred, but the same one will do. */
  #acquireElsewhere(member: Member): MaybePromise<Lease | Shut> {
    const elsewhere = this.#pool.tryAcquire(new Set([...this.#excluded, member]));
    const orHere = (result: Lease | Shut): MaybePromise<Lease | Shut> =>
      result instanceof Lease ? result : this.#acquire(this.#excluded);
    return elsewhere instanceof Promise ? elsewhere.then(orHere) : orHere(elsewhere);
  }

  #mayRepeat(outcome: Outcome): boolean {
    const policy = this.#policy;
    if (policy === undefined || this.#attempts >= policy.maxAttempts) return false;
    if (this.#context.now() >= this.#startedAt + policy.deadlineMs) return false;
    if (this.#facts.signal?.aborted === true || !this.#facts.canReplay()) return false;
    if (REFUSED_BEFORE_PROCESSING.has(outcome.kind)) return outcome.scope !== 'request';
    if (this.#troubles >= TROUBLE_REPETITIONS || this.#statedWaitMs(outcome) > policy.maxWaitMs) return false;
    return outcome.executed === 'no' || this.#isRepeatable(policy);
  }

  #isRepeatable(policy: RetryPolicy): boolean {
    const { method, path, hasIdempotencyKey } = this.#facts;
    if (SAFE_METHODS.has(method) || hasIdempotencyKey) return true;
    const [pathname] = path.split('?', 1);
    const route = `${method} ${pathname}`;
    return policy.repeatable.some((pattern) =>
      pattern.endsWith('*') ? route.startsWith(pattern.slice(0, -1)) : route === pattern,
    );
  }
}
