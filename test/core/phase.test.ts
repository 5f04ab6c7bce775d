import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Health } from '#keymux/core/health.js';
import {
  FRESH,
  FRESH_ALLOWANCE,
  leaseAllowance,
  phaseOf,
  PROVEN_SUCCESSES,
  TRIAL_ALLOWANCE,
} from '#keymux/core/health.js';
import { healths, NOW } from './health-arbitraries.js';

const resting = {
  status: 'resting',
  version: 3,
  level: 2,
  reason: 'rate-limited',
  until: NOW + 1_000,
  source: 'guessed',
} as const satisfies Health;
const recovering: Health = { status: 'recovering', version: 4, level: 2, since: NOW };

describe('phaseOf', () => {
  it('open a subject at the very deadline, not before', () => {
    const { until } = resting;
    expect(phaseOf(resting, until - 1)).toBe('open');
    expect(phaseOf(resting, until)).toBe('half-open');
  });

  it('know a healthy and a recovering subject as available at once', () => {
    expect(phaseOf(FRESH, NOW)).toBe('closed');
    expect(phaseOf(recovering, NOW)).toBe('slow-start');
  });
});

describe('leaseAllowance', () => {
  it('is nothing while open, one for a trial, then one more for each success', () => {
    expect(leaseAllowance(resting, 40, resting.until - 1)).toBe(0);
    expect(leaseAllowance(resting, 40, resting.until)).toBe(TRIAL_ALLOWANCE);
    expect([0, 1, 2].map((successes) => leaseAllowance(recovering, successes, NOW))).toEqual([1, 2, 3]);
  });

  it('lets a fresh subject prove itself, and then counts no more', () => {
    expect(leaseAllowance(FRESH, 0, NOW)).toBe(FRESH_ALLOWANCE);
    expect(leaseAllowance(FRESH, PROVEN_SUCCESSES - 1, NOW)).toBe(FRESH_ALLOWANCE + PROVEN_SUCCESSES - 1);
    expect(leaseAllowance(FRESH, PROVEN_SUCCESSES, NOW)).toBe(Number.POSITIVE_INFINITY);
  });

  it('keeps a hundred waiting requests from falling upon one key', () => {
    expect([FRESH_ALLOWANCE, TRIAL_ALLOWANCE, PROVEN_SUCCESSES]).toEqual([4, 1, 32]);
  });

  it('never falls as successes grow', () => {
    fc.assert(
      fc.property(
        healths,
        fc.nat({ max: 60 }),
        fc.constantFrom(NOW - 1, NOW, NOW + 1),
        (health, successes, now) => {
          expect(leaseAllowance(health, successes + 1, now)).toBeGreaterThanOrEqual(
            leaseAllowance(health, successes, now),
          );
        },
      ),
    );
  });
});
