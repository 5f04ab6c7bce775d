import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Charge, HOLD_MS, permitsLeft, type QuotaWindow } from '#keymux/core/quota.js';
import { BUCKET, createMemory, openMemory, RING } from '#keymux/state/layout.js';
import { planRing } from '#keymux/state/ring-plan.js';
import { REFUSED, Ring, SEALED } from '#keymux/state/ring.js';
import { StateTable } from '#keymux/state/table.js';

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const START = Date.UTC(2026, 2, 27, 12);

function tableAt(now = START): StateTable {
  return StateTable.create({ now: () => now });
}

/** Takes up to `count` permits, settled at the same moment; how many were granted. */
function spend(table: StateTable, bucket: number, count: number, now: number): number {
  let granted = 0;
  for (let n = 0; n < count; n += 1) {
    const position = table.take(bucket, now);
    if (position < 0) break;
    table.settle(bucket, position, now);
    granted += 1;
  }
  return granted;
}

describe('take', () => {
  it('grants exactly the limit in a rolling window', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ requests: 5, perMs: SECOND_MS }]);
    expect(spend(table, bucket, 9, START)).toBe(5);
    expect(spend(table, bucket, 9, START + SECOND_MS)).toBe(0);
    expect(spend(table, bucket, 9, START + SECOND_MS + 1)).toBe(5);
  });

  it('grants no more than the tightest of several windows', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [
      { requests: 3, perMs: SECOND_MS },
      { requests: 5, perMs: MINUTE_MS },
      { requests: 6, perMs: DAY_MS },
    ]);
    expect(spend(table, bucket, 9, START)).toBe(3);
    expect(spend(table, bucket, 9, START + 2 * SECOND_MS)).toBe(2);
    expect(spend(table, bucket, 9, START + 2 * MINUTE_MS)).toBe(1);
    expect(spend(table, bucket, 9, START + 2 * HOUR_MS)).toBe(0);
    expect(spend(table, bucket, 9, START + DAY_MS + 1)).toBe(3);
  });

  it('charges an unsettled permit as if it was sent at the end of the hold', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ requests: 1, perMs: SECOND_MS }]);
    table.take(bucket, START);
    expect(table.take(bucket, START + HOLD_MS + SECOND_MS)).toBe(-1);
    expect(table.take(bucket, START + HOLD_MS + SECOND_MS + 1)).toBeGreaterThanOrEqual(0);
  });

  it('refuses nothing without windows', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/free', []);
    expect(table.take(bucket, START)).toBeGreaterThanOrEqual(0);
    expect(table.left(bucket, START)).toBe(Infinity);
    expect(table.nextAt(bucket, START)).toBe(START);
  });

  it('refuses a time that is no number', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ requests: 1, perMs: SECOND_MS }]);
    expect(() => table.take(bucket, Number.NaN)).toThrowError(
      expect.objectContaining({ code: 'KEYMUX_USAGE' }),
    );
  });

  it('refuses an index that is no bucket', () => {
    const table = tableAt();
    expect(() => table.take(3, START)).toThrowError(expect.objectContaining({ code: 'KEYMUX_USAGE' }));
    expect(() => table.left(3_000_000, START)).toThrowError(
      expect.objectContaining({ code: 'KEYMUX_USAGE' }),
    );
  });

  it('counts on when the position counter passes the end of its range', () => {
    for (const requests of [3, 100_000]) {
      const memory = createMemory({}, START, 0);
      const plan = planRing([{ requests, perMs: SECOND_MS }]);
      const at = memory.endAt - plan.words;
      Ring.build(memory, at, plan, START, -2, []);
      const ring = new Ring(memory, at);
      for (let now = START; now < START + 5 * MINUTE_MS; now += MINUTE_MS) {
        const positions = Array.from({ length: requests }, () => ring.take(now));
        expect(Math.min(...positions.slice(0, 9))).toBeGreaterThanOrEqual(0);
        expect(ring.take(now)).toBe(REFUSED);
        for (const position of positions) ring.settle(position, now);
      }
      ring.giveBack(ring.take(START + HOUR_MS));
      expect(ring.left(START + HOUR_MS)).toBe(requests);
    }
  });
});

