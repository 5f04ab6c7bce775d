import type { MaybePromise } from '../core/ports.js';
import type { Obstacle, Standing, Strategy } from '../core/select.js';
import { obstacleOf, slowStartObstacle, strategies } from '../core/select.js';
import type { ResponseHead } from '../providers/response-head.js';
import type { Withheld } from '../state/allowances.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import type { DecisionNote, View } from './decision-note.js';
import { healthScore } from './health-score.js';
import { learnFrom } from './learnt-limits.js';
import type { LearningContext } from './learnt-limits.js';
import { Lease } from './lease.js';
import type { LeaseOwner } from './lease.js';
import type { Member, MemberContender } from './members.js';
import { standingOf } from './members.js';
import type { Owners } from './owners.js';
import type { Permit, PermitSource, Shortage } from './permits.js';
import { isShortage } from './permits.js';
import { leavePlace, takeLastResortPlace, takePlace } from './places.js';
import type { Testimony } from './testimony.js';
import { seenVersions } from './verdicts.js';
import { WaitingRoom } from './waiting-room.js';

/** No key can be had now. */
export interface Shut {
  /** The soonest moment at which one may be; absent where no time helps. */
  readonly retryAt?: number;
  /** True where requests under way, not time, decide (slow start). */
  readonly busy: boolean;
}

export interface AcquireOptions {
  /** Members that this request already met. */
  readonly excluded: ReadonlySet<Member>;
  /** Until when to wait, in epoch milliseconds. */
  readonly waitUntil: number;
  /** Its signal ends the waiting. Only looked at where there is something to wait for: it may have to be made. */
  readonly caller?: { readonly signal?: AbortSignal | undefined };
  /** Told what stood when the key was selected. */
  readonly note?: DecisionNote | undefined;
}

export interface PoolContext extends LeaseOwner {
  readonly table: StateTable;
  readonly permits: PermitSource;
  readonly owners: Pick<Owners, 'learn'>;
  readonly testimony: Testimony;
  readonly random: () => number;
  /** A lease went out; `recordEnd` says when it is over. */
  leaseOut(): void;
  /** A bucket ran out of permits. */
  onShortage(member: Member, retryAt: number): void;
  /** The table has changed. */
  onGeneration(): void;
  /** An open deadline ends at this moment; cached choices are stale then. */
  expireAt(at: number): void;
}

/** How long a bucket that ran dry is left alone before the store is asked again: others may have given back. */
const SHORTAGE_RECHECK_MS = 2_000;
/** While requests of other threads hold a key's slow start, no event of ours tells when they are answered. */
const BUSY_RECHECK_MS = 25;

const NO_VIEW: View = { contenders: [], standings: [], strategy: strategies.priority, failoverThreshold: 0 };

/** The keys that can serve one service, and the choice among them. */
export class Pool {
  readonly service: string;
  readonly room: WaitingRoom;
  readonly #context: PoolContext;
  readonly #learning: LearningContext;
  #contenders: readonly MemberContender[] = [];
  #strategy: Strategy = strategies.priority;
  #failoverThreshold = 0;
  #isClosed = false;
  #eligible: MemberContender[] = [];
  /** What was chosen among, until something changes; made anew then, never altered. */
  #view: View = NO_VIEW;
  #generation = -1;
  /** The soonest deadline: of a rest, or of a key that expires. */
  #changesAt = Number.POSITIVE_INFINITY;
  /** When the permits of a bucket (by its row) are expected back; the table only says when to look again. */
  readonly #shortages = new Map<number, number>();

