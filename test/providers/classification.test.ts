import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_SCOPE } from '#keymux/core/outcome.js';
import type { ErrorRule } from '#keymux/core/provider.js';
import { catalogue } from '#keymux/providers/catalogue.js';
import type { CatalogueEntry } from '#keymux/providers/catalogue-entry.js';
import { bodyVerdict, headVerdict, type Classified } from '#keymux/providers/classification.js';
import { describeRule } from '#keymux/providers/rule-match.js';
import { headOf } from './heads.js';
import { NOW, REFUSALS, type Refusal } from './refusals.js';

const plain: Classified = { errors: [], bucketScope: 'key' };
const withRules = (...errors: readonly ErrorRule[]): Classified => ({ errors, bucketScope: 'key' });

function entryOf(id: string): CatalogueEntry {
  const entry = catalogue.get(id);
  if (entry === undefined) throw new Error(`no entry ${id}`);
  return entry;
}

function respond({ status, headers, body = '' }: Refusal) {
  const contentType = typeof body === 'string' ? 'text/plain' : 'application/json';
  return {
    head: headOf(status, { 'content-type': contentType, ...headers }),
    text: typeof body === 'string' ? body : JSON.stringify(body),
  };
}

/** As a caller does it: the body is only read where the head does not decide. */
function verdict(provider: Classified, refusal: Refusal) {
  const { head, text } = respond(refusal);
  const first = headVerdict(provider, head, NOW);
  return first === 'needs-body' ? bodyVerdict(provider, head, text, NOW) : first;
}

describe('the catalogue in front of realistic responses', () => {
  it.each(REFUSALS)('reads $provider $status as $kind: $body', (refusal) => {
    const outcome = verdict(entryOf(refusal.provider), refusal);
    expect(outcome).toMatchObject({
      kind: refusal.kind,
      status: refusal.status,
      scope: refusal.scope ?? DEFAULT_SCOPE[refusal.kind],
    });
    expect(outcome.retryAt).toBe(refusal.waitMs === undefined ? undefined : NOW + refusal.waitMs);
    expect(outcome.evidence).not.toContain('CANARY');
  });

  it.each([...catalogue.values()])('sees every rule of $id fire', (entry) => {
    const fired = new Set(
      REFUSALS.filter((refusal) => refusal.provider === entry.id).map(
        (refusal) => verdict(entry, refusal).evidence?.split('; wait')[0],
      ),
    );
    expect(entry.errors.map(describeRule).filter((rule) => !fired.has(rule))).toEqual([]);
  });

  it.each([...catalogue.values()])('lets an ordinary answer of $id pass', (entry) => {
    const ok = {
      provider: entry.id,
      status: 200,
      kind: 'success',
      body: { data: [503, 'rate limit', 'status 429'] },
    } as const;
    expect(verdict(entry, ok)).toMatchObject({ kind: 'success', executed: 'yes' });
  });
});

