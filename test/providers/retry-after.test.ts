import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { waitInBody } from '#keymux/providers/body-wait.js';
import {
  inReach,
  LONGEST_WAIT_MS,
  parseDurationMs,
  parseHttpDate,
  parseInstant,
} from '#keymux/providers/instants.js';
import { retryAfter, windowReset } from '#keymux/providers/retry-after.js';
import { headOf } from './heads.js';

const NOW = Date.UTC(2025, 6, 15, 12);
const SECOND = 1_000;
const MINUTE = 60 * SECOND;

const headers = (given: Readonly<Record<string, string>>) => headOf(429, given);
const waitOf = (found: { readonly at: number } | undefined) =>
  found === undefined ? undefined : found.at - NOW;
const afterHeader = (value: string) => waitOf(retryAfter(headers({ 'retry-after': value }), NOW));

describe('retryAfter', () => {
  it.each([
    ['120', 2 * MINUTE],
    [' 120 ', 2 * MINUTE],
    ['0.5', 500],
    ['1.25', 1_250],
    ['20s', 20 * SECOND],
    ['30, 60', MINUTE],
    ['Tue, 15 Jul 2025 12:00:30 GMT', 30 * SECOND],
    ['Tuesday, 15-Jul-25 12:00:30 GMT', 30 * SECOND],
    ['Tue Jul 15 12:00:30 2025', 30 * SECOND],
    ['Tue Jul 22 12:00:00 2025', 7 * 24 * 60 * MINUTE],
    ['Tue, 15 Jul 2025 12:00:30 GMT, Tue, 15 Jul 2025 12:00:40 GMT', 40 * SECOND],
    ['Tuesday, 15-Jul-25 12:00:30 GMT,5', 30 * SECOND],
    ['2025-07-15T12:00:30Z', 30 * SECOND],
    ['6m0s, 12ms', 6 * MINUTE],
    ['-5, 7', 7 * SECOND],
    [String(NOW / 1000 + 90), 90 * SECOND],
    [String(NOW + 90_000), 90 * SECOND],
    [String((NOW + 90_000) * 1_000), 90 * SECOND],
    [`${NOW + 90_000}000000`, 90 * SECOND],
  ])('reads %j', (value, waitMs) => {
    expect(afterHeader(value)).toBe(waitMs);
  });

  it.each([
    '',
    '0',
    '-5',
    'NaN',
    'Infinity',
    '1e3',
    '0x10',
    'soon',
    '5 parsecs',
    '9'.repeat(400),
    String(367 * 86_400),
    '1000000000',
    'Tue, 15 Jul 2025 11:59:59 GMT',
    'Tue, 15 Jul 2025 12:00:30 PST',
    'Tue, 32 Jul 2025 12:00:30 GMT',
    'Sun, 31 Feb 2026 12:00:30 GMT',
    'Tue, 15 Foo 2025 12:00:30 GMT',
    'Tue, 15 Jul 2025 25:00:30 GMT',
    'Tue, 15 Jul 2025 12:60:30 GMT',
    'Tue, 15 Jul 2025 12:00:61 GMT',
    'Foo, 15 Jul 2025 12:00:30 GMT',
    'Wed Jul  3 12:00:30 2024',
    'Sunday, 06-Nov-94 08:49:37 GMT',
    `1,${'2'.repeat(2_000)}`,
  ])('finds nothing in %j', (value) => {
    expect(afterHeader(value)).toBeUndefined();
  });

  it('prefers the header in milliseconds', () => {
    const both = headers({ 'retry-after-ms': '1500.5', 'retry-after': '2' });
    expect(retryAfter(both, NOW)).toEqual({ at: NOW + 1_500.5, from: 'retry-after-ms' });
  });

  it('takes the last of several in milliseconds', () => {
    expect(retryAfter(headers({ 'retry-after-ms': '250, 1500,x' }), NOW)).toEqual({
      at: NOW + 1_500,
      from: 'retry-after-ms',
    });
  });

  it.each(['', '0', '-1', 'x', '999999999999', '1'.repeat(2_000)])(
    'falls back to seconds where the milliseconds are %j',
    (value) => {
      expect(retryAfter(headers({ 'retry-after-ms': value, 'retry-after': '2' }), NOW)).toEqual({
        at: NOW + 2_000,
        from: 'retry-after',
      });
    },
  );

  it('waits longer the more seconds are stated', () => {
    const seconds = fc
      .double({ min: 0.001, max: 366 * 86_400, noNaN: true })
      .map((value) => value.toFixed(3))
      .filter((value) => Number(value) > 0);
    fc.assert(
      fc.property(seconds, seconds, (a, b) => {
        expect(Number(a) <= Number(b)).toBe(
          (afterHeader(a) ?? Infinity) <= (afterHeader(b) ?? Infinity) || Number(a) === Number(b),
        );
      }),
    );
  });

  it('round-trips every HTTP date within reach', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: LONGEST_WAIT_MS / SECOND }), (seconds) => {
        const at = NOW + seconds * SECOND;
        expect(afterHeader(new Date(at).toUTCString())).toBe(seconds * SECOND);
        expect(parseInstant(new Date(at).toISOString(), NOW)).toBe(at);
        expect(parseInstant(String(at), NOW)).toBe(at);
        expect(parseInstant(String(at / 1000), NOW)).toBe(at);
      }),
    );
  });
});

