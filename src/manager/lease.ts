import { KeymuxError } from '../core/errors.js';
import type { Outcome } from '../core/outcome.js';
import { ABORTED } from '../core/outcome.js';
import type { Clock, MaybePromise } from '../core/ports.js';
import type { DecisionNote } from './decision-note.js';
import type { Member } from './members.js';
import type { Permit, Shortage } from './permits.js';
import { UNLIMITED, isShortage } from './permits.js';

/** Versions of health under which a request set out; an answer under an older one is late. */
export interface SeenVersions {
  readonly key: number;
  readonly bucket: number;
  readonly provider: number;
}

/** What a lease is made of. */
export interface Grant {
  readonly service: string;
  readonly member: Member;
  readonly permit: Permit;
  /** Another permit of the same bucket. */
  readonly renew?: (now: number) => MaybePromise<Permit | Shortage>;
  readonly seen: SeenVersions;
  readonly startedAt: number;
  /** Its number among the requests of its bucket; undefined where the provider states no allowance. */
  readonly granted: number | undefined;
  readonly decision?: DecisionNote | undefined;
}

export interface LeaseOwner {
  readonly now: Clock;
  /** Records the outcome; called once per lease. */
  recordOutcome(lease: Lease, outcome: Outcome, latencyMs: number): void;
  /** The request and its answer are over. */
  recordEnd(lease: Lease): void;
}

/**
 * Permission to use one key for one request. Report its outcome once; with `await using`, a lease that was never
 * reported ends as `aborted`, which speaks neither for nor against the key.
 */
export class Lease implements AsyncDisposable, Disposable {
  /** `provider/id`. */
  readonly keyId: string;
  readonly provider: string;
  readonly baseUrl: string;
  readonly service: string;
  /** @internal */
  readonly member: Member;
  /** @internal */
  readonly seen: SeenVersions;
  readonly startedAt: number;
  /**
   * As in `Grant`.
   * @internal
   */
  readonly granted: number | undefined;
  /**
   * The request that it serves; absent where the program holds the lease itself.
   * @internal
   */
  request: { readonly requestId: string } | undefined;
  /**
   * Why this key was taken; absent where that is not remembered.
   * @internal
   */
  readonly decision: DecisionNote | undefined;
  readonly #owner: LeaseOwner;
  readonly #renew: Grant['renew'];
  #permit: Permit;
  #reported = false;
  #ended = false;
  #left = false;

  /** @internal */
  constructor(owner: LeaseOwner, grant: Grant) {
    const { service, member, permit, renew, seen, startedAt, granted } = grant;
    this.#owner = owner;
    this.#renew = renew;
    this.#permit = permit;
    this.service = service;
    this.member = member;
    this.keyId = member.keyId;
    this.provider = member.provider.id;
    this.baseUrl = member.provider.baseUrl;
    this.seen = seen;
    this.granted = granted;
    this.startedAt = startedAt;
    this.request = undefined;
    this.decision = grant.decision;
  }

  /**
   * The key itself. Throws `KEYMUX_LEASE_ENDED` after the lease ended, or where the request was kept from being sent for
   * so long (a process that was stopped) that its permit has run out, and no other one can be had at once.
   */
  get apiKey(): string {
    if (this.#ended) {
      throw new KeymuxError('KEYMUX_LEASE_ENDED', `The lease on ${this.keyId} has ended.`, {
        fix: 'Acquire a new lease for each request.',
      });
    }
    this.#renewIfLate();
    return this.member.credential.secret.reveal();
  }

  /** Its outcome was reported. */
  get reported(): boolean {
    return this.#reported;
  }

  /** The request went out to the provider. */
  sent(): void {
    this.#left = true;
    // Nearly every request has no limits to count, and need not know the time.
    if (!this.#reported && this.#permit !== UNLIMITED) this.#permit.sent(this.#owner.now());
  }

  /** Whoever asks for the key is about to send; a permit that ran out before may be counted by nobody. */
  #renewIfLate(): void {
    const { sendBefore } = this.#permit;
    if (sendBefore === undefined || this.#left || this.#reported) return;
    const now = this.#owner.now();
    if (now < sendBefore) return;
    this.#permit.giveBack();
    this.#permit = RAN_OUT;
    const taken = this.#renew?.(now);
    if (taken instanceof Promise) void taken.then(giveBack, () => {});
    else if (taken !== undefined && !isShortage(taken)) {
      this.#permit = taken;
      return;
    }
    throw new KeymuxError(
      'KEYMUX_LEASE_ENDED',
      `The lease on ${this.keyId} has run out before its request was sent.`,
      {
        fix: 'Send the request again: this one was kept back for too long, and nothing of it was sent.',
      },
    );
  }

  /** Says how the request ended. Only the first report counts. */
  report(outcome: Outcome): void {
    if (this.#reported) return;
    this.#reported = true;
    const now = this.#owner.now();
    if (outcome.kind === 'network' && outcome.executed === 'no' && !this.#left) this.#permit.giveBack();
    else this.#permit.settle(now);
    this.decision?.concluded(outcome, now - this.startedAt);
    this.#owner.recordOutcome(this, outcome, now - this.startedAt);
  }

  /** The request and its answer are over; what was not reported counts as `aborted`. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (!this.#reported) this.report(ABORTED);
    this.#owner.recordEnd(this);
  }

  /** Ends a lease whose request was never sent: its permit goes back. */
  cancel(): void {
    if (!this.#reported) {
      this.#reported = true;
      this.#permit.giveBack();
      this.decision?.concluded(ABORTED, 0);
      this.#owner.recordOutcome(this, ABORTED, 0);
    }
    this.end();
  }

  [Symbol.dispose](): void {
    this.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.end();
    return Promise.resolve();
  }
}

const RAN_OUT: Permit = { ...UNLIMITED, sendBefore: Number.NEGATIVE_INFINITY };

function giveBack(taken: Permit | Shortage): void {
  if (!isShortage(taken)) taken.giveBack();
}
