import {
  aloneLimits,
  doubtfulPermits,
  fairShare,
  fallSince,
  scarcity,
  scarcityAfterShortage,
} from '#keymux/core/fair-share.js';
import { batchTtlMs, leaseSize, mostAhead, nextAhead } from '#keymux/core/lease-size.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const WINDOW = { requests: 10, perMs: 1_000 };

describe('the share of a member', () => {
  it('adds up to the whole, whatever the sizes are', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100_000 }), fc.integer({ min: 1, max: 40 }), (permits, size) => {
        const shares = Array.from({ length: size }, (_, rank) => fairShare(permits, { size, rank }));
        expect(shares.reduce((sum, share) => sum + share, 0)).toBe(permits);
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
      }),
    );
    expect(fairShare(5, { size: 2, rank: 2 })).toBe(0);
  });
});

describe('the limits of a member that is alone', () => {
  const farewell = {
    lostAt: 5_000,
    own: [2],
    answer: { at: 5_000, left: [3], fallPerMs: [0] },
    place: { size: 2, rank: 0 },
  };

  it('are its own use and its part of what was left, until what was spent before counts no more', () => {
    expect(aloneLimits([WINDOW], farewell, 5_500)).toEqual([{ permits: 4, until: 6_000 }]);
    expect(aloneLimits([WINDOW], farewell, 6_000)).toEqual([{ permits: 5, until: 6_000 }]);
    expect(aloneLimits([WINDOW], { ...farewell, own: [9] }, 5_500)).toMatchObject([{ permits: 5 }]);
    expect(aloneLimits([WINDOW], { ...farewell, own: [] }, 5_500)).toMatchObject([{ permits: 2 }]);
  });

  it('are a share where the store never said what was left', () => {
    const { lostAt, own, place } = farewell;
    expect(aloneLimits([WINDOW], { lostAt, own, place }, 5_500)).toEqual([{ permits: 5, until: 5_500 }]);
  });

  it('allow for what others took since the last answer, at the pace that was seen', () => {
    const answer = { at: 4_000, left: [8], fallPerMs: [0.005] };
    expect(aloneLimits([WINDOW], { ...farewell, answer }, 5_500)).toMatchObject([{ permits: 2 + 2 }]);
    const fast = { at: 4_000, left: [8], fallPerMs: [1] };
    expect(aloneLimits([WINDOW], { ...farewell, answer: fast }, 5_500)).toMatchObject([{ permits: 2 }]);
    const nothing = { at: 4_000, left: [], fallPerMs: [] };
    expect(aloneLimits([WINDOW], { ...farewell, answer: nothing }, 5_500)).toMatchObject([{ permits: 2 }]);
  });

  it('are what was spent, where others are likely to have taken what was left', () => {
    const scarce = { ...farewell, scarceUntil: [5_001] };
    expect(aloneLimits([WINDOW], scarce, 5_500)).toEqual([{ permits: 2, until: 6_000 }]);
    expect(aloneLimits([WINDOW], scarce, 6_000)).toMatchObject([{ permits: 5 }]);
    expect(aloneLimits([WINDOW], { ...farewell, scarceUntil: [5_000] }, 5_500)).toMatchObject([
      { permits: 4 },
    ]);
  });

  it('hold until the next reset of a calendar window', () => {
    const calendar = { unit: 'day', at: '00:00', timeZone: 'UTC' } as const;
    const day = { requests: 10, perMs: 86_400_000, calendar };
    const lostAt = Date.UTC(2026, 0, 1, 23);
    const [limit] = aloneLimits(
      [day],
      { ...farewell, lostAt, answer: { ...farewell.answer, at: lostAt } },
      lostAt,
    );
    expect(limit).toEqual({ permits: 4, until: Date.UTC(2026, 0, 2) });
  });

  it('never add up to more than what was left, given answers that are all fresh', () => {
    const members = fc.array(fc.nat(30), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(members, fc.integer({ min: 1, max: 60 }), (uses, requests) => {
        const used = uses.reduce((sum, use) => sum + use, 0);
        fc.pre(used <= requests);
        const limits = uses.map((use, rank) => {
          const answer = { at: 0, left: [requests - used], fallPerMs: [0] };
          const place = { size: uses.length, rank };
          return aloneLimits([{ requests, perMs: 100 }], { lostAt: 0, own: [use], answer, place }, 50)[0]!
            .permits;
        });
        // Whoever spent more than its limit spends nothing more.
        const spent = limits.reduce((sum, limit, index) => sum + Math.max(limit, uses[index]!), 0);
        expect(spent).toBeLessThanOrEqual(requests);
      }),
    );
  });
});

