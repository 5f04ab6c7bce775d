import type { QuotaWindow } from '#keymux/core/quota.js';
import { LeasedPermits } from '#keymux/manager/leased-permits.js';
import { LocalPermits } from '#keymux/manager/local-permits.js';
import { StoreLink } from '#keymux/manager/store-link.js';
import { UNLIMITED, isShortage } from '#keymux/manager/permits.js';
import type { Bucket, Permit, PermitSource } from '#keymux/manager/permits.js';
import { StateTable } from '#keymux/state/table.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import type { FaultyStore } from '#keymux/testing/faulty-store.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { memoryStore } from './acme.js';

const MINUTE_MS = 60_000;

function bucketOf(...windows: QuotaWindow[]): Bucket {
  return { name: 'acme/main', windows };
}

function aloneInFleet(place = { size: 1, rank: 0 }) {
  return { memberId: `member-${String(place.rank)}`, place, reunionUntil: 0, noteCaution: () => {} };
}

/** Permits leased from a store that others are taken to share. */
function leasedPermits({
  clock = undefined as (() => number) | undefined,
  table = StateTable.create(),
  fleet = aloneInFleet(),
} = {}) {
  const store = faultyStore(
    clock === undefined ? memoryStore() : createMemoryStore({ now: clock, onNotice: () => {} }),
    { shared: true },
  );
  void store.open();
  const [troubles, losses]: [unknown[], unknown[]] = [[], []];
  const onTrouble = (error: unknown): unknown => troubles.push(error);
  const link: StoreLink = new StoreLink({
    now: () => store.now(),
    random: () => 0,
    onLost: (error) => losses.push(error),
    rejoin: () => permits.rejoin(),
    onBack: () => void permits.flush(),
  });
  onTestFinished(() => link.close());
  const own = new LocalPermits(table);
  const permits: LeasedPermits = new LeasedPermits({ store, own, link, fleet, whenLost: 'share', onTrouble });
  return { store, permits, troubles, losses, table, link };
}

async function take(permits: PermitSource, bucket: Bucket, now: number): Promise<Permit> {
  const permit = await permits.take(bucket, now);
  if (isShortage(permit)) return expect.unreachable(`no permit before ${permit.retryAt}`);
  return permit;
}

async function takeMany(permits: PermitSource, bucket: Bucket, now: () => number, count: number) {
  const taken: Permit[] = [];
  for (let i = 0; i < count; i++) taken.push(await take(permits, bucket, now()));
  return taken;
}

describe('permits of one process', () => {
  it('are never short where nothing is limited', () => {
    const permits = new LocalPermits(StateTable.create());
    const permit = permits.take(bucketOf(), Date.now());
    expect(permit).toBe(UNLIMITED);
    if (isShortage(permit)) return;
    permit.sent(0);
    permit.settle(0);
    permit.giveBack();
    expect(permits.left(bucketOf(), Date.now())).toBeUndefined();
  });

  it('tell what is left of each window', async () => {
    const { now, advance } = createFakeClock();
    const permits = new LocalPermits(StateTable.create({ now }));
    const bucket = bucketOf({ requests: 2, perMs: 1_000 }, { requests: 5, perMs: MINUTE_MS });
    expect(permits.leftInWindows(bucketOf(), now())).toEqual([]);
    expect(permits.leftInWindows(bucket, now())).toEqual([2, 5]);
    const taken = [await take(permits, bucket, now()), await take(permits, bucket, now())];
    for (const permit of taken) permit.settle(now());
    expect(permits.leftInWindows(bucket, now())).toEqual([0, 3]);
    advance(1_100);
    expect(permits.leftInWindows(bucket, now())).toEqual([2, 3]);
  });

  it('come back when their window has passed since they were sent, or at once when they never were', async () => {
    const { now, advance } = createFakeClock();
    const permits = new LocalPermits(StateTable.create({ now }));
    const bucket = bucketOf({ requests: 1, perMs: MINUTE_MS });
    (await take(permits, bucket, now())).giveBack();
    const permit = await take(permits, bucket, now());
    expect(permits.left(bucket, now())).toBe(0);
    permit.sent(now());
    // Sent, but not answered: the provider may count it up to the slack later.
    advance(MINUTE_MS + 4_000);
    expect(isShortage(permits.take(bucket, now()))).toBe(true);
    advance(1_100);
    (await take(permits, bucket, now())).settle(now());
    advance(MINUTE_MS + 100);
    await take(permits, bucket, now());
    permits.close();
  });
});

