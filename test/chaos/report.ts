/** A run in words. */
import type { DelayFigures, Figures, Verdict } from './judge.js';
import { DELAY_BOUND_MS, DELAY_MARGIN_MS } from './judge.js';
import type { Plan } from './plan.js';

/** The command that does the same again. */
export function replayCommand({ seed, scenario, store, demand, isShort }: Plan): string {
  const choice = `--scenario ${scenario} --store ${store} --demand ${demand}`;
  return `npm run chaos -- --seed ${seed} ${choice}${isShort ? ' --short' : ''}`;
}

export function reportText(plan: Plan, { figures, problems }: Verdict): string {
  const { calls, arrivals, lost, refusedRightly, duplicates, windows, unfoundedLosses, recoveredAfterMs } =
    figures;
  const lines = [
    `${calls} requests of ${plan.agents.length} agents (${arrivals} attempts): ${lost} lost, ${refusedRightly} refused while no key was usable, ${duplicates} orders carried out twice`,
    ...windows.map(
      ({ key, limit, most, mostInSaturation, excess }) =>
        `key ${key}: at most ${most} of ${limit.requests} in ${limit.perMs} ms (${mostInSaturation} in the saturation after the storm), ${Math.max(0, most - limit.requests)} over the limit, ${Math.max(0, excess)} over the documented bound`,
    ),
    ...(plan.demand === 'modest' ? [delaysText(figures)] : []),
    `${unfoundedLosses} times an agent took the store for lost though it was not; store back for all after ${recoveredAfterMs === undefined ? 'too long' : `${Math.round(recoveredAfterMs)} ms`}`,
  ];
  const failures = problems.map((problem) => `FAILED: ${problem}`);
  return [...lines, ...failures].map((line) => `  ${line}`).join('\n');
}

function delaysText({ calmDelay, stormDelay }: Figures): string {
  const allowed = `p99 may grow by ${DELAY_BOUND_MS} ms and ${DELAY_MARGIN_MS} ms of margin`;
  return `beside the provider's time: calm ${delayText(calmDelay)}; storm ${delayText(stormDelay)} (${allowed})`;
}

function delayText({ count, p50Ms, p99Ms, maxMs }: DelayFigures): string {
  const [p50, p99, max] = [p50Ms, p99Ms, maxMs].map((ms) => ms.toFixed(1));
  return `p50 ${p50} ms, p99 ${p99} ms, max ${max} ms over ${count}`;
}
