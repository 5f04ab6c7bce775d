import { describe, expect, it } from 'vitest';
import type { Health, HealthPolicy } from '#keymux/core/health.js';
import { FRESH, HIGHEST_LEVEL, KEY_POLICY, PROVIDER_POLICY, transition } from '#keymux/core/health.js';
import type { Outcome } from '#keymux/core/outcome.js';
import { ABORTED, BAD_REQUEST, SUCCESS } from '#keymux/core/outcome.js';
import { NOW, outcomeOf, REST_REASONS } from './health-arbitraries.js';

type Resting = Extract<Health, { status: 'resting' }>;

const ALMOST_ONE = 1 - Number.EPSILON;
const resting: Resting = {
  status: 'resting',
  version: 3,
  level: 2,
  reason: 'rate-limited',
  until: NOW + 1_000,
  source: 'guessed',
};
const recovering: Health = { status: 'recovering', version: 4, level: 2, since: NOW };

interface Circumstances {
  policy?: HealthPolicy;
  now?: number;
  seenVersion?: number;
  chance?: number;
}

function answer(health: Health, outcome: Outcome, circumstances: Circumstances = {}): Health {
  const { policy = KEY_POLICY, now = NOW, seenVersion = health.version, chance = 0 } = circumstances;
  return transition(health, { type: 'outcome', outcome, seenVersion }, policy, now, () => chance);
}

function refuse(health: Health, retryAt?: number, circumstances?: Circumstances): Health {
  return answer(health, outcomeOf('rate-limited', retryAt), circumstances);
}

function asResting(health: Health): Resting {
  if (health.status !== 'resting') throw new Error(`${health.status}, not resting`);
  return health;
}

describe('a failure', () => {
  it('sends a key to rest for the first guess', () => {
    expect(refuse(FRESH)).toEqual({
      status: 'resting',
      version: 1,
      level: 1,
      reason: 'rate-limited',
      until: NOW + 1_000,
      source: 'guessed',
    });
  });

  it('sends a key to rest until the time that the provider stated, which lengthens no later guess', () => {
    expect(refuse(FRESH, NOW + 1)).toMatchObject({ until: NOW + 1, source: 'stated', level: 0 });
  });

  it.each([NOW, NOW - 1, Number.NaN])('falls back to a guess when the stated time is %d', (retryAt) => {
    expect(refuse(FRESH, retryAt)).toMatchObject({ until: NOW + 1_000, source: 'guessed' });
  });

  it.each([
    [KEY_POLICY, 32 * 86_400_000],
    [PROVIDER_POLICY, 600_000],
  ])('cuts a stated time that lies too far off', (policy, longestMs) => {
    const until = (waitMs: number): number => asResting(refuse(FRESH, NOW + waitMs, { policy })).until;
    expect(until(longestMs)).toBe(NOW + longestMs);
    expect(until(longestMs - 1)).toBe(NOW + longestMs - 1);
    expect(until(longestMs + 1)).toBe(NOW + longestMs);
    expect(until(Number.POSITIVE_INFINITY)).toBe(NOW + longestMs);
  });

  it('of a trial starts the next incident, one level up', () => {
    const again = refuse(resting, undefined, { now: resting.until });
    expect(again).toMatchObject({ version: 4, level: 3, until: resting.until + 4_000, source: 'guessed' });
  });

  it('during the slow start is a rest at once, whatever the threshold', () => {
    const again = answer(recovering, outcomeOf('network'), { policy: PROVIDER_POLICY });
    expect(again).toMatchObject({ status: 'resting', version: 5, level: 3, until: NOW + 4_000 });
  });

  it('that the policy has no rule for changes nothing', () => {
    expect(answer(FRESH, outcomeOf('network'))).toBe(FRESH);
    expect(answer(FRESH, outcomeOf('rejected'), { policy: PROVIDER_POLICY })).toBe(FRESH);
    expect(answer(resting, outcomeOf('network', NOW + 60_000))).toBe(resting);
  });

  it('never lifts the level above the highest', () => {
    const worst = { ...resting, level: HIGHEST_LEVEL };
    expect(refuse(worst, undefined, { now: resting.until })).toMatchObject({ level: HIGHEST_LEVEL });
  });
});

describe('a refusal that only this key could meet', () => {
  const last = (health: Health, kind: 'rate-limited' | 'rejected', retryAt?: number): Resting =>
    asResting(answer({ ...health }, { ...outcomeOf(kind, retryAt), noOther: true }, { now: NOW + 1_000 }));

  it('is rested off for the shortest guess, and lengthens no later one', () => {
    expect(last(resting, 'rate-limited')).toMatchObject({ level: 2, until: NOW + 2_000, source: 'guessed' });
  });

  it('is believed where it states a time', () => {
    expect(last(resting, 'rate-limited', NOW + 90_000)).toMatchObject({
      until: NOW + 90_000,
      source: 'stated',
    });
  });

  it('is no passing one where it says that the key is dead', () => {
    expect(last(resting, 'rejected')).toMatchObject({ level: 3, until: NOW + 1_000 + 4 * 900_000 });
  });
});