describe('permits leased from a store', () => {
  it('are never short where nothing is limited, and nobody is asked', async () => {
    const { store, permits } = leasedPermits();
    expect(await permits.take(bucketOf(), store.now())).toBe(UNLIMITED);
    expect(permits.left(bucketOf(), store.now())).toBeUndefined();
    expect(store.asked.lease).toEqual([]);
  });

  it('are leased one by one under small limits, for as long as a request may be under way', async () => {
    const { store, permits } = leasedPermits();
    await takeMany(permits, bucketOf({ requests: 100, perMs: MINUTE_MS }), () => store.now(), 5);
    expect(store.asked.lease.map(({ want, ttlMs, slackMs }) => [want, ttlMs, slackMs])).toEqual(
      Array.from({ length: 5 }, () => [1, 30_000, 5_000]),
    );
  });

  it('are leased in batches that double as long as they are used up, to a 16th of the share', async () => {
    const { store, permits } = leasedPermits();
    await takeMany(permits, bucketOf({ requests: 640, perMs: MINUTE_MS }), () => store.now(), 40);
    expect(store.asked.lease.map(({ want }) => want)).toEqual([1, 2, 4, 8, 16, 32]);
    expect(store.asked.lease[1]).toMatchObject({ ttlMs: 1_000, slackMs: 30_000 });
  });

  it('go back by themselves where a batch was not used up in time, and the next batch is half as large', async () => {
    const { store, permits } = leasedPermits();
    const bucket = bucketOf({ requests: 640, perMs: 200 });
    for (const permit of await takeMany(permits, bucket, () => store.now(), 8)) permit.settle(store.now());
    const returned = (): number => store.asked.settle.flat().reduce((sum, { returned }) => sum + returned, 0);
    await expect.poll(returned, { interval: 5 }).toBe(7);
    await takeMany(permits, bucket, () => store.now(), 1);
    expect(store.asked.lease.map(({ want }) => want)).toEqual([1, 2, 4, 8, 4]);
    await permits.close();
    expect(returned()).toBe(10);
  });

  it('are not spent after their batch has run out', async () => {
    const { now, advance } = createFakeClock();
    const { store, permits } = leasedPermits({ clock: now });
    const bucket = bucketOf({ requests: 640, perMs: MINUTE_MS });
    await takeMany(permits, bucket, now, 4);
    advance(1_001);
    await take(permits, bucket, now());
    expect(store.asked.lease.map(({ want }) => want)).toEqual([1, 2, 4, 2]);
    await permits.flush();
    expect(store.asked.settle.flat()).toMatchObject([{ spent: 0, returned: 3 }]);
  });

  it('are settled once: as answered, or with the slack on top where no answer came, or returned', async () => {
    const { store, permits } = leasedPermits();
    const bucket = bucketOf({ requests: 10, perMs: 1_000 });
    const [answered, unanswered, unsent] = await takeMany(permits, bucket, () => store.now(), 3);
    const sentAt = store.now();
    answered!.sent(sentAt);
    answered!.settle(sentAt + 3);
    unanswered!.sent(sentAt);
    unanswered!.sent(sentAt + 500);
    unsent!.giveBack();
    unsent!.settle(sentAt);
    await expect.poll(() => store.asked.settle.flat().length, { interval: 20, timeout: 3_000 }).toBe(3);
    unanswered!.settle(sentAt);
    unanswered!.giveBack();
    answered!.sent(sentAt);
    await permits.close();
    const settled = store.asked.settle
      .flat()
      .map(({ spent, returned, countedAt }) => [spent, returned, countedAt]);
    expect(settled.sort((a, b) => a[2]! - b[2]!)).toEqual([
      [0, 1, 0],
      [1, 0, sentAt + 3],
      [1, 0, sentAt + 1_000],
    ]);
  });

  it('share one question where many ask at a time', async () => {
    const { store, permits } = leasedPermits();
    const bucket = bucketOf({ requests: 640, perMs: MINUTE_MS });
    const answer = store.hold('lease');
    const taken = Promise.all(Array.from({ length: 8 }, () => take(permits, bucket, store.now())));
    await Promise.resolve();
    expect(store.asked.lease).toHaveLength(1);
    answer();
    expect(await taken).toHaveLength(8);
    // The first did not know of the others; then it is asked for all of them.
    expect(store.asked.lease.map(({ want }) => want)).toEqual([1, 7]);
  });

  it('tell all who wait of a shortage at once', async () => {
    const { now } = createFakeClock();
    const { store, permits } = leasedPermits({ clock: now });
    const bucket = bucketOf({ requests: 640, perMs: MINUTE_MS });
    await store.lease({ bucket: bucket.name, windows: bucket.windows, want: 640, ttlMs: 1_000, slackMs: 0 });
    const askedBefore = store.asked.lease.length;
    const answer = store.hold('lease');
    const asked = Promise.all(Array.from({ length: 4 }, async () => permits.take(bucket, now())));
    answer();
    for (const permit of await asked) expect(permit).toEqual({ retryAt: now() + MINUTE_MS + 1 });
    expect(store.asked.lease.slice(askedBefore)).toHaveLength(1);
    expect(permits.left(bucket, now())).toBe(0);
  });

  it('know what the store had left until the shortest window has passed', async () => {
    const { now, advance } = createFakeClock();
    const { permits } = leasedPermits({ clock: now });
    const bucket = bucketOf({ requests: 10, perMs: 1_000 }, { requests: 100, perMs: MINUTE_MS });
    expect(permits.left(bucket, now())).toBeUndefined();
    await take(permits, bucket, now());
    expect(permits.left(bucket, now())).toBe(9);
    advance(1_000);
    expect(permits.left(bucket, now())).toBeUndefined();
  });

  it('know of each window what the store had left of it, for as long as it lasts', async () => {
    const { now, advance } = createFakeClock();
    const { permits } = leasedPermits({ clock: now });
    const bucket = bucketOf({ requests: 10, perMs: 1_000 }, { requests: 100, perMs: MINUTE_MS });
    expect(permits.leftInWindows(bucket, now())).toEqual([]);
    await take(permits, bucket, now());
    expect(permits.leftInWindows(bucket, now())).toEqual([9, 99]);
    advance(1_000);
    expect(permits.leftInWindows(bucket, now())).toEqual([undefined, 99]);
    advance(MINUTE_MS);
    expect(permits.leftInWindows(bucket, now())).toEqual([undefined, undefined]);
  });

  it('are one account for all keys of a bucket, also after a reload, until the limit changes', async () => {
    const { now } = createFakeClock();
    const { store, permits } = leasedPermits({ clock: now });
    const window = { requests: 640, perMs: MINUTE_MS };
    await takeMany(permits, bucketOf(window), now, 2);
    await take(permits, bucketOf({ ...window }), now());
    expect(store.asked.lease.map(({ want }) => want)).toEqual([1, 2]);
    await takeMany(permits, bucketOf(window), now, 1);
    await take(permits, bucketOf({ requests: 320, perMs: MINUTE_MS }), now());
    expect(store.asked.lease.map(({ want }) => want)).toEqual([1, 2, 4, 1]);
    await permits.flush();
    expect(store.asked.settle.flat()).toMatchObject([{ spent: 0, returned: 3 }]);
  });

  it.each(['throws', 'rejects'] as const)(
    'are counted by the process alone while the store %s, with all that it spent before',
    async (how) => {
      const { now, advance } = createFakeClock();
      const { store, permits, losses, link } = leasedPermits({
        clock: now,
        table: StateTable.create({ now }),
      });
      const bucket = bucketOf({ requests: 5, perMs: MINUTE_MS });
      for (const permit of await takeMany(permits, bucket, now, 2)) permit.settle(now());
      store.fail({ operation: 'lease', from: 'onwards', how });
      for (const permit of await takeMany(permits, bucket, now, 3)) permit.settle(now());
      const asked = store.asked.lease.filter(({ want }) => want > 0).length;
      expect(isShortage(await permits.take(bucket, now()))).toBe(true);
      expect(losses).toHaveLength(1);
      expect(store.asked.lease.filter(({ want }) => want > 0)).toHaveLength(asked);
      store.mend();
      await expect.poll(() => link.isLost, { interval: 5 }).toBe(false);
      expect(isShortage(await permits.take(bucket, now()))).toBe(true);
      advance(MINUTE_MS + 1_100);
      await permits.flush();
      await takeMany(permits, bucket, now, 5);
    },
  );

  it('are counted by the process alone for all who wait when the store fails them', async () => {
    const { store, permits, losses } = leasedPermits();
    const bucket = bucketOf({ requests: 640, perMs: MINUTE_MS });
    const answer = store.hold('lease');
    store.fail({ operation: 'lease', from: 'onwards', how: 'rejects' });
    const taken = Promise.all(Array.from({ length: 5 }, () => take(permits, bucket, store.now())));
    answer();
    expect(await taken).toHaveLength(5);
    expect(store.asked.lease).toHaveLength(1);
    expect(losses).toHaveLength(1);
    const sent = await take(permits, bucket, store.now());
    expect(store.asked.lease).toHaveLength(1);
    sent.settle(store.now());
  });

  it('are leased where the table has no room to count along, and refused where it is needed', async () => {
    const { store, permits, troubles, losses } = leasedPermits({
      table: StateTable.create({ arenaBytes: 64 }),
    });
    const bucket = bucketOf({ requests: 640, perMs: MINUTE_MS });
    await takeMany(permits, bucket, () => store.now(), 3);
    expect(troubles).toEqual([]);
    store.fail({ operation: 'lease', from: 'onwards' });
    expect(() => permits.take(bucket, store.now())).toThrow(
      expect.objectContaining({ code: 'KEYMUX_TABLE_FULL' }),
    );
    expect(losses).toHaveLength(1);
  });

  it('leave the counting of very large limits to the store, which is exact there', async () => {
    const { now } = createFakeClock();
    const table = StateTable.create({ now });
    const { store, permits } = leasedPermits({ clock: now, table });
    const bucket = bucketOf({ requests: 100_000, perMs: MINUTE_MS });
    const ownLeft = (): number => new LocalPermits(table).left(bucket, now())!;
    await takeMany(permits, bucket, now, 3);
    const before = ownLeft();
    expect(before).toBeGreaterThan(99_990);
    store.fail({ operation: 'lease', from: 'onwards', how: 'rejects' });
    await takeMany(permits, bucket, now, 2);
    expect(ownLeft()).toBe(before - 2);
  });

  describe('of a bucket that turns out to be another one', () => {
    const windows = [
      { requests: 10, perMs: MINUTE_MS },
      { requests: 50, perMs: 60 * MINUTE_MS },
    ];
    const from = { name: 'acme/2', windows };
    const to = { name: 'acme/main', windows };
    const EVERYWHERE = { table: true, store: true };
    const leftInStore = async (store: FaultyStore): Promise<number> => {
      const question = { bucket: to.name, windows, want: 0, ttlMs: 0, slackMs: 0 };
      return (await store.lease(question)).left;
    };

    it('are charged to it for all processes, the fullest window for all of them', async () => {
      const { now, advance } = createFakeClock();
      const { store, permits, troubles } = leasedPermits({ clock: now });
      for (const permit of await takeMany(permits, from, now, 4)) permit.settle(now());
      await permits.flush();
      advance(2 * MINUTE_MS);
      (await take(permits, from, now())).settle(now());
      await permits.flush();
      await permits.carryOver(from, to, now(), EVERYWHERE);
      expect(await leftInStore(store)).toBe(10 - 5);
      expect(troubles).toEqual([]);
    });

    it('are not asked for where nothing was spent, or no limit counts', async () => {
      const { store, permits } = leasedPermits();
      await permits.carryOver(from, to, store.now(), EVERYWHERE);
      expect(await leftInStore(store)).toBe(10);
      (await take(permits, from, store.now())).settle(store.now());
      await permits.flush();
      const asked = store.asked.lease.length;
      await permits.carryOver(from, { name: 'acme/main', windows: [] }, store.now(), EVERYWHERE);
      await permits.carryOver({ name: 'acme/3', windows: [] }, to, store.now(), EVERYWHERE);
      await permits.carryOver(from, to, store.now(), { table: true, store: false });
      expect(store.asked.lease.slice(asked).filter(({ want }) => want > 0)).toEqual([]);
      expect(await leftInStore(store)).toBe(10);
    });

    it('take what is left where that is less, and a store that fails is told of', async () => {
      const { store, permits, troubles } = leasedPermits();
      for (const permit of await takeMany(permits, from, () => store.now(), 6)) permit.settle(store.now());
      for (const permit of await takeMany(permits, to, () => store.now(), 10)) permit.settle(store.now());
      await permits.flush();
      await permits.carryOver(from, to, store.now(), EVERYWHERE);
      expect(await leftInStore(store)).toBe(0);
      expect(troubles).toEqual([]);
      store.fail({ operation: 'lease', from: 'onwards', how: 'rejects' });
      await permits.carryOver(from, to, store.now(), EVERYWHERE);
      expect(troubles).toHaveLength(1);
    });
  });

  it('stay charged where the settlement cannot be written', async () => {
    const { store, permits, troubles } = leasedPermits();
    const bucket = bucketOf({ requests: 1, perMs: MINUTE_MS });
    (await take(permits, bucket, store.now())).giveBack();
    store.fail({ operation: 'settle', from: 'onwards', how: 'rejects' });
    await permits.flush();
    await permits.flush();
    expect(troubles).toHaveLength(1);
    expect(isShortage(await permits.take(bucket, store.now()))).toBe(true);
  });

  it('write nothing more once they are closed', async () => {
    const { store, permits, troubles } = leasedPermits();
    const permit = await take(permits, bucketOf({ requests: 9, perMs: MINUTE_MS }), store.now());
    await permits.close();
    void store.close();
    permit.settle(store.now());
    await permits.flush();
    expect(troubles).toEqual([]);
    expect(store.asked.settle.flat()).toEqual([]);
  });
});
