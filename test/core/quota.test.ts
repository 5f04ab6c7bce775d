import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Charge, QuotaWindow } from '#keymux/core/quota.js';
import { arrivalSlackMs, HOLD_MS, nextPermitAt, permitsLeft, windowStart } from '#keymux/core/quota.js';

const NOW = Date.UTC(2026, 6, 15, 12);
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

const perSecond: QuotaWindow = { requests: 2, perMs: 1_000 };
const perMinute: QuotaWindow = { requests: 3, perMs: MINUTE_MS };
const perDay: QuotaWindow = {
  requests: 3,
  perMs: DAY_MS,
  calendar: { unit: 'day', at: '00:00', timeZone: 'UTC' },
};

function ago(...agesMs: number[]): Charge[] {
  return agesMs.map((ageMs) => ({ permits: 1, countedAt: NOW - ageMs }));
}

/** Short windows and times, so that edges meet. */
const rolling: fc.Arbitrary<QuotaWindow> = fc.record({
  requests: fc.integer({ min: 1, max: 6 }),
  perMs: fc.integer({ min: 1, max: 40 }),
});
const windows = fc.array(fc.oneof({ weight: 4, arbitrary: rolling }, fc.constant(perDay)), { maxLength: 3 });
const charges: fc.Arbitrary<Charge[]> = fc.array(
  fc.record({
    permits: fc.integer({ min: 1, max: 3 }),
    countedAt: fc.integer({ min: NOW - 50, max: NOW + 50 }),
  }),
  { maxLength: 12 },
);

/** One entry for each permit and window, counted by hand. */
function naivePermitsLeft(limits: readonly QuotaWindow[], taken: readonly Charge[], now: number): number {
  const permits = taken.flatMap(({ permits: count, countedAt }) => Array<number>(count).fill(countedAt));
  const left = limits.map(({ requests, perMs, calendar }) => {
    const start = calendar === undefined ? now - perMs : Math.floor(now / DAY_MS) * DAY_MS;
    return Math.max(0, requests - permits.filter((countedAt) => !(countedAt < start)).length);
  });
  return left.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...left);
}

describe('permitsLeft', () => {
  it('counts a charge that is exactly as old as the window, and no older one', () => {
    expect(permitsLeft([perSecond], ago(1_000, 1_000), NOW)).toBe(0);
    expect(permitsLeft([perSecond], ago(1_000, 1_000.5), NOW)).toBe(1);
    expect(permitsLeft([perSecond], ago(1_001, 1_001), NOW)).toBe(2);
  });

  it('counts what is under way, though it is charged later', () => {
    expect(permitsLeft([perSecond], ago(-HOLD_MS), NOW)).toBe(1);
    expect(permitsLeft([perSecond], ago(-HOLD_MS), NOW + HOLD_MS + 1_000)).toBe(1);
    expect(permitsLeft([perSecond], ago(-HOLD_MS), NOW + HOLD_MS + 1_001)).toBe(2);
  });

  it('goes by the tightest of several windows', () => {
    const all = [perSecond, perMinute, perDay];
    expect(permitsLeft(all, [], NOW)).toBe(2);
    expect(permitsLeft(all, ago(500, 5_000), NOW)).toBe(1);
    expect(permitsLeft(all, ago(2_000, 3_000), NOW)).toBe(1);
    expect(permitsLeft(all, ago(61_000, 62_000, 63_000), NOW)).toBe(0);
  });

  it('starts a calendar window at its reset, which counts already', () => {
    const midnight = Date.UTC(2026, 6, 15);
    const charge = (countedAt: number): Charge => ({ permits: 3, countedAt });
    expect(permitsLeft([perDay], [charge(midnight - 1)], midnight - 1)).toBe(0);
    expect(permitsLeft([perDay], [charge(midnight - 1)], midnight)).toBe(3);
    expect(permitsLeft([perDay], [charge(midnight)], midnight)).toBe(0);
  });

  it('is never negative, and boundless without a window', () => {
    expect(permitsLeft([perSecond], ago(1, 2, 3, 4), NOW)).toBe(0);
    expect(permitsLeft([], ago(1, 2, 3, 4), NOW)).toBe(Number.POSITIVE_INFINITY);
  });

  it('agrees with counting by hand', () => {
    fc.assert(
      fc.property(windows, charges, (limits, taken) => {
        expect(permitsLeft(limits, taken, NOW)).toBe(naivePermitsLeft(limits, taken, NOW));
      }),
      { numRuns: 500 },
    );
  });

  it('keeps every window of that length within its limit when permits are taken as it allows', () => {
    const waits = fc.array(fc.integer({ min: 0, max: 25 }), { minLength: 20, maxLength: 60 });
    fc.assert(
      fc.property(fc.array(rolling, { minLength: 1, maxLength: 3 }), waits, (limits, course) => {
        const taken: Charge[] = [];
        let now = NOW;
        for (const waitMs of course) {
          now += waitMs;
          if (permitsLeft(limits, taken, now) > 0) taken.push({ permits: 1, countedAt: now });
        }
        for (const { requests, perMs } of limits) {
          taken.forEach(({ countedAt: from }, index) => {
            const within = taken.slice(index).filter(({ countedAt }) => countedAt <= from + perMs);
            expect(within.length).toBeLessThanOrEqual(requests);
          });
        }
      }),
    );
  });
});

