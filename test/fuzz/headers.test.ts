import fc from 'fast-check';
import { parseJsonPath, readJson, valuesAt } from '#keymux/providers/body-json.js';
import { bodyVerdict, headVerdict } from '#keymux/providers/classification.js';
import { catalogue } from '#keymux/providers/catalogue.js';
import { firstEventsData, hasSpoken } from '#keymux/providers/first-events.js';
import { LONGEST_WAIT_MS } from '#keymux/providers/instants.js';
import { limitWindows, tellsLimits } from '#keymux/providers/limit-headers.js';
import { retryAfter, windowReset } from '#keymux/providers/retry-after.js';
import { modelOf, relocate, withModel } from '#keymux/providers/translation.js';
import { parseEvents } from '#keymux/testing/event-stream.js';
import { describe, expect, it } from 'vitest';
import { headOf } from '../providers/heads.js';
import { POLLUTING, SECRET, anyText, hostileJson, mixOf, soundly, watchPrototypes } from './soundness.js';

watchPrototypes();

const NOW = 1_780_000_000_000;
const runs = { numRuns: 1_000 };

const NAMES = [
  'retry-after',
  'retry-after-ms',
  'ratelimit',
  'ratelimit-policy',
  'ratelimit-limit',
  'ratelimit-remaining',
  'ratelimit-reset',
  'x-ratelimit-limit',
  'x-ratelimit-remaining',
  'x-ratelimit-reset',
  'x-ratelimit-limit-requests',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-reset-requests',
  'x-ratelimit-reset-tokens',
  'anthropic-ratelimit-requests-remaining',
  'anthropic-ratelimit-requests-reset',
  'x-rate-limit-reset',
  'x-used-weight-1m',
  'date',
  'content-type',
];
const value = fc.oneof(
  fc.constantFrom(
    '60',
    '1.5',
    '30s',
    '1m30s',
    '2026-10-21T07:28:00Z',
    'Wed, 21 Oct 2027 07:28:00 GMT',
    '10, 20',
    '0',
  ),
  anyText,
  mixOf(
    '1',
    '0',
    '-1',
    '60',
    '1e9',
    '1.5',
    's',
    'ms',
    'm',
    'h',
    ',',
    ';',
    'w=60',
    'r=0',
    't=30',
    '"',
    '"default"',
    '=',
    ' ',
    'Wed, 21 Oct 2026 07:28:00 GMT',
    '2026-10-21T07:28:00Z',
    '99999999999999999999',
    'NaN',
    'Infinity',
  ),
  fc.constantFrom(
    '9'.repeat(5_000),
    ','.repeat(5_000),
    ' '.repeat(5_000) + '1',
    '1'.repeat(900) + 'x',
    `${'1h'.repeat(500)}x`,
    '"'.repeat(1_000),
  ),
);
const headers = fc.dictionary(fc.constantFrom(...NAMES), value, { maxKeys: 6 });

describe('headers of any text', () => {
  it('say when to come back within reason, or nothing', () => {
    let told = 0;
    fc.assert(
      fc.property(headers, (given) => {
        const head = headOf(429, given);
        const stated = soundly(() => [retryAfter(head, NOW), windowReset(head, NOW)])!;
        for (const wait of stated) {
          if (wait === undefined) continue;
          told += 1;
          expect(Number.isFinite(wait.at)).toBe(true);
          expect(wait.at).toBeLessThanOrEqual(NOW + LONGEST_WAIT_MS);
          expect(NAMES).toContain(wait.from);
        }
      }),
      runs,
    );
    expect(told).toBeGreaterThan(0);
  });

  it('tell windows whose numbers are numbers', () => {
    fc.assert(
      fc.property(headers, (given) => {
        const head = headOf(200, given);
        expect(typeof soundly(() => tellsLimits(head))).toBe('boolean');
        for (const window of soundly(() => limitWindows(head, NOW))!)
          for (const number of [window.limit, window.remaining, window.windowMs, window.resetAt])
            expect(number === undefined || (Number.isFinite(number) && number >= 0)).toBe(true);
      }),
      runs,
    );
  });

  it('and bodies of any text get a verdict from every provider, whose evidence repeats no secret', () => {
    const providers = [...catalogue.values()];
    fc.assert(
      fc.property(
        fc.constantFrom(...providers),
        fc.constantFrom(200, 301, 400, 401, 402, 403, 404, 418, 429, 500, 503, 529, 599),
        headers,
        fc.oneof(
          anyText,
          hostileJson.map((each) => JSON.stringify(each)),
          mixOf(
            '{"error":',
            '{"code":',
            '"message":',
            '"insufficient_quota"',
            '}',
            ',',
            '[',
            'data: ',
            '\n\n',
            'Note',
          ),
        ),
        (provider, status, given, body) => {
          const head = headOf(status, given, { method: 'GET' });
          const verdict = soundly(() => headVerdict(provider, head, NOW))!;
          const whole = soundly(() => bodyVerdict(provider, head, body, NOW))!;
          for (const each of [verdict, whole])
            expect(JSON.stringify(each)).not.toContain(SECRET.slice(3, 15));
        },
      ),
      runs,
    );
  });
});

