import { nextPermitAt, permitsLeft } from '../core/quota.js';
import type { Charge } from '../core/quota.js';
import type { Census, Fence, Fleet, Presence } from '../core/fleet.js';
import type {
  Charged,
  HealthRecord,
  LeaseGrant,
  LeaseRequest,
  Settlement,
  Store,
  StoredState,
  StoreOptions,
  UsageDelta,
  UsageTotal,
} from '../core/ports.js';
import {
  FORGOTTEN_AFTER_MS,
  MANY_CHARGES,
  boundedCountedAt,
  compactCharges,
  horizonMs,
  rememberedUntil,
} from './charges.js';
import { mergeRecords } from './records.js';
import { EMPTY_ROLL, afterBeat, afterLeave, checkFence, fleetOf, leadership, present } from './roll-call.js';
import type { Roll } from './roll-call.js';
import {
  checkCaution,
  checkCharge,
  checkLease,
  checkPresence,
  checkRecord,
  checkSettlement,
  checkUsage,
  closedError,
  notOpenError,
} from './requests.js';

interface HeldCharge extends Charge {
  /** Later than this moment by `FORGOTTEN_AFTER_MS` nobody will settle it any more. */
  readonly heldUntil: number;
}

interface Bucket {
  readonly leases: Map<string, HeldCharge>;
  settled: Charge[];
  /** Charges that were told without a lease, and until when telling them again changes nothing. */
  readonly told: Map<string, number>;
  cautiousUntil: number;
  /** The longest that any request needed to look back. */
  horizonMs: number;
}

/** A store for one process: state ends with it. Also the model that the other stores are measured against. */
export function createMemoryStore(options: StoreOptions): Store {
  return new MemoryStore(options);
}

class MemoryStore implements Store {
  readonly kind = 'memory';
  readonly shared = false;
  readonly now: () => number;
  #phase: 'new' | 'open' | 'closed' = 'new';
  #nextLease = 1;
  readonly #records = new Map<string, HealthRecord>();
  readonly #usage = new Map<string, UsageTotal>();
  readonly #buckets = new Map<string, Bucket>();
  #roll: Roll = EMPTY_ROLL;

  constructor(options: StoreOptions) {
    this.now = options.now;
  }

