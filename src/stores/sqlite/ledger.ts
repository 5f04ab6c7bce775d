/** Permits: who holds which, and which are charged. Each method that changes any runs within one immediate transaction of its caller. */
import { randomBytes } from 'node:crypto';
import { nextPermitAt, windowStart } from '../../core/quota.js';
import type { Charge } from '../../core/quota.js';
import type { Census } from '../../core/fleet.js';
import type { Charged, LeaseGrant, LeaseRequest, Settlement } from '../../core/ports.js';
import {
  FORGOTTEN_AFTER_MS,
  MANY_CHARGES,
  boundedCountedAt,
  compactCharges,
  horizonMs,
  rememberedUntil,
} from '../charges.js';
import { LONGEST_CAUTION_MS, LONGEST_LEASE_MS } from '../requests.js';
import { asBytes, textOf } from './driver.js';
import type { Database, Query, Row, Statement } from './driver.js';

/** A bucket is tidied at the first grant of a member and after so many more. */
const TIDY_EVERY = 64;

/** A grant before it is made. */
type Prospect = Omit<LeaseGrant, 'leaseId' | 'retryAt'>;
type WindowsOfBucket = Pick<LeaseRequest, 'bucket' | 'windows'>;

export class Ledger {
  readonly #db: Database;
  readonly #member: string;
  /** Anew for each session, so that no lease is ever settled as another. */
  readonly #prefix: string;
  #nextLease = 1;
  readonly #tallies = new Map<number, Query>();
  readonly #grantsUntilTidy = new Map<string, number>();
  readonly #knownHorizons = new Map<string, number>();
  readonly #insertLease: Statement;
  readonly #leaseOf: Query;
  readonly #keepRest: Statement;
  readonly #dropLease: Statement;
  readonly #addCharge: Statement;
  readonly #tell: Statement;
  readonly #forgetTold: Statement;
  readonly #beCautious: Statement;
  readonly #open: Query;
  readonly #chargesOf: Query;
  readonly #leasesOf: Query;

