import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { QuotaWindow } from '#keymux/core/quota.js';
import { lastReset, nextReset } from '#keymux/core/quota.js';

type Calendar = NonNullable<QuotaWindow['calendar']>;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const LA = 'America/Los_Angeles';
const BERLIN = 'Europe/Berlin';

function daily(timeZone: string, at = '00:00'): Calendar {
  return { unit: 'day', at, timeZone };
}

function monthly(timeZone: string, at = '00:00'): Calendar {
  return { unit: 'month', at, timeZone };
}

/** The resets around a moment, as ISO texts to the minute. */
function around(calendar: Calendar, moment: string): string[] {
  const now = Date.parse(moment);
  return [lastReset(calendar, now), nextReset(calendar, now)].map((at) =>
    new Date(at).toISOString().slice(0, 16),
  );
}

describe('a daily reset', () => {
  it.each([
    ['in UTC', daily('UTC'), '2026-07-15T12:00Z', '2026-07-15T00:00', '2026-07-16T00:00'],
    [
      'at its very moment',
      daily('UTC', '09:30'),
      '2026-07-15T09:30Z',
      '2026-07-15T09:30',
      '2026-07-16T09:30',
    ],
    [
      'just before',
      daily('UTC', '09:30'),
      '2026-07-15T09:29:59.999Z',
      '2026-07-14T09:30',
      '2026-07-15T09:30',
    ],
    ['west of UTC', daily(LA), '2026-07-15T06:59Z', '2026-07-14T07:00', '2026-07-15T07:00'],
    ['east of UTC', daily(BERLIN), '2026-07-15T22:00Z', '2026-07-15T22:00', '2026-07-16T22:00'],
    ['an odd offset', daily('Asia/Kathmandu'), '2026-07-15T12:00Z', '2026-07-14T18:15', '2026-07-15T18:15'],
    ['an odder one', daily('Pacific/Chatham'), '2026-07-15T12:00Z', '2026-07-15T11:15', '2026-07-16T11:15'],
    [
      'at the date line',
      daily('Pacific/Kiritimati'),
      '2026-07-15T10:00Z',
      '2026-07-15T10:00',
      '2026-07-16T10:00',
    ],
    ['into a leap day', daily('UTC'), '2028-02-28T12:00Z', '2028-02-28T00:00', '2028-02-29T00:00'],
    ['over a common February', daily('UTC'), '2026-02-28T12:00Z', '2026-02-28T00:00', '2026-03-01T00:00'],
    ['over the year', daily('UTC'), '2026-12-31T12:00Z', '2026-12-31T00:00', '2027-01-01T00:00'],
    ['before 1970', daily('UTC'), '1969-07-20T20:17:40.5Z', '1969-07-20T00:00', '1969-07-21T00:00'],
  ])('%s', (_, calendar, now, last, next) => {
    expect(around(calendar, now)).toEqual([last, next]);
  });

  it.each([
    [
      'the 23 hours of spring in Los Angeles',
      daily(LA),
      '2026-03-08T12:00Z',
      '2026-03-08T08:00',
      '2026-03-09T07:00',
    ],
    [
      'the 25 hours of autumn in Los Angeles',
      daily(LA),
      '2026-11-01T12:00Z',
      '2026-11-01T07:00',
      '2026-11-02T08:00',
    ],
    [
      'the 23 hours of spring in Berlin',
      daily(BERLIN),
      '2026-03-29T12:00Z',
      '2026-03-28T23:00',
      '2026-03-29T22:00',
    ],
    [
      'the 25 hours of autumn in Berlin',
      daily(BERLIN),
      '2026-10-25T12:00Z',
      '2026-10-24T22:00',
      '2026-10-25T23:00',
    ],
    [
      '03:00 of spring in Los Angeles',
      daily(LA, '03:00'),
      '2026-03-08T12:00Z',
      '2026-03-08T10:00',
      '2026-03-09T10:00',
    ],
    [
      '02:00 of autumn in Los Angeles',
      daily(LA, '02:00'),
      '2026-11-01T12:00Z',
      '2026-11-01T10:00',
      '2026-11-02T10:00',
    ],
    [
      '01:59 of spring in Los Angeles',
      daily(LA, '01:59'),
      '2026-03-08T12:00Z',
      '2026-03-08T09:59',
      '2026-03-09T08:59',
    ],
    [
      '03:00 of spring in Berlin',
      daily(BERLIN, '03:00'),
      '2026-03-29T12:00Z',
      '2026-03-29T01:00',
      '2026-03-30T01:00',
    ],
    [
      '03:00 of autumn in Berlin',
      daily(BERLIN, '03:00'),
      '2026-10-25T12:00Z',
      '2026-10-25T02:00',
      '2026-10-26T02:00',
    ],
  ])('knows %s', (_, calendar, now, last, next) => {
    expect(around(calendar, now)).toEqual([last, next]);
  });

  it.each([
    ['Los Angeles', daily(LA, '02:30'), '2026-03-08T10:29Z', '2026-03-07T10:30', '2026-03-08T10:30'],
    ['Berlin', daily(BERLIN, '02:30'), '2026-03-29T01:29Z', '2026-03-28T01:30', '2026-03-29T01:30'],
    ['Beirut', daily('Asia/Beirut'), '2026-03-28T21:59Z', '2026-03-27T22:00', '2026-03-28T22:00'],
    ['Nuuk', daily('America/Nuuk', '23:30'), '2026-03-29T01:10Z', '2026-03-28T01:30', '2026-03-29T01:30'],
  ])('that summer time skips comes as long after the jump (%s)', (_, calendar, now, last, next) => {
    expect(around(calendar, now)).toEqual([last, next]);
    expect(around(calendar, `${next}Z`)[0]).toBe(next);
  });

  it.each([
    ['Los Angeles', daily(LA, '01:30'), '2026-11-01T09:45Z', '2026-11-01T08:30', '2026-11-02T09:30'],
    ['Berlin', daily(BERLIN, '02:30'), '2026-10-25T01:45Z', '2026-10-25T00:30', '2026-10-26T01:30'],
    ['Havana', daily('America/Havana'), '2026-11-01T05:30Z', '2026-11-01T04:00', '2026-11-02T05:00'],
    [
      'Lord Howe',
      daily('Australia/Lord_Howe', '01:45'),
      '2026-04-04T15:20Z',
      '2026-04-04T14:45',
      '2026-04-05T15:15',
    ],
    ["St. John's", daily('America/St_Johns'), '2006-10-29T03:00Z', '2006-10-29T02:30', '2006-10-30T03:30'],
  ])('that the clock shows twice comes at the first (%s)', (_, calendar, now, last, next) => {
    expect(around(calendar, now)).toEqual([last, next]);
  });

  it('refuses a time of day, a zone or a moment that is none', () => {
    const now = Date.UTC(2026, 6, 15);
    expect(() => nextReset(daily('UTC', 'noon'), now)).toThrow(RangeError);
    expect(() => nextReset(daily('Europe/Atlantis'), now)).toThrow(RangeError);
    expect(() => lastReset(daily('UTC'), Number.NaN)).toThrow(RangeError);
  });

  it('knows of a day that never was', () => {
    const [last, next] = around(daily('Pacific/Apia', '12:00'), '2011-12-30T11:00Z');
    expect([last, next]).toEqual(['2011-12-29T22:00', '2011-12-30T22:00']);
  });
});

