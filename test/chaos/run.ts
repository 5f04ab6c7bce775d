/** One run: calm, storm, recovery, saturation; and the evidence of it. */
import { setTimeout as pause } from 'node:timers/promises';
import { Agent } from './agents.js';
import type { BadSpan, Evidence, FaultSpan } from './evidence.js';
import { RECOVERY_WITHIN_MS } from './judge.js';
import type { Plan } from './plan.js';
import { nowMs } from './processes.js';
import { setStage } from './stage.js';
import type { SimulatorReport, Stage } from './stage.js';
import { runFaults } from './storm.js';

export interface RunOptions {
  readonly log: (text: string) => void;
  readonly signal: AbortSignal;
}

/** Of each agent, while all want more than there is. */
const SATURATION_AT_ONCE = 10;
const STARTS_WITHIN_MS = 30_000;
const LOOK_EVERY_MS = 20;
/** How long the refusals of the simulator send everybody away. */
const RETRY_AFTER_MS = 1_000;

/** Leaves nothing behind, whatever happens. Rejects with an `AbortError` where the signal aborts. */
export async function run(plan: Plan, options: RunOptions): Promise<Evidence> {
  const stage = await setStage(plan);
  try {
    return await perform(plan, stage, options);
  } finally {
    await stage.cleanup.run();
  }
}

async function perform(plan: Plan, stage: Stage, { log, signal }: RunOptions): Promise<Evidence> {
  const agents = new Map(plan.agents.map((agent) => [agent.name, new Agent(agent, stage)]));
  const all = [...agents.values()];
  const startedAt = nowMs();
  for (const agent of all) agent.start();
  await until(() => all.every(({ isServed }) => isServed), STARTS_WITHIN_MS, signal).then((ms) => {
    if (ms === undefined) throw new Error(`Not every agent was served: ${complaints(all)}`);
  });
  const calmFrom = nowMs();
  await pause(plan.calmMs, undefined, { signal });
  const stormFrom = nowMs();
  if (plan.demand === 'greedy') for (const agent of all) agent.saturate(SATURATION_AT_ONCE);
  const faults = await runFaults(plan.faults, { stage, agents, log, signal });
  const stormTo = nowMs();
  const recoveredAfterMs = await until(() => all.every(({ isWell }) => isWell), RECOVERY_WITHIN_MS, signal);
  const notRecovered = all.filter(({ isWell }) => !isWell).map((agent) => agent.storeText);
  log(`everybody has the store back after ${recoveredAfterMs?.toFixed(0) ?? 'too many'} ms`);
  // What the storm left behind counts for one window more, and refusals sent everybody away for a while.
  const longestMs = Math.max(...plan.keys.flatMap(({ limits }) => limits.map(({ perMs }) => perMs)));
  await pause(longestMs + 2 * RETRY_AFTER_MS, undefined, { signal });
  const saturationFrom = nowMs();
  for (const agent of all) agent.saturate(SATURATION_AT_ONCE);
  await pause(plan.saturationMs, undefined, { signal });
  const saturationTo = nowMs();
  await Promise.all(all.map((agent) => agent.stop()));
  const report = await stage.report();
  return {
    plan,
    arrivals: report.arrivals,
    calls: all.flatMap(({ calls }) => calls),
    badSpans: badSpansIn(report),
    faults: plan.startsWithoutStore ? faults.map((span) => fromStart(span, startedAt)) : faults,
    lives: all.flatMap(({ lives }) => lives),
    news: all.flatMap(({ news }) => news),
    calm: { from: calmFrom, to: stormFrom },
    storm: { from: stormFrom, to: stormTo },
    saturation: { from: saturationFrom, to: saturationTo },
    recoveredAfterMs,
    notRecovered,
  };
}

/** The store was away before the storm began. */
function fromStart(span: FaultSpan, startedAt: number): FaultSpan {
  return span.kind === 'redis-unreachable' ? { ...span, from: startedAt } : span;
}

/** How long it took; undefined where it did not come to pass. */
async function until(
  condition: () => boolean,
  withinMs: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  const startedAt = performance.now();
  for (;;) {
    const ms = performance.now() - startedAt;
    if (condition()) return ms;
    if (ms > withinMs) return undefined;
    await pause(LOOK_EVERY_MS, undefined, { signal });
  }
}

function badSpansIn({ changes }: SimulatorReport): BadSpan[] {
  const open = new Map<string, number>();
  const spans: BadSpan[] = [];
  for (const { change, key, at } of changes) {
    if (change === 'bad') open.set(key, open.get(key) ?? at);
    else {
      spans.push({ key, from: open.get(key) ?? at, to: at + RETRY_AFTER_MS });
      open.delete(key);
    }
  }
  for (const [key, from] of open) spans.push({ key, from, to: Number.POSITIVE_INFINITY });
  return spans;
}

function complaints(agents: readonly Agent[]): string {
  return agents
    .filter(({ isServed }) => !isServed)
    .map(({ plan, calls, stderr }) => `${plan.name}: ${calls.at(-1)?.error ?? ''} ${stderr}`)
    .join('; ');
}
