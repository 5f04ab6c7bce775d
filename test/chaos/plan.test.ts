import { describe, expect, it } from 'vitest';
import { makePlan } from './plan.js';
import { SCENARIOS } from './scenarios.js';

const SEEDS = Array.from({ length: 50 }, (_, index) => index * 7_919);

describe('plan', () => {
  it('is the same for the same seed, and another for another one', () => {
    const faultsOf = (seed: number): string => JSON.stringify(makePlan(seed, 'agents'));
    expect(faultsOf(11)).toBe(faultsOf(11));
    expect(new Set(SEEDS.map(faultsOf)).size).toBe(SEEDS.length);
  });

  it('gives each scenario and each store a storm of its own', () => {
    const storms = ['agents', 'keys', 'clocks'].flatMap((name) =>
      (['sqlite', 'redis'] as const).map((store) => JSON.stringify(makePlan(3, name, { store }).faults)),
    );
    expect(new Set(storms).size).toBe(storms.length);
  });

  it.each(SCENARIOS.map(({ name }) => name))('keeps %s within its storm and its cast', (name) => {
    for (const seed of SEEDS) {
      const plan = makePlan(seed, name);
      const cast = [
        ...plan.agents.map((agent) => agent.name),
        ...plan.keys.map((key) => key.name),
        ...plan.hosts,
      ];
      for (const { on, atMs, forMs } of plan.faults) {
        expect(atMs).toBeGreaterThanOrEqual(0);
        expect(atMs + forMs).toBeLessThanOrEqual(plan.stormMs);
        if (on !== undefined) expect(cast).toContain(on);
      }
      expect(plan.faults.map(({ atMs }) => atMs)).toEqual(
        plan.faults.map(({ atMs }) => atMs).sort((a, b) => a - b),
      );
    }
  });

  it('leaves the last key alone, so that one is always usable', () => {
    const hurt = SEEDS.flatMap((seed) => makePlan(seed, 'keys').faults).map(({ on }) => on);
    expect(hurt).toContain('main');
    expect(hurt).not.toContain('3');
  });

  it('has every fault of a scenario happen that belongs to it', () => {
    for (const { name, always } of SCENARIOS) {
      const kinds = makePlan(5, name, { isShort: true }).faults.map(({ kind }) => kind);
      expect(kinds).toEqual(expect.arrayContaining(always.map(({ kind }) => kind)));
    }
  });

  it('skews clocks by a minute in both directions where the scenario says so', () => {
    const skews = makePlan(1, 'clocks').agents.map(({ skewMs }) => skewMs);
    expect(skews).toEqual(expect.arrayContaining([-60_000, 60_000]));
    expect(new Set(makePlan(1, 'agents').agents.map(({ skewMs }) => skewMs))).toEqual(new Set([0]));
  });

  it('spreads the agents over the hosts', () => {
    const hosts = new Set(makePlan(1, 'partition').agents.map(({ host }) => host));
    expect(hosts).toEqual(new Set(['h1', 'h2', 'h3']));
  });

  it('refuses a scenario that is unknown or that goes with another store', () => {
    expect(() => makePlan(1, 'earthquake')).toThrow('no scenario earthquake');
    expect(() => makePlan(1, 'redis-killed', { store: 'sqlite' })).toThrow('no store sqlite');
  });
});
