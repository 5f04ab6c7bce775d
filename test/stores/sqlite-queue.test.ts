import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { HealthRecord, MaybePromise, Store, StoreNotice } from '#keymux/core/ports.js';
import { loadDriver } from '#keymux/stores/sqlite/driver.js';
import type { Database, Driver } from '#keymux/stores/sqlite/driver.js';
import { machineTime } from '#keymux/stores/sqlite/shared-clock.js';
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';
import {
  connectTo,
  dailyRequest,
  makeStore,
  openStore,
  resting,
  temporaryDirectory,
} from './sqlite-fixture.js';

const UNAVAILABLE = { code: 'KEYMUX_STORE_UNAVAILABLE' };
const USED_ONCE = { requests: 1, failures: 0, costUsd: 0 };

interface Traced {
  readonly driver: Driver;
  /** What was executed since `clear`. */
  readonly seen: string[];
  /** Is called before each. */
  before: (sql: string, db: Database) => void;
}

function trace(): Traced {
  const seen: string[] = [];
  const traced: Traced = {
    seen,
    before: () => {},
    driver: class extends loadDriver() {
      override exec(sql: string): void {
        seen.push(sql);
        traced.before(sql, this);
        super.exec(sql);
      }
    },
  };
  return traced;
}

function count(seen: readonly string[], sql: string): number {
  return seen.filter((one) => one === sql).length;
}

interface Locked {
  readonly store: Store;
  readonly notices: StoreNotice[];
  readonly path: string;
  readonly traced: Traced;
  readonly holder: Database;
  /** Lets the lock go just before it is looked at for the n-th time from now. */
  letGoAtLook(nth: number, also?: () => void): void;
}

/** A store whose lock another connection holds. */
async function openLocked(prepare: (store: Store) => unknown = () => undefined): Promise<Locked> {
  const path = join(temporaryDirectory(), 'state.db');
  const traced = trace();
  const { store, notices } = await openStore({ path }, { loadDriver: () => traced.driver });
  await prepare(store);
  const holder = connectTo(path);
  holder.exec('BEGIN IMMEDIATE');
  traced.seen.length = 0;
  const letGoAtLook = (nth: number, also = (): void => {}): void => {
    let looks = 0;
    traced.before = (sql) => {
      if (sql !== 'BEGIN IMMEDIATE') return;
      looks += 1;
      if (looks !== nth) return;
      holder.exec('ROLLBACK');
      also();
    };
  };
  return { store, notices, path, traced, holder, letGoAtLook };
}

/** All at once, without a turn of the event loop in between. */
function times<T>(howOften: number, call: () => MaybePromise<T>): Promise<T>[] {
  return Array.from({ length: howOften }, async () => call());
}