describe('headVerdict', () => {
  it.each([
    [200, 'success', 'request', 'yes'],
    [101, 'success', 'request', 'yes'],
    [302, 'success', 'request', 'yes'],
    [400, 'bad-request', 'request', 'yes'],
    [401, 'rejected', 'key', 'no'],
    [402, 'quota-exhausted', 'key', 'no'],
    [403, 'restricted', 'route', 'no'],
    [404, 'bad-request', 'request', 'yes'],
    [407, 'network', 'egress', 'no'],
    [408, 'overloaded', 'provider', 'maybe'],
    [409, 'bad-request', 'request', 'yes'],
    [413, 'bad-request', 'request', 'yes'],
    [422, 'bad-request', 'request', 'yes'],
    [425, 'overloaded', 'request', 'no'],
    [451, 'restricted', 'route', 'no'],
    [500, 'overloaded', 'provider', 'maybe'],
    [503, 'overloaded', 'provider', 'maybe'],
    [529, 'overloaded', 'provider', 'maybe'],
    [599, 'overloaded', 'provider', 'maybe'],
    [0, 'overloaded', 'provider', 'maybe'],
  ] as const)('takes a bare %i for %s', (status, kind, scope, executed) => {
    expect(headVerdict(plain, headOf(status), NOW)).toEqual({
      kind,
      scope,
      executed,
      status,
      evidence: `status ${status}`,
    });
  });

  it('asks for the body of a 429 that states no wait', () => {
    expect(headVerdict(plain, headOf(429), NOW)).toBe('needs-body');
  });

  it('decides a 429 with a stated wait once no rule may look into the body', () => {
    const head = headOf(429, { 'retry-after': '7', 'content-length': '0' });
    expect(headVerdict(plain, head, NOW)).toEqual({
      kind: 'rate-limited',
      scope: 'key',
      executed: 'no',
      status: 429,
      retryAt: NOW + 7_000,
      evidence: 'status 429; wait from retry-after',
    });
  });

  it.each([
    [{ method: 'HEAD' }, 429, {}],
    [{ method: 'GET' }, 429, { 'content-length': '0' }],
  ])('does not ask for a body that cannot be there: %j', (request, status, headers) => {
    expect(headVerdict(plain, headOf(status, headers, request), NOW)).toMatchObject({ kind: 'rate-limited' });
  });

  it.each([204, 304])('does not look for soft errors in a %i', (status) => {
    const provider = withRules({ json: '$.error', outcome: 'rejected' });
    expect(headVerdict(provider, headOf(status), NOW)).toMatchObject({ kind: 'success' });
  });

  it.each([
    ['application/json', 'needs-body'],
    ['application/problem+json', 'needs-body'],
    ['text/csv', 'needs-body'],
    [undefined, 'needs-body'],
    ['text/event-stream', 'success'],
    ['image/png', 'success'],
    ['application/octet-stream', 'success'],
  ])('treats a 200 of type %s under a JSON rule as %s', (type, expected) => {
    const provider = withRules({ status: 200, json: '$.Note', outcome: 'rate-limited' });
    const found = headVerdict(provider, headOf(200, type === undefined ? {} : { 'content-type': type }), NOW);
    expect(found === 'needs-body' ? found : found.kind).toBe(expected);
  });

  it('looks for events only in an event stream', () => {
    const provider = withRules({ status: 200, sse: '$.error', outcome: 'overloaded' });
    expect(headVerdict(provider, headOf(200, { 'content-type': 'application/json' }), NOW)).toMatchObject({
      kind: 'success',
    });
    expect(headVerdict(provider, headOf(200, { 'content-type': 'text/event-stream' }), NOW)).toBe(
      'needs-body',
    );
  });

  it('reads a refusal whatever its type claims', () => {
    const provider = withRules({ status: 400, match: 'bad key', outcome: 'rejected' });
    expect(headVerdict(provider, headOf(400, { 'content-type': 'image/png' }), NOW)).toBe('needs-body');
  });

  it('takes a 403 with nothing remaining for a limit', () => {
    const head = headOf(403, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '30' });
    expect(headVerdict(plain, head, NOW)).toMatchObject({
      kind: 'rate-limited',
      retryAt: NOW + 30_000,
      executed: 'no',
    });
  });

  it('states when an overloaded provider wants to be asked again', () => {
    const outcome = headVerdict(plain, headOf(503, { 'retry-after': '120' }), NOW);
    expect(outcome).toMatchObject({ kind: 'overloaded', retryAt: NOW + 120_000, executed: 'maybe' });
  });

  it.each([401, 400, 200])('gives a %i no deadline, whatever its headers say', (status) => {
    expect(headVerdict(plain, headOf(status, { 'retry-after': '5' }), NOW)).not.toHaveProperty('retryAt');
  });

  it('ignores rate-limit windows where money has run out', () => {
    const head = headOf(402, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '30' });
    expect(headVerdict(plain, head, NOW)).not.toHaveProperty('retryAt');
  });

  it.each([
    ['key', 'key'],
    ['account', 'bucket'],
    ['organization', 'bucket'],
    ['project', 'bucket'],
    ['egress', 'egress'],
  ] as const)('blames a limit of the %s on the %s', (bucketScope, scope) => {
    const head = headOf(429, { 'content-length': '0' });
    expect(headVerdict({ errors: [], bucketScope }, head, NOW)).toMatchObject({ scope });
    expect(headVerdict({ errors: [], bucketScope }, headOf(401), NOW)).toMatchObject({ scope: 'key' });
  });
});

