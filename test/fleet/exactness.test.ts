/**
 * What "exactly the limit" means over many windows. Each key has two limits: so many requests per second, and so many
 * times as many per day. While all processes want more than there is, a provider that counts for itself sees
 * - never more than the first limit in any rolling second (a slot is charged until the answer is there, so it comes
 *   back as much later as the answer takes, never earlier),
 * - that limit reached, where it is small enough for a loaded machine to spend it within a second, and
 * - in the end exactly the second: no permit is granted twice, and none is lost between the processes.
 *
 * KEYMUX_FLEET_WINDOWS=20 makes each run twenty windows long instead of three.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FleetOfProcesses, STORES, spendAll } from './fleet.js';
import type { Limit, Program, Spending } from './fleet.js';

const WINDOWS = Number(process.env['KEYMUX_FLEET_WINDOWS'] ?? 3);
const PROCESSES = [1, 4, 11];
const SECOND_MS = 1_000;
const DAY_MS = 86_400_000;

const perSecond = (requests: number): Limit => ({ requests, perMs: SECOND_MS });
const bothLimits = (limit: Limit): Limit[] => [limit, { requests: limit.requests * WINDOWS, perMs: DAY_MS }];

const SMALL = perSecond(5);
const LARGE = perSecond(2_000);
/** Leased in batches too; sixteen of them keep two cores busy. */
const LARGE_OF_MANY = perSecond(200);

interface Row extends Spending {
  readonly limit: Limit;
  readonly keys: number;
  /** Whether any machine spends the whole limit within its window. */
  readonly isReached: boolean;
}

const SMALL_ON_ONE: Row = {
  service: 'small',
  way: 'fetch',
  atATime: 4,
  limit: SMALL,
  keys: 1,
  isReached: true,
};
const SMALL_ON_MANY: Row = {
  service: 'smalls',
  way: 'fetch',
  atATime: 8,
  limit: SMALL,
  keys: 16,
  isReached: true,
};
const ON_ONE_KEY: Row = {
  service: 'large',
  way: 'till',
  atATime: 16,
  limit: LARGE,
  keys: 1,
  isReached: false,
};
const ON_MANY_KEYS: Row = {
  service: 'larges',
  way: 'till',
  atATime: 16,
  limit: LARGE_OF_MANY,
  keys: 16,
  isReached: false,
};

const RUNS: { what: string; rows: readonly Row[] }[] = [
  {
    what: '5 per second, on one key and on each of 16, by fetch, and 2,000 per second on another',
    rows: [SMALL_ON_ONE, SMALL_ON_MANY, ON_ONE_KEY],
  },
  { what: '200 per second on each of 16 keys', rows: [ON_MANY_KEYS] },
];
const PROVIDERS = Object.fromEntries(
  RUNS.flatMap(({ rows }) => rows).map(({ service, limit, keys }) => [
    service,
    { keys, limits: bothLimits(limit) },
  ]),
);

async function spendAndCompare(
  fleet: FleetOfProcesses,
  members: readonly Program[],
  row: Row,
): Promise<void> {
  const { service, way, atATime, limit, keys, isReached } = row;
  const granted = await spendAll(members, { service, way, atATime });
  const verdicts = (await fleet.verdicts(limit)).filter(({ key }) => isOf(service, key));
  const whole = limit.requests * WINDOWS;
  expect(verdicts).toHaveLength(keys);
  for (const { key, spent, most } of verdicts) {
    const mostExpected = isReached ? limit.requests : Math.min(most, limit.requests);
    expect.soft(counts(key, spent, most)).toBe(counts(key, whole, mostExpected));
  }
  expect.soft(granted).toBe(whole * keys);
  // Many processes that want the same are no trouble, and no reason to go on without the store.
  const warnings = await Promise.all(members.map((member) => member.call<string[]>('warnings')));
  expect(warnings.flat()).toEqual([]);
}

/** As text, so that every report of a failure shows the numbers. */
function counts(key: string, spent: number, most: number): string {
  return `${key}: ${String(spent)} spent, ${String(most)} in a window at most`;
}

/** The judge calls keys by their text, or by their id. */
function isOf(service: string, key: string): boolean {
  return key.startsWith(`${service}-key-`) || key.startsWith(`${service}/`);
}

describe.each(STORES)('over %s', (store) => {
  describe.each(PROCESSES)('%i processes', (count) => {
    let fleet: FleetOfProcesses;
    let members: readonly Program[];

    beforeAll(async () => {
      fleet = await FleetOfProcesses.start(store, PROVIDERS);
      members = await fleet.members(count);
    }, 60_000);
    afterAll(() => fleet.stop());

    it.each(RUNS)(
      'are granted exactly the limit together: $what',
      { timeout: 60_000 + WINDOWS * 10_000 },
      async ({ rows }) => {
        await Promise.all(rows.map((row) => spendAndCompare(fleet, members, row)));
      },
    );
  });
});