describe('a guess', () => {
  const policies = [KEY_POLICY, PROVIDER_POLICY].flatMap((policy) =>
    REST_REASONS.filter((reason) => policy.cooldowns[reason]).map((reason) => ({ policy, reason })),
  );

  it.each(policies)('doubles from level to level up to its cap ($reason)', ({ policy, reason }) => {
    const waits = Array.from({ length: HIGHEST_LEVEL + 1 }, (_, level) => {
      const trial = { ...resting, level, until: NOW };
      return asResting(answer(trial, outcomeOf(reason), { policy })).until - NOW;
    });
    const rule = policy.cooldowns[reason];
    expect(waits[0]).toBe(rule?.baseMs);
    waits.slice(1).forEach((wait, level) => {
      expect(wait).toBe(Math.min(2 * (waits[level] ?? 0), rule?.maxMs ?? 0));
    });
    expect(waits.at(-1)).toBe(rule?.maxMs);
  });

  it('takes the figures that the documentation promises', () => {
    const first = (reason: (typeof REST_REASONS)[number]): number =>
      asResting(answer(FRESH, outcomeOf(reason))).until - NOW;
    expect(first('rate-limited')).toBe(1_000);
    expect(first('quota-exhausted')).toBe(600_000);
    expect(first('rejected')).toBe(900_000);
    expect(first('restricted')).toBe(3_600_000);
    expect(Object.values(KEY_POLICY.cooldowns).map(({ maxMs }) => maxMs)).toEqual([
      60_000, 86_400_000, 86_400_000, 86_400_000,
    ]);
    expect(Object.values(PROVIDER_POLICY.cooldowns).map(({ maxMs }) => maxMs)).toEqual([
      60_000, 60_000, 30_000,
    ]);
  });
});

describe('jitter', () => {
  const until = (waitMs: number, chance: number): number =>
    asResting(refuse(FRESH, NOW + waitMs, { chance })).until;

  it('adds up to a tenth of a short wait', () => {
    expect(until(1_000, 0)).toBe(NOW + 1_000);
    expect(until(1_000, 0.5)).toBe(NOW + 1_050);
    expect(until(1_000, ALMOST_ONE)).toBeCloseTo(NOW + 1_100, 2);
  });

  it('adds up to five seconds to a long one', () => {
    expect(until(3_600_000, 0.5)).toBe(NOW + 3_602_500);
    expect(until(3_600_000, ALMOST_ONE)).toBeCloseTo(NOW + 3_605_000, 2);
  });

  it('is added to guesses too', () => {
    expect(asResting(refuse(FRESH, undefined, { chance: 0.5 })).until).toBe(NOW + 1_050);
  });
});

describe('a late answer', () => {
  const late = { seenVersion: resting.version - 1 };

  it('of failure neither escalates nor shortens an open rest', () => {
    expect(refuse(resting, undefined, late)).toBe(resting);
    expect(refuse(resting, resting.until, late)).toBe(resting);
    expect(refuse(resting, NOW + 1, late)).toBe(resting);
  });

  it('extends an open rest when it states a later time, and says why', () => {
    const longer = answer(resting, outcomeOf('quota-exhausted', resting.until + 1), late);
    expect(longer).toEqual({
      ...resting,
      until: resting.until + 1,
      source: 'stated',
      reason: 'quota-exhausted',
    });
  });

  it('extends by a time with jitter, never early', () => {
    const longer = asResting(refuse(resting, NOW + 10_000, { ...late, chance: 0.5 }));
    expect(longer.until).toBe(NOW + 10_500);
  });

  it('of failure leaves a trial alone', () => {
    const now = resting.until;
    expect(refuse(resting, now + 60_000, { ...late, now })).toBe(resting);
  });

  it('of failure leaves a returned or recovered subject alone', () => {
    expect(refuse(recovering, NOW + 60_000, { seenVersion: 3 })).toBe(recovering);
    const healthy: Health = { ...FRESH, version: 5 };
    expect(refuse(healthy, NOW + 60_000, { seenVersion: 4 })).toBe(healthy);
    const struck = answer(healthy, outcomeOf('network'), { policy: PROVIDER_POLICY, seenVersion: 4 });
    expect(struck).toBe(healthy);
  });

  it('of success does not end a rest', () => {
    expect(answer(resting, SUCCESS, late)).toBe(resting);
    expect(answer(resting, SUCCESS, { ...late, now: resting.until })).toBe(resting);
  });
});