describe('a monthly reset', () => {
  it.each([
    ['in a leap year', monthly('UTC'), '2028-02-29T23:59Z', '2028-02-01T00:00', '2028-03-01T00:00'],
    [
      'at the end of a long month',
      monthly('UTC'),
      '2026-01-31T12:00Z',
      '2026-01-01T00:00',
      '2026-02-01T00:00',
    ],
    ['over the year', monthly('UTC'), '2026-12-31T12:00Z', '2026-12-01T00:00', '2027-01-01T00:00'],
    [
      'before the hour of the first',
      monthly('UTC', '08:00'),
      '2026-01-01T07:59Z',
      '2025-12-01T08:00',
      '2026-01-01T08:00',
    ],
    ['over spring in Los Angeles', monthly(LA), '2026-03-31T12:00Z', '2026-03-01T08:00', '2026-04-01T07:00'],
    [
      'on the morning of autumn in Los Angeles',
      monthly(LA),
      '2026-11-01T12:00Z',
      '2026-11-01T07:00',
      '2026-12-01T08:00',
    ],
    [
      'by the local date',
      monthly('Asia/Kathmandu'),
      '2026-07-31T18:20Z',
      '2026-07-31T18:15',
      '2026-08-31T18:15',
    ],
  ])('%s', (_, calendar, now, last, next) => {
    expect(around(calendar, now)).toEqual([last, next]);
  });
});