describe('parseHttpDate', () => {
  it('reads a year of two digits as the nearest that is not 50 years ahead', () => {
    expect(parseHttpDate('Sunday, 06-Nov-94 08:49:37 GMT', NOW)).toBe(Date.UTC(1994, 10, 6, 8, 49, 37));
    expect(parseHttpDate('Thursday, 06-Nov-70 08:49:37 GMT', NOW)).toBe(Date.UTC(2070, 10, 6, 8, 49, 37));
  });

  it('reads the three examples of RFC 9110 alike', () => {
    const at = Date.UTC(1994, 10, 6, 8, 49, 37);
    expect(parseHttpDate('Sun, 06 Nov 1994 08:49:37 GMT', NOW)).toBe(at);
    expect(parseHttpDate('Sunday, 06-Nov-94 08:49:37 GMT', NOW)).toBe(at);
    expect(parseHttpDate('Sun Nov  6 08:49:37 1994', NOW)).toBe(at);
  });
});

describe('parseDurationMs', () => {
  it.each([
    ['6m0s', 6 * MINUTE],
    ['1h2m3.5s', 62 * MINUTE + 3_500],
    ['12ms', 12],
    ['34.07s', 34_070],
    ['2m59.56s', 179_560],
    ['1d', 24 * 60 * MINUTE],
    ['500us', 0.5],
    ['100ns', 0.0001],
    ['1 minute 30 seconds', 90 * SECOND],
    ['2 hrs 5 mins', 125 * MINUTE],
    ['3 hours', 180 * MINUTE],
    ['250 milliseconds', 250],
    ['10 sec', 10 * SECOND],
    ['2 days', 48 * 60 * MINUTE],
  ])('reads %j', (text, ms) => {
    expect(parseDurationMs(text)).toBeCloseTo(ms, 6);
  });

  it.each([
    '',
    's',
    '5',
    '-5s',
    '5x',
    '5s!',
    '5s 6',
    '1.s',
    'constructor',
    '5constructor',
    `${'1s'.repeat(40)}`,
  ])('refuses %j', (text) => {
    expect(parseDurationMs(text)).toBeUndefined();
  });
});

