/**
 * Processes that end without a word, or stand still, while they hold permits. A permit that was leased and not
 * reported may have been spent until the end of its lease, and arrive while a request may be under way: until then it
 * stays charged, and for one window from there.
 *
 * KEYMUX_FLEET_KILLS=500 and KEYMUX_FLEET_STOP_MS=40000 make it longer.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, it } from 'vitest';
import type { ExpectStatic } from 'vitest';
import { FleetOfProcesses, STORES } from './fleet.js';
import type { Limit, Program, Spending } from './fleet.js';

/** Over each store. */
const KILLS = Number(process.env['KEYMUX_FLEET_KILLS'] ?? 25);
const STOP_MS = Number(process.env['KEYMUX_FLEET_STOP_MS'] ?? 1_500);
const AT_ONCE = 5;
const SECOND_MS = 1_000;
/** Longer than any run: nothing that was ever charged comes back to it. */
const LEDGER: Limit = { requests: 1_000_000, perMs: 24 * 3_600_000 };
const HOLD_MS = 30_000;
const ARRIVAL_SLACK_MS = 1_000;
/** Machines are slow at times; what is shown is that permits come back at all, and about then. */
const TOLERANCE_MS = 15_000;

interface Kind extends Spending {
  readonly limit: Limit;
  /** The largest batch that a process leases of such a limit at once. */
  readonly largestBatch: number;
}

const SINGLE: Kind = {
  service: 'single',
  way: 'till',
  atATime: 2,
  limit: { requests: 128, perMs: SECOND_MS },
  largestBatch: 1,
};
const BATCHES: Kind = {
  service: 'batches',
  way: 'till',
  atATime: 4,
  limit: { requests: 4_000, perMs: 2 * SECOND_MS },
  largestBatch: 62,
};
const KINDS = [SINGLE, BATCHES];
const PROVIDERS = Object.fromEntries(
  KINDS.map(({ service, limit }) => [service, { keys: 1, limits: [limit, LEDGER] }]),
);

/** What a process that is killed leaves charged and never spent, at most: its batch, and what it was about to send. */
const mostStranded = ({ largestBatch, atATime }: Kind): number =>
  (largestBatch === 1 ? 0 : largestBatch) + atATime;

async function spentOn(
  fleet: FleetOfProcesses,
  { service, limit }: Kind,
): Promise<{ spent: number; most: number }> {
  const verdicts = await fleet.verdicts(limit);
  return verdicts.find(({ key }) => key.startsWith(`${service}/`)) ?? { spent: 0, most: 0 };
}

/** Permits that are charged and were never spent, as seen from a process that holds none. */
async function strandedOf(fleet: FleetOfProcesses, observer: Program, kind: Kind): Promise<number> {
  const charged = LEDGER.requests - (await observer.call<number>('left', kind.service, LEDGER));
  return charged - (await spentOn(fleet, kind)).spent;
}

/** Starts members, lets all work on the same keys, and kills each in the midst of it. */
async function killSome(fleet: FleetOfProcesses, count: number, expect: ExpectStatic): Promise<void> {
  const before = await fleet.spent();
  const victims = await fleet.members(count);
  for (const victim of victims) {
    for (const kind of KINDS) victim.call('spend', kind).catch(() => {});
  }
  await expect
    .poll(() => fleet.spent(), { timeout: 20_000, interval: 1 })
    .toBeGreaterThan(before + count * 100);
  for (const victim of victims) {
    await delay(Math.random() * 20);
    await victim.kill();
  }
}