describe('how fast a window falls', () => {
  it('leaves out what was granted here, and is half new and half old', () => {
    const before = { at: 0, left: [10, 10], fallPerMs: [0.25, 0] };
    expect(fallSince(before, { at: 16, left: [1, 9] }, 1)).toEqual([0.375, 0]);
    expect(fallSince(undefined, { at: 10, left: [5] }, 1)).toEqual([0]);
    expect(fallSince({ at: 0, left: [], fallPerMs: [] }, { at: 10, left: [5] }, 1)).toEqual([0]);
    expect(fallSince({ at: 0, left: [7], fallPerMs: [] }, { at: 10, left: [5] }, 2)).toEqual([0]);
  });
});

describe('the size of a lease', () => {
  it('is what waits, at most a share, and nothing ahead of demand under a small limit', () => {
    expect(leaseSize({ limit: 100, members: 4, waiting: 1, ahead: 64 })).toBe(1);
    expect(leaseSize({ limit: 100, members: 4, waiting: 90, ahead: 64 })).toBe(25);
    expect(leaseSize({ limit: 3, members: 4, waiting: 90, ahead: 1 })).toBe(1);
    expect(mostAhead(128, 1)).toBe(0);
  });

  it('grows with demand, never beyond a part of the share', () => {
    expect(leaseSize({ limit: 6_400, members: 4, waiting: 1, ahead: 8 })).toBe(8);
    expect(leaseSize({ limit: 6_400, members: 4, waiting: 1, ahead: 200 })).toBe(100);
    expect(leaseSize({ limit: 1e6, members: 1, waiting: 1, ahead: 256 })).toBe(256);
    expect([nextAhead(4, true), nextAhead(256, true), nextAhead(5, false), nextAhead(1, false)]).toEqual([
      8, 256, 2, 1,
    ]);
    expect([batchTtlMs(100), batchTtlMs(1e6)]).toEqual([50, 1_000]);
  });
});

describe('members whose last answers are stale', () => {
  it('exceed the limit by no more than their shares of what others were granted since', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 60 }),
        fc.array(fc.nat({ max: 7 }), { maxLength: 60 }),
        (size, requests, order) => {
          const grants = order.slice(0, requests).map((member) => member % size);
          const bound = Array.from({ length: size }, (_, rank) => {
            const last = grants.lastIndexOf(rank);
            const own = grants.filter((member) => member === rank).length;
            const since = last < 0 ? 0 : grants.length - 1 - last;
            const answer = { at: 0, left: [requests - 1 - last], fallPerMs: [0] };
            const farewell = {
              lostAt: 0,
              own: [own],
              // Who never asked, asks at the end: without any answer a member takes its whole share.
              answer: last < 0 ? { ...answer, left: [requests - grants.length] } : answer,
              place: { size, rank },
            };
            const [limit] = aloneLimits([{ requests, perMs: 100 }], farewell, 50);
            return { permits: limit!.permits, excess: Math.ceil(since / size) };
          });
          const total = bound.reduce((sum, { permits }) => sum + permits, 0);
          const excess = bound.reduce((sum, each) => sum + each.excess, 0);
          expect(total).toBeLessThanOrEqual(requests + excess);
        },
      ),
    );
  });
});