describe('settle', () => {
  it('lowers a charge and never raises it', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ requests: 1, perMs: SECOND_MS }]);
    const position = table.take(bucket, START);
    table.settle(bucket, position, START + 250);
    table.settle(bucket, position, START + 900);
    expect(table.take(bucket, START + SECOND_MS + 250)).toBe(-1);
    expect(table.take(bucket, START + SECOND_MS + 251)).toBeGreaterThanOrEqual(0);
  });

  it('does not believe that a permit was counted before it was granted', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ requests: 1, perMs: SECOND_MS }]);
    table.settle(bucket, table.take(bucket, START), START - MINUTE_MS);
    expect(table.take(bucket, START + SECOND_MS)).toBe(-1);
  });

  it('leaves other permits alone when it comes too late', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ requests: 2, perMs: SECOND_MS }]);
    const late = table.take(bucket, START);
    let now = START;
    for (let n = 0; n < 300; n += 1) {
      now += MINUTE_MS;
      spend(table, bucket, 2, now);
    }
    now += MINUTE_MS;
    table.take(bucket, now);
    table.take(bucket, now);
    table.settle(bucket, late, START);
    table.giveBack(bucket, late);
    expect(table.take(bucket, now + SECOND_MS)).toBe(-1);
  });
});

describe('giveBack', () => {
  it('frees the newest permits at once, one after the other', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ requests: 3, perMs: DAY_MS }]);
    const positions = [0, 1, 2].map(() => table.take(bucket, START));
    expect(table.left(bucket, START)).toBe(0);
    for (const position of positions.reverse()) table.giveBack(bucket, position);
    expect(table.left(bucket, START)).toBe(3);
    expect(spend(table, bucket, 9, START)).toBe(3);
  });

  it('frees an older permit when those before it are free', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ requests: 3, perMs: MINUTE_MS }]);
    const [first = -1, second = -1, third = -1] = [0, 1, 2].map(() => table.take(bucket, START));
    table.giveBack(bucket, second);
    expect(table.left(bucket, START)).toBe(0);
    table.settle(bucket, first, START);
    table.settle(bucket, third, START + 20 * SECOND_MS);
    expect(table.left(bucket, START + MINUTE_MS + 1)).toBe(2);
  });

  it('never brings the sequence back to a value that another thread may have checked', () => {
    const memory = createMemory({}, START, 0);
    const plan = planRing([{ requests: 2, perMs: DAY_MS }]);
    const at = memory.endAt - plan.words;
    Ring.build(memory, at, plan, START, 0, []);
    const ring = new Ring(memory, at);
    const seen = new Set([memory.words[at + RING.sequence]]);
    for (let n = 0; n < 20; n += 1) {
      const position = ring.take(START);
      seen.add(memory.words[at + RING.sequence]);
      ring.giveBack(position);
      seen.add(memory.words[at + RING.sequence]);
    }
    expect(seen.size).toBe(41);
    expect(ring.endPosition()).toBe(0);
  });

  it('gives the same allowance however often permits are taken and given back', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ requests: 2, perMs: DAY_MS }]);
    for (let n = 0; n < 1_000; n += 1) table.giveBack(bucket, table.take(bucket, START));
    expect(spend(table, bucket, 9, START)).toBe(2);
  });
});

describe('left and nextAt', () => {
  it('tell how many permits there are and when the next one is', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [
      { requests: 4, perMs: SECOND_MS },
      { requests: 6, perMs: MINUTE_MS },
    ]);
    expect(table.left(bucket, START)).toBe(4);
    spend(table, bucket, 4, START);
    expect(table.left(bucket, START)).toBe(0);
    expect(table.nextAt(bucket, START)).toBe(START + SECOND_MS + 1);
    expect(table.left(bucket, START + 2 * SECOND_MS)).toBe(2);
    expect(table.nextAt(bucket, START + 2 * SECOND_MS)).toBe(START + 2 * SECOND_MS);
    spend(table, bucket, 2, START + 2 * SECOND_MS);
    expect(table.nextAt(bucket, START + 2 * SECOND_MS)).toBe(START + MINUTE_MS + 1);
  });
});

