import type { MaybePromise } from '#keymux/core/ports.js';
import { LeasedPermits } from '#keymux/manager/leased-permits.js';
import { LocalPermits } from '#keymux/manager/local-permits.js';
import type { Bucket, Permit } from '#keymux/manager/permits.js';
import { isShortage } from '#keymux/manager/permits.js';
import { Settlements } from '#keymux/manager/settlements.js';
import { Untold } from '#keymux/manager/untold.js';
import { StateTable } from '#keymux/state/table.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../stores/sqlite-fixture.js';
import { acmeManager } from './acme.js';

const MINUTE_MS = 60_000;
const bucket: Bucket = { name: 'acme/main', windows: [{ requests: 40, perMs: MINUTE_MS }] };

class HandLink {
  lostAt: number | undefined;
  isInDoubt = false;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  get isLost(): boolean {
    return this.lostAt !== undefined;
  }

  fallSilent(): void {
    this.lostAt = this.#now();
    this.isInDoubt = true;
  }

  lose(): void {
    this.lostAt ??= this.#now();
    this.isInDoubt = false;
  }

  async comeBack(permits: LeasedPermits): Promise<void> {
    await permits.rejoin();
    this.lostAt = undefined;
    this.isInDoubt = false;
    await permits.flush();
  }

  ask<T>(question: () => MaybePromise<T>): MaybePromise<T> {
    return question();
  }
}

/** Threads of members over one store: `threads[member][thread]`. */
function fleetOf(members: number, threads = 1) {
  const { now, advance } = createFakeClock();
  const store = faultyStore(createMemoryStore({ now, onNotice: () => {} }), { shared: true });
  void store.open();
  const fleet = Array.from({ length: members }, (_, rank) => {
    const table = StateTable.create({ now });
    const place = { size: members, rank };
    return Array.from({ length: threads }, () => {
      const link = new HandLink(now);
      const permits = new LeasedPermits({
        store,
        // As another thread would see it, but for the clock.
        own: new LocalPermits(table),
        link,
        fleet: { memberId: String(rank), place, reunionUntil: 0, noteCaution: () => {} },
        whenLost: 'share',
        onTrouble: (error) => expect.unreachable(String(error)),
      });
      return { link, permits };
    });
  });
  return { now, advance, store, fleet };
}

async function takeOne(permits: LeasedPermits, now: number): Promise<Permit | undefined> {
  const permit = await permits.take(bucket, now);
  return isShortage(permit) ? undefined : permit;
}

/** How many it gets, all of which it spends. */
async function takeAll(permits: LeasedPermits, now: () => number): Promise<number> {
  for (let count = 0; ; count += 1) {
    const permit = await takeOne(permits, now());
    if (permit === undefined) return count;
    permit.settle(now());
  }
}

async function spend(permits: LeasedPermits, now: () => number, count: number): Promise<void> {
  for (let i = 0; i < count; i += 1) (await takeOne(permits, now()))!.settle(now());
}

describe('a member that does not hear of the store', () => {
  it('spends its share of what was left, once, and waits for the rest until that is decided', async () => {
    const { now, advance, fleet } = fleetOf(4);
    const [{ permits, link }] = fleet[0] as [(typeof fleet)[0][0]];
    await spend(permits, now, 4);
    advance(2_000);
    link.fallSilent();
    // Of 36, 10 are left to those that may be leasing; of the other 26, a fourth; with the four before, its share is 10.
    expect(await takeAll(permits, now)).toBe(6);
    expect(await permits.take(bucket, now())).toEqual({ retryAt: now() + 500 });
    // What it spent before is not spent again, nor is its share, if it goes on being silent for a while.
    advance(300);
    expect(await takeAll(permits, now)).toBe(0);
  });

  it('spends nothing of a bucket that it hardly knows, or that is spent', async () => {
    const { now, advance, fleet } = fleetOf(2);
    const [one, other] = fleet.flat() as [(typeof fleet)[0][0], (typeof fleet)[0][0]];
    one.link.fallSilent();
    expect(await takeAll(one.permits, now)).toBe(0);
    await one.link.comeBack(one.permits);
    await spend(one.permits, now, 1);
    one.link.fallSilent();
    expect(await takeAll(one.permits, now)).toBe(0);
    await one.link.comeBack(one.permits);
    expect(await takeAll(other.permits, now)).toBe(39);
    advance(5_000);
    other.link.fallSilent();
    expect(await takeAll(other.permits, now)).toBe(0);
  });

  it('charges that before it leases more, and then leases no more than its share for a moment', async () => {
    const { now, advance, fleet, store } = fleetOf(2);
    const [one, other] = fleet.flat() as [(typeof fleet)[0][0], (typeof fleet)[0][0]];
    for (const { permits } of [one, other]) await spend(permits, now, 5);
    advance(2_000);
    for (const { permits } of [one, other]) (await takeOne(permits, now()))!.giveBack();
    for (const { permits } of [one, other]) await permits.flush();
    for (const { link } of [one, other]) link.fallSilent();
    expect(await takeAll(one.permits, now)).toBe(10);
    expect(await takeAll(other.permits, now)).toBe(9);
    advance(300);
    // The first to return does not lease what the other one spent and has yet to tell.
    await one.link.comeBack(one.permits);
    expect(store.asked.charge.flat().reduce((sum, { permits }) => sum + permits, 0)).toBe(10);
    expect(await takeAll(one.permits, now)).toBe(5);
    await other.link.comeBack(other.permits);
    advance(500);
    expect((await takeAll(one.permits, now)) + (await takeAll(other.permits, now))).toBe(6);
  });

  it('takes it for loss when that lasts, and counts what it spent', async () => {
    const { now, advance, fleet } = fleetOf(2);
    const [{ permits, link }] = fleet[0] as [(typeof fleet)[0][0]];
    await spend(permits, now, 4);
    advance(2_000);
    link.fallSilent();
    expect(await takeAll(permits, now)).toBe(13);
    link.lose();
    advance(500);
    // With the four before, that makes its share of the whole.
    expect(await takeAll(permits, now)).toBe(3);
    advance(MINUTE_MS + 1_000);
    expect(await takeAll(permits, now)).toBe(20);
    await link.comeBack(permits);
  });
});

