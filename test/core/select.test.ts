import { describe, expect, it } from 'vitest';
import type { Health } from '#keymux/core/health.js';
import { FRESH } from '#keymux/core/health.js';
import type { Standing } from '#keymux/core/select.js';
import { obstacleOf, slowStartObstacle, strategies } from '#keymux/core/select.js';

const NOW = 1_790_000_000_000;

function restingUntil(until: number, source: 'stated' | 'guessed' = 'stated'): Health {
  return { status: 'resting', version: 1, level: 1, reason: 'rate-limited', until, source };
}

const returning: Health = { status: 'recovering', version: 2, level: 1, since: NOW };

function standing(traits: Partial<Standing> = {}): Standing {
  return {
    disabled: false,
    key: FRESH,
    bucket: FRESH,
    provider: FRESH,
    blockedUntil: 0,
    pending: 0,
    successes: 0,
    bucketPending: 0,
    bucketSuccesses: 0,
    providerPending: 0,
    providerSuccesses: 0,
    ...traits,
  };
}

describe('obstacleOf', () => {
  it('finds nothing in the way of a fresh key', () => {
    expect(obstacleOf(standing(), NOW)).toBeUndefined();
  });

  it('names a person first, then the narrowest that rests, then permits', () => {
    const layers: Partial<Standing>[] = [
      { disabled: true },
      { key: restingUntil(NOW + 1) },
      { bucket: restingUntil(NOW + 2) },
      { provider: restingUntil(NOW + 3) },
      { blockedUntil: NOW + 4 },
    ];
    const kinds = layers.map((_, index) =>
      obstacleOf(standing(Object.assign({}, ...layers.slice(index)) as Partial<Standing>), NOW),
    );
    expect(kinds.map((obstacle) => [obstacle?.kind, obstacle?.until])).toEqual([
      ['disabled', undefined],
      ['key-resting', NOW + 1],
      ['bucket-resting', NOW + 2],
      ['provider-resting', NOW + 3],
      ['no-permits', NOW + 4],
    ]);
  });

  it.each(['key', 'bucket', 'provider'] as const)('ends with the deadline of the %s', (who) => {
    const resting = standing({ [who]: restingUntil(NOW) });
    expect(obstacleOf(resting, NOW - 1)?.until).toBe(NOW);
    expect(obstacleOf(resting, NOW)).toBeUndefined();
  });

  it('ends with the moment at which permits are expected', () => {
    const blocked = standing({ blockedUntil: NOW });
    expect(obstacleOf(blocked, NOW - 1)?.kind).toBe('no-permits');
    expect(obstacleOf(blocked, NOW)).toBeUndefined();
  });

  it.each([
    ['stated', /rate-limited.*stated/],
    ['guessed', /rate-limited.*guessed/],
  ] as const)('tells why, and where the time comes from (%s)', (source, words) => {
    const obstacle = obstacleOf(standing({ key: restingUntil(NOW + 1, source) }), NOW);
    expect(obstacle).toMatchObject({ source, because: expect.stringMatching(words) as string });
  });

  it('leaves the slow start aside', () => {
    expect(obstacleOf(standing({ key: returning, pending: 99 }), NOW)).toBeUndefined();
  });
});

describe('slowStartObstacle', () => {
  const kindOf = (traits: Partial<Standing>): string | undefined =>
    slowStartObstacle(standing(traits), NOW)?.kind;

  it('lets a few requests through a fresh key, and more as they are answered', () => {
    expect(kindOf({ pending: 3 })).toBeUndefined();
    expect(kindOf({ pending: 4 })).toBe('slow-start');
    expect(kindOf({ pending: 4, successes: 1 })).toBeUndefined();
    expect(kindOf({ pending: 10_000, successes: 32 })).toBeUndefined();
  });

  it.each<[string, Health, string]>([
    ['trial', restingUntil(NOW), 'returning'],
    ['slow start', returning, 'returning'],
    ['rest', restingUntil(NOW + 1), 'resting'],
    ['proof', FRESH, 'unproven'],
  ])('says what the key is about (%s)', (_, key, word) => {
    const obstacle = slowStartObstacle(standing({ key, pending: 4 }), NOW);
    expect(obstacle).toEqual({ kind: 'slow-start', because: expect.stringMatching(word) as string });
    expect(obstacle?.because).toContain('4');
  });

  it('lets one request try a key that returns', () => {
    expect(kindOf({ key: restingUntil(NOW) })).toBeUndefined();
    expect(kindOf({ key: restingUntil(NOW), pending: 1, successes: 9 })).toBe('slow-start');
    expect(kindOf({ key: returning, pending: 1 })).toBe('slow-start');
    expect(kindOf({ key: returning, pending: 1, successes: 1 })).toBeUndefined();
  });

  it('lets one request try a bucket that returns, however proven the key is', () => {
    const proven = { successes: 32, bucket: returning };
    expect(kindOf(proven)).toBeUndefined();
    expect(kindOf({ ...proven, bucketPending: 1 })).toBe('bucket-slow-start');
    expect(kindOf({ ...proven, bucketPending: 1, bucketSuccesses: 1 })).toBeUndefined();
  });

  it('lets one request try a provider that returns, however proven the key is', () => {
    const proven = { successes: 32, pending: 1 };
    const provider = restingUntil(NOW);
    expect(kindOf({ ...proven, provider })).toBeUndefined();
    expect(kindOf({ ...proven, provider, providerPending: 1 })).toBe('provider-slow-start');
    expect(kindOf({ ...proven, provider: returning, providerPending: 2, providerSuccesses: 1 })).toBe(
      'provider-slow-start',
    );
    expect(
      kindOf({ ...proven, provider: returning, providerPending: 1, providerSuccesses: 1 }),
    ).toBeUndefined();
    expect(slowStartObstacle(standing({ provider, providerPending: 1 }), NOW)?.because).toMatch(
      /returning.*1/,
    );
  });

  it('holds no one back for a provider whose circuit is closed', () => {
    expect(kindOf({ providerPending: 10_000, bucketPending: 10_000 })).toBeUndefined();
  });
});

describe('strategies', () => {
  it('are those that a configuration may name', () => {
    expect(Object.keys(strategies).sort()).toEqual([
      'least-used',
      'lowest-latency',
      'most-remaining',
      'priority',
      'round-robin',
      'weighted',
    ]);
  });
});