describe('windowReset', () => {
  const reset = (given: Readonly<Record<string, string>>) => {
    const found = windowReset(headers(given), NOW);
    return found === undefined ? undefined : [found.at - NOW, found.from];
  };

  it.each([
    [{ 'x-ratelimit-reset': '30' }, [30_000, 'x-ratelimit-reset']],
    [{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '30' }, [30_000, 'x-ratelimit-reset']],
    [{ 'x-ratelimit-remaining': '-1', 'x-ratelimit-reset': '30' }, [30_000, 'x-ratelimit-reset']],
    [
      { 'x-ratelimit-remaining': '0.0', 'x-ratelimit-reset': '2025-07-15T12:00:30Z' },
      [30_000, 'x-ratelimit-reset'],
    ],
    [
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '2025-07-15 14:00:30.5+02:00' },
      [30_500, 'x-ratelimit-reset'],
    ],
    [
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': 'Tue, 15 Jul 2025 12:00:30 GMT' },
      [30_000, 'x-ratelimit-reset'],
    ],
    [{ 'x-ratelimit-remaining': '?', 'x-ratelimit-reset': '30' }, [30_000, 'x-ratelimit-reset']],
    [{ 'x-ratelimit-remaining': '5', 'x-ratelimit-reset': '30' }, undefined],
    [{ 'x-ratelimit-remaining': '0' }, undefined],
    [{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '-30' }, undefined],
    [{ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '2025-13-45T99:00:00Z' }, undefined],
    [{ 'x-rate-limit-remaining': '0', 'x-rate-limit-reset': '9' }, [9_000, 'x-rate-limit-reset']],
    [{ 'x-tokenlimit-remaining': '0', 'x-tokenlimit-reset': '1' }, [1_000, 'x-tokenlimit-reset']],
    [{ 'ratelimit-remaining': '0', 'ratelimit-reset': '50' }, [50_000, 'ratelimit-reset']],
    [
      { 'anthropic-ratelimit-unified-reset': String(NOW / 1000 + 5) },
      [5_000, 'anthropic-ratelimit-unified-reset'],
    ],
    [{ ratelimit: 'limit=100, remaining=0, reset=50' }, [50_000, 'ratelimit']],
    [{ ratelimit: 'limit=100, remaining=3, reset=50' }, undefined],
    [{ ratelimit: '"default";r=0;t=30' }, [30_000, 'ratelimit']],
    [{ ratelimit: '"burst";r=4;t=99, "daily";r=0;t=30' }, [30_000, 'ratelimit']],
    [{ ratelimit: '"burst";t=7' }, [7_000, 'ratelimit']],
    [
      { ratelimit: '"burst";r=0', 'ratelimit-policy': '"daily";q=9;w=86400, "burst";q=100;w=60' },
      [60_000, 'ratelimit'],
    ],
    [{ ratelimit: '"burst";r=0', 'ratelimit-policy': '"daily";q=9;w=86400' }, undefined],
    [{ ratelimit: '"burst";r=0' }, undefined],
    [{ ratelimit: '"burst";r=0;t=99999999999' }, undefined],
    [{ ratelimit: `"burst";r=0;t=5;${'x'.repeat(2_000)}` }, undefined],
  ])('reads %j as %j', (given, expected) => {
    expect(reset(given as Record<string, string>)).toEqual(expected);
  });

  it('waits for the last of the spent windows', () => {
    const given = {
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '1s',
      'x-ratelimit-remaining-tokens': '0',
      'x-ratelimit-reset-tokens': '6m0s',
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': '3',
    };
    expect(reset(given)).toEqual([6 * MINUTE, 'x-ratelimit-reset-tokens']);
  });

  it('tries the first to end where none says what is left', () => {
    const given = {
      'x-ratelimit-reset': '9',
      'x-ratelimit-reset-requests': '1s',
      'x-ratelimit-reset-tokens': '6m0s',
    };
    expect(reset(given)).toEqual([1_000, 'x-ratelimit-reset-requests']);
  });

  it('pairs lists by position', () => {
    expect(reset({ 'x-ratelimit-remaining': '1, 0', 'x-ratelimit-reset': '1, 1419704' })).toEqual([
      1_419_704_000,
      'x-ratelimit-reset',
    ]);
    expect(reset({ 'x-ratelimit-remaining': '0, 1000', 'x-ratelimit-reset': '1, 1419704' })).toEqual([
      1_000,
      'x-ratelimit-reset',
    ]);
    expect(reset({ 'x-ratelimit-remaining': '5, 0', 'x-ratelimit-reset': '7, x' })).toBeUndefined();
  });
});

