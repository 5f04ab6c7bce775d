/** The short form of `npm run chaos`: a storm over each store, one over hosts, and one that the judge must condemn. */
import { describe, expect, it } from 'vitest';
import { whyNoHosts } from './hosts.js';
import { judge } from './judge.js';
import type { Plan } from './plan.js';
import { makePlan } from './plan.js';
import { replayCommand, reportText } from './report.js';
import { run } from './run.js';

const SEED = 20_261;
const TIMEOUT_MS = 120_000;
const NEVER = new AbortController().signal;

async function verdictOn(plan: Plan): Promise<{ problems: readonly string[]; text: string }> {
  const trace: string[] = [];
  const verdict = judge(await run(plan, { log: (line) => trace.push(line), signal: NEVER }));
  const text = [replayCommand(plan), ...trace, reportText(plan, verdict)].join('\n');
  return { problems: verdict.problems, text };
}

const hostsObstacle = whyNoHosts();

describe('chaos', () => {
  it(
    'keeps limits and requests when agents die and the file of the store is locked',
    { timeout: TIMEOUT_MS },
    async () => {
      const { problems, text } = await verdictOn(
        makePlan(SEED, 'sqlite-locked', { demand: 'greedy', isShort: true }),
      );
      expect(problems, text).toEqual([]);
    },
  );

  it('keeps limits and requests when Redis loses everything', { timeout: TIMEOUT_MS }, async () => {
    const { problems, text } = await verdictOn(
      makePlan(SEED, 'redis-emptied', { demand: 'greedy', isShort: true }),
    );
    expect(problems, text).toEqual([]);
  });

  it.skipIf(hostsObstacle !== undefined)(
    'keeps limits and requests when one host of three is cut off',
    { timeout: TIMEOUT_MS },
    async () => {
      const { problems, text } = await verdictOn(
        makePlan(SEED, 'partition', { demand: 'modest', isShort: true }),
      );
      expect(problems, text).toEqual([]);
    },
  );

  it('condemns agents that know nothing of limits', { timeout: TIMEOUT_MS }, async () => {
    const plan = makePlan(SEED, 'agents', { demand: 'greedy', isShort: true });
    const agents = plan.agents.slice(0, 2).map((agent) => ({ ...agent, kind: 'careless' as const }));
    const { problems } = await verdictOn({ ...plan, agents, faults: [], calmMs: 0, saturationMs: 500 });
    expect(problems).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^key main was used \d+ times/),
        expect.stringMatching(/^request .* was lost/),
      ]),
    );
  });
});
