import { REUNION_MS } from '#keymux/core/fleet.js';
import { KeymuxError } from '#keymux/core/errors.js';
import type { LeaseRequest, MaybePromise, Store } from '#keymux/core/ports.js';
import type { QuotaWindow } from '#keymux/core/quota.js';
import { LeasedPermits } from '#keymux/manager/leased-permits.js';
import { LocalPermits } from '#keymux/manager/local-permits.js';
import type { Bucket } from '#keymux/manager/permits.js';
import { isShortage } from '#keymux/manager/permits.js';
import { StateTable } from '#keymux/state/table.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

/** A link that is cut and mended by hand. */
class HandLink {
  lostAt: number | undefined;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  get isLost(): boolean {
    return this.lostAt !== undefined;
  }

  readonly isInDoubt = false;

  cut(): void {
    this.lostAt ??= this.#now();
  }

  ask<T>(question: () => MaybePromise<T>): MaybePromise<T> {
    return question();
  }
}

/** Members of a fleet, each a process with a table of its own, over one store. */
function fleetOver(store: Store, now: () => number, size: number, whenLost: 'share' | 'stop' = 'share') {
  return Array.from({ length: size }, (_, rank) => {
    const link = new HandLink(now);
    const fleet = {
      memberId: `member-${String(rank)}`,
      place: { size, rank },
      reunionUntil: 0,
      noteCaution: () => {},
    };
    const own = new LocalPermits(StateTable.create({ now }));
    const onTrouble = (error: unknown): never => {
      throw error;
    };
    return { link, fleet, permits: new LeasedPermits({ store, own, link, fleet, whenLost, onTrouble }) };
  });
}

function memoryFleet(size: number, whenLost: 'share' | 'stop' = 'share') {
  const clock = createFakeClock();
  const store = faultyStore(createMemoryStore({ now: clock.now, onNotice: () => {} }), { shared: true });
  void store.open();
  return { ...clock, store, members: fleetOver(store, clock.now, size, whenLost) };
}

function bucketOf(...windows: QuotaWindow[]): Bucket {
  return { name: 'acme/main', windows };
}

const MINUTE_MS = 60_000;

/** The most that any window of this length held. */
function fullest(moments: readonly number[], perMs: number): number {
  return Math.max(0, ...moments.map((end) => moments.filter((at) => at > end - perMs && at <= end).length));
}

describe('a fleet whose store is lost', () => {
  it('goes on with what was left, shared out, and with shares of the whole a window later', async () => {
    const { now, advance, members } = memoryFleet(3);
    const bucket = bucketOf({ requests: 10, perMs: MINUTE_MS });
    const spend = async (): Promise<number> => {
      let spent = 0;
      for (const { permits } of members) {
        for (;;) {
          const permit = await permits.take(bucket, now());
          if (isShortage(permit)) break;
          permit.settle(now());
          spent += 1;
        }
      }
      return spent;
    };
    for (let i = 0; i < 4; i += 1) {
      const permit = await members[0]!.permits.take(bucket, now());
      if (!isShortage(permit)) permit.settle(now());
    }
    for (const { permits } of members) {
      const permit = await permits.take(bucket, now());
      if (!isShortage(permit)) permit.giveBack();
    }
    for (const { link } of members) link.cut();
    expect(await spend()).toBeLessThanOrEqual(6);
    expect(await spend()).toBe(0);
    advance(MINUTE_MS + 100);
    expect(await spend()).toBe(10);
  });

  it('spends nothing where it is told to stop', async () => {
    const { now, members } = memoryFleet(1, 'stop');
    const bucket = bucketOf({ requests: 10, perMs: MINUTE_MS });
    expect(isShortage(await members[0]!.permits.take(bucket, now()))).toBe(false);
    members[0]!.link.cut();
    const shortage = await members[0]!.permits.take(bucket, now());
    expect(isShortage(shortage) && shortage.retryAt).toBe(now() + 500);
  });

  it('names a true moment where a share is nothing', async () => {
    const { now, members } = memoryFleet(4);
    const bucket = bucketOf({ requests: 2, perMs: MINUTE_MS });
    const [first, , , last] = members as [(typeof members)[0], unknown, unknown, (typeof members)[0]];
    for (const { link } of members) link.cut();
    expect(isShortage(await first.permits.take(bucket, now()))).toBe(false);
    const shortage = await last.permits.take(bucket, now());
    expect(isShortage(shortage) && shortage.retryAt).toBe(now() + 500);
  });

  it('tells all that it spent, and nothing is granted a second time', async () => {
    const { now, store, advance, members } = memoryFleet(2);
    const bucket = bucketOf({ requests: 10, perMs: MINUTE_MS });
    for (const { link } of members) link.cut();
    const open = [];
    for (const { permits } of members) {
      for (let i = 0; i < 5; i += 1) {
        const permit = await permits.take(bucket, now());
        if (isShortage(permit)) expect.unreachable();
        else if (i < 3) permit.settle(now());
        else open.push(permit);
      }
    }
    advance(1_000);
    for (const { link, permits } of members) {
      await permits.rejoin();
      link.lostAt = undefined;
      await permits.flush();
    }
    const left = async (): Promise<number> =>
      (await store.lease({ bucket: bucket.name, windows: bucket.windows, want: 0, ttlMs: 0, slackMs: 0 }))
        .left;
    expect(await left()).toBe(0);
    for (const permit of open) permit.giveBack();
    for (const { permits } of members) await permits.flush();
    expect(await left()).toBe(4);
  });

  it('keeps to the limit in every rolling window, whenever it is lost and comes back', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          size: fc.integer({ min: 1, max: 5 }),
          limits: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 2 }),
          steps: fc.array(
            fc.oneof(
              {
                weight: 8,
                arbitrary: fc.record({
                  take: fc.integer({ min: 0, max: 4 }),
                  settle: fc.integer({ min: 0, max: 3 }),
                }),
              },
              { weight: 4, arbitrary: fc.record({ passMs: fc.integer({ min: 1, max: 1_500 }) }) },
              { weight: 1, arbitrary: fc.constant({ lose: true }) },
              { weight: 1, arbitrary: fc.constant({ comeBack: true }) },
            ),
            { maxLength: 80 },
          ),
        }),
        async ({ size, limits, steps }) => {
          const { now, advance, members } = memoryFleet(size);
          const windows = limits.map((requests, index) => ({ requests, perMs: [1_000, 5_000][index]! }));
          const bucket = bucketOf(...windows);
          const moments: number[] = [];
          for (const step of steps) {
            if ('take' in step) {
              const member = members[step.take % size]!;
              const permit = await member.permits.take(bucket, now());
              if (isShortage(permit)) continue;
              moments.push(now());
              if (step.settle === 0) permit.settle(now());
              else if (step.settle === 1) permit.sent(now());
            } else if ('passMs' in step) {
              advance(step.passMs);
            } else if ('lose' in step) {
              // Everyone's last answer is fresh.
              for (const { permits, link } of members) {
                if (link.isLost) continue;
                const permit = await permits.take(bucket, now());
                if (!isShortage(permit)) permit.giveBack();
                await permits.flush();
              }
              for (const { permits, link } of members) {
                if (link.isLost) continue;
                const permit = await permits.take(bucket, now());
                if (!isShortage(permit)) permit.giveBack();
                await permits.flush();
              }
              for (const { link } of members) link.cut();
            } else {
              if (!members.some(({ link }) => link.isLost)) continue;
              for (const { fleet } of members) fleet.reunionUntil = now() + REUNION_MS;
              for (const { permits, link } of members) {
                await permits.rejoin();
                link.lostAt = undefined;
                await permits.flush();
              }
            }
          }
          for (const { requests, perMs } of windows)
            expect(fullest(moments, perMs)).toBeLessThanOrEqual(requests);
          for (const { permits } of members) await permits.close();
        },
      ),
      { numRuns: 150 },
    );
  });
});