describe('what is spent while it is open whether the store is lost', () => {
  const WINDOWS = [
    { requests: 100, perMs: 1_000 },
    { requests: 1_000, perMs: 60_000 },
  ];
  const place = { size: 4, rank: 3 };
  const answer = { at: 1_000_000, left: [65, 292], fallPerMs: [0, 0] };
  const farewell = { lostAt: 1_000_000, own: [9, 9], answer, place };
  const hearsay = { since: 900_000, scarceUntil: [0, 0] };

  it('is the share of what was left above a quarter, in the tightest window', () => {
    expect(doubtfulPermits(WINDOWS, farewell, hearsay, 1_000_000)).toBe(10);
    const tight = { ...farewell, answer: { ...answer, left: [65, 261] } };
    expect(doubtfulPermits(WINDOWS, tight, hearsay, 1_000_000)).toBe(2);
    const quarter = { ...farewell, answer: { ...answer, left: [25, 1_000] } };
    expect(doubtfulPermits(WINDOWS, quarter, hearsay, 1_000_000)).toBe(0);
  });

  it('falls on while that lasts, twice as fast as it fell', () => {
    const falling = { ...farewell, answer: { ...answer, fallPerMs: [0.05, 0] } };
    expect(doubtfulPermits(WINDOWS, falling, hearsay, 1_000_200)).toBe(5);
    expect(doubtfulPermits(WINDOWS, falling, hearsay, 1_001_000)).toBe(0);
  });

  it('is nothing of a limit that was spent up lately, or that is hardly known', () => {
    const until = (scarceUntil: number[]) => ({ ...hearsay, scarceUntil });
    expect(doubtfulPermits(WINDOWS, farewell, until([1_000_001, 0]), 1_000_000)).toBe(0);
    expect(doubtfulPermits(WINDOWS, farewell, until([1_000_000, 0]), 1_000_000)).toBe(10);
    expect(doubtfulPermits(WINDOWS, farewell, until([0, 1_000_001]), 1_000_000)).toBe(0);
    expect(doubtfulPermits(WINDOWS, farewell, { ...hearsay, since: 999_500 }, 1_000_000)).toBe(0);
    const { lostAt, own } = farewell;
    expect(doubtfulPermits(WINDOWS, { lostAt, own, place }, hearsay, 1_000_000)).toBe(0);
  });

  it('is nothing where a window was not spoken of', () => {
    const silent = { ...farewell, answer: { at: 1_000_000, left: [], fallPerMs: [] } };
    expect(doubtfulPermits(WINDOWS, silent, { since: 0, scarceUntil: [] }, 1_000_000)).toBe(0);
  });
});

describe('how long a window is taken for scarce', () => {
  const day = { requests: 1_000, perMs: 86_400_000 };
  const minute = { requests: 30, perMs: 60_000 };
  const windows = [day, minute, WINDOW];

  it('is five windows after it was empty, five seconds at least, two minutes at most, with all shorter windows', () => {
    expect(scarcity(windows, [], { at: 1_000, left: [1, 2, 0] })).toEqual([0, 0, 6_000]);
    expect(scarcity(windows, [], { at: 1_000, left: [1, 0, 5] })).toEqual([0, 121_000, 121_000]);
    expect(scarcity(windows, [], { at: 1_000, left: [0, 1, 5] })).toEqual([121_000, 121_000, 121_000]);
  });

  it('is not shortened by another answer', () => {
    expect(scarcity(windows, [0, 9_000, 9_000], { at: 1_000, left: [1, 1, 0] })).toEqual([0, 9_000, 9_000]);
  });

  it('counts anew for the shortest window where a request was not served', () => {
    expect(scarcityAfterShortage(windows, [7, 8, 9], 1_000)).toEqual([7, 8, 6_000]);
    expect(scarcityAfterShortage(windows, [], 1_000)).toEqual([0, 0, 6_000]);
  });
});
