import {
  afterStatement,
  allowanceAt,
  LONGEST_BELIEVED_MS,
  readStatement,
  RETURN_MS,
} from '#keymux/core/stated-allowance.js';
import type { StatedAllowance, StatedNumbers, Statement } from '#keymux/core/stated-allowance.js';
import { describe, expect, it } from 'vitest';

const NOW = 1_800_000_000_000;
const SECOND_MS = 1_000;

const numbers = (rest: Partial<StatedNumbers> = {}): StatedNumbers => ({
  remaining: 5,
  resetAt: NOW + 10 * SECOND_MS,
  fixed: true,
  ...rest,
});

describe('readStatement', () => {
  it('takes a fixed window as it is', () => {
    expect(readStatement(numbers({ limit: 20 }), NOW)).toEqual({
      kind: 'fixed',
      left: 5,
      until: NOW + 10 * SECOND_MS,
      limit: 20,
      gain: 0,
      stepMs: 0,
    });
  });

  it('spreads what comes back over the time until all is back, in steps of 100 ms and more', () => {
    const slow = readStatement(numbers({ limit: 10, fixed: false }), NOW);
    expect(slow).toEqual({
      kind: 'refilling',
      left: 5,
      until: NOW + 2_000,
      limit: 10,
      gain: 1,
      stepMs: 2_000,
    });
    const fast = readStatement(numbers({ limit: 1_005, fixed: false }), NOW);
    expect(fast).toMatchObject({ until: NOW + 100, gain: 10, stepMs: 100 });
    const unknown = readStatement(numbers({ fixed: false }), NOW);
    expect(unknown).toMatchObject({ limit: 5, gain: 1, stepMs: 10_000 });
  });

  it('takes the length of the window where its end is not stated', () => {
    const { resetAt: _, ...rest } = numbers({ windowMs: 60_000 });
    expect(readStatement(rest, NOW)?.until).toBe(NOW + 60_000);
  });

  it('believes an end no further off than a day', () => {
    const far = readStatement(numbers({ resetAt: NOW + 30 * LONGEST_BELIEVED_MS }), NOW);
    expect(far?.until).toBe(NOW + LONGEST_BELIEVED_MS);
  });

  it('cuts counts that are too large, and forgets fractions', () => {
    expect(readStatement(numbers({ remaining: 1e15 }), NOW)?.left).toBe(2 ** 28);
    expect(readStatement(numbers({ remaining: 2.9 }), NOW)?.left).toBe(2);
  });

  it.each<[string, Partial<StatedNumbers>]>([
    ['a negative count', { remaining: -1 }],
    ['no number', { remaining: Number.NaN }],
    ['infinity', { remaining: Number.POSITIVE_INFINITY }],
    ['an end that has passed', { resetAt: NOW - 1 }],
    ['an end now', { resetAt: NOW }],
    ['an end that is no number', { resetAt: Number.NaN }],
    ['an end that never comes', { resetAt: Number.POSITIVE_INFINITY }],
  ])('takes nothing from %s', (_title, rest) => {
    expect(readStatement(numbers(rest), NOW)).toBeUndefined();
  });

  it('takes nothing from what is not said', () => {
    expect(readStatement({ fixed: true, resetAt: NOW + 1 }, NOW)).toBeUndefined();
    expect(readStatement({ fixed: true, remaining: 1 }, NOW)).toBeUndefined();
  });
});

const TERMS = { limit: 100, gain: 2, stepMs: 500 };

describe('allowanceAt', () => {
  const at = (kind: StatedAllowance['kind'], left: number): StatedAllowance => ({ kind, left, until: NOW });

  it('is the same before its deadline', () => {
    const fixed = at('fixed', 3);
    expect(allowanceAt(fixed, TERMS, NOW - 1)).toBe(fixed);
  });

  it.each([
    [0, 100, 4],
    [3, 100, 4],
    [30, 100, 30],
    [0, 8, 2],
    [0, 2, 1],
    [0, 0, 4],
  ])('lets few into a new window, where %i were left of %i: %i', (left, limit, entering) => {
    expect(allowanceAt(at('fixed', left), { ...TERMS, limit }, NOW)).toEqual({
      kind: 'returning',
      left: entering,
      until: NOW + RETURN_MS,
    });
  });

  it('is forgotten when nothing was heard of the new window', () => {
    expect(allowanceAt(at('returning', 0), TERMS, NOW)).toBeUndefined();
  });

  it('refills step by step up to the limit', () => {
    expect(allowanceAt(at('refilling', 10), TERMS, NOW)).toEqual({
      kind: 'refilling',
      left: 12,
      until: NOW + 500,
    });
    expect(allowanceAt(at('refilling', 10), TERMS, NOW + 1_200)).toMatchObject({
      left: 16,
      until: NOW + 1_500,
    });
    expect(allowanceAt(at('refilling', 99), TERMS, NOW + 60_000)).toMatchObject({ left: 100 });
  });

  it('sends a trial where nothing was left to refill from', () => {
    expect(allowanceAt(at('refilling', 0), TERMS, NOW)).toMatchObject({ kind: 'returning', left: 1 });
  });
});

describe('afterStatement', () => {
  const statement: Statement = { kind: 'fixed', left: 10, until: NOW + 60_000, ...TERMS };
  const fixed = (left: number): StatedAllowance => ({ kind: 'fixed', left, until: NOW + 50_000 });
  const heard = (grantedAfter: number | undefined, underWay: number, isRecent: boolean) => ({
    grantedAfter,
    underWay,
    isRecent,
  });

  it('begins with what is said, less what may not be counted yet', () => {
    expect(afterStatement(undefined, statement, heard(undefined, 3, false))).toEqual({
      kind: 'fixed',
      left: 7,
      until: NOW + 60_000,
    });
    expect(afterStatement(undefined, statement, heard(undefined, 30, false))?.left).toBe(0);
  });

  it('is lowered at once, by any answer', () => {
    expect(afterStatement(fixed(20), statement, heard(4, 1, false))?.left).toBe(6);
    expect(afterStatement(fixed(20), statement, heard(undefined, 2, false))?.left).toBe(8);
  });

  it('is raised by recent answers only, and never above what was said less what is under way', () => {
    const low = fixed(2);
    expect(afterStatement(low, statement, heard(1, 3, false))).toBe(low);
    expect(afterStatement(low, statement, heard(1, 3, true))?.left).toBe(7);
    expect(afterStatement(fixed(8), statement, heard(1, 9, true))?.left).toBe(8);
  });

  it('listens to answers of the new window only, once the old one has ended', () => {
    const returning: StatedAllowance = { kind: 'returning', left: 3, until: NOW + 1_000 };
    expect(afterStatement(returning, { ...statement, left: 0 }, heard(undefined, 0, false))).toBe(returning);
    expect(afterStatement(returning, statement, heard(0, 2, true))).toMatchObject({ kind: 'fixed', left: 8 });
  });
});