describe('operations that wait for the lock', () => {
  it('look for it as one, and share one transaction', async () => {
    const { store, traced, letGoAtLook } = await openLocked();
    letGoAtLook(3);
    const grants = await Promise.all(times(50, () => store.lease(dailyRequest(45, 1))));
    expect(grants.reduce((sum, { granted }) => sum + granted, 0)).toBe(45);
    expect(new Set(grants.map(({ leaseId }) => leaseId)).size).toBe(46);
    expect(count(traced.seen, 'BEGIN IMMEDIATE') - count(traced.seen, 'COMMIT')).toBe(2);
    expect(count(traced.seen, 'COMMIT')).toBeLessThan(10);
  });

  it('share it with no more than a few dozen others', async () => {
    const { store, traced, letGoAtLook } = await openLocked();
    letGoAtLook(2);
    const grants = await Promise.all(times(150, () => store.lease(dailyRequest(1_000, 1))));
    expect(grants.every(({ granted }) => granted === 1)).toBe(true);
    const together = traced.seen
      .join('|')
      .split('COMMIT')
      .map((part) => count(part.split('|'), 'SAVEPOINT apart'));
    expect(Math.max(...together)).toBeLessThanOrEqual(64);
    expect(together.reduce((sum, each) => sum + each)).toBe(150);
  });

  it('come after those that came before, even when the lock is free again', async () => {
    const { store, holder } = await openLocked();
    const first = store.publish([resting('key:a', 1)]);
    holder.exec('ROLLBACK');
    const second = store.publish([resting('key:a', 2)]);
    expect(second).toBeInstanceOf(Promise);
    expect(await first).toEqual([resting('key:a', 1)]);
    expect(await second).toEqual([resting('key:a', 2)]);
    expect(store.publish([resting('key:a', 3)])).toEqual([resting('key:a', 3)]);
  });

  it('are served in the order of who waits for them', async () => {
    const { store, letGoAtLook } = await openLocked();
    letGoAtLook(3);
    const served: string[] = [];
    const note = (name: string, answer: unknown): Promise<unknown> =>
      Promise.resolve(answer).then(() => served.push(name));
    const settlement = { bucket: 'p/b', leaseId: 'none', spent: 1, countedAt: 0, returned: 0 };
    await Promise.all([
      note('usage', store.addUsage([{ subject: 'key:a', ...USED_ONCE }])),
      note('settle', store.settle([settlement])),
      note('lease', store.lease(dailyRequest(5, 1))),
      note('publish', store.publish([resting('key:a')])),
    ]);
    expect(served).toEqual(['lease', 'publish', 'usage', 'settle']);
  });

  it('fail one by one, and what a failed one wrote is undone', async () => {
    const { store, letGoAtLook, notices } = await openLocked();
    letGoAtLook(2);
    const unwritable = { ...resting('key:c'), health: { version: 1n } } as unknown as HealthRecord;
    const outcomes = await Promise.allSettled([
      store.publish([resting('key:a')], { group: 'g', token: 9 }),
      store.publish([resting('key:b'), unwritable]),
      store.lease(dailyRequest(5, 2)),
      store.publish([resting('key:d')]),
    ]);
    expect(outcomes).toMatchObject([
      { reason: { code: 'KEYMUX_FENCED' } },
      { reason: expect.any(TypeError) },
      { value: { granted: 2 } },
      { value: [resting('key:d')] },
    ]);
    expect((await store.open()).records).toEqual([resting('key:d')]);
    expect(notices).toEqual([]);
  });

  it('are remembered by the file that they were told to', async () => {
    const { store, letGoAtLook, traced } = await openLocked();
    letGoAtLook(2);
    const { bucket, windows } = dailyRequest(5, 0);
    const charge = { bucket, windows, leaseId: 'alone-1', permits: 2, countedAt: store.now() };
    const told = store.charge([charge], { cautionMs: 0 });
    expect(told).toBeInstanceOf(Promise);
    await told;
    expect(count(traced.seen, 'COMMIT')).toBe(1);
    expect(await store.lease(dailyRequest(5, 9))).toMatchObject({ granted: 3 });
  });

  it('all fail with the file, which is said once', async () => {
    const { store, letGoAtLook, notices, path } = await openLocked();
    letGoAtLook(2);
    const waiting = times(5, () => store.lease(dailyRequest(5, 1)));
    for (const part of ['', '-wal', '-shm']) rmSync(path + part);
    for (const outcome of await Promise.allSettled(waiting)) {
      expect(outcome).toMatchObject({ reason: UNAVAILABLE });
    }
    expect(notices.map(({ kind }) => kind)).toEqual(['degraded']);
  });

  it('are all undone when the disk fails one of them', async () => {
    const { store, traced, letGoAtLook, notices } = await openLocked();
    letGoAtLook(2, () => {
      traced.before = (sql, db) => {
        if (sql !== 'RELEASE apart' || count(traced.seen, sql) < 2) return;
        traced.before = () => {};
        // As SQLite itself does then.
        db.exec('ROLLBACK');
        throw Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' });
      };
    });
    for (const outcome of await Promise.allSettled(times(3, () => store.publish([resting('key:a')])))) {
      expect(outcome).toMatchObject({ reason: UNAVAILABLE });
    }
    expect(notices).toMatchObject([{ kind: 'degraded', fix: expect.stringContaining('Free some space') }]);
    expect((await store.open()).records).toEqual([]);
  });

  it('may be joined by what the news of a recovery brings about', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const reactions: Promise<unknown>[] = [];
    const store = createSqliteStore({
      now: Date.now,
      path,
      onNotice: ({ kind }) => {
        if (kind === 'recovered') reactions.push(Promise.resolve(store.publish([resting('key:news')])));
      },
    });
    await store.open();
    const holder = connectTo(path);
    holder.exec('BEGIN IMMEDIATE');
    await expect(store.publish([resting('key:a')])).rejects.toMatchObject(UNAVAILABLE);
    const reports = times(3, () => store.addUsage([{ subject: 'key:a', ...USED_ONCE }]));
    holder.exec('ROLLBACK');
    await Promise.all(reports);
    expect(await Promise.all(reactions)).toEqual([[resting('key:news')]]);
    expect(await store.usage()).toMatchObject([{ requests: 3 }]);
    await store.close();
  });
});

