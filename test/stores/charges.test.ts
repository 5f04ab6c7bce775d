import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { permitsLeft } from '#keymux/core/quota.js';
import type { Charge, QuotaWindow } from '#keymux/core/quota.js';
import { MANY_CHARGES, compactCharges, horizonMs } from '#keymux/stores/charges.js';
import { createMemoryStore } from '#keymux/stores/memory.js';

const NOW = Date.UTC(2026, 4, 17, 15, 30);
const SECOND: QuotaWindow = { requests: 1_000, perMs: 1_000 };
const HOUR: QuotaWindow = { requests: 100_000, perMs: 3_600_000 };
const DAY: QuotaWindow = {
  requests: 100_000,
  perMs: 86_400_000,
  calendar: { unit: 'day', at: '00:00', timeZone: 'UTC' },
};
const WINDOWS = [SECOND, HOUR, DAY];

const charge = fc.record({
  permits: fc.integer({ min: 1, max: 5 }),
  countedAt: fc.double({ min: NOW - 2 * DAY.perMs, max: NOW + 60_000, noNaN: true }),
});

function permitsOf(charges: readonly Charge[]): number {
  return charges.reduce((sum, { permits }) => sum + permits, 0);
}

describe('compactCharges', () => {
  it('changes nothing about what is left now, and never frees a permit sooner than before', () => {
    fc.assert(
      fc.property(
        fc.array(charge, { maxLength: 300 }),
        fc.double({ min: 0, max: 86_400_000, noNaN: true }),
        (charges, laterMs) => {
          const compacted = compactCharges(WINDOWS, charges, NOW);
          expect(permitsOf(compacted)).toBe(permitsOf(charges));
          for (const window of WINDOWS) {
            expect(permitsLeft([window], compacted, NOW)).toBe(permitsLeft([window], charges, NOW));
            const later = NOW + laterMs;
            expect(permitsLeft([window], compacted, later)).toBeLessThanOrEqual(
              permitsLeft([window], charges, later),
            );
          }
        },
      ),
    );
  });

  it('frees a permit at most 1/32 of the window later, however often it is compacted', () => {
    fc.assert(
      fc.property(fc.array(charge, { minLength: 1, maxLength: 60 }), (charges) => {
        let compacted: Charge[] = charges.filter(({ countedAt }) => countedAt <= NOW);
        for (let step = 0; step < 40; step += 1) {
          compacted = compactCharges([SECOND, HOUR], compacted, NOW + step * 50_000);
        }
        const later = NOW + 40 * 50_000;
        const delayed = permitsLeft([HOUR], compacted, later + HOUR.perMs / 32);
        expect(delayed).toBeGreaterThanOrEqual(
          permitsLeft(
            [HOUR],
            charges.filter(({ countedAt }) => countedAt <= NOW),
            later,
          ),
        );
      }),
    );
  });

  it('leaves about 64 charges for each window', () => {
    const charges = Array.from({ length: 20_000 }, (_, index) => ({
      permits: 1,
      countedAt: NOW - index * 180,
    }));
    expect(compactCharges([SECOND, HOUR], charges, NOW).length).toBeLessThan(2 * 64 + 8);
  });
});

describe('horizonMs', () => {
  it('covers the longest window, and the longest that a calendar makes of it', () => {
    expect(horizonMs([])).toBe(0);
    expect(horizonMs([SECOND, HOUR])).toBe(HOUR.perMs);
    expect(horizonMs([DAY])).toBeGreaterThan(25 * 3_600_000);
    const month = {
      requests: 1,
      perMs: 30 * DAY.perMs,
      calendar: { unit: 'month', at: '00:00', timeZone: 'UTC' },
    } as const;
    expect(horizonMs([month, SECOND])).toBeGreaterThan(31 * DAY.perMs + 3_600_000);
  });
});

