import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Health, RestReason } from '#keymux/core/health.js';
import { FRESH } from '#keymux/core/health.js';
import type { PlannedProbe, ProbeHistory, ProbeSubject } from '#keymux/core/probe-plan.js';
import { canProve, dueProbes, probeAt, probeGapMs, probeNeedOf } from '#keymux/core/probe-plan.js';
import { DEFAULT_PROBE } from '#keymux/core/provider.js';
import type { ProbePolicy } from '#keymux/core/provider.js';
import { NOW, REST_REASONS } from './health-arbitraries.js';

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;

const policy: ProbePolicy = { ...DEFAULT_PROBE, path: '/ping', dailyBudget: 10 };
const pace = { intervalMs: 30 * SECOND_MS };

function resting(more: Partial<Extract<Health, { status: 'resting' }>> = {}): Health {
  const rest = { status: 'resting', version: 3, level: 1, reason: 'rejected', source: 'guessed' } as const;
  return { ...rest, until: NOW + 15 * MINUTE_MS, ...more };
}

function subjectOf(more: Partial<ProbeSubject> = {}): ProbeSubject {
  const calm = { isDisabled: false, hasTraffic: false, isProviderOpen: false };
  return { kind: 'key', health: resting(), policy, ...calm, ...more };
}

function needOf(more: Partial<ProbeSubject> = {}) {
  return probeNeedOf(subjectOf(more), NOW);
}

describe('the need for a probe', () => {
  it.each<[string, Partial<ProbeSubject>]>([
    ['a refused key', {}],
    ['a key that a provider restricts', { health: resting({ reason: 'restricted' }) }],
    ['a key whose time is over, which nobody uses', { health: resting({ until: NOW - 1 }) }],
    ['a refused account', { kind: 'bucket' }],
    ['an open circuit', { kind: 'provider', health: resting({ reason: 'network' }), isProviderOpen: true }],
    ['an open circuit, without a key', { kind: 'provider', policy: { ...policy, authenticated: false } }],
    ['an overloaded provider', { kind: 'provider', health: resting({ reason: 'overloaded' }) }],
    ['requests before the end, which are none', { hasTraffic: true }],
    [
      'a spent allowance, by a probe that spends some',
      { health: resting({ reason: 'quota-exhausted' }), policy: { ...policy, costsQuota: 'yes' } },
    ],
    [
      'a long rest for a limit, by a probe that counts',
      {
        health: resting({ reason: 'rate-limited', until: NOW + HOUR_MS }),
        policy: { ...policy, costsQuota: 'yes' },
      },
    ],
  ])('is there for %s', (_, more) => {
    expect(needOf(more)).toBe('guessed');
  });

  it.each<[string, Partial<ProbeSubject>]>([
    ['what is well', { health: FRESH }],
    ['what returns', { health: { status: 'recovering', version: 2, level: 1, since: NOW } }],
    ['what a person disabled', { isDisabled: true }],
    ['a key whose probe carries none', { policy: { ...policy, authenticated: false } }],
    ['a key behind an open circuit', { isProviderOpen: true }],
    ['a key that a request tries anyway', { health: resting({ until: NOW - 1 }), hasTraffic: true }],
    ['a spent allowance, by a probe that is free', { health: resting({ reason: 'quota-exhausted' }) }],
    [
      'a short rest for a limit',
      {
        health: resting({ reason: 'rate-limited', until: NOW + MINUTE_MS }),
        policy: { ...policy, costsQuota: 'yes' },
      },
    ],
    ['a stated time that is near', { health: resting({ source: 'stated', until: NOW + HOUR_MS }) }],
  ])('is not there for %s', (_, more) => {
    expect(needOf(more)).toBeUndefined();
  });

  it('is smaller for a time that was stated, and lies far off', () => {
    expect(needOf({ health: resting({ source: 'stated', until: NOW + 24 * HOUR_MS }) })).toBe('stated');
  });
});

describe('a good answer', () => {
  it.each<[RestReason, ProbePolicy['costsQuota'], boolean]>([
    ['rejected', 'no', true],
    ['restricted', 'unknown', true],
    ['network', 'no', true],
    ['quota-exhausted', 'no', false],
    ['quota-exhausted', 'unknown', false],
    ['quota-exhausted', 'yes', true],
    ['rate-limited', 'no', false],
    ['rate-limited', 'yes', true],
  ])('after %s to a probe whose cost is "%s": does it prove anything? %s', (reason, costsQuota, does) => {
    expect(canProve(reason, { costsQuota })).toBe(does);
  });
});