describe('a success', () => {
  it.each([NOW, resting.until])(
    'of a request that knew of the rest starts the slow return (at %d)',
    (now) => {
      expect(answer(resting, SUCCESS, { now })).toEqual({
        status: 'recovering',
        version: 4,
        level: 2,
        since: now,
      });
    },
  );

  it.each([KEY_POLICY, PROVIDER_POLICY])(
    'ends the slow start after ten seconds, not before (%#)',
    (policy) => {
      expect(answer(recovering, SUCCESS, { policy, now: NOW + 9_999 })).toBe(recovering);
      expect(answer(recovering, SUCCESS, { policy, now: NOW + 10_000 })).toEqual({ ...FRESH, version: 5 });
    },
  );

  it('tells a healthy subject nothing new', () => {
    expect(answer(FRESH, SUCCESS)).toBe(FRESH);
  });
});

describe('answers that prove nothing', () => {
  it.each([ABORTED, BAD_REQUEST])('change nothing ($kind)', (outcome) => {
    const struck: Health = { status: 'healthy', version: 0, level: 0, strikes: 3 };
    for (const health of [FRESH, struck, resting, recovering]) {
      expect(answer(health, { ...outcome, retryAt: NOW + 60_000 })).toBe(health);
      expect(answer(health, outcome, { now: NOW + 60_000 })).toBe(health);
    }
  });
});

describe("a provider's circuit", () => {
  const policy = PROVIDER_POLICY;
  const fail = (health: Health, kind: 'network' | 'overloaded' = 'network'): Health =>
    answer(health, outcomeOf(kind), { policy });

  it.each(['network', 'overloaded'] as const)('opens at the fifth failure in a row (%s)', (kind) => {
    const seen: Health[] = [];
    for (let n = 0, health = FRESH; n < 5; n += 1) seen.push((health = fail(health, kind)));
    expect(seen.map(({ status }) => status)).toEqual([...Array<string>(4).fill('healthy'), 'resting']);
    expect(seen[3]).toEqual({ ...FRESH, strikes: 4 });
    expect(seen[4]).toMatchObject({ version: 1, level: 1, reason: kind, until: NOW + 1_000 });
  });

  it('counts failures of different kinds together', () => {
    const four = fail(fail(fail(fail(FRESH), 'overloaded')), 'overloaded');
    expect(fail(four, 'overloaded')).toMatchObject({ status: 'resting', reason: 'overloaded' });
  });

  it('starts to count anew after a success', () => {
    const four = fail(fail(fail(fail(FRESH))));
    const forgiven = answer(four, SUCCESS, { policy });
    expect(forgiven).toEqual(FRESH);
    expect(fail(fail(fail(fail(forgiven)))).status).toBe('healthy');
  });

  it('opens at once when the provider refuses everybody', () => {
    expect(refuse(FRESH, undefined, { policy }).status).toBe('resting');
  });
});

describe('reset', () => {
  const reset = (health: Health): Health => transition(health, { type: 'reset' }, KEY_POLICY, NOW, () => 0);

  it.each<[string, Health]>([
    ['rest', resting],
    ['slow start', recovering],
    ['strikes', { status: 'healthy', version: 7, level: 0, strikes: 1 }],
    ['level', { ...FRESH, version: 7, level: 1 }],
  ])('leaves nothing of the past (%s)', (_, health) => {
    expect(reset(health)).toEqual({ ...FRESH, version: health.version + 1 });
  });

  it('changes nothing where all is well', () => {
    const well = { ...FRESH, version: 7 };
    expect(reset(well)).toBe(well);
  });
});

describe('retract', () => {
  const retract = (health: Health, version: number): Health =>
    transition(health, { type: 'retract', version }, KEY_POLICY, NOW, () => 0);

  it('takes the penalty of that version back, level included', () => {
    expect(retract(resting, 3)).toEqual({ status: 'healthy', version: 4, level: 1, strikes: 0 });
    expect(retract({ ...resting, level: 0 }, 3)).toEqual({ ...FRESH, version: 4 });
  });

  it('leaves the next penalty as long as if there had been none', () => {
    const undeserved = refuse(FRESH);
    const next = refuse(retract(undeserved, undeserved.version));
    expect(next).toMatchObject({ version: 3, level: 1, until: NOW + 1_000 });
  });

  it('leaves every other penalty and state alone', () => {
    expect(retract(resting, 2)).toBe(resting);
    expect(retract(resting, 4)).toBe(resting);
    expect(retract(recovering, recovering.version)).toBe(recovering);
    expect(retract(FRESH, FRESH.version)).toBe(FRESH);
  });
});