/** A store whose data is lost on command, as a Redis that was restarted empty. */
class ForgetfulStore {
  readonly #now: () => number;
  #inner: Store;
  readonly #known = new Set<string>();

  constructor(now: () => number) {
    this.#now = now;
    this.#inner = this.#fresh();
  }

  forget(): void {
    this.#inner = this.#fresh();
    this.#known.clear();
  }

  #fresh(): Store {
    const inner = createMemoryStore({ now: this.#now, onNotice: () => {} });
    void inner.open();
    return inner;
  }

  asOf(memberId: string): Store {
    const everKnown = new Set<string>();
    const lease = (request: LeaseRequest) => {
      const { bucket } = request;
      if (everKnown.has(bucket) && !this.#known.has(bucket + memberId)) {
        throw new KeymuxError('KEYMUX_STORE_FORGOT', 'Forgotten.', { fix: '' });
      }
      everKnown.add(bucket);
      this.#known.add(bucket + memberId);
      return this.#inner.lease(request);
    };
    return {
      shared: true,
      now: this.#now,
      lease,
      settle: (settlements) => this.#inner.settle(settlements),
      charge: (charges, options) => {
        for (const { bucket } of charges) this.#known.add(bucket + memberId);
        return this.#inner.charge(charges, options);
      },
    } as Store;
  }
}

describe('a store that forgot everything', () => {
  it('is told what was spent, and gives no second allowance', async () => {
    const { now, advance } = createFakeClock();
    const forgetful = new ForgetfulStore(now);
    const members = [0, 1].map((rank) => fleetOver(forgetful.asOf(`m${String(rank)}`), now, 2)[rank]!);
    const bucket = bucketOf({ requests: 10, perMs: MINUTE_MS });
    const moments: number[] = [];
    const takeAll = async (): Promise<void> => {
      for (const { permits } of members) {
        for (;;) {
          const permit = await permits.take(bucket, now());
          if (isShortage(permit)) break;
          permit.settle(now());
          moments.push(now());
        }
        await permits.flush();
      }
    };
    for (const { permits } of members) {
      for (let i = 0; i < 3; i += 1) {
        const permit = await permits.take(bucket, now());
        if (!isShortage(permit)) permit.settle(now());
        moments.push(now());
      }
      await permits.flush();
    }
    forgetful.forget();
    advance(10);
    await takeAll();
    expect(moments.length).toBeGreaterThan(6);
    advance(REUNION_MS + 1);
    await takeAll();
    expect(moments).toHaveLength(10);
    advance(MINUTE_MS);
    await takeAll();
    expect(fullest(moments, MINUTE_MS)).toBe(10);
  });
});