describe('a memory store at work for long', () => {
  function openAt(start: number): {
    store: ReturnType<typeof createMemoryStore>;
    advance: (ms: number) => void;
  } {
    let now = start;
    const store = createMemoryStore({ now: () => now, onNotice: () => {} });
    void store.open();
    return { store, advance: (ms) => (now += ms) };
  }

  it('lists the leases that are open, and forgets those that ended', async () => {
    const { store, advance } = openAt(NOW);
    await store.lease({ bucket: 'p/b', windows: [DAY], want: 2, ttlMs: 10, slackMs: 5 });
    expect((await store.census()).leases).toEqual([{ bucket: 'p/b', permits: 2, leases: 1 }]);
    advance(16);
    expect((await store.census()).leases).toEqual([]);
  });

  it('grants a full limit in each window, with far more charges than it keeps apart', async () => {
    const { store, advance } = openAt(NOW);
    const windows = [{ requests: 2_000, perMs: 60_000 }];
    for (let window = 0; window < 3; window += 1) {
      let granted = 0;
      for (let count = 0; count < MANY_CHARGES * 5; count += 1) {
        const grant = await store.lease({ bucket: 'p/b', windows, want: 1, ttlMs: 10, slackMs: 0 });
        granted += grant.granted;
        if (grant.granted > 0) {
          await store.settle([
            { bucket: 'p/b', leaseId: grant.leaseId, spent: 1, countedAt: store.now(), returned: 0 },
          ]);
        }
        advance(1);
      }
      expect(granted).toBe(2_000);
      advance(60_000 + 60_000 / 32);
    }
  });

  it('keeps a forgotten lease charged, and settles it no more', async () => {
    const { store, advance } = openAt(NOW);
    const request = { bucket: 'p/b', windows: [HOUR], want: 100_000, ttlMs: 10, slackMs: 0 };
    const forgotten = await store.lease(request);
    advance(61_000);
    expect(await store.lease(request)).toMatchObject({ granted: 0 });
    await store.settle([
      { bucket: 'p/b', leaseId: forgotten.leaseId, spent: 0, countedAt: 0, returned: 100_000 },
    ]);
    expect(await store.lease(request)).toMatchObject({ granted: 0 });
    advance(HOUR.perMs);
    expect(await store.lease(request)).toMatchObject({ granted: 100_000 });
  });

  it('drops old charges of a bucket that has no limit any more', async () => {
    const { store } = openAt(NOW);
    const free = { bucket: 'p/b', windows: [], want: 1, ttlMs: 0, slackMs: 0 };
    for (let count = 0; count <= MANY_CHARGES + 1; count += 1) {
      const { leaseId } = await store.lease(free);
      await store.settle([{ bucket: 'p/b', leaseId, spent: 1, countedAt: 0, returned: 0 }]);
    }
    expect(await store.lease({ ...free, windows: [HOUR], want: 9 })).toMatchObject({ granted: 9 });
  });

  it('forgets that it was told of a charge when nobody would tell it again', async () => {
    const { store, advance } = openAt(NOW);
    const brief = [{ requests: 5, perMs: 1_000 }];
    const charge = { bucket: 'p/b', windows: brief, leaseId: 'told-1', permits: 2, countedAt: NOW };
    const left = async (): Promise<number> =>
      (await store.lease({ bucket: 'p/b', windows: brief, want: 0, ttlMs: 0, slackMs: 0 })).left;
    await store.charge([charge], { cautionMs: 0 });
    advance(59_000);
    await store.charge([{ ...charge, countedAt: store.now() }], { cautionMs: 0 });
    expect(await left()).toBe(5);
    advance(2_000);
    await store.charge([{ ...charge, countedAt: store.now() }], { cautionMs: 0 });
    expect(await left()).toBe(3);
  });

  it('counts a charge from an impossible future only for as long as a lease may last', async () => {
    const { store, advance } = openAt(NOW);
    const charge = { bucket: 'p/b', windows: [HOUR], leaseId: 'told-1', permits: 2, countedAt: 9e15 };
    await store.charge([charge], { cautionMs: 0 });
    advance(13 * HOUR.perMs + 1);
    const request = { bucket: 'p/b', windows: [HOUR], want: 0, ttlMs: 0, slackMs: 0 };
    expect(await store.lease(request)).toMatchObject({ left: HOUR.requests });
  });
});
