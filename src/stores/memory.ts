import { nextPermitAt, permitsLeft } from '../core/quota.js';
import type { Charge } from '../core/quota.js';
import type { Census, Fleet, Presence } from '../core/fleet.js';
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
import { FORGOTTEN_AFTER_MS, MANY_CHARGES, compactCharges, horizonMs } from './charges.js';
import { mergeRecords } from './records.js';
import {
  checkLease,
  checkRecord,
  checkSettlement,
  checkUsage,
  closedError,
  notOpenError,
} from './requests.js';

interface Bucket {
  readonly leases: Map<string, Charge>;
  settled: Charge[];
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

  constructor(options: StoreOptions) {
    this.now = options.now;
  }

  open(): StoredState {
    if (this.#phase === 'closed') throw closedError();
    this.#phase = 'open';
    return { records: [...this.#records.values()], usage: [...this.#usage.values()] };
  }

  publish(records: readonly HealthRecord[]): readonly HealthRecord[] {
    this.#requireOpen();
    records.forEach(checkRecord);
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
    const left = permitsLeft(windows, charges, now);
    const granted = Math.min(want, left);
    const validUntil = now + ttlMs;
    if (granted === 0) {
      return {
        leaseId: '',
        granted,
        validUntil,
        left,
        leftInWindows: [],
        retryAt: nextPermitAt(windows, charges, now),
        cautiousUntil: 0,
      };
    }
    const leaseId = String(this.#nextLease++);
    bucket.leases.set(leaseId, { permits: granted, countedAt: validUntil + slackMs });
    return {
      leaseId,
      granted,
      validUntil,
      left: left - granted,
      leftInWindows: [],
      retryAt: now,
      cautiousUntil: 0,
    };
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

  charge(_charges: readonly Charged[]): void {
    this.#requireOpen();
  }

  beat(_presence: Presence): Fleet {
    return { size: 1, rank: 0, reunionUntil: 0 };
  }

  leave(_memberId: string): void {}

  census(): Census {
    return { at: this.now(), members: [], leaders: [], leases: [] };
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
    if (rest > 0) bucket.leases.set(leaseId, { permits: rest, countedAt: lease.countedAt });
    else bucket.leases.delete(leaseId);
  }

  #tidyBucket(request: LeaseRequest, now: number): Bucket {
    let bucket = this.#buckets.get(request.bucket);
    if (bucket === undefined) {
      bucket = { leases: new Map(), settled: [], horizonMs: 0 };
      this.#buckets.set(request.bucket, bucket);
    }
    bucket.horizonMs = Math.max(bucket.horizonMs, horizonMs(request.windows));
    for (const [leaseId, lease] of bucket.leases) {
      if (lease.countedAt >= now - FORGOTTEN_AFTER_MS) continue;
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