  open(): StoredState {
    if (this.#phase === 'closed') throw closedError();
    this.#phase = 'open';
    return { records: [...this.#records.values()], usage: [...this.#usage.values()] };
  }

  publish(records: readonly HealthRecord[], fence?: Fence): readonly HealthRecord[] {
    this.#requireOpen();
    records.forEach(checkRecord);
    if (fence !== undefined) checkFence(this.#roll, fence, this.now());
    return records.map((record) => {
      const stored = this.#records.get(record.subject);
      const merged = stored === undefined ? record : mergeRecords(stored, record);
      this.#records.set(record.subject, merged);
      return merged;
    });
  }

  watch(): () => void {
    this.#requireOpen();
    return () => {};
  }

  lease(request: LeaseRequest): LeaseGrant {
    this.#requireOpen();
    checkLease(request);
    const now = this.now();
    const { windows, want, ttlMs, slackMs } = request;
    const bucket = this.#tidyBucket(request, now);
    const charges = [...bucket.leases.values(), ...bucket.settled];
    const leftBefore = windows.map((window) => permitsLeft([window], charges, now));
    const left = Math.min(Number.POSITIVE_INFINITY, ...leftBefore);
    const isCautious = bucket.cautiousUntil > now;
    const granted = isCautious ? 0 : Math.min(want, left);
    const validUntil = now + ttlMs;
    const grant = {
      granted,
      validUntil,
      left: left - granted,
      leftInWindows: leftBefore.map((permits) => permits - granted),
      cautiousUntil: isCautious ? bucket.cautiousUntil : 0,
    };
    if (granted === 0) {
      const retryAt = Math.max(grant.cautiousUntil, nextPermitAt(windows, charges, now));
      return { ...grant, leaseId: '', retryAt };
    }
    const leaseId = String(this.#nextLease++);
    const countedAt = validUntil + slackMs;
    bucket.leases.set(leaseId, { permits: granted, countedAt, heldUntil: countedAt });
    return { ...grant, leaseId, retryAt: now };
  }

  settle(settlements: readonly Settlement[]): void {
    this.#requireOpen();
    settlements.forEach(checkSettlement);
    for (const settlement of settlements) this.#settleOne(settlement);
  }

  addUsage(deltas: readonly UsageDelta[]): void {
    this.#requireOpen();
    deltas.forEach(checkUsage);
    for (const delta of deltas) {
      const total = this.#usage.get(delta.subject);
      this.#usage.set(delta.subject, {
        subject: delta.subject,
        requests: delta.requests + (total?.requests ?? 0),
        failures: delta.failures + (total?.failures ?? 0),
        costUsd: delta.costUsd + (total?.costUsd ?? 0),
        lastUsedAt: this.now(),
      });
    }
  }

  usage(): readonly UsageTotal[] {
    this.#requireOpen();
    return [...this.#usage.values()];
  }

  charge(charges: readonly Charged[], { cautionMs }: { readonly cautionMs: number }): void {
    this.#requireOpen();
    charges.forEach(checkCharge);
    checkCaution(cautionMs);
    const now = this.now();
    for (const charge of charges) this.#chargeOne(charge, cautionMs, now);
  }

  beat(presence: Presence): Fleet {
    this.#requireOpen();
    checkPresence(presence);
    const now = this.now();
    this.#roll = afterBeat(this.#roll, presence, now);
    return fleetOf(this.#roll, presence, now);
  }

  leave(memberId: string): void {
    this.#requireOpen();
    this.#roll = afterLeave(this.#roll, memberId);
  }

  census(): Census {
    this.#requireOpen();
    const at = this.now();
    const roll = present(this.#roll, at);
    return {
      at,
      members: roll.members.map(({ memberId, host, pid, startedAt, seenAt }) => ({
        memberId,
        host,
        pid,
        startedAt,
        seenAt,
        behind: 0,
      })),
      leaders: roll.leaders.map((leader) => ({ group: leader.group, ...leadership(roll, leader) })),
      leases: this.#openLeases(at),
    };
  }

  close(): void {
    this.#phase = 'closed';
  }

  #requireOpen(): void {
    if (this.#phase === 'closed') throw closedError();
    if (this.#phase === 'new') throw notOpenError();
  }

  #settleOne({ bucket: name, leaseId, spent, countedAt, returned }: Settlement): void {
    const bucket = this.#buckets.get(name);
    const lease = bucket?.leases.get(leaseId);
    if (bucket === undefined || lease === undefined) return;
    const charged = Math.min(spent, lease.permits);
    const rest = Math.max(0, lease.permits - charged - returned);
    if (charged > 0) {
      bucket.settled.push({ permits: charged, countedAt: Math.min(lease.countedAt, countedAt) });
    }
    if (rest > 0) bucket.leases.set(leaseId, { ...lease, permits: rest });
    else bucket.leases.delete(leaseId);
  }

  #chargeOne(charge: Charged, cautionMs: number, now: number): void {
    const { leaseId, permits } = charge;
    const bucket = this.#tidyBucket(charge, now);
    bucket.cautiousUntil = Math.max(bucket.cautiousUntil, now + cautionMs);
    if (permits === 0 || bucket.told.has(leaseId)) return;
    bucket.told.set(leaseId, rememberedUntil(charge, now));
    const countedAt = boundedCountedAt(charge.countedAt, now);
    bucket.leases.set(leaseId, { permits, countedAt, heldUntil: Math.max(now, countedAt) });
  }

  #openLeases(now: number): Census['leases'] {
    return [...this.#buckets].flatMap(([bucket, { leases }]) => {
      const open = [...leases.values()].filter(({ countedAt }) => countedAt >= now);
      const permits = open.reduce((sum, lease) => sum + lease.permits, 0);
      return open.length === 0 ? [] : [{ bucket, permits, leases: open.length }];
    });
  }

  #tidyBucket(request: Pick<LeaseRequest, 'bucket' | 'windows'>, now: number): Bucket {
    let bucket = this.#buckets.get(request.bucket);
    if (bucket === undefined) {
      bucket = { leases: new Map(), settled: [], told: new Map(), cautiousUntil: 0, horizonMs: 0 };
      this.#buckets.set(request.bucket, bucket);
    }
    for (const [leaseId, until] of bucket.told) if (until < now) bucket.told.delete(leaseId);
    bucket.horizonMs = Math.max(bucket.horizonMs, horizonMs(request.windows));
    for (const [leaseId, lease] of bucket.leases) {
      if (lease.heldUntil >= now - FORGOTTEN_AFTER_MS) continue;
      bucket.leases.delete(leaseId);
      bucket.settled.push(lease);
    }
    if (bucket.settled.length > MANY_CHARGES) {
      const oldest = now - bucket.horizonMs;
      const recent = bucket.settled.filter((charge) => charge.countedAt >= oldest);
      bucket.settled = request.windows.length === 0 ? recent : compactCharges(request.windows, recent, now);
    }
    return bucket;
  }
}