describe('calendar windows', () => {
  const daily: QuotaWindow = {
    requests: 2,
    perMs: DAY_MS,
    calendar: { unit: 'day', at: '00:00', timeZone: 'Europe/Berlin' },
  };

  it('start anew at the reset, over a change to summer time as well', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [daily]);
    // 2026-03-29 has 23 hours in Berlin: it begins at 23:00 UTC and ends at 22:00 UTC.
    const lastMoment = Date.UTC(2026, 2, 28, 22, 59, 59);
    expect(spend(table, bucket, 9, lastMoment)).toBe(2);
    expect(table.nextAt(bucket, lastMoment)).toBe(Date.UTC(2026, 2, 28, 23));
    expect(spend(table, bucket, 9, Date.UTC(2026, 2, 28, 23))).toBe(2);
    expect(spend(table, bucket, 9, Date.UTC(2026, 2, 29, 21, 59, 59))).toBe(0);
    expect(spend(table, bucket, 9, Date.UTC(2026, 2, 29, 22))).toBe(2);
  });

  it('count a request that is under way at the reset in the new period', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ ...daily, requests: 1 }]);
    const reset = Date.UTC(2026, 2, 27, 23);
    const position = table.take(bucket, reset - 10);
    expect(table.take(bucket, reset)).toBe(-1);
    expect(table.nextAt(bucket, reset)).toBe(Date.UTC(2026, 2, 28, 23));
    table.settle(bucket, position, reset - 5);
    expect(table.take(bucket, reset)).toBeGreaterThanOrEqual(0);
  });

  it('hold a month, with coarser ticks', () => {
    const table = tableAt();
    const monthly: QuotaWindow = {
      requests: 3,
      perMs: 30 * DAY_MS,
      calendar: { unit: 'month', at: '00:00', timeZone: 'UTC' },
    };
    const bucket = table.bucket('acme/main', [monthly, { requests: 2, perMs: SECOND_MS }]);
    expect(spend(table, bucket, 9, Date.UTC(2026, 4, 1, 0, 0, 0))).toBe(2);
    expect(spend(table, bucket, 9, Date.UTC(2026, 4, 15))).toBe(1);
    expect(spend(table, bucket, 9, Date.UTC(2026, 4, 31, 23, 59, 59))).toBe(0);
    expect(spend(table, bucket, 9, Date.UTC(2026, 5, 1))).toBe(2);
  });
});

describe('limits above 65,536', () => {
  it('are never exceeded, and missed by less than the permits of a slot', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [
      { requests: 200_001, perMs: HOUR_MS },
      { requests: 60_000, perMs: 100 },
    ]);
    expect(table.left(bucket, START)).toBe(60_000);
    let granted = 0;
    for (let n = 0; n < 5; n += 1) granted += spend(table, bucket, 60_000, START + n * SECOND_MS);
    expect(granted).toBeLessThanOrEqual(200_001);
    expect(granted).toBeGreaterThan(200_001 - 4);
    expect(table.left(bucket, START + MINUTE_MS)).toBe(0);
    const free = table.nextAt(bucket, START + MINUTE_MS);
    expect(free).toBe(START + HOLD_MS + HOUR_MS + 1);
    expect(table.take(bucket, free - 1)).toBe(-1);
    expect(table.take(bucket, free)).toBeGreaterThanOrEqual(0);
  });

  it('free the newest permit only', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ requests: 131_072, perMs: MINUTE_MS }]);
    const first = table.take(bucket, START);
    const second = table.take(bucket, START);
    table.giveBack(bucket, first);
    expect(table.left(bucket, START)).toBe(131_070);
    table.giveBack(bucket, second);
    expect(table.left(bucket, START)).toBe(131_071);
  });
});