describe('rules', () => {
  const json = { 'content-type': 'application/json' };

  it('are tried in order, and the first that matches decides', () => {
    const provider = withRules(
      { status: 400, match: 'money', outcome: 'quota-exhausted' },
      { status: 400, match: 'key', outcome: 'rejected' },
    );
    expect(bodyVerdict(provider, headOf(400, json), 'key and money', NOW).kind).toBe('quota-exhausted');
    expect(bodyVerdict(provider, headOf(400, json), 'key', NOW).kind).toBe('rejected');
    expect(bodyVerdict(provider, headOf(400, json), 'neither', NOW).kind).toBe('bad-request');
  });

  it('need every condition they name', () => {
    const provider = withRules({
      status: [500, 503],
      header: { name: 'X-Why', match: 'quota' },
      json: '$.code',
      match: '^7$',
      outcome: 'restricted',
      scope: 'key',
    });
    const kind = (status: number, why: string, body: string) =>
      bodyVerdict(provider, headOf(status, { 'x-why': why }), body, NOW).kind;
    expect(kind(503, 'QUOTA', '{"code":7}')).toBe('restricted');
    expect(kind(502, 'quota', '{"code":7}')).toBe('overloaded');
    expect(kind(503, 'other', '{"code":7}')).toBe('overloaded');
    expect(kind(503, 'quota', '{"code":8}')).toBe('overloaded');
  });

  it('match any status where none is named', () => {
    const provider = withRules({ header: { name: 'x-out' }, outcome: 'quota-exhausted' });
    expect(headVerdict(provider, headOf(200, { 'x-out': '' }), NOW)).toMatchObject({
      kind: 'quota-exhausted',
      executed: 'no',
    });
  });

  it.each([
    ['{"error":{"a":1}}', 'rejected'],
    ['{"error":0}', 'rejected'],
    ['{"error":null}', 'success'],
    ['{"error":false}', 'success'],
    ['{}', 'success'],
  ])('without a pattern want something to be there: %s', (body, kind) => {
    expect(
      bodyVerdict(
        withRules({ status: 200, json: '$.error', outcome: 'rejected' }),
        headOf(200, json),
        body,
        NOW,
      ).kind,
    ).toBe(kind);
  });

  it('apply patterns to texts and numbers only', () => {
    const provider = withRules({ status: 200, json: '$.error', match: 'object|true', outcome: 'rejected' });
    for (const body of ['{"error":{}}', '{"error":true}']) {
      expect(bodyVerdict(provider, headOf(200, json), body, NOW).kind).toBe('success');
    }
  });

  it('find their place in a body that was cut off', () => {
    const provider = withRules({
      status: 200,
      json: '$.meta.error.code',
      match: '^limit$',
      outcome: 'rate-limited',
    });
    const body = `{"meta":{"error":{"code":"limit"}},"rows":["${'x'.repeat(5_000)}`;
    expect(bodyVerdict(provider, headOf(200, json), body.slice(0, 4_096), NOW).kind).toBe('rate-limited');
  });

  it('look no further than 64 KiB into a body', () => {
    const provider = withRules({ status: 400, match: 'needle', outcome: 'rejected' });
    expect(bodyVerdict(provider, headOf(400), `${' '.repeat(70_000)}needle`, NOW).kind).toBe('bad-request');
  });

  it.each<[string, ErrorRule]>([
    ['pattern does not compile', { status: 200, match: '(', outcome: 'rejected' }],
    ['path is none', { status: 200, json: 'error', outcome: 'rejected' }],
  ])('do nothing where their %s', (_, rule) => {
    for (const body of ['(', '{"error":1}', '[{"error":1}]']) {
      expect(bodyVerdict(withRules(rule), headOf(200), body, NOW).kind).toBe('success');
    }
  });

  it.each([
    ['{"\\u0065rror":1}', '$.error'],
    ['{"\u00e9t\u00e9":1}', '$["\u00e9t\u00e9"]'],
    ['{"\\u00e9t\\u00e9":1}', '$["\u00e9t\u00e9"]'],
    ['{"a\\/b":1}', '$["a/b"]'],
    ['[1,2]', '$[1]'],
    ['[[7]]', '$'],
    ['{"a":{"error code":[0,{"x":1}]}}', '$.a["error code"][1].x'],
  ])('find what is in %s at %s, however its name is written', (body, path) => {
    const provider = withRules({ status: 200, json: path, outcome: 'rejected' });
    expect(bodyVerdict(provider, headOf(200, json), body, NOW).kind).toBe('rejected');
  });

  it('judge every text as if each were read in full', () => {
    // One rule of which no text can be said to be none of its concern.
    const unscreened: ErrorRule = { status: 200, json: '$[63]', match: '^never$', outcome: 'network' };
    const name = fc.constantFrom('error', 'Error Message', 'é');
    const value = fc.oneof(fc.constantFrom('limit', 'fine'), fc.dictionary(name, fc.constant('limit')));
    const text = fc
      .tuple(fc.dictionary(name, value, { minKeys: 2 }), fc.boolean(), fc.boolean(), fc.nat(40))
      .map(([object, isEscaped, isEvent, cut]) => {
        const whole = JSON.stringify(object);
        const written = isEscaped ? whole.replaceAll('e', '\\u0065').replaceAll('/', '\\/') : whole;
        return (isEvent ? `data: ${written}\n\n` : written).slice(0, 80 - cut);
      });
    const path = fc.tuple(name, fc.option(name)).map(([a, b]) => `$["${a}"]${b === null ? '' : `["${b}"]`}`);
    const rule = fc.record({
      place: fc.constantFrom('json', 'sse'),
      path,
      match: fc.option(fc.constantFrom('^limit$', 'i')),
    });
    const type = fc.constantFrom('application/json', 'text/event-stream');
    let found = 0;
    fc.assert(
      fc.property(
        fc.array(rule, { minLength: 1, maxLength: 3 }),
        type,
        text,
        (choices, contentType, body) => {
          const rules = choices.map(({ place, path, match }): ErrorRule => ({
            status: 200,
            [place]: path,
            ...(match !== null && { match }),
            outcome: 'rejected',
          }));
          const head = headOf(200, { 'content-type': contentType });
          const outcome = bodyVerdict(withRules(...rules), head, body, NOW);
          if (outcome.kind === 'rejected') found += 1;
          expect(outcome).toEqual(bodyVerdict(withRules(...rules, unscreened), head, body, NOW));
        },
      ),
      { numRuns: 1_000 },
    );
    expect(found).toBeGreaterThan(0);
  });

  it('may excuse what the defaults would blame', () => {
    expect(headVerdict(withRules({ status: 404, outcome: 'success' }), headOf(404), NOW)).toMatchObject({
      kind: 'success',
    });
  });

  it('rest until the provider says, else its midnight, else the body, else the length of the window', () => {
    const reset = { at: '00:00', timeZone: 'UTC' };
    const day = withRules({ status: 429, outcome: 'quota-exhausted', window: 'day' });
    const body = 'Please retry in 20s';
    const at = (provider: Classified, headers: Record<string, string>) =>
      (bodyVerdict(provider, headOf(429, headers), body, NOW).retryAt ?? NOW) - NOW;
    expect(at({ ...day, reset }, { 'retry-after': '3' })).toBe(3_000);
    expect(at({ ...day, reset }, {})).toBe(12 * 3_600_000);
    expect(at(day, { 'x-ratelimit-reset': '900' })).toBe(900_000);
    expect(at(day, {})).toBe(20_000);
    const minute = withRules({ status: 429, outcome: 'rate-limited', window: 'minute' });
    expect(at(minute, {})).toBe(20_000);
    expect(bodyVerdict(minute, headOf(429), 'later', NOW).retryAt).toBe(NOW + 60_000);
    expect(bodyVerdict(day, headOf(429), 'later', NOW)).not.toHaveProperty('retryAt');
  });

  it('reach the first of the month where a month is spent', () => {
    const provider: Classified = {
      errors: [{ status: 429, outcome: 'quota-exhausted', window: 'month' }],
      bucketScope: 'account',
      reset: { at: '00:00', timeZone: 'UTC' },
    };
    expect(headVerdict(provider, headOf(429), NOW)).toMatchObject({ retryAt: Date.UTC(2025, 7, 1) });
  });

  it('are told in words', () => {
    expect(
      describeRule({
        status: [403, 429],
        header: { name: 'x-left', match: '^0$' },
        json: '$.a',
        match: 'b',
        outcome: 'rejected',
      }),
    ).toBe('status 403/429, header x-left like "^0$", $.a like "b"');
    expect(describeRule({ header: { name: 'x-left' }, match: 'b', outcome: 'rejected' })).toBe(
      'header x-left, body like "b"',
    );
    expect(describeRule({ status: 200, sse: '$.a', outcome: 'rejected' })).toBe('status 200, event $.a');
  });
});