describe('resets of any zone, around any moment', () => {
  const zones = [
    'UTC',
    LA,
    BERLIN,
    'Asia/Kathmandu',
    'America/Havana',
    'America/Nuuk',
    'America/St_Johns',
    'Asia/Beirut',
    'Australia/Lord_Howe',
    'Pacific/Apia',
    'Pacific/Chatham',
    'Pacific/Kiritimati',
    'Africa/Casablanca',
  ];
  const jumps = [
    '2026-03-08T10:00Z',
    '2026-11-01T09:00Z',
    '2026-03-29T01:00Z',
    '2026-10-25T01:00Z',
    '2006-10-29T02:31Z',
    '2026-03-08T05:00Z',
    '2026-11-01T05:00Z',
    '2026-03-28T22:00Z',
    '2026-10-24T21:00Z',
    '2026-10-03T15:30Z',
    '2011-12-30T10:00Z',
  ].map((moment) => Date.parse(moment));
  const instants = fc.oneof(
    fc.integer({ min: Date.UTC(1995, 0), max: Date.UTC(2040, 0) }),
    fc
      .tuple(fc.constantFrom(...jumps), fc.integer({ min: -36 * 60, max: 36 * 60 }))
      .map(([jump, minutes]) => jump + minutes * 60_000),
  );
  const times = fc
    .tuple(fc.integer({ min: 0, max: 23 }), fc.constantFrom(0, 15, 30, 59))
    .map((parts) => parts.map((part) => String(part).padStart(2, '0')).join(':'));
  const calendars: fc.Arbitrary<Calendar> = fc.record({
    unit: fc.constantFrom('day', 'day', 'month'),
    at: fc.oneof(fc.constant('00:00'), times),
    timeZone: fc.constantFrom(...zones),
  });

  function always(check: (calendar: Calendar, last: number, now: number, next: number) => void): void {
    fc.assert(
      fc.property(calendars, instants, (calendar, now) => {
        check(calendar, lastReset(calendar, now), now, nextReset(calendar, now));
      }),
      { numRuns: 400 },
    );
  }

  it('enclose it', () => {
    always((_, last, now, next) => {
      expect(last).toBeLessThanOrEqual(now);
      expect(next).toBeGreaterThan(now);
    });
  });

  it('follow each other with none between', () => {
    always((calendar, last, _, next) => {
      expect([lastReset(calendar, last), nextReset(calendar, last)]).toEqual([last, next]);
      expect([lastReset(calendar, next - 1), nextReset(calendar, next - 1)]).toEqual([last, next]);
      expect(lastReset(calendar, next)).toBe(next);
    });
  });

  it('show the wanted time, or lie just after a jump over it', () => {
    always((calendar, last) => {
      const shown = (at: number): string =>
        new Date(at).toLocaleString('sv-SE', { timeZone: calendar.timeZone });
      const [date = '', time = ''] = shown(last).split(' ');
      const isShown = time === `${calendar.at}:00` && (calendar.unit === 'day' || date.endsWith('-01'));
      const elapsedByClock = Date.parse(`${shown(last)}Z`) - Date.parse(`${shown(last - DAY_MS)}Z`);
      expect(isShown || elapsedByClock > DAY_MS).toBe(true);
    });
  });

  it('lie a day or a month apart, give or take the hour of summer time', () => {
    always(({ unit }, last, _, next) => {
      const days = (next - last) / DAY_MS;
      expect(days).toBeGreaterThanOrEqual(unit === 'day' ? 22 / 24 : 28 - 1 / 12);
      expect(days).toBeLessThanOrEqual(unit === 'day' ? 26 / 24 : 31 + 1 / 12);
    });
  });
});
