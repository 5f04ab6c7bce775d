import { describe, expect, it } from 'vitest';
import { FRESH } from '#keymux/core/health.js';
import { obstacleOf, type Standing } from '#keymux/core/select.js';

const END = Date.UTC(2026, 5, 1);

function standing(traits: Partial<Standing>): Standing {
  const counts = { pending: 0, successes: 0, bucketPending: 0, bucketSuccesses: 0 };
  const none = { ...counts, providerPending: 0, providerSuccesses: 0, blockedUntil: 0, disabled: false };
  return { ...none, key: FRESH, bucket: FRESH, provider: FRESH, ...traits };
}

describe('a key that ends on a stated day', () => {
  it('is chosen until then, and never from then on', () => {
    expect(obstacleOf(standing({ expiresAt: END }), END - 1)).toBeUndefined();
    const expired = { kind: 'expired', because: 'expired as planned, 2026-06-01T00:00:00.000Z' };
    expect(obstacleOf(standing({ expiresAt: END }), END)).toEqual(expired);
    expect(obstacleOf(standing({ expiresAt: END, blockedUntil: END + 9 }), END + 1)).toEqual(expired);
  });

  it('is disabled first, if a person said so', () => {
    expect(obstacleOf(standing({ expiresAt: END, disabled: true }), END)?.kind).toBe('disabled');
  });
});
