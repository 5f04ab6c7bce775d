import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LONGEST_WAIT_MS } from '#keymux/providers/instants.js';
import { limitWindows, tellsLimits } from '#keymux/providers/limit-headers.js';
import { headOf } from './heads.js';

const NOW = Date.UTC(2025, 6, 15, 12);
const DAY = 86_400_000;

function limitsOf(headers: Readonly<Record<string, string>>) {
  const head = headOf(200, headers);
  const windows = limitWindows(head, NOW);
  expect(tellsLimits(head) || windows.every(({ remaining }) => remaining === undefined)).toBe(true);
  return windows.map(({ fixed: _, endFrom: __, ...stated }) => stated);
}

describe('limitWindows', () => {
  it.each<[string, Record<string, string>, readonly object[]]>([
    [
      'GitHub',
      {
        'x-ratelimit-limit': '5000',
        'x-ratelimit-remaining': '4987',
        'x-ratelimit-reset': String(NOW / 1000 + 60),
      },
      [
        {
          from: 'x-ratelimit-remaining',
          unit: 'requests',
          limit: 5000,
          remaining: 4987,
          resetAt: NOW + 60_000,
        },
      ],
    ],
    [
      'OpenAI',
      {
        'x-ratelimit-limit-requests': '60',
        'x-ratelimit-remaining-requests': '59',
        'x-ratelimit-reset-requests': '1s',
        'x-ratelimit-limit-tokens': '150000',
        'x-ratelimit-remaining-tokens': '149984',
        'x-ratelimit-reset-tokens': '6m0s',
      },
      [
        {
          from: 'x-ratelimit-remaining-requests',
          unit: 'requests',
          limit: 60,
          remaining: 59,
          resetAt: NOW + 1_000,
        },
        {
          from: 'x-ratelimit-remaining-tokens',
          unit: 'tokens',
          limit: 150_000,
          remaining: 149_984,
          resetAt: NOW + 360_000,
        },
      ],
    ],
    [
      'Anthropic',
      {
        'anthropic-ratelimit-requests-limit': '50',
        'anthropic-ratelimit-requests-remaining': '49',
        'anthropic-ratelimit-requests-reset': '2025-07-15T12:00:01Z',
        'anthropic-ratelimit-output-tokens-limit': '8000',
        'anthropic-ratelimit-output-tokens-remaining': '8000',
        'anthropic-ratelimit-output-tokens-reset': '2025-07-15T12:00:00Z',
      },
      [
        {
          from: 'anthropic-ratelimit-requests-remaining',
          unit: 'requests',
          limit: 50,
          remaining: 49,
          resetAt: NOW + 1_000,
        },
        {
          from: 'anthropic-ratelimit-output-tokens-remaining',
          unit: 'tokens',
          limit: 8_000,
          remaining: 8_000,
        },
      ],
    ],
    [
      'Mistral',
      {
        'x-ratelimit-limit-req-minute': '60',
        'x-ratelimit-remaining-req-minute': '59',
        'x-ratelimit-limit-tokens-month': '4000000',
        'x-ratelimit-remaining-tokens-month': '3950246',
      },
      [
        {
          from: 'x-ratelimit-remaining-req-minute',
          unit: 'requests',
          limit: 60,
          remaining: 59,
          windowMs: 60_000,
        },
        {
          from: 'x-ratelimit-remaining-tokens-month',
          unit: 'tokens',
          limit: 4_000_000,
          remaining: 3_950_246,
          windowMs: 30 * DAY,
        },
      ],
    ],
    [
      'RapidAPI',
      {
        'x-ratelimit-requests-limit': '500',
        'x-ratelimit-requests-remaining': '499',
        'x-ratelimit-requests-reset': '2591000',
      },
      [
        {
          from: 'x-ratelimit-requests-remaining',
          unit: 'requests',
          limit: 500,
          remaining: 499,
          resetAt: NOW + 2_591_000_000,
        },
      ],
    ],
    [
      'Brave',
      {
        'x-ratelimit-limit': '1, 15000',
        'x-ratelimit-policy': '1;w=1, 15000;w=2592000',
        'x-ratelimit-remaining': '0, 1000',
        'x-ratelimit-reset': '1, 1419704',
      },
      [
        {
          from: 'x-ratelimit-remaining[0]',
          unit: 'requests',
          limit: 1,
          remaining: 0,
          windowMs: 1_000,
          resetAt: NOW + 1_000,
        },
        {
          from: 'x-ratelimit-remaining[1]',
          unit: 'requests',
          limit: 15_000,
          remaining: 1_000,
          windowMs: 30 * DAY,
          resetAt: NOW + 1_419_704_000,
        },
      ],
    ],
    [
      'Brave without a monthly limit',
      {
        'x-ratelimit-limit': '50, 0',
        'x-ratelimit-policy': '50;w=1, 0;w=2592000',
        'x-ratelimit-remaining': '49, 0',
        'x-ratelimit-reset': '1, 1419704',
      },
      [
        {
          from: 'x-ratelimit-remaining[0]',
          unit: 'requests',
          limit: 50,
          remaining: 49,
          windowMs: 1_000,
          resetAt: NOW + 1_000,
        },
      ],
    ],
    [
      'drafts up to 06',
      {
        'ratelimit-limit': '10',
        'ratelimit-remaining': '7',
        'ratelimit-reset': '1',
        'ratelimit-policy': '50;w=60, 10;w=1',
      },
      [
        {
          from: 'ratelimit-remaining',
          unit: 'requests',
          limit: 10,
          remaining: 7,
          windowMs: 1_000,
          resetAt: NOW + 1_000,
        },
      ],
    ],
    [
      'drafts up to 03, policies within the limit',
      {
        'ratelimit-limit': '10, 10;w=1, 50;w=60',
        'ratelimit-remaining': '7',
        'ratelimit-reset': '1',
      },
      [
        {
          from: 'ratelimit-remaining',
          unit: 'requests',
          limit: 10,
          remaining: 7,
          windowMs: 1_000,
          resetAt: NOW + 1_000,
        },
      ],
    ],
    [
      'draft 07',
      { ratelimit: 'limit=100, remaining=42, reset=30', 'ratelimit-policy': '100;w=60' },
      [
        {
          from: 'ratelimit',
          unit: 'requests',
          limit: 100,
          remaining: 42,
          windowMs: 60_000,
          resetAt: NOW + 30_000,
        },
      ],
    ],
    [
      'drafts from 08 on',
      {
        ratelimit: '"burst";r=4;t=9',
        'ratelimit-policy':
          '"burst";q=100;w=60, "daily";q=1000;w=86400;pk=:cHsxPTI=:, "size";q=9;qu="content-bytes";w=1',
      },
      [
        {
          from: 'ratelimit "burst"',
          unit: 'requests',
          limit: 100,
          remaining: 4,
          windowMs: 60_000,
          resetAt: NOW + 9_000,
        },
        { from: 'ratelimit "daily"', unit: 'requests', limit: 1_000, windowMs: DAY },
      ],
    ],
    [
      'a policy alone',
      { 'ratelimit-policy': '100;w=60' },
      [{ from: 'ratelimit', unit: 'requests', limit: 100, windowMs: 60_000 }],
    ],
    [
      'tokens of a draft',
      { ratelimit: '"t";r=5', 'ratelimit-policy': '"t";q=9;w=1;qu="tokens"' },
      [{ from: 'ratelimit "t"', unit: 'tokens', limit: 9, remaining: 5, windowMs: 1_000 }],
    ],
    ['nothing', { 'content-type': 'application/json', 'x-ratelimit-limit': '5' }, []],
    ['garbage', { ratelimit: ';;=,"', 'ratelimit-policy': 'x;y' }, []],
    [
      'an unusable number',
      { 'x-ratelimit-remaining': '-3', 'x-ratelimit-limit': '1e9', 'x-ratelimit-reset': '-1' },
      [{ from: 'x-ratelimit-remaining', unit: 'requests', remaining: 0 }],
    ],
  ])('reads %s', (_, headers, expected) => {
    expect(limitsOf(headers)).toEqual(expected);
  });

  it('gives nothing for values longer than any provider sends', () => {
    expect(limitsOf({ ratelimit: `"a";r=1;t=5;${'x'.repeat(2_000)}` })).toEqual([]);
    expect(limitsOf({ 'x-ratelimit-remaining': '1,'.repeat(2_000) })).toEqual([]);
  });

  const NAMES = [
    'x-ratelimit-limit',
    'x-ratelimit-remaining',
    'x-ratelimit-reset',
    'x-ratelimit-policy',
    'ratelimit-limit',
    'ratelimit-remaining',
    'ratelimit-reset',
    'ratelimit-policy',
    'ratelimit',
    'x-ratelimit-remaining-tokens',
    'x-ratelimit-reset-tokens',
    'x-ratelimit-remaining-req-minute',
  ];
  const piece = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.integer().map(String),
    fc.constantFrom(
      '"a"',
      ';',
      'r=',
      't=',
      'q=',
      'w=',
      'limit=',
      'remaining=',
      'reset=',
      ', ',
      '0',
      '9e99',
      '6m0s',
    ),
  );
  const value = fc.array(piece, { maxLength: 30 }).map((pieces) => pieces.join(''));

  it('never throws, and states only what can be', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...NAMES), value, { noNullPrototype: true }), (headers) => {
        for (const { remaining = 0, limit = 0, windowMs = 0, resetAt = NOW + 1 } of limitsOf(headers)) {
          for (const each of [remaining, limit, windowMs]) {
            expect(each).toBeGreaterThanOrEqual(0);
            expect(Number.isFinite(each)).toBe(true);
          }
          expect(resetAt).toBeGreaterThan(NOW);
          expect(resetAt).toBeLessThanOrEqual(NOW + LONGEST_WAIT_MS);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
