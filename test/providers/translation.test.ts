import type { AuthPlacement } from '#keymux/core/provider.js';
import {
  crossedPath,
  headersLeftBehind,
  keyHeader,
  modelOf,
  relocate,
  withModel,
} from '#keymux/providers/translation.js';
import type { Partner } from '#keymux/providers/translation.js';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (body: Uint8Array): string => new TextDecoder().decode(body);

function partner(auth: AuthPlacement, pathPrefix: string, authAlternatives: AuthPlacement[] = []): Partner {
  const protocol = { name: 'openai', pathPrefix };
  return { baseUrl: 'https://a.example', auth, authAlternatives, protocol };
}

const BEARER: AuthPlacement = { in: 'header', name: 'Authorization', scheme: 'Bearer' };

describe('relocate', () => {
  it('gives a path another prefix, at the border of a segment', () => {
    expect(relocate('/v1/x?y', '/v1', '/openai/v1')).toBe('/openai/v1/x?y');
    expect(relocate('/v1', '/v1', '')).toBe('');
    expect(relocate('/v1?a', '/v1', '/w')).toBe('/w?a');
    expect(relocate('/x', '', '/w')).toBe('/w/x');
    expect(relocate('/v10/x', '/v1', '/w')).toBeUndefined();
    expect(relocate('/x', '/v1', '/w')).toBeUndefined();
  });
});

describe('crossedPath', () => {
  const isOwnKey = (text: string): boolean => text === 'own key' || text === 'own+key';

  it('is undefined for what lies outside of the prefix', () => {
    const to = partner(BEARER, '');
    expect(crossedPath('/x', { from: partner(BEARER, '/v1'), to, apiKey: 'k', isOwnKey })).toBeUndefined();
  });

  it.each([
    ['/v1/x/', '/w/x/'],
    ['/v1', '/w'],
    ['/v1/own%20key/x', '/w/x'],
    ['/v1/own+key/x', '/w/x'],
    ['/v1/x?q=own%20key&r=own+key&s=1', '/w/x?s=1'],
    ['/v1/x?token=anything&s=1', '/w/x?s=1'],
    ['/v1/x?to%6ben=anything', '/w/x'],
    ['/v1/x?a=b=c?d&&flag', '/w/x?a=b=c?d&flag'],
    ['/v1/%zz?%zz=%zz', '/w/%zz?%zz=%zz'],
  ])('of %s is %s', (path, expected) => {
    const from = partner(BEARER, '/v1', [{ in: 'query', name: 'token' }]);
    expect(crossedPath(path, { from, to: partner(BEARER, '/w'), apiKey: 'k', isOwnKey })).toBe(expected);
  });

  it('is at least a slash', () => {
    const { protocol, ...without } = partner(BEARER, '/v1');
    expect(protocol).toBeDefined();
    expect(crossedPath('/', { from: without, to: without, apiKey: 'k', isOwnKey })).toBe('/');
    expect(crossedPath('/v1', { from: partner(BEARER, '/v1'), to: without, apiKey: 'k', isOwnKey })).toBe(
      '/',
    );
  });
});

describe('a translated request', () => {
  const prefix = fc.constantFrom('', '/v1', '/openai/v1');
  const placement: fc.Arbitrary<AuthPlacement> = fc.constantFrom<AuthPlacement[]>(
    BEARER,
    { in: 'header', name: 'X-Api-Key' },
    { in: 'query', name: 'api key' },
    { in: 'path' },
    { in: 'basic', field: 'username' },
    { in: 'basic', field: 'password' },
  );
  const ownKey = fc
    .string({ minLength: 8, maxLength: 40, unit: 'grapheme-ascii' })
    .filter((key) => /^\S+$/.test(key) && !/^\.+$/.test(key));
  const words = fc.array(fc.stringMatching(/^[a-z]{1,6}$/), { maxLength: 3 });
  const everywhere = [BEARER, { in: 'query', name: 'key' }, { in: 'path' }] as AuthPlacement[];

  it('holds no key of the first provider, and the key of the second just once', () => {
    fc.assert(
      fc.property(
        prefix,
        prefix,
        placement,
        placement,
        ownKey,
        words,
        words,
        (a, b, fromAuth, toAuth, key, before, after) => {
          const apiKey = 'THE-SECOND-KEY';
          const from = partner(fromAuth, a, everywhere);
          const to = partner(toAuth, b);
          const encoded = encodeURIComponent(key);
          const path = `${a}/${[...before, encoded, ...after].join('/')}?key=${encoded}&other=${encoded}&fine=1`;
          const crossed = crossedPath(path, { from, to, apiKey, isOwnKey: (text) => text === key }) ?? '';
          const headers = keyHeader(toAuth, apiKey);
          const placed = crossed + JSON.stringify(headers);
          expect(placed).not.toContain(key);
          expect(crossed).not.toContain(encoded);
          expect(relocate(crossed, b, '')).toBeDefined();
          expect(crossed).toContain('fine=1');
          const basic = (headers['authorization'] ?? '').replace(/^Basic /, '');
          const all = placed + (toAuth.in === 'basic' ? atob(basic) : '');
          expect(all.split(apiKey)).toHaveLength(2);
          const left = headersLeftBehind(from);
          for (const auth of [fromAuth, ...everywhere]) {
            if (auth.in === 'header') expect(left.has(auth.name.toLowerCase())).toBe(true);
            if (auth.in === 'basic') expect(left.has('authorization')).toBe(true);
          }
        },
      ),
    );
  });

  it('leaves behind what means something to the first provider alone', () => {
    const left = headersLeftBehind(partner(BEARER, ''));
    for (const name of ['openai-organization', 'openai-project', 'cookie', 'authorization'])
      expect(left).toContain(name);
    const { protocol, ...without } = partner(BEARER, '');
    const mirror = { ...without, protocol: { ...protocol!, name: 'constructor' } };
    for (const from of [mirror, without]) expect(headersLeftBehind(from)).not.toContain('openai-project');
  });
});

describe('the model of a body', () => {
  it.each([
    [undefined, 'none'],
    ['', 'none'],
    ['{"a":1}', 'none'],
    ['{"model":7}', 'none'],
    ['[{"model":"m"}]', 'none'],
    ['{"model":"m"}', { name: 'm' }],
    ['"text"', 'opaque'],
    ['null', 'opaque'],
    ['{"model":"m"', 'opaque'],
  ])('%s: %o', (body, expected) => {
    expect(modelOf(body === undefined ? undefined : bytes(body))).toEqual(expected);
  });

  it('cannot be told of what is no UTF-8', () => {
    expect(modelOf(new Uint8Array([0x7b, 0xff]))).toBe('opaque');
  });

  it('is replaced in place, and nothing else is touched', () => {
    expect(textOf(withModel(bytes('{"a":1,"model":"m","__proto__":{"b":2}}'), 'n'))).toBe(
      '{"a":1,"model":"n","__proto__":{"b":2}}',
    );
    for (const text of ['{"model":"n"}', '{"a":1}', 'no JSON', '[]']) {
      const body = bytes(text);
      expect(withModel(body, 'n')).toBe(body);
    }
  });
});
