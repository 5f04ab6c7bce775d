/** Permits: who holds which, and which are charged. Each method runs within one immediate transaction of its caller. */
import { randomBytes } from 'node:crypto';
import { nextPermitAt, windowStart } from '../../core/quota.js';
import type { Charge } from '../../core/quota.js';
import type { LeaseGrant, LeaseRequest, Settlement } from '../../core/ports.js';
import { FORGOTTEN_AFTER_MS, MANY_CHARGES, compactCharges, horizonMs } from '../charges.js';
import { LONGEST_LEASE_MS } from '../requests.js';
import type { Database, Query, Row, Statement } from './driver.js';

/** A bucket is tidied at the first grant of a member and after so many more. */
const TIDY_EVERY = 64;

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
  }

  lease(request: LeaseRequest, now: number): LeaseGrant {
    const { bucket, want, ttlMs, slackMs } = request;
    const left = this.#left(request, now);
    const granted = Math.min(want, left);
    const validUntil = now + ttlMs;
    if (granted === 0) {
      return {
        leaseId: '',
        granted,
        validUntil,
        left,
        leftInWindows: [],
        retryAt: this.#retryAt(request, now),
        cautiousUntil: 0,
      };
    }
    const leaseId = `${this.#prefix}:${String(this.#nextLease++)}`;
    this.#insertLease.run(bucket, leaseId, this.#member, granted, validUntil + slackMs, now);
    this.#tidy(request, now);
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
    this.#db.prepare('UPDATE lease SET counted_at = ? WHERE counted_at > ?').run(now, beyond);
    this.#db
      .prepare(
        `INSERT INTO charge SELECT bucket, ?, sum(permits) FROM charge WHERE counted_at > ? GROUP BY bucket
         ON CONFLICT DO UPDATE SET permits = permits + excluded.permits`,
      )
      .run(now, beyond);
    this.#db.prepare('DELETE FROM charge WHERE counted_at > ?').run(beyond);
  }

  #left(request: LeaseRequest, now: number): number {
    const { bucket, windows } = request;
    if (windows.length === 0) return Number.POSITIVE_INFINITY;
    const starts = windows.map((window) => windowStart(window, now));
    const used = this.#tally(windows.length).get(bucket, ...starts) ?? [];
    const left = windows.map((window, index) => window.requests - Number(used[index]));
    return Math.max(0, Math.min(...left));
  }

  /** One statement that answers with the permits charged since each of so many moments. */
  #tally(windows: number): Query {
    let tally = this.#tallies.get(windows);
    if (tally === undefined) {
      const columns = Array.from({ length: windows }, (_, index) => {
        const since = `bucket = ?1 AND counted_at >= ?${String(index + 2)}`;
        return `(SELECT total(permits) FROM charge WHERE ${since}) +
                (SELECT total(permits) FROM lease WHERE ${since})`;
      });
      tally = this.#db.prepare(`SELECT ${columns.join(', ')}`).raw();
      this.#tallies.set(windows, tally);
    }
    return tally;
  }

  #retryAt({ bucket, windows }: LeaseRequest, now: number): number {
    const charges = toCharges(this.#charges(bucket)).concat(toCharges(this.#leases(bucket)));
    return nextPermitAt(windows, charges, now);
  }

  #charges(bucket: string): Row[] {
    return this.#db.prepare('SELECT permits, counted_at FROM charge WHERE bucket = ?').raw().all(bucket);
  }

  #leases(bucket: string): Row[] {
    return this.#db.prepare('SELECT permits, counted_at FROM lease WHERE bucket = ?').raw().all(bucket);
  }

  #tidy(request: LeaseRequest, now: number): void {
    const { bucket } = request;
    const grants = this.#grantsUntilTidy.get(bucket) ?? 0;
    this.#grantsUntilTidy.set(bucket, grants === 0 ? TIDY_EVERY : grants - 1);
    const reach = horizonMs(request.windows);
    if (grants > 0 && reach <= (this.#knownHorizons.get(bucket) ?? -1)) return;
    const horizon = this.#widenHorizon(bucket, reach);
    const db = this.#db;
    const forgottenBefore = now - FORGOTTEN_AFTER_MS;
    db.prepare(
      `INSERT INTO charge SELECT bucket, counted_at, sum(permits) FROM lease
       WHERE bucket = ? AND counted_at < ? GROUP BY counted_at
       ON CONFLICT DO UPDATE SET permits = permits + excluded.permits`,
    ).run(bucket, forgottenBefore);
    db.prepare('DELETE FROM lease WHERE bucket = ? AND counted_at < ?').run(bucket, forgottenBefore);
    db.prepare('DELETE FROM charge WHERE bucket = ? AND counted_at < ?').run(bucket, now - horizon);
    const rows = db.prepare('SELECT count(*) FROM charge WHERE bucket = ?').raw().get(bucket);
    if (Number(rows?.[0]) > MANY_CHARGES && request.windows.length > 0) this.#compact(request, now);
  }

  #compact({ bucket, windows }: LeaseRequest, now: number): void {
    const compacted = compactCharges(windows, toCharges(this.#charges(bucket)), now);
    this.#db.prepare('DELETE FROM charge WHERE bucket = ?').run(bucket);
    for (const charge of compacted) this.#addCharge.run(bucket, charge.countedAt, charge.permits);
  }

  /** How far back the charges of a bucket matter, by all that anybody ever asked. */
  #widenHorizon(bucket: string, reach: number): number {
    const row = this.#db
      .prepare(
        `INSERT INTO bucket VALUES (?, ?)
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
