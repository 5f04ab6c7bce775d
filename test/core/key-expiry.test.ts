import { describe, expect, it } from 'vitest';
import { expiryOf, nextExpiryMoment, warningAt } from '#keymux/core/key-expiry.js';

const DAY_MS = 86_400_000;
const END = Date.UTC(2027, 1, 1);

describe('the end of a key', () => {
  it.each([
    ['2027-01-31', END],
    ['2027-01-31T12:00Z', END - DAY_MS / 2],
    ['2027-01-31T12:00:00+02:00', END - DAY_MS / 2 - 7_200_000],
  ])('%s is the end of that day in UTC, or the moment itself', (text, at) => {
    expect(expiryOf(text)).toBe(at);
  });

  it.each([
    [END - 15 * DAY_MS, undefined, END - 14 * DAY_MS],
    [END - 14 * DAY_MS, 0, END - 3 * DAY_MS],
    [END - 3 * DAY_MS - 1, 0, END - 3 * DAY_MS],
    [END - 3 * DAY_MS, 1, END - DAY_MS],
    [END - DAY_MS, 2, END],
    [END - 1, 2, END],
    [END, undefined, undefined],
  ])('at %d the warning is %s, and the next moment is %s', (now, warning, next) => {
    expect(warningAt(END, now)).toBe(warning);
    expect(nextExpiryMoment(END, now)).toBe(next);
  });
});