describe('traps', () => {
  it('does not take a number in a text for a status', () => {
    const body = '{"error":{"message":"took 5003ms, 503 rows, error 401"}}';
    expect(bodyVerdict(plain, headOf(200, { 'content-type': 'application/json' }), body, NOW).kind).toBe(
      'success',
    );
    expect(bodyVerdict(plain, headOf(400), body, NOW).kind).toBe('bad-request');
  });

  it('takes insufficient_quota for a matter of money with any provider', () => {
    const outcome = bodyVerdict(plain, headOf(429), '{"error":{"code":"insufficient_quota"}}', NOW);
    expect(outcome).toMatchObject({ kind: 'quota-exhausted', executed: 'no' });
  });
});

describe('whatever a server sends', () => {
  const headerNames = [
    'retry-after',
    'retry-after-ms',
    'x-ratelimit-remaining',
    'x-ratelimit-reset',
    'ratelimit',
    'ratelimit-policy',
    'content-type',
    'content-length',
    'ratelimit-reset',
  ];
  const value = fc.oneof(
    fc.string(),
    fc.constantFrom(
      '0',
      '-1',
      'NaN',
      'Infinity',
      '1e309',
      '9'.repeat(500),
      '1, 0',
      '0, 0',
      'text/event-stream',
      'application/json',
      '"a";r=0;t=5',
      ';;;=',
      '6m0s',
      '1970-01-01T00:00:00Z',
    ),
    fc.integer().map(String),
  );
  const headers = fc.dictionary(fc.constantFrom(...headerNames), value, { noNullPrototype: true });
  const body = fc.oneof(
    fc.string(),
    fc.json(),
    fc.json().map((text) => text.slice(0, text.length / 2)),
    fc.json().map((text) => `data: ${text}\n\n`),
    fc.constantFrom('[', '{"a":', '"', '\\', '['.repeat(60_000), '{"a":'.repeat(20_000)),
  );
  const status = fc.oneof(
    fc.constantFrom(200, 400, 401, 402, 403, 429, 500, 503),
    fc.integer(),
    fc.constantFrom(Number.NaN, Infinity, -1, 429.5),
  );
  const provider = fc.constantFrom<Classified>(plain, ...catalogue.values());

  it('gives an outcome, whose deadline lies ahead, and agrees with the head where that decides', () => {
    fc.assert(
      fc.property(provider, status, headers, body, (entry, code, given, text) => {
        const head = headOf(code, given);
        const first = headVerdict(entry, head, NOW);
        const outcome = bodyVerdict(entry, head, text, NOW);
        if (first !== 'needs-body') expect(outcome).toEqual(first);
        if (outcome.retryAt !== undefined) {
          expect(outcome.retryAt).toBeGreaterThan(NOW);
          expect(outcome.retryAt).toBeLessThanOrEqual(NOW + 366 * 86_400_000);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