describe.concurrent.each(STORES)('over %s', (store) => {
  it(
    `${KILLS} processes that are killed while they hold permits strand few, which return, and nobody exceeds a limit`,
    { timeout: 120_000 + KILLS * 1_000 },
    async ({ expect, onTestFinished }) => {
      const fleet = await FleetOfProcesses.start(store, PROVIDERS);
      onTestFinished(() => fleet.stop());
      const [observer] = (await fleet.members(1)) as [Program];
      const stranded = new Map(KINDS.map((kind) => [kind, 0]));
      for (let killed = 0; killed < KILLS; killed += AT_ONCE) {
        await killSome(fleet, AT_ONCE, expect);
        for (const kind of KINDS) {
          const total = await strandedOf(fleet, observer, kind);
          const inThisRound = total - (stranded.get(kind) ?? 0);
          stranded.set(kind, total);
          // A permit that was spent is always charged, be its process dead or alive.
          expect(inThisRound).toBeGreaterThanOrEqual(0);
          expect(inThisRound).toBeLessThanOrEqual(AT_ONCE * mostStranded(kind));
        }
      }
      const lastKillAt = performance.now();
      for (const kind of KINDS) {
        // Whatever is left goes to one process now: it gets nothing of what the dead spent last.
        await observer.call('spend', { ...kind, timeoutMs: 0 });
        const { spent, most } = await spentOn(fleet, kind);
        expect(spent).toBeGreaterThan(KILLS);
        expect(most).toBeLessThanOrEqual(kind.limit.requests);
        const perKill = ((stranded.get(kind) ?? 0) / KILLS).toFixed(1);
        console.log(`${store}, ${kind.service}: ${perKill} permits stranded per kill, ${spent} spent`);
      }
      // Something was charged beyond the window that is to be watched, so that its return proves something.
      expect([...stranded.values()].reduce((a, b) => a + b)).toBeGreaterThan(0);
      for (const { service, limit } of KINDS) {
        await expect
          .poll(() => observer.call<number>('left', service, limit), { timeout: 60_000, interval: 100 })
          .toBe(limit.requests);
        const tookMs = performance.now() - lastKillAt;
        console.log(`${store}, ${service}: all permits were back after ${(tookMs / 1_000).toFixed(1)} s`);
        expect(tookMs).toBeLessThan(HOLD_MS + ARRIVAL_SLACK_MS + 3 * SECOND_MS + TOLERANCE_MS);
      }
    },
  );

  it(
    'processes that stand still until their leases end spend nothing of them afterwards',
    { timeout: 60_000 + 2 * STOP_MS },
    async ({ expect, onTestFinished }) => {
      const fleet = await FleetOfProcesses.start(store, PROVIDERS);
      onTestFinished(() => fleet.stop());
      const members = await fleet.members(4, { watchesLeases: true });
      const spending = members.map((member) =>
        // Slower than their batches last, so that at any moment most hold permits that they have not spent.
        member.call<number>('spend', { ...BATCHES, atATime: 1, pauseMs: 5 }),
      );
      await expect.poll(() => fleet.spent(), { timeout: 20_000, interval: 5 }).toBeGreaterThan(600);
      const sleepers = members.slice(0, 3);
      for (const { child } of sleepers) child.kill('SIGSTOP');
      const spentAtStop = await fleet.spent();
      await delay(STOP_MS);
      for (const { child } of sleepers) child.kill('SIGCONT');
      const spentAtWaking = await fleet.spent();
      expect(spentAtWaking).toBeGreaterThan(spentAtStop);
      await expect
        .poll(() => fleet.spent(), { timeout: 20_000, interval: 5 })
        .toBeGreaterThan(spentAtWaking + 400);
      await Promise.all(members.map((member) => member.call('stop')));
      const granted = await Promise.all(spending);
      for (const sum of granted) expect(sum).toBeGreaterThan(0);
      await Promise.all(members.map((member) => member.call('shutdown')));
      const leases = await Promise.all(
        members.map((member) => member.call<{ stale: number; lapsed: number }>('leases')),
      );
      // The leases of some really ended while they stood still, with permits that they had not spent.
      expect(Math.max(...leases.slice(0, 3).map(({ lapsed }) => lapsed))).toBeGreaterThan(0);
      // What had its permit in hand the moment it was stopped, between two lines, sends when it wakes; nobody can know.
      for (const { stale } of leases) expect(stale).toBeLessThanOrEqual(1);
      expect((await spentOn(fleet, BATCHES)).most).toBeLessThanOrEqual(BATCHES.limit.requests);
    },
  );
});