describe('the time of a probe', () => {
  const first: ProbeHistory = { seenAt: NOW, failures: 0 };
  const at = (history: ProbeHistory, health = resting(), kind: ProbeSubject['kind'] = 'key', random = 0) =>
    probeAt({ kind, health, policy }, 'guessed', history, pace, () => random) - NOW;

  it('is one interval after the rest was seen, and a little later by chance', () => {
    expect(at(first)).toBe(30 * SECOND_MS);
    expect(at(first, resting(), 'key', 0.999)).toBeCloseTo(33 * SECOND_MS, -2);
  });

  it('is twice as far off after each failure, up to hours', () => {
    const pauses = [1, 2, 3, 4, 20].map((failures) =>
      at({ seenAt: NOW, lastAt: NOW, failures }, resting({ until: NOW + 24 * HOUR_MS })),
    );
    expect(pauses).toEqual([1, 2, 4, 8, 360].map((minutes) => minutes * MINUTE_MS));
  });

  it('goes by the level where another monitor saw the failures', () => {
    expect(at(first, resting({ level: 4, until: NOW + HOUR_MS }))).toBe(4 * MINUTE_MS);
  });

  it('is sooner for providers, whom many wait for', () => {
    const history = { seenAt: NOW, lastAt: NOW, failures: 20 };
    expect(at(history, resting({ until: NOW + HOUR_MS }), 'provider')).toBe(10 * MINUTE_MS);
  });

  it('comes shortly before the guess ends, so that no request has to find out', () => {
    const history = { seenAt: NOW, lastAt: NOW, failures: 9 };
    expect(at(history)).toBe(15 * MINUTE_MS - 15 * SECOND_MS);
    expect(at(history, resting({ until: NOW + 20 * SECOND_MS }))).toBe(MINUTE_MS);
  });

  it('is rare where the deadline was stated', () => {
    const health = resting({ source: 'stated', level: 0, until: NOW + 30 * 24 * HOUR_MS });
    const stated = (history: ProbeHistory) =>
      (probeAt({ kind: 'key', health, policy }, 'stated', history, pace, () => 0) - NOW) / HOUR_MS;
    expect(stated(first)).toBe(1);
    expect(stated({ seenAt: NOW, lastAt: NOW, failures: 1 })).toBe(1);
    expect(stated({ seenAt: NOW, lastAt: NOW, failures: 3 })).toBe(4);
    expect(stated({ seenAt: NOW, lastAt: NOW, failures: 9 })).toBe(6);
  });

  it('may be asked for what is well by now', () => {
    expect(at(first, FRESH)).toBe(30 * SECOND_MS);
  });

  it('is never sooner than the interval, nor nearer to the last one than the provider allows', () => {
    fc.assert(
      fc.property(
        fc.record({
          kind: fc.constantFrom<ProbeSubject['kind']>('key', 'bucket', 'provider'),
          reason: fc.constantFrom(...REST_REASONS),
          need: fc.constantFrom<'guessed' | 'stated'>('guessed', 'stated'),
          level: fc.integer({ min: 0, max: 15 }),
          restMs: fc.integer({ min: -HOUR_MS, max: 40 * 24 * HOUR_MS }),
          everyMs: fc.integer({ min: 1, max: 24 * HOUR_MS }),
          intervalMs: fc.integer({ min: 1, max: 24 * HOUR_MS }),
          lastMs: fc.option(fc.integer({ min: 0, max: HOUR_MS }), { nil: undefined }),
          failures: fc.integer({ min: 0, max: 40 }),
          chance: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        }),
        ({ kind, reason, need, level, restMs, everyMs, intervalMs, lastMs, failures, chance }) => {
          const health = resting({ reason, level, until: NOW + restMs });
          const subject = { kind, health, policy: { ...policy, everyMs } };
          const lastAt = lastMs === undefined ? {} : { lastAt: NOW - lastMs };
          const history = { seenAt: NOW, failures, ...lastAt };
          const time = probeAt(subject, need, history, { intervalMs }, () => chance);
          const least =
            lastMs === undefined ? NOW + intervalMs : NOW - lastMs + probeGapMs({ everyMs }, { intervalMs });
          expect(time).toBeGreaterThanOrEqual(least);
          expect(time).toBeLessThanOrEqual(NOW + Math.max(6 * HOUR_MS, everyMs, intervalMs) * 1.1);
        },
      ),
    );
  });
});

describe('probes that are due', () => {
  const plan = (more: Partial<PlannedProbe> = {}): PlannedProbe => ({
    need: 'guessed',
    costsQuota: 'unknown',
    until: NOW + HOUR_MS,
    at: NOW,
    ...more,
  });

  it('are those whose time has come', () => {
    const [past, now, later] = [plan({ at: NOW - 1 }), plan(), plan({ at: NOW + 1 })];
    expect(dueProbes([later, now, past], NOW)).toEqual([past, now]);
  });

  it('go by guesses first, then by what they cost, then by who is needed soonest, then by their time', () => {
    const wanted = [
      plan({ costsQuota: 'no', until: NOW + 2 * HOUR_MS }),
      plan({ until: NOW + MINUTE_MS }),
      plan({ at: NOW - 2 }),
      plan({ at: NOW - 1 }),
      plan({ costsQuota: 'yes', until: NOW }),
      plan({ need: 'stated', costsQuota: 'no' }),
      plan({ need: 'stated', costsQuota: 'yes' }),
    ];
    fc.assert(
      fc.property(fc.shuffledSubarray(wanted, { minLength: wanted.length }), (shuffled) => {
        expect(dueProbes(shuffled, NOW)).toEqual(wanted);
      }),
    );
  });
});