describe('threads of a member that lost the store', () => {
  it('spend one share together, also those that never asked about the bucket', async () => {
    const { now, advance, fleet } = fleetOf(2, 3);
    const [threads, [other]] = fleet as [(typeof fleet)[0], (typeof fleet)[0]];
    await spend(other!.permits, now, 20);
    await spend(threads[0]!.permits, now, 2);
    advance(2_000);
    for (const { link } of threads) link.lose();
    // 18 are left, 9 of them for each member; the share of the whole limit would be 20.
    let spent = 0;
    for (const { permits } of threads.toReversed()) spent += await takeAll(permits, now);
    expect(spent).toBe(9);
  });

  it('spend one share together while it is in doubt', async () => {
    const { now, advance, fleet } = fleetOf(2, 3);
    const [threads] = fleet as [(typeof fleet)[0]];
    for (const { permits } of threads) await spend(permits, now, 2);
    advance(2_000);
    for (const { permits } of threads) (await takeOne(permits, now()))!.giveBack();
    for (const { permits } of threads) await permits.flush();
    for (const { link } of threads) link.fallSilent();
    let spent = 0;
    for (const { permits } of threads) spent += await takeAll(permits, now);
    // Of 34, 10 are left to those that may be leasing; half of the other 24.
    expect(spent).toBe(12);
  });
});

describe('what is settled while the store is lost', () => {
  it('is told again where that ends its lease, and only there', async () => {
    const { now } = createFakeClock();
    const store = faultyStore(createMemoryStore({ now, onNotice: () => {} }), { shared: true });
    void store.open();
    const troubles: unknown[] = [];
    const settlements = new Settlements(store, new HandLink(now), (error) => troubles.push(error));
    const of = (leaseId: string) => ({ bucket: 'b', leaseId, spent: 1, countedAt: 1, returned: 0 });
    store.fail({ operation: 'settle', how: 'rejects' });
    settlements.add(of('whole'), { isWhole: true });
    settlements.add(of('part'), { isWhole: false });
    await settlements.flush();
    expect(troubles).toHaveLength(1);
    await settlements.close();
    expect(store.asked.settle.flat().map(({ leaseId }) => leaseId)).toEqual(['whole', 'part', 'whole']);
  });

  it('stays a moderate number of charges, however long that lasts', async () => {
    const { now, advance } = createFakeClock();
    const store = faultyStore(createMemoryStore({ now, onNotice: () => {} }), { shared: true });
    void store.open();
    const untold = new Untold('m', new Settlements(store, new HandLink(now), () => {}));
    const both: Bucket = {
      name: 'acme/main',
      windows: [
        { requests: 9, perMs: 1_000 },
        { requests: 99_999, perMs: 24 * 60 * MINUTE_MS },
      ],
    };
    const brief: Bucket = { name: 'acme/brief', windows: [{ requests: 9, perMs: 1_000 }] };
    for (let i = 0; i < 5_000; i += 1) {
      advance(20);
      for (const each of [both, brief]) untold.addOver(each, 1, now());
    }
    await untold.tell((charges) => store.charge(charges, { cautionMs: 0 }), now);
    const told = store.asked.charge.flat().filter((charge) => charge.bucket === both.name);
    expect(told.length).toBeLessThan(1_100);
    expect(told.reduce((sum, { permits }) => sum + permits, 0)).toBe(5_000);
    expect(told.every(({ countedAt }) => countedAt <= now() + 20)).toBe(true);
    expect(store.asked.charge.flat().filter((charge) => charge.bucket === brief.name).length).toBeLessThan(
      60,
    );
  });
});

describe('a store that was to be shared, and cannot be', () => {
  it('leaves each process its share of the members that were configured', async () => {
    const path = `${temporaryDirectory()}/state.db`;
    const notices: string[] = [];
    const store = createSqliteStore(
      { path, now: Date.now, onNotice: ({ kind }) => notices.push(kind) },
      {
        loadDriver: () => {
          throw new Error('There is none for this platform.');
        },
      },
    );
    const manager = acmeManager({
      keys: ['key-one'],
      options: {
        store,
        logger: { warn: () => {}, info: () => {} },
        config: {
          store: { type: 'sqlite', path, members: 4 },
          providers: {
            acme: {
              baseUrl: 'http://127.0.0.1:9',
              env: ['ACME_API_KEY'],
              limits: [{ requests: 9, per: 'minute' }],
            },
          },
        },
      },
    });
    await manager.ready;
    expect(notices).toEqual(['degraded']);
    for (let i = 0; i < 2; i += 1)
      (await manager.acquire('acme')).report({ kind: 'success', scope: 'request', executed: 'yes' });
    await expect(manager.acquire('acme', { timeoutMs: 0 })).rejects.toMatchObject({
      code: 'KEYMUX_NO_USABLE_KEY',
    });
  });
});
