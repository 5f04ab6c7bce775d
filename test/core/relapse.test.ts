import { describe, expect, it } from 'vitest';
import { type Health, KEY_POLICY, transition } from '#keymux/core/health.js';
import type { Outcome } from '#keymux/core/outcome.js';

const NOW = 1_790_000_000_000;
const REFUSED: Outcome = { kind: 'rate-limited', scope: 'key', executed: 'no' };

function relapsed(health: Health, now: number): Health {
  const event = { type: 'relapse', outcome: REFUSED, seenVersion: health.version } as const;
  return transition(health, event, KEY_POLICY, now, () => 0);
}

describe('a probe that is refused as before', () => {
  const stated: Health = {
    status: 'resting',
    version: 3,
    level: 1,
    reason: 'rate-limited',
    until: NOW,
    source: 'stated',
  };

  it('leaves a stated deadline as it is while it lasts', () => {
    expect(relapsed(stated, NOW - 1)).toBe(stated);
  });

  it('begins a rest of its own when the stated deadline has come', () => {
    expect(relapsed(stated, NOW)).toMatchObject({
      version: 4,
      level: 2,
      until: NOW + 2_000,
      source: 'guessed',
    });
  });

  it('keeps a guessed deadline that is further off, and where it came from', () => {
    const guessed: Health = { ...stated, until: NOW + 60_000, source: 'guessed' };
    expect(relapsed(guessed, NOW)).toMatchObject({ version: 4, level: 2, until: NOW + 60_000 });
  });
});