describe('a body of any text', () => {
  const path = mixOf('$', '.', '[0]', '[*]', '["', '"]', 'a', "['", "']", '[999999]', ...POLLUTING);

  it('is followed along any path to its own values alone', () => {
    fc.assert(
      fc.property(path, hostileJson, (text, root) => {
        const parsed = soundly(() => parseJsonPath(text));
        if (parsed === undefined) return;
        for (const found of soundly(() => valuesAt(root, parsed))!) expect(typeof found).not.toBe('function');
      }),
      runs,
    );
  });

  it('is read as JSON wherever it was cut off', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          hostileJson.map((each) => JSON.stringify(each) ?? ''),
          fc.json({ maxDepth: 8 }),
        ),
        fc.nat(400),
        (text, end) => {
          const cut = text.slice(0, end);
          soundly(() => readJson(cut));
        },
      ),
      runs,
    );
    for (const text of [
      '['.repeat(65_536),
      '{"a":'.repeat(13_000),
      `"${'\\'.repeat(65_000)}`,
      `{"a":"${'\\u'.repeat(20_000)}`,
    ])
      soundly(() => readJson(text));
  });

  it('tells its model, or that it cannot be told, and gets another one', () => {
    const body = fc.oneof(
      hostileJson.map((each) => JSON.stringify(each) ?? ''),
      mixOf('{"model":', '"a"', ',', '}', '"model"', '\\u006dodel', '[', ...POLLUTING),
    );
    fc.assert(
      fc.property(body, (text) => {
        const bytes = new TextEncoder().encode(text);
        const model = soundly(() => modelOf(bytes))!;
        if (typeof model === 'string') return;
        const changed = soundly(() => withModel(bytes, 'other'))!;
        expect(modelOf(changed)).toEqual({ name: 'other' });
      }),
      runs,
    );
  });

  it('moves a path to another prefix, and never out of it', () => {
    const steps = mixOf('/', 'v1', '..', '.', '%2e', '%2F', '//', '?', '#', '\\', '@', ':', 'a');
    fc.assert(
      fc.property(steps, (text) => {
        const moved = soundly(() => relocate(text, '/v1', '/openai/v1'));
        if (moved !== undefined) expect(moved.startsWith('/openai/v1')).toBe(true);
      }),
      runs,
    );
  });
});

describe('a stream of events', () => {
  const pieces = [
    'data: ',
    'data:',
    'event: ',
    'event: ping',
    ': remark',
    'id: 1',
    '\n',
    '\n\n',
    '\r\n',
    '\r',
    '\uFEFF',
    '{"type":"ping"}',
    'retry: 1',
  ];

  it('of any text is read to its first events', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, mixOf(...pieces)), (text) => {
        const data = soundly(() => firstEventsData(text))!;
        expect(data.length).toBeLessThanOrEqual(8);
        soundly(() => hasSpoken(text));
        soundly(() => parseEvents(text));
      }),
      runs,
    );
  });

  it('has spoken once it has, whatever follows', () => {
    fc.assert(
      fc.property(mixOf(...pieces), anyText, (text, more) => {
        // A line that ends with CR may go on with LF, which is no further one.
        fc.pre(!text.endsWith('\r'));
        if (hasSpoken(text)) expect(hasSpoken(text + more)).toBe(true);
      }),
      runs,
    );
  });
});