describe('bucket', () => {
  it('is found again under its name, by another view too', () => {
    const table = tableAt();
    const windows = [{ requests: 2, perMs: SECOND_MS }];
    const bucket = table.bucket('acme/main', windows);
    expect(table.bucket('acme/main', windows)).toBe(bucket);
    expect(table.bucket('acme/other', windows)).not.toBe(bucket);
    const other = StateTable.attach(table.buffer);
    expect(other.bucket('acme/main', windows)).toBe(bucket);
    expect(spend(table, bucket, 1, START) + spend(other, bucket, 9, START)).toBe(2);
  });

  it('keeps what was charged when its windows change', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ requests: 5, perMs: MINUTE_MS }]);
    const other = StateTable.attach(table.buffer);
    expect(spend(table, bucket, 2, START)).toBe(2);
    expect(spend(table, bucket, 1, START + 10 * SECOND_MS)).toBe(1);
    const open = table.take(bucket, START);

    expect(table.bucket('acme/main', [{ requests: 6, perMs: MINUTE_MS }])).toBe(bucket);
    expect(other.left(bucket, START + 10 * SECOND_MS)).toBe(2);
    table.settle(bucket, open, START);
    table.giveBack(bucket, open);
    expect(table.left(bucket, START + 10 * SECOND_MS)).toBe(2);
    expect(table.left(bucket, START + MINUTE_MS + 1)).toBe(4);

    table.bucket('acme/main', [{ requests: 2, perMs: MINUTE_MS }]);
    expect(table.take(bucket, START + MINUTE_MS + 10 * SECOND_MS + 1)).toBeGreaterThanOrEqual(0);
    expect(table.take(bucket, START + MINUTE_MS + 10 * SECOND_MS + 1)).toBe(-1);
  });

  it('goes on with the same limits where a thread died while it replaced them', () => {
    const windows = [{ requests: 5, perMs: MINUTE_MS }];
    for (const ask of ['take', 'left', 'nextAt'] as const) {
      const table = tableAt();
      const bucket = table.bucket('acme/main', windows);
      expect(spend(table, bucket, 2, START)).toBe(2);
      const memory = openMemory(table.buffer);
      const ringWord = memory.bucketsAt + bucket * BUCKET.words + BUCKET.ring;
      const at = memory.words[ringWord] ?? 0;
      const ring = new Ring(memory, at);
      ring.seal();
      ring.seal();
      expect(ring.take(START)).toBe(SEALED);

      expect(table[ask](bucket, START)).toBeGreaterThan(-1);
      expect(memory.words[ringWord]).not.toBe(at);
      expect(spend(table, bucket, 9, START)).toBe(ask === 'take' ? 2 : 3);
    }
  });

  it('keeps what was charged between exact and shared slots, and between ticks', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ requests: 100_000, perMs: HOUR_MS }]);
    expect(spend(table, bucket, 1_001, START)).toBe(1_001);
    table.bucket('acme/main', [{ requests: 2_000, perMs: 30 * DAY_MS }]);
    expect(table.left(bucket, START)).toBe(999);
    table.bucket('acme/main', [{ requests: 200_000, perMs: HOUR_MS }]);
    expect(table.left(bucket, START)).toBeLessThanOrEqual(200_000 - 1_001);
    expect(table.left(bucket, START)).toBeGreaterThanOrEqual(200_000 - 1_001 - 4);
  });

  it('does not take an old fresh slot for a charge when a longer window comes', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ requests: 5, perMs: MINUTE_MS }]);
    table.bucket('acme/main', [{ requests: 5, perMs: 30 * DAY_MS }]);
    expect(table.left(bucket, START)).toBe(5);
  });

  it('refuses limits that cannot be enforced', () => {
    const table = tableAt();
    for (const requests of [0, -1, 1.5, Number.NaN, 2 ** 29]) {
      expect(() => table.bucket('acme/main', [{ requests, perMs: SECOND_MS }])).toThrowError(
        expect.objectContaining({ code: 'KEYMUX_USAGE' }),
      );
    }
    expect(() => table.bucket('acme/main', [{ requests: 1, perMs: 0 }])).toThrowError(/cannot be enforced/);
    expect(() => table.bucket('acme/main', [{ requests: 1, perMs: Infinity }])).toThrowError(
      /cannot be enforced/,
    );
  });

  it('says so when there is no room, and leaves the old limits in force', () => {
    const table = StateTable.create({ now: () => START, arenaBytes: 4_096, buckets: 2 });
    const bucket = table.bucket('acme/main', [{ requests: 5, perMs: MINUTE_MS }]);
    const full = expect.objectContaining({
      code: 'KEYMUX_TABLE_FULL',
      fix: expect.any(String) as string,
    }) as Error;
    expect(() => table.bucket('acme/main', [{ requests: 50_000, perMs: MINUTE_MS }])).toThrowError(full);
    expect(spend(table, bucket, 9, START)).toBe(5);
    table.bucket('acme/second', []);
    expect(() => table.bucket('acme/third', [])).toThrowError(full);
  });
});

describe('a process that runs for long', () => {
  it.each([1, 3, 9, 20, 26, 49.7, 50, 99.5, 400])('grants and refuses rightly after %s idle days', (days) => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [
      { requests: 3, perMs: SECOND_MS },
      { requests: 4, perMs: 7 * DAY_MS },
    ]);
    spend(table, bucket, 2, START);
    const later = Math.floor(START + days * DAY_MS);
    expect(table.left(bucket, later)).toBe(days > 7 ? 3 : 2);
    expect(spend(table, bucket, 9, later)).toBe(days > 7 ? 3 : 2);
    expect(spend(table, bucket, 9, later + 2 * SECOND_MS)).toBe(days > 7 ? 1 : 0);
  });

  it('grants a rarely used bucket its limit for a year', () => {
    const table = tableAt();
    const bucket = table.bucket('acme/main', [{ requests: 100, perMs: DAY_MS }]);
    for (let day = 0; day < 365; day += 1) {
      expect(spend(table, bucket, 1, START + day * (DAY_MS + 1))).toBe(1);
    }
    expect(table.left(bucket, START + 365 * (DAY_MS + 1))).toBe(100);
  });
});

