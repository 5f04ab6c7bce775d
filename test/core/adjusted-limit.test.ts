import { describe, expect, it } from 'vitest';
import { adjustedLimit, type LimitStatement } from '#keymux/core/quota.js';

const MINUTE_MS = 60_000;

function after(statement: Partial<LimitStatement>): number {
  return adjustedLimit({
    current: 100,
    configured: 100,
    stated: 100,
    sinceMs: MINUTE_MS,
    perMs: MINUTE_MS,
    ...statement,
  });
}

describe('a limit that a provider states', () => {
  it('lowers the one in force at once', () => {
    expect(after({ stated: 99, sinceMs: 0 })).toBe(99);
    expect(after({ stated: 1, sinceMs: 0 })).toBe(1);
  });

  it('changes nothing where it is none, or the one in force', () => {
    expect(after({ stated: 0 })).toBe(100);
    expect(after({ stated: -1 })).toBe(100);
    expect(after({ current: 50, stated: 50 })).toBe(50);
  });

  it('raises a lowered one by a tenth, rounded down, after a whole window without a refusal', () => {
    expect(after({ current: 59, sinceMs: MINUTE_MS - 1 })).toBe(59);
    expect(after({ current: 59 })).toBe(64);
    expect(after({ current: 50, sinceMs: 2 * MINUTE_MS })).toBe(55);
  });

  it('raises it by one at least', () => {
    expect(after({ current: 3 })).toBe(4);
  });

  it('raises it no further than what is stated, nor above what is configured', () => {
    expect(after({ current: 50, stated: 52 })).toBe(52);
    expect(after({ current: 99, stated: 500 })).toBe(100);
    expect(after({ current: 99, stated: 500, configured: 102 })).toBe(102);
  });
});
