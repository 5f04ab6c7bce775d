import { describe, expect, it } from 'vitest';
import * as kit from '#keymux/testing.js';

const { at, behave, createFakeClock, maxInAnyWindow, ok, refuse, restore, revoke, seededRandom } = kit;
const { startSimulator, times, until } = kit;

describe('keymux/testing', () => {
  it('starts a provider that does what its script says and counts for itself', async () => {
    await using simulator = await startSimulator({
      keys: {
        'k-1': { name: 'one', limits: [{ requests: 1, perMs: 60_000 }] },
        'k-2': { name: 'two', first: [times(1, refuse(503)), until(1, ok())], then: ok() },
        'k-3': { name: 'three', timeline: [at(0, revoke())] },
      },
    });
    const statusWith = async (key: string): Promise<number> =>
      (await fetch(simulator.origin, { headers: { authorization: `Bearer ${key}` } })).status;
    expect([await statusWith('k-1'), await statusWith('k-1')]).toEqual([200, 429]);
    expect([await statusWith('k-2'), await statusWith('k-2')]).toEqual([503, 200]);
    expect(await statusWith('k-3')).toBe(401);
    expect(simulator.overshoots).toHaveLength(1);
    expect(simulator.key('three').refusals.rejected).toBe(1);
  });

  it('offers every verb of a script as data', () => {
    expect([revoke(), restore(), behave(ok())].map(({ change }) => change)).toEqual([
      'revoke',
      'restore',
      'behave',
    ]);
    const verbs = [
      'echo',
      'malformedChunk',
      'redirect',
      'reply',
      'reset',
      'silence',
      'softError',
      'stream',
    ] as const;
    for (const verb of [...verbs, 'streamError', 'limit', 'outage', 'recover'] as const)
      expect(kit[verb]).toBeTypeOf('function');
  });

  it('brings a clock, chance and a judge of windows', () => {
    const clock = createFakeClock(1_000);
    expect(clock.advance(500)).toBe(1_500);
    expect(seededRandom(7)()).toBe(seededRandom(7)());
    expect(maxInAnyWindow([0, 900, 1_800], 1_000)).toBe(2);
  });

  it('brings the contract of stores, as suites of the test runner at hand', () => {
    const titles: string[] = [];
    const harness = {
      describe: (title: string, body: () => void) => {
        titles.push(title);
        body();
      },
      it: (title: string) => void titles.push(title),
    };
    kit.storeContract(harness, () => Promise.reject(new Error('not started')), {
      kind: 'memory',
      shared: false,
    });
    expect(titles[0]).toBe('a memory store');
    expect(titles.length).toBeGreaterThan(10);
  });
});