describe('a lease that would get nothing', () => {
  /** All permits are leased, and the store has seen that. */
  async function spendUp(store: Store): Promise<void> {
    expect(await store.lease(dailyRequest(5, 5))).toMatchObject({ granted: 5 });
    expect(await store.lease(dailyRequest(5, 1))).toMatchObject({ granted: 0 });
  }

  it('is refused without the lock', async () => {
    const { store, traced } = await openLocked(spendUp);
    const now = store.now();
    const refusal = await store.lease(dailyRequest(5, 1));
    expect(refusal).toMatchObject({ granted: 0, leaseId: '', left: 0, leftInWindows: [0], cautiousUntil: 0 });
    expect(refusal.retryAt).toBeGreaterThan(now);
    expect(traced.seen).toEqual([]);
  });

  it('is told of what is left without the lock, where it asks for nothing', async () => {
    const { store, traced } = await openLocked((unlocked) => unlocked.lease(dailyRequest(5, 2)));
    expect(store.lease(dailyRequest(5, 0))).toMatchObject({ granted: 0, left: 3, leftInWindows: [3] });
    expect(traced.seen).toEqual([]);
  });

  it('is granted as soon as another returns some', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const [one, other] = [await openStore({ path }), await openStore({ path })];
    const { leaseId } = await one.store.lease(dailyRequest(5, 5));
    for (let ask = 0; ask < 2; ask += 1) {
      expect(await other.store.lease(dailyRequest(5, 2))).toMatchObject({ granted: 0 });
    }
    await one.store.settle([{ bucket: 'p/b', leaseId, spent: 3, countedAt: one.store.now(), returned: 2 }]);
    expect(await other.store.lease(dailyRequest(5, 9))).toMatchObject({ granted: 2 });
  });

  it('hears of a caution that another asks for', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const [one, other] = [await openStore({ path }), await openStore({ path })];
    await spendUp(other.store);
    const { bucket, windows } = dailyRequest(5, 0);
    const charge = { bucket, windows, leaseId: 'x', permits: 0, countedAt: one.store.now() };
    await one.store.charge([charge], { cautionMs: 9_000 });
    const { cautiousUntil, retryAt } = await other.store.lease(dailyRequest(5, 1));
    expect(cautiousUntil).toBeGreaterThan(one.store.now());
    expect(retryAt).toBeGreaterThanOrEqual(cautiousUntil);
  });

  it('takes the lock once a second, to see whether the machine has slept', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const traced = trace();
    let aheadMs = 0;
    const machine = machineTime();
    const time = { ...machine, monotonicMs: () => machine.monotonicMs() + aheadMs };
    const { store } = makeStore({ path }, { loadDriver: () => traced.driver, time });
    await store.open();
    await spendUp(store);
    aheadMs = 5_000;
    traced.seen.length = 0;
    expect(await store.lease(dailyRequest(5, 1))).toMatchObject({ granted: 0 });
    expect(count(traced.seen, 'COMMIT')).toBe(1);
    expect(await store.lease(dailyRequest(5, 1))).toMatchObject({ granted: 0 });
    expect(count(traced.seen, 'COMMIT')).toBe(1);
  });

  it('does not hide that the file is in trouble', async () => {
    const { store, holder, notices } = await openLocked(spendUp);
    await expect(store.publish([resting('key:a')])).rejects.toMatchObject(UNAVAILABLE);
    await expect(store.lease(dailyRequest(5, 1))).rejects.toMatchObject(UNAVAILABLE);
    holder.exec('ROLLBACK');
    expect(await store.lease(dailyRequest(5, 1))).toMatchObject({ granted: 0 });
    expect(notices.map(({ kind }) => kind)).toEqual(['degraded', 'recovered']);
  });
});
