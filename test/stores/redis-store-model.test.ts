import { createClient } from '@redis/client';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Charged, LeaseGrant, Store } from '#keymux/core/ports.js';
import { permitsLeft } from '#keymux/core/quota.js';
import type { QuotaWindow } from '#keymux/core/quota.js';
import { compactCharges } from '#keymux/stores/charges.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { createRedisStore } from '#keymux/stores/redis/store.js';
import { startRedis } from './redis-server.js';
import type { RedisServer } from './redis-server.js';
import { PATIENT } from './redis-store-fixture.js';

const START = Date.UTC(2026, 2, 28, 23, 59);
/** The server's time is what the test says. */
const STATED_TIME = `
local function serverTime()
  return tonumber(redis.call('GET', 'now'))
end`;

let server: RedisServer;
let admin: ReturnType<typeof createClient>;
let places = 0;

beforeAll(async () => {
  server = await startRedis();
  admin = createClient({ url: server.url });
  await admin.connect();
});
afterAll(async () => {
  admin.destroy();
  await server.stop();
});

interface Pair {
  readonly redis: Store;
  readonly memory: Store;
  now(): number;
  advance(ms: number): Promise<void>;
  close(): Promise<void>;
}

/** A store in Redis and one in memory, at one time that only the test moves. */
async function openPair(): Promise<Pair> {
  let now = START;
  await admin.set('now', String(now));
  const options = { now: () => now, onNotice: (notice: unknown) => expect.fail(JSON.stringify(notice)) };
  const time = { monotonicMs: () => now, wallMs: () => now };
  const redis = createRedisStore(
    { ...options, url: server.url, prefix: `model-${String((places += 1))}` },
    { ...PATIENT, serverTime: STATED_TIME, time },
  );
  const memory = createMemoryStore(options);
  await redis.open();
  await memory.open();
  return {
    redis,
    memory,
    now: () => now,
    advance: async (ms) => {
      now += ms;
      await admin.set('now', String(now));
    },
    close: async () => redis.close(),
  };
}

const WINDOWS: readonly (readonly QuotaWindow[])[] = [
  [{ requests: 5, perMs: 1_000 }],
  [
    { requests: 4, perMs: 1_000 },
    { requests: 9, perMs: 60_000 },
  ],
  [
    { requests: 3, perMs: 1_000 },
    { requests: 7, perMs: 86_400_000, calendar: { unit: 'day', at: '00:00', timeZone: 'Europe/Berlin' } },
  ],
];

type Step =
  | { readonly kind: 'advance'; readonly ms: number }
  | { readonly kind: 'lease'; readonly want: number; readonly ttlMs: number; readonly slackMs: number }
  | {
      readonly kind: 'settle';
      readonly index: number;
      readonly spent: number;
      readonly returned: number;
      readonly agoMs: number;
    }
  | {
      readonly kind: 'charge';
      readonly permits: number;
      readonly agoMs: number;
      readonly cautionMs: number;
      readonly id: number;
    };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('advance' as const),
      ms: fc.constantFrom(1, 7, 300, 999, 1_000, 1_001, 20_000, 70_000),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('lease' as const),
      want: fc.nat(4),
      ttlMs: fc.constantFrom(0, 10, 2_000),
      slackMs: fc.constantFrom(0, 5, 1_000),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('settle' as const),
      index: fc.nat(9),
      spent: fc.nat(2),
      returned: fc.nat(2),
      agoMs: fc.constantFrom(-50, 0, 10, 1_500),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('charge' as const),
      permits: fc.nat(4),
      agoMs: fc.constantFrom(-100, 0, 400, 90_000),
      cautionMs: fc.constantFrom(0, 0, 500),
      id: fc.nat(3),
    }),
  },
);

/** Both stores do the step; their answers must be the same. */
async function take(
  pair: Pair,
  windows: readonly QuotaWindow[],
  taken: Step,
  leases: [LeaseGrant, LeaseGrant][],
) {
  const { redis, memory, now } = pair;
  switch (taken.kind) {
    case 'advance':
      return pair.advance(taken.ms);
    case 'lease': {
      const request = {
        bucket: 'p/b',
        windows,
        want: taken.want,
        ttlMs: taken.ttlMs,
        slackMs: taken.slackMs,
      };
      const [got, expected] = [await redis.lease(request), await memory.lease(request)];
      // Its clock tells the latest that it may be, so it runs ahead by a little while nothing is asked.
      const { validUntil } = expected;
      expect(got.validUntil - validUntil).toBeGreaterThanOrEqual(0);
      expect(got.validUntil - validUntil).toBeLessThanOrEqual(1_000);
      expect({ ...got, leaseId: '', validUntil }).toEqual({ ...expected, leaseId: '' });
      if (got.granted > 0) leases.push([got, expected]);
      return;
    }
    case 'settle': {
      const [ours, theirs] = leases[taken.index] ?? [];
      if (ours === undefined || theirs === undefined) return;
      const { spent, returned, agoMs } = taken;
      const settlement = { bucket: 'p/b', spent, returned, countedAt: now() - agoMs };
      await redis.settle([{ ...settlement, leaseId: ours.leaseId }]);
      return memory.settle([{ ...settlement, leaseId: theirs.leaseId }]);
    }
    case 'charge': {
      const { permits, agoMs, cautionMs, id } = taken;
      const charge = {
        bucket: 'p/b',
        windows,
        leaseId: `told-${String(id)}`,
        permits,
        countedAt: now() - agoMs,
      };
      await redis.charge([charge], { cautionMs });
      return memory.charge([charge], { cautionMs });
    }
  }
}

describe('a Redis store, step by step beside the one in memory', () => {
  it('answers alike to any course of leases, settlements and charges', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...WINDOWS),
        fc.array(step, { maxLength: 40 }),
        async (windows, course) => {
          const pair = await openPair();
          const leases: [LeaseGrant, LeaseGrant][] = [];
          for (const taken of course) await take(pair, windows, taken, leases);
          await pair.close();
        },
      ),
      { numRuns: 40 },
    );
  });

  it('compacts charges as the model does', async () => {
    const windows: readonly QuotaWindow[] = [
      { requests: 5_000, perMs: 60_000 },
      { requests: 9_000, perMs: 3_600_000 },
    ];
    const { redis, now, advance, close } = await openPair();
    const charges: Charged[] = Array.from({ length: 700 }, (_, index) => ({
      bucket: 'p/b',
      windows,
      leaseId: `told-${String(index)}`,
      permits: 1 + (index % 3),
      countedAt: START - index * 4_999,
    }));
    await redis.charge(charges, { cautionMs: 0 });
    await advance(61_000);
    const request = { bucket: 'p/b', windows, want: 1, ttlMs: 0, slackMs: 0 };
    const { granted } = await redis.lease(request);
    expect(granted).toBe(1);
    const own = { permits: 1, countedAt: now() };
    const model = [...compactCharges(windows, charges, now()), own];
    expect(model.length).toBeLessThan(200);
    for (let round = 0; round < 40; round += 1) {
      await advance(7_001 + 83_333 * (round % 2));
      const { leftInWindows } = await redis.lease({ ...request, want: 0 });
      expect(leftInWindows).toEqual(windows.map((window) => permitsLeft([window], model, now())));
    }
    await close();
  });
});