describe('waitInBody', () => {
  it.each([
    ['{"error":{"details":[{"@type":"x","retryDelay":"34.074824224s"}]}}', 34_074.824_224],
    ['{"retryDelay": "900ms"}', 900],
    ['{"retryDelay": { "seconds": "123", "nanos": 5 }}', 123_000],
    ['{"retryDelay":{"seconds":7}}', 7_000],
    [JSON.stringify({ error: JSON.stringify({ details: [{ retryDelay: '5s' }] }) }), 5_000],
    [JSON.stringify({ raw: JSON.stringify({ raw: JSON.stringify({ retry_after: 8 }) }) }), 8_000],
    ['{"retry_after":2.5}', 2_500],
    ['{"retryAfter":"12"}', 12_000],
    ['{"retry_after_seconds": 30}', 30_000],
    ['{"retry_after_ms":750}', 750],
    ['{"retryAfterMs":750}', 750],
    ['{"rate":{"backoff_seconds":30}}', 30_000],
    ['Please retry in 34.07s.', 34_070],
    ['Please retry in 900ms.', 900],
    ['Rate limit reached. Please try again in 20s. Visit', 20_000],
    ['Please try again in 1m30s.', 90_000],
    ['try again in 1h2m3.5s', 3_723_500],
    ['Try again in 5 minutes', 300_000],
    ['Please retry after 12 seconds.', 12_000],
    ['retry after at least 2 hours, 5 minutes and 1 second', 7_501_000],
    ['Please wait another 3 sec', 3_000],
    [
      'Your limit will be lifted. You will regain access on 2025-08-01 at 00:00 UTC.',
      Date.UTC(2025, 7, 1) - NOW,
    ],
    [`EService:Throttled: [${NOW / 1000 + 4}]`, 4_000],
    ['{"error":{"retryDelay":"3s","message":"cut o', 3_000],
  ])('reads %s', (text, waitMs) => {
    const found = waitInBody(text, NOW);
    expect(found?.from).toBe('body');
    expect(waitOf(found)).toBeCloseTo(waitMs, 1);
  });

  it.each([
    '',
    'retry',
    'Please try again later.',
    'try again in a while',
    'retry in -5s',
    'retry in 0s',
    'took 5003ms, 503',
    'retry in 5 meters',
    'retry in 400 days',
    '{"retryDelay":"soon"}',
    '{"retryDelay":"-3s"}',
    '{"retryDelay":{"minutes":3}}',
    '{"retry_after":null}',
    '{"retry_after":-4}',
    '{"retry_after":999999999999}',
    'You will regain access on 2025-99-99 at 00:00 UTC',
    'You will regain access on 2024-08-01 at 00:00 UTC',
  ])('finds nothing in %j', (text) => {
    expect(waitInBody(text, NOW)).toBeUndefined();
  });

  it('goes on to the next statement where one is out of reach', () => {
    expect(waitOf(waitInBody('{"retryDelay":"0s"} retry in 4s', NOW))).toBe(4_000);
  });

  it('stays fast on hostile text', () => {
    const hostile = [
      'retry '.repeat(10_000),
      `retry in ${'1 s '.repeat(16_000)}`,
      `"retryDelay":{${' '.repeat(60_000)}`,
      '"retry_after"'.repeat(5_000),
      `wait${' '.repeat(65_000)}`,
    ];
    const before = performance.now();
    for (const text of hostile) waitInBody(text, NOW);
    expect(performance.now() - before).toBeLessThan(1_000);
  });

  it('never answers with a moment that is past or out of reach', () => {
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom(
        'retry in ',
        'wait ',
        '"retryDelay":"',
        '"retry_after":',
        '5s',
        '1h',
        '9'.repeat(30),
        ' and ',
        ' ',
        '{"seconds":"',
        '"',
      ),
    );
    fc.assert(
      fc.property(
        fc.array(piece).map((pieces) => pieces.join('')),
        (text) => {
          const found = waitInBody(text, NOW);
          if (found !== undefined) expect(inReach(found.at, NOW)).toBe(found.at);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

describe('whatever the headers say', () => {
  const NAMES = [
    'retry-after',
    'retry-after-ms',
    'x-ratelimit-limit',
    'x-ratelimit-remaining',
    'x-ratelimit-reset',
    'x-ratelimit-policy',
    'x-ratelimit-remaining-tokens',
    'x-ratelimit-reset-tokens',
    'anthropic-ratelimit-requests-remaining',
    'anthropic-ratelimit-requests-reset',
    'ratelimit',
    'ratelimit-policy',
    'ratelimit-remaining',
    'ratelimit-reset',
  ];
  const piece = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.integer().map(String),
    fc.double().map(String),
    fc.date({ noInvalidDate: false }).map(String),
    fc.integer({ min: -1e5, max: 1e5 }).map((seconds) => new Date(NOW + seconds * SECOND).toUTCString()),
    fc.integer({ min: -1e8, max: 1e8 }).map((ms) => new Date(NOW + ms).toISOString()),
    fc.constantFrom(
      '6m0s',
      '12ms',
      '1h2m3.5s',
      ', ',
      ';',
      '"a"',
      'r=0',
      't=5',
      'w=',
      '9'.repeat(40),
      '-',
      '1e3',
    ),
  );
  const value = fc.array(piece, { maxLength: 20 }).map((pieces) => pieces.join(''));

  it('no answer is past or out of reach, and nothing throws', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...NAMES), value, { noNullPrototype: true }), (given) => {
        for (const ask of [retryAfter, windowReset]) {
          const found = ask(headers(given), NOW);
          if (found !== undefined) expect(inReach(found.at, NOW)).toBe(found.at);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('a spent window that names its end is waited for, in any form', () => {
    const seconds = fc.integer({ min: 1, max: 86_400 });
    const forms = fc.constantFrom<(wait: number) => string>(
      String,
      (wait) => `${wait}s`,
      (wait) => String(NOW / SECOND + wait),
      (wait) => String(NOW + wait * SECOND),
      (wait) => new Date(NOW + wait * SECOND).toISOString(),
      (wait) => new Date(NOW + wait * SECOND).toUTCString(),
    );
    fc.assert(
      fc.property(seconds, forms, (wait, form) => {
        const given = headers({ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': form(wait) });
        expect(windowReset(given, NOW)?.at).toBe(NOW + wait * SECOND);
        expect(retryAfter(headers({ 'retry-after': form(wait) }), NOW)?.at).toBe(NOW + wait * SECOND);
      }),
    );
  });

  it('takes no longer for values of any length than for those that are read', () => {
    const hostile = ['1,', ' ', '"a";r=0,', '6m', 'remaining=', 'Tue, 15 Jul 2025 ', ';w=', '1 s '].flatMap(
      (part) => [part.repeat(1_024 / part.length), part.repeat(1_000_000 / part.length)],
    );
    const before = performance.now();
    for (const text of hostile) {
      const given = headers(Object.fromEntries(NAMES.map((name) => [name, text])));
      for (const ask of [retryAfter, windowReset]) ask(given, NOW);
    }
    expect(performance.now() - before).toBeLessThan(1_000);
  });
});