describe('nextPermitAt', () => {
  it('is now where a permit is left', () => {
    expect(nextPermitAt([perSecond, perDay], ago(10), NOW)).toBe(NOW);
    expect(nextPermitAt([], ago(10), NOW)).toBe(NOW);
  });

  it('is just after the charge in the way has left the window', () => {
    expect(nextPermitAt([perSecond], ago(100, 600), NOW)).toBe(NOW - 600 + 1_001);
    expect(nextPermitAt([perSecond], ago(700, 100, 600), NOW)).toBe(NOW - 600 + 1_001);
  });

  it('takes what is under way as counted now', () => {
    expect(nextPermitAt([perSecond], ago(-HOLD_MS, -HOLD_MS), NOW)).toBe(NOW + 1_001);
  });

  it('is the next reset of a calendar window', () => {
    expect(nextPermitAt([perDay], ago(1, 2, 3), NOW)).toBe(Date.UTC(2026, 6, 16));
  });

  it('waits for the window that opens last', () => {
    const soon: QuotaWindow = { requests: 1, perMs: 5_000 };
    expect(nextPermitAt([soon, perMinute, perSecond], ago(1, 2, 3), NOW)).toBe(NOW - 3 + MINUTE_MS + 1);
    expect(nextPermitAt([perDay, soon], ago(1, 2, 3), NOW)).toBe(Date.UTC(2026, 6, 16));
  });

  it('looks again after one window where the limit allows nothing', () => {
    expect(nextPermitAt([{ requests: 0, perMs: 1_000 }], [], NOW)).toBe(NOW + 1_000);
  });

  it('is the first moment at which permitsLeft allows one, what is under way being counted now', () => {
    fc.assert(
      fc.property(windows, charges, (limits, taken) => {
        const at = nextPermitAt(limits, taken, NOW);
        const counted = taken.map(({ permits, countedAt }) => ({
          permits,
          countedAt: Math.min(NOW, countedAt),
        }));
        expect(at).toBeGreaterThanOrEqual(NOW);
        expect(permitsLeft(limits, counted, at)).toBeGreaterThan(0);
        if (at > NOW) expect(permitsLeft(limits, counted, at - 1)).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});

describe('arrivalSlackMs', () => {
  it.each([
    [[{ requests: 1, perMs: 1_000 }], 1_000],
    [[perMinute, { requests: 1, perMs: 2_000 }], 2_000],
    [[{ requests: 1, perMs: 4_000 }], 4_000],
    [[perMinute, perDay], 5_000],
    [[{ requests: 1, perMs: 100 }], 1_000],
    [[{ requests: 1, perMs: 1_201 }], 1_201],
    [[], 5_000],
  ])('is a quarter of the shortest window, between 50 ms and 1 s (%#)', (limits, slackMs) => {
    expect(arrivalSlackMs(limits)).toBe(slackMs);
  });
});

describe('windowStart', () => {
  it('lies one length back, or at the last reset', () => {
    expect(windowStart(perMinute, NOW)).toBe(NOW - MINUTE_MS);
    expect(windowStart(perDay, NOW)).toBe(Date.UTC(2026, 6, 15));
    expect(HOLD_MS).toBe(30_000);
  });
});
