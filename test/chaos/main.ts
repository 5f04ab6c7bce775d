/** The command line of the chaos suite. */
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { whyNoHosts } from './hosts.js';
import { judge } from './judge.js';
import type { Demand, Plan, StoreKind } from './plan.js';
import { makePlan } from './plan.js';
import { replayCommand, reportText } from './report.js';
import { run } from './run.js';
import type { Scenario } from './scenarios.js';
import { SCENARIOS } from './scenarios.js';
import { whyNoDisk } from './store-sqlite.js';

const DEMANDS: readonly Demand[] = ['modest', 'greedy'];

interface Orders {
  readonly seed: number;
  readonly minutes: number;
  readonly isShort: boolean;
  readonly stores: readonly StoreKind[];
  readonly demands: readonly Demand[];
  readonly scenario: string | undefined;
}

/** Where a scenario can be played in about a minute with all others of this list. */
const SHORT_SCENARIOS = ['agents', 'sqlite-locked', 'redis-emptied', 'partition'];

function readOrders(): Orders {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string' },
      minutes: { type: 'string' },
      short: { type: 'boolean', default: false },
      store: { type: 'string', default: 'both' },
      demand: { type: 'string' },
      scenario: { type: 'string' },
    },
  });
  const { store, demand } = values;
  if (store !== 'sqlite' && store !== 'redis' && store !== 'both') {
    throw new RangeError('--store takes sqlite, redis or both.');
  }
  if (demand !== undefined && demand !== 'modest' && demand !== 'greedy') {
    throw new RangeError('--demand takes modest or greedy.');
  }
  return {
    seed: numberOf('--seed', values.seed ?? String(Math.floor(Math.random() * 2 ** 31))),
    minutes: numberOf('--minutes', values.minutes ?? '0'),
    isShort: values.short,
    demands: demand === undefined ? (values.short ? ['modest'] : DEMANDS) : [demand],
    stores: store === 'both' ? ['sqlite', 'redis'] : [store],
    scenario: values.scenario,
  };
}

function numberOf(option: string, text: string): number {
  const value = Number(text);
  if (!(value >= 0)) throw new RangeError(`${option} takes a number.`);
  return value;
}

/** The runs of one round. Throws a `RangeError` where the orders leave none. */
function roundOf(seed: number, { stores, demands, scenario, isShort }: Orders): Plan[] {
  const isWanted = ({ name }: Scenario): boolean =>
    scenario === undefined ? !isShort || SHORT_SCENARIOS.includes(name) : name === scenario;
  const plans = SCENARIOS.filter(isWanted).flatMap(({ name, stores: possible }) =>
    possible
      .filter((store) => stores.includes(store))
      .flatMap((store) => demands.map((demand) => makePlan(seed, name, { store, demand, isShort }))),
  );
  if (plans.length === 0) {
    const names = SCENARIOS.map(({ name }) => name).join(', ');
    throw new RangeError(`There is nothing to do. Scenarios: ${names}.`);
  }
  return plans;
}

/** Why a plan cannot be carried out on this machine. */
function obstacle(plan: Plan): string | undefined {
  if (plan.hosts.length > 0) return whyNoHosts();
  const needsDisk = plan.faults.some(({ kind }) => kind === 'disk-full' || kind === 'store-read-only');
  return needsDisk ? whyNoDisk() : undefined;
}

/** Plays rounds until the time is over; resolves with whether all was well. */
async function play(orders: Orders, signal: AbortSignal): Promise<boolean> {
  const startedAt = performance.now();
  const failed: Plan[] = [];
  let runs = 0;
  let skipped = 0;
  for (let round = 0; round === 0 || performance.now() - startedAt < orders.minutes * 60_000; round += 1) {
    for (const plan of roundOf(orders.seed + round, orders)) {
      const why = obstacle(plan);
      const name = `${plan.scenario} on ${plan.store}, ${plan.demand} demand, seed ${plan.seed}`;
      if (why !== undefined) {
        skipped += 1;
        console.log(`\n${name}: left out, ${why}`);
        continue;
      }
      console.log(`\n${name}`);
      runs += 1;
      const isGood = await playOne(plan, signal);
      if (!isGood) failed.push(plan);
    }
  }
  const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1);
  console.log(`\n${runs} runs in ${minutes} minutes, ${failed.length} failed, ${skipped} left out.`);
  for (const plan of failed) console.log(`To do the same again: ${replayCommand(plan)}`);
  return failed.length === 0 && runs > 0;
}

async function playOne(plan: Plan, signal: AbortSignal): Promise<boolean> {
  try {
    const evidence = await run(plan, { log: (text) => console.log(`  ${text}`), signal });
    const verdict = judge(evidence);
    console.log(reportText(plan, verdict));
    if (verdict.problems.length === 0) return true;
    const file = join(tmpdir(), `keymux-chaos-${plan.scenario}-${plan.store}-${plan.seed}.json`);
    writeFileSync(file, JSON.stringify(evidence, undefined, 1));
    console.log(`  All that was seen: ${file}\n  To do the same again: ${replayCommand(plan)}`);
    return false;
  } catch (error) {
    if (signal.aborted) throw error;
    console.log(`  FAILED: ${(error as Error).message}\n  To do the same again: ${replayCommand(plan)}`);
    return false;
  }
}

const EXIT = { failure: 1, usage: 2, interrupted: 130 };

/** Resolves with the exit code. */
export async function main(): Promise<number> {
  const interruption = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interruption.abort());
  try {
    const orders = readOrders();
    console.log(`Seed ${orders.seed}`);
    return (await play(orders, interruption.signal)) ? 0 : EXIT.failure;
  } catch (error) {
    if (interruption.signal.aborted) return EXIT.interrupted;
    if (!(error instanceof RangeError)) throw error;
    console.error(error.message);
    return EXIT.usage;
  }
}