  constructor(db: Database, member: string) {
    this.#db = db;
    this.#member = member;
    this.#prefix = randomBytes(6).toString('base64url');
    this.#insertLease = db.prepare('INSERT INTO lease VALUES (?, ?, ?, ?, ?, ?)');
    this.#leaseOf = db
      .prepare('SELECT permits, counted_at FROM lease WHERE bucket = ? AND lease_id = ?')
      .raw();
    this.#keepRest = db.prepare('UPDATE lease SET permits = ? WHERE bucket = ? AND lease_id = ?');
    this.#dropLease = db.prepare('DELETE FROM lease WHERE bucket = ? AND lease_id = ?');
    this.#addCharge = db.prepare(
      `INSERT INTO charge VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET permits = permits + excluded.permits`,
    );
    this.#tell = db.prepare('INSERT OR IGNORE INTO told VALUES (?, ?, ?)');
    this.#forgetTold = db.prepare('DELETE FROM told WHERE bucket = ? AND until < ?');
    this.#beCautious = db.prepare(
      `INSERT INTO bucket (bucket, horizon_ms, cautious_until) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET cautious_until = max(cautious_until, excluded.cautious_until),
         horizon_ms = max(horizon_ms, excluded.horizon_ms)`,
    );
    this.#chargesOf = db.prepare('SELECT permits, counted_at FROM charge WHERE bucket = ?').raw();
    this.#leasesOf = db.prepare('SELECT permits, counted_at FROM lease WHERE bucket = ?').raw();
    this.#open = db
      .prepare(
        `SELECT ${asBytes('bucket')}, sum(permits), count(*) FROM lease WHERE counted_at >= ? GROUP BY bucket`,
      )
      .raw();
  }

  lease(request: LeaseRequest, now: number): LeaseGrant {
    const prospect = this.#prospect(request, now);
    const { granted, validUntil } = prospect;
    if (granted === 0) return this.#refuse(request, prospect, now);
    const { bucket, slackMs } = request;
    const leaseId = `${this.#prefix}:${String(this.#nextLease++)}`;
    this.#insertLease.run(bucket, leaseId, this.#member, granted, validUntil + slackMs, now);
    this.#tidy(request, now);
    return { ...prospect, leaseId, retryAt: now };
  }

  /** What `lease` answers where it grants nothing, by reading alone: no transaction is needed. Otherwise undefined. */
  refusal(request: LeaseRequest, now: number): LeaseGrant | undefined {
    const prospect = this.#prospect(request, now);
    return prospect.granted === 0 ? this.#refuse(request, prospect, now) : undefined;
  }

  charge(charges: readonly Charged[], cautionMs: number, now: number): void {
    for (const charge of charges) {
      const { bucket, windows, leaseId, permits, countedAt } = charge;
      this.#beCautious.run(bucket, horizonMs(windows), now + cautionMs);
      this.#forgetTold.run(bucket, now);
      if (permits === 0) continue;
      if (this.#tell.run(bucket, leaseId, rememberedUntil(charge, now)).changes === 0) continue;
      this.#insertLease.run(bucket, leaseId, this.#member, permits, boundedCountedAt(countedAt, now), now);
    }
  }

  /** Leases that may still be spent, or under way. */
  openLeases(now: number): Census['leases'] {
    return this.#open.all(now).flatMap(([name, permits, leases]) => {
      const bucket = textOf(name);
      return bucket === undefined ? [] : [{ bucket, permits: Number(permits), leases: Number(leases) }];
    });
  }

  settle(settlements: readonly Settlement[]): void {
    for (const { bucket, leaseId, spent, countedAt, returned } of settlements) {
      const lease = this.#leaseOf.get(bucket, leaseId);
      if (lease === undefined) continue;
      const permits = Number(lease[0]);
      const charged = Math.min(spent, permits);
      const rest = Math.max(0, permits - charged - returned);
      if (charged > 0) this.#addCharge.run(bucket, Math.min(Number(lease[1]), countedAt), charged);
      if (rest > 0) this.#keepRest.run(rest, bucket, leaseId);
      else this.#dropLease.run(bucket, leaseId);
    }
  }

  /**
   * Charges that no lease can have brought about were dated by a clock that was wrong, or damaged. They count from
   * now on, instead of blocking their bucket until that day.
   */
  bringBackFromFuture(now: number): void {
    const beyond = now + 2 * LONGEST_LEASE_MS;
    this.#db
      .prepare('UPDATE lease SET counted_at = ?1, granted_at = min(granted_at, ?1) WHERE counted_at > ?2')
      .run(now, beyond);
    this.#db
      .prepare(
        `INSERT INTO charge SELECT bucket, ?, sum(permits) FROM charge WHERE counted_at > ? GROUP BY bucket
         ON CONFLICT DO UPDATE SET permits = permits + excluded.permits`,
      )
      .run(now, beyond);
    this.#db.prepare('DELETE FROM charge WHERE counted_at > ?').run(beyond);
    this.#db.prepare('DELETE FROM told WHERE until > ?').run(beyond);
    this.#db
      .prepare('UPDATE bucket SET cautious_until = 0 WHERE cautious_until > ?')
      .run(now + LONGEST_CAUTION_MS);
  }

  #prospect(request: LeaseRequest, now: number): Prospect {
    const { leftBefore, cautiousUntil } = this.#left(request, now);
    const left = Math.min(Number.POSITIVE_INFINITY, ...leftBefore);
    const granted = cautiousUntil > 0 ? 0 : Math.min(request.want, left);
    return {
      granted,
      validUntil: now + request.ttlMs,
      left: left - granted,
      leftInWindows: leftBefore.map((permits) => permits - granted),
      cautiousUntil,
    };
  }

  #refuse(request: LeaseRequest, prospect: Prospect, now: number): LeaseGrant {
    const retryAt = Math.max(prospect.cautiousUntil, this.#retryAt(request, now));
    return { ...prospect, leaseId: '', retryAt };
  }

  /** Permits left in each window, and until when nothing is granted all the same. */
  #left(
    { bucket, windows }: WindowsOfBucket,
    now: number,
  ): { readonly leftBefore: readonly number[]; readonly cautiousUntil: number } {
    const starts = windows.map((window) => windowStart(window, now));
    const [answer = []] = this.#tally(windows.length).all(bucket, ...starts);
    const [cautiousUntil = 0, ...used] = answer.map(Number);
    return {
      leftBefore: windows.map(({ requests }, index) => Math.max(0, requests - Number(used[index]))),
      cautiousUntil: cautiousUntil > now ? cautiousUntil : 0,
    };
  }

  /** One statement that answers with the caution of a bucket and the permits charged since each of so many moments. */
  #tally(windows: number): Query {
    let tally = this.#tallies.get(windows);
    if (tally === undefined) {
      const columns = Array.from({ length: windows }, (_, index) => {
        const since = `bucket = ?1 AND counted_at >= ?${String(index + 2)}`;
        return `(SELECT total(permits) FROM charge WHERE ${since}) +
                (SELECT total(permits) FROM lease WHERE ${since})`;
      });
      const caution = '(SELECT cautious_until FROM bucket WHERE bucket = ?1)';
      tally = this.#db.prepare(`SELECT ${[caution, ...columns].join(', ')}`).raw();
      this.#tallies.set(windows, tally);
    }
    return tally;
  }

  #retryAt({ bucket, windows }: LeaseRequest, now: number): number {
    const charges = toCharges(this.#chargesOf.all(bucket)).concat(toCharges(this.#leasesOf.all(bucket)));
    return nextPermitAt(windows, charges, now);
  }

  #tidy(request: LeaseRequest, now: number): void {
    const { bucket } = request;
    const grants = this.#grantsUntilTidy.get(bucket) ?? 0;
    this.#grantsUntilTidy.set(bucket, grants === 0 ? TIDY_EVERY : grants - 1);
    const reach = horizonMs(request.windows);
    if (grants > 0 && reach <= Number(this.#knownHorizons.get(bucket))) return;
    const horizon = this.#widenHorizon(bucket, reach);
    const db = this.#db;
    const forgottenBefore = now - FORGOTTEN_AFTER_MS;
    db.prepare(
      `INSERT INTO charge SELECT bucket, counted_at, sum(permits) FROM lease
       WHERE bucket = ? AND max(counted_at, granted_at) < ? GROUP BY counted_at
       ON CONFLICT DO UPDATE SET permits = permits + excluded.permits`,
    ).run(bucket, forgottenBefore);
    db.prepare('DELETE FROM lease WHERE bucket = ? AND max(counted_at, granted_at) < ?').run(
      bucket,
      forgottenBefore,
    );
    this.#forgetTold.run(bucket, now);
    db.prepare('DELETE FROM charge WHERE bucket = ? AND counted_at < ?').run(bucket, now - horizon);
    const rows = db.prepare('SELECT count(*) FROM charge WHERE bucket = ?').raw().get(bucket);
    if (Number(rows?.[0]) > MANY_CHARGES && request.windows.length > 0) this.#compact(request, now);
  }

  #compact({ bucket, windows }: LeaseRequest, now: number): void {
    const compacted = compactCharges(windows, toCharges(this.#chargesOf.all(bucket)), now);
    this.#db.prepare('DELETE FROM charge WHERE bucket = ?').run(bucket);
    for (const charge of compacted) this.#addCharge.run(bucket, charge.countedAt, charge.permits);
  }

  /** How far back the charges of a bucket matter, by all that anybody ever asked. */
  #widenHorizon(bucket: string, reach: number): number {
    const row = this.#db
      .prepare(
        `INSERT INTO bucket (bucket, horizon_ms) VALUES (?, ?)
         ON CONFLICT DO UPDATE SET horizon_ms = max(horizon_ms, excluded.horizon_ms) RETURNING horizon_ms`,
      )
      .raw()
      .get(bucket, reach);
    const widest = Number(row?.[0]);
    this.#knownHorizons.set(bucket, widest);
    return widest;
  }
}

function toCharges(rows: readonly Row[]): Charge[] {
  return rows.map(([permits, countedAt]) => ({ permits: Number(permits), countedAt: Number(countedAt) }));
}
