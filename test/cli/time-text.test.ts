import { clockText, durationText, momentText, relativeText, windowText } from '#keymux/cli/time-text.js';
import { describe, expect, it } from 'vitest';

const NOON = new Date(2026, 0, 31, 12, 0, 5).getTime();
const HOUR = 3_600_000;

describe('durationText', () => {
  it.each([
    [-5, '0 ms'],
    [850.4, '850 ms'],
    [42_999, '42 s'],
    [60_000, '1 min'],
    [185_000, '3 min 5 s'],
    [2 * HOUR + 600_000, '2 h 10 min'],
    [76 * HOUR, '3 d 4 h'],
  ])('tells %d ms as %s', (ms, text) => {
    expect(durationText(ms)).toBe(text);
  });
});

describe('relativeText', () => {
  it('looks forward, back and at now', () => {
    expect(relativeText(NOON + 42_000, NOON)).toBe('in 42 s');
    expect(relativeText(NOON - 300_000, NOON)).toBe('5 min ago');
    expect(relativeText(NOON + 999, NOON)).toBe('now');
  });
});

describe('clockText', () => {
  it('leaves out the date of today, and the seconds of other days', () => {
    expect(clockText(NOON + 65_000, NOON)).toBe('12:01:10');
    expect(clockText(NOON + 24 * HOUR, NOON)).toBe('2026-02-01 12:00');
  });
});

describe('momentText', () => {
  it('tells a moment both ways', () => {
    expect(momentText(NOON + 42_000, NOON)).toBe('in 42 s (12:00:47)');
  });
});

describe('windowText', () => {
  it('uses the units of the configuration', () => {
    expect([1_000, 60_000, HOUR, 24 * HOUR, 31 * 24 * HOUR, 4_000].map(windowText)).toEqual([
      'second',
      'minute',
      'hour',
      'day',
      'month',
      '4 s',
    ]);
  });
});