  constructor(service: string, context: PoolContext) {
    this.service = service;
    this.room = new WaitingRoom(() => context.now());
    this.#context = context;
    this.#learning = {
      ...context,
      onShortage: (member, retryAt) => this.learnShortage(member, retryAt),
    };
  }

  get contenders(): readonly MemberContender[] {
    return this.#contenders;
  }

  /** Takes up a new configuration; those that wait go on waiting, now for these keys. */
  adopt(contenders: readonly MemberContender[], strategy: Strategy, failoverThreshold: number): void {
    this.#contenders = contenders;
    this.#failoverThreshold = failoverThreshold;
    this.#strategy = strategy;
    this.#generation = -1;
    this.room.wakeOne();
  }

  /** Nobody waits here any more. */
  close(): void {
    this.#isClosed = true;
    this.room.wakeAll();
  }

  /** The key for the next request, without spending anything; undefined while every key is out. */
  best(): Member | undefined {
    const { table } = this.#context;
    if (this.#generation !== table.generation) this.#refresh(this.#context.now());
    return this.#pick(this.#eligible)?.member;
  }

  /** What `best` would give, without taking a turn: looking changes nothing. */
  next(): Member | undefined {
    const rotations = this.#contenders.map(({ rotation }) => ({ rotation, before: { ...rotation } }));
    const member = this.best();
    for (const { rotation, before } of rotations) Object.assign(rotation, before);
    return member;
  }

  /** The key that returns first, for callers that must have an answer; never one that has expired. */
  leastBad(): Member | undefined {
    const now = this.#context.now();
    let best: Member | undefined;
    let bestUntil = Number.POSITIVE_INFINITY;
    for (const { member } of this.#contenders) {
      const obstacle = obstacleOf(standingOf(member, this.#context.table), now);
      if (obstacle?.kind === 'expired') continue;
      const until = obstacle === undefined ? now : (obstacle.until ?? Number.MAX_VALUE);
      if (until < bestUntil) [best, bestUntil] = [member, until];
    }
    return best;
  }

  /** A lease on the best key, at once or within `waitUntil`; otherwise why not. */
  acquire(options: AcquireOptions, now = this.#context.now()): MaybePromise<Lease | Shut> {
    const isQueue = this.room.size > 0 && this.room.nextTryAt <= options.waitUntil;
    if (isQueue && options.caller?.signal?.aborted !== true) return this.#wait(options);
    const first = this.tryAcquire(options.excluded, now, options.note);
    if (first instanceof Promise) return first.then((result) => this.#waitUnlessServed(result, options));
    return this.#waitUnlessServed(first, options);
  }

  tryAcquire(
    excluded: ReadonlySet<Member>,
    now = this.#context.now(),
    note?: DecisionNote,
  ): MaybePromise<Lease | Shut> {
    this.#refresh(now);
    note?.look(this.#view, excluded, this.#context.table, now);
    const candidates =
      excluded.size === 0
        ? this.#eligible
        : this.#eligible.filter((contender) => !excluded.has(contender.member));
    return this.#tryOneOf(candidates, excluded, now, note);
  }

  #waitUnlessServed(result: Lease | Shut, options: AcquireOptions): MaybePromise<Lease | Shut> {
    if (result instanceof Lease) return result;
    if (!this.#worthWaiting(result, options)) return result;
    return this.#wait(options, result);
  }

  #worthWaiting(shut: Shut, options: AcquireOptions): boolean {
    if (this.#isClosed || options.caller?.signal?.aborted === true) return false;
    const now = this.#context.now();
    if (now >= options.waitUntil) return false;
    return shut.busy || (shut.retryAt !== undefined && shut.retryAt <= options.waitUntil);
  }

  async #wait(options: AcquireOptions, shut?: Shut): Promise<Lease | Shut> {
    const { waitUntil: deadline, excluded } = options;
    const signal = options.caller?.signal;
    const ticket = this.room.ticket();
    for (let known = shut; ;) {
      const now = this.#context.now();
      const returnsAt = known?.busy === true ? undefined : known?.retryAt;
      const tryAt = returnsAt ?? now + BUSY_RECHECK_MS;
      await this.room.wait({ ticket, tryAt, deadline, takesAny: excluded.size === 0 }, signal);
      const result = await this.tryAcquire(excluded, this.#context.now(), options.note);
      if (result instanceof Lease) {
        this.room.wakeOne();
        return result;
      }
      if (!this.#worthWaiting(result, options)) return result;
      known = result;
    }
  }

  #refresh(now: number): void {
    const { table } = this.#context;
    const generation = table.generation;
    if (this.#generation === generation && now < this.#changesAt) return;
    if (this.#generation !== generation) this.#context.onGeneration();
    let changesAt = Number.POSITIVE_INFINITY;
    const standings: Standing[] = [];
    this.#eligible = this.#contenders.filter(({ member }) => {
      const standing = standingOf(member, table);
      standings.push(standing);
      const obstacle = obstacleOf(standing, now);
      const { expiresAt } = standing;
      if (expiresAt !== undefined && now < expiresAt) changesAt = Math.min(changesAt, expiresAt);
      if (obstacle?.until !== undefined) changesAt = Math.min(changesAt, obstacle.until);
      return obstacle === undefined;
    });
    this.#view = {
      contenders: this.#contenders,
      standings,
      strategy: this.#strategy,
      failoverThreshold: this.#failoverThreshold,
    };
    this.#generation = generation;
    this.#changesAt = changesAt;
    if (changesAt !== Number.POSITIVE_INFINITY) this.#context.expireAt(changesAt);
  }

  #pick(contenders: readonly MemberContender[]): MemberContender | undefined {
    if (contenders.length <= 1) return contenders[0];
    const preferred = this.#failoverThreshold === 0 ? contenders : this.#healthyOf(contenders);
    return preferred[this.#strategy(preferred, this.#context.random)];
  }

  /** Those whose provider does well enough; all, where none does. */
  #healthyOf(contenders: readonly MemberContender[]): readonly MemberContender[] {
    const { table } = this.#context;
    const now = this.#context.now();
    const healthy = contenders.filter(
      ({ member }) => healthScore(table, member.rows.provider, now) >= this.#failoverThreshold,
    );
    return healthy.length === 0 ? contenders : healthy;
  }

  #tryOneOf(
    candidates: readonly MemberContender[],
    excluded: ReadonlySet<Member>,
    now: number,
    note: DecisionNote | undefined,
  ): MaybePromise<Lease | Shut> {
    const { table } = this.#context;
    let rest = candidates;
    let busy = false;
    for (;;) {
      const chosen = this.#pick(rest);
      if (chosen === undefined)
        return this.#lastResort(excluded, now, note) ?? this.#shutAs(excluded, busy, now, note);
      const { member } = chosen;
      if (!takePlace(member, table, now)) {
        busy = true;
        note?.missed(member, 'busy', table);
        rest = rest.filter((candidate) => candidate !== chosen);
        continue;
      }
      const granted = table.allowances.take(member.rows.bucket, now);
      if (typeof granted === 'object') {
        busy = this.#withhold(member, granted) || busy;
        note?.missed(member, granted.until === undefined ? 'busy' : 'no-permits', table, granted.until);
        rest = ofOtherBuckets(rest, member);
        continue;
      }
      const lease = this.#leaseOf(member, now, granted, note);
      if (lease instanceof Lease) return lease;
      const others = ofOtherBuckets(rest, member);
      if (lease !== undefined) {
        return lease.then(
          (taken) => this.#unlessOut(taken, note) ?? this.#tryOneOf(others, excluded, now, note),
        );
      }
      rest = others;
    }
  }

  /** Leaves the place of a request that the provider would only refuse; whether an answer under way will tell more. */
  #withhold(member: Member, { until }: Withheld): boolean {
    leavePlace(member, this.#context.table);
    if (until !== undefined) this.learnShortage(member, until);
    return until === undefined;
  }

  /** The lease, unless its key was taken out of use while the permit was under way. */
  #unlessOut(lease: Lease | undefined, note: DecisionNote | undefined): Lease | undefined {
    if (lease === undefined) return undefined;
    const obstacle = obstacleOf(standingOf(lease.member, this.#context.table), this.#context.now());
    if (obstacle === undefined || obstacle.kind === 'no-permits') return lease;
    lease.cancel();
    note?.withdraw(lease.member, this.#context.table);
    return undefined;
  }

  #shutAs(excluded: ReadonlySet<Member>, busy: boolean, now: number, note: DecisionNote | undefined): Shut {
    const shut = this.shut(excluded, busy, now);
    if (note !== undefined) note.retryAt = shut.retryAt;
    return shut;
  }

  #lastResort(
    excluded: ReadonlySet<Member>,
    now: number,
    note: DecisionNote | undefined,
  ): MaybePromise<Lease | Shut> | undefined {
    const found = this.#contenders.find(
      ({ member }) => !excluded.has(member) && takeLastResortPlace(member, this.#context.table, now),
    );
    if (found === undefined) return undefined;
    const lease = this.#leaseOf(found.member, now, undefined, note);
    if (!(lease instanceof Promise)) return lease;
    return lease.then((taken) => taken ?? this.#shutAs(excluded, false, now, note));
  }

  /** A lease for a member in which this request has a place; undefined, and the place left, where permits are out. */
  #leaseOf(
    member: Member,
    now: number,
    granted: number | undefined,
    note: DecisionNote | undefined,
  ): MaybePromise<Lease | undefined> {
    try {
      const permit = this.#context.permits.take(member.bucket, now);
      if (!(permit instanceof Promise)) return this.#leaseWith(member, permit, now, granted, note);
      return permit.then(
        (taken) => this.#leaseWith(member, taken, this.#context.now(), granted, note),
        (error: unknown) => this.#leaveAndThrow(member, granted, error),
      );
    } catch (error) {
      return this.#leaveAndThrow(member, granted, error);
    }
  }

  #leaveAndThrow(member: Member, granted: number | undefined, error: unknown): never {
    this.#leave(member, granted);
    throw error;
  }

  #leave(member: Member, granted: number | undefined): void {
    const { table } = this.#context;
    leavePlace(member, table);
    if (granted !== undefined) table.allowances.giveBack(member.rows.bucket, this.#context.now());
  }

  #leaseWith(
    member: Member,
    taken: Permit | Shortage,
    now: number,
    granted: number | undefined,
    note: DecisionNote | undefined,
  ): Lease | undefined {
    const { table } = this.#context;
    if (isShortage(taken)) {
      this.#leave(member, granted);
      note?.missed(member, 'no-permits', table, taken.retryAt);
      this.#context.testimony.ranOut(member, { seen: 'here', at: now, source: 'counted' });
      this.#noteShortage(member, taken.retryAt, now + SHORTAGE_RECHECK_MS);
      return undefined;
    }
    if (this.#shortages.size > 0) this.#shortages.delete(member.rows.bucket);
    table.add(member.rows.key, COUNTER.uses, 1);
    table.add(member.rows.key, COUNTER.inFlight, 1);
    this.#context.leaseOut();
    const { service } = this;
    const permit = granted === undefined ? taken : { ...taken, giveBack: () => this.#uncount(member, taken) };
    const seen = seenVersions(member, table);
    const renew = (at: number): MaybePromise<Permit | Shortage> =>
      this.#context.permits.take(member.bucket, at);
    if (note !== undefined) note.chosen = member.keyId;
    const decision = note;
    return new Lease(this.#context, {
      service,
      member,
      permit,
      renew,
      seen,
      startedAt: now,
      granted,
      decision,
    });
  }

  #uncount(member: Member, permit: Permit): void {
    permit.giveBack();
    this.#context.table.allowances.giveBack(member.rows.bucket, this.#context.now());
  }

  /** Takes up what the head of an answer tells of its key. Call it for every answer, before its outcome is reported. */
  learn(lease: Lease, head: ResponseHead): void {
    learnFrom(lease, head, this.#learning);
  }

  /** A provider said that the bucket's allowance is spent until then: nothing is sent that would only be refused. */
  learnShortage(member: Member, retryAt: number): void {
    if (retryAt <= this.#context.table.blockedUntil(member.rows.bucket)) return;
    this.#context.testimony.ranOut(member, { seen: 'here', at: this.#context.now(), source: 'stated' });
    this.#noteShortage(member, retryAt, retryAt);
  }

  #noteShortage(member: Member, retryAt: number, lookAgainAt: number): void {
    const { table } = this.#context;
    table.setBlockedUntil(member.rows.bucket, Math.min(retryAt, lookAgainAt));
    table.bumpGeneration();
    this.#shortages.set(member.rows.bucket, retryAt);
    this.#context.onShortage(member, retryAt);
  }

  /** When the first key that is not excluded returns. */
  shut(excluded: ReadonlySet<Member>, busy: boolean, now: number): Shut {
    const times = this.#contenders
      .filter(({ member }) => !excluded.has(member))
      .map(({ member }) => this.#returnOf(member, now))
      .filter((until) => until !== undefined);
    return times.length === 0 ? { busy } : { busy, retryAt: Math.min(...times) };
  }

  #returnOf(member: Member, now: number): number | undefined {
    const obstacle = obstacleOf(standingOf(member, this.#context.table), now);
    if (obstacle !== undefined && obstacle.kind !== 'no-permits') return obstacle.until;
    const permitsAt = this.#shortages.get(member.rows.bucket);
    return permitsAt === undefined ? obstacle?.until : Math.max(permitsAt, now + 1);
  }

  /** Every member with what stands in its way, for `explain`. */
  obstacles(now: number): { contender: MemberContender; obstacle: Obstacle | undefined }[] {
    const { table } = this.#context;
    return this.#contenders.map((contender) => {
      const standing = standingOf(contender.member, table);
      return { contender, obstacle: obstacleOf(standing, now) ?? slowStartObstacle(standing, now) };
    });
  }
}

/** Keys of one bucket are out together. */
function ofOtherBuckets(candidates: readonly MemberContender[], { rows }: Member): MemberContender[] {
  return candidates.filter(({ member }) => member.rows.bucket !== rows.bucket);
}