describe('any sequence of calls', () => {
  const windowSets: readonly (readonly QuotaWindow[])[] = [
    [{ requests: 1, perMs: 100 }],
    [
      { requests: 3, perMs: 1_000 },
      { requests: 7, perMs: 10_000 },
    ],
    [
      { requests: 2, perMs: 50 },
      { requests: 5, perMs: 60_000 },
      { requests: 9, perMs: DAY_MS, calendar: { unit: 'day', at: '12:01', timeZone: 'UTC' } },
    ],
    [
      { requests: 4, perMs: 20_000 },
      { requests: 11, perMs: 30 * DAY_MS },
    ],
  ];
  type Step =
    | { readonly do: 'take' }
    | { readonly do: 'settle' | 'giveBack'; readonly pick: number; readonly delay: number }
    | { readonly do: 'wait'; readonly ms: number };
  const wait = fc.oneof(fc.double({ min: 0, max: 60, noNaN: true }), fc.integer({ min: 0, max: 70_000 }));
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 5, arbitrary: fc.constant<Step>({ do: 'take' }) },
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant('settle' as const), pick: fc.nat(), delay: fc.nat(300) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant('giveBack' as const), pick: fc.nat(), delay: fc.constant(0) }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: wait }) },
  );

  it('never grants where the model refuses, nor promises more than it has', () => {
    const run = (windows: readonly QuotaWindow[], steps: readonly Step[]): void => {
      const table = tableAt();
      const bucket = table.bucket('acme/main', windows);
      const charges = new Map<number, { takenAt: number; countedAt: number }>();
      const open: number[] = [];
      let now = START;
      const model = (): Charge[] => [...charges.values()].map(({ countedAt }) => ({ permits: 1, countedAt }));
      for (const s of steps) {
        if (s.do === 'wait') now += s.ms;
        else if (s.do === 'take') {
          const allowed = permitsLeft(windows, model(), now);
          expect(table.left(bucket, now)).toBeLessThanOrEqual(allowed);
          const isPromised = table.nextAt(bucket, now) <= now;
          const position = table.take(bucket, now);
          expect(position >= 0).toBe(isPromised);
          if (position < 0) continue;
          expect(allowed).toBeGreaterThan(0);
          charges.set(position, { takenAt: now, countedAt: now + HOLD_MS });
          open.push(position);
        } else {
          const [position] = open.length === 0 ? [] : open.splice(s.pick % open.length, 1);
          const charge = position === undefined ? undefined : charges.get(position);
          if (position === undefined || charge === undefined) continue;
          if (s.do === 'settle') {
            charge.countedAt = Math.min(charge.countedAt, charge.takenAt + s.delay);
            table.settle(bucket, position, charge.countedAt);
          } else {
            charges.delete(position);
            table.giveBack(bucket, position);
          }
        }
      }
      for (const { countedAt } of charges.values()) {
        for (const window of windows) {
          if (window.calendar !== undefined) continue;
          const inside = [...charges.values()].filter(
            (c) => c.countedAt >= countedAt && c.countedAt <= countedAt + window.perMs,
          );
          expect(inside.length).toBeLessThanOrEqual(window.requests);
        }
      }
    };
    fc.assert(
      fc.property(fc.constantFrom(...windowSets), fc.array(step, { minLength: 20, maxLength: 250 }), run),
      { numRuns: 400 },
    );
  });

  it('grants whatever the model grants where permits are settled in order at once', () => {
    const run = (windows: readonly QuotaWindow[], waits: readonly number[]): void => {
      const table = tableAt();
      const bucket = table.bucket('acme/main', windows);
      const charges: Charge[] = [];
      let now = START;
      for (const ms of waits) {
        now += ms;
        const allowed = permitsLeft(windows, charges, now);
        const granted = spend(table, bucket, 1, now);
        expect(granted).toBe(Math.min(1, allowed));
        if (granted === 1) charges.push({ permits: 1, countedAt: now });
      }
    };
    // Whole milliseconds: in between, charges are rounded up.
    const waits = fc.array(fc.oneof(fc.nat(3), fc.nat(1_200), fc.nat(70_000)), {
      minLength: 20,
      maxLength: 200,
    });
    fc.assert(fc.property(fc.constantFrom(...windowSets.slice(0, 3)), waits, run), { numRuns: 300 });
  });
});
