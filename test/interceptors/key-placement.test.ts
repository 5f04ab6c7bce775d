import { describe, expect, it } from 'vitest';
import type { AuthPlacement } from '#keymux/core/provider.js';
import { KeyFinder } from '#keymux/interceptors/key-placement.js';
import { findKeyInHead } from '#keymux/interceptors/http-head.js';

const KEYS = new Set(['sk-1', 'key/with=signs', 'dotted.key']);

function finderFor(...placements: AuthPlacement[]): KeyFinder {
  return new KeyFinder(placements, (text) => KEYS.has(text));
}

const inAuthorization = { in: 'header', name: 'Authorization', scheme: 'Bearer' } as const;

function basic(pair: string): string {
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

describe('inHeader', () => {
  it.each([
    ['authorization', 'Bearer sk-1', 'Bearer new'],
    ['Authorization', 'bearer  sk-1', 'bearer  new'],
    ['AUTHORIZATION', 'Token sk-1', 'Token new'],
    ['authorization', 'sk-1', 'new'],
    ['authorization', basic('sk-1:'), basic('new:')],
    ['authorization', basic('me:sk-1'), basic('me:new')],
    [
      'authorization',
      basic('me:dotted.key').replace('Basic', 'basic'),
      basic('me:new').replace('Basic', 'basic'),
    ],
    [
      'sec-websocket-protocol',
      'realtime, openai-insecure-api-key.sk-1',
      'realtime, openai-insecure-api-key.new',
    ],
    ['sec-websocket-protocol', 'x-api-key.dotted.key, other', 'x-api-key.new, other'],
  ])('replaces the key in %s: %s', (name, value, expected) => {
    expect(finderFor(inAuthorization).inHeader(name, value)?.('new')).toBe(expected);
  });

  it.each([
    ['x-other', 'sk-1'],
    ['authorization', 'Bearer sk-unknown'],
    ['authorization', 'Bearer '],
    ['authorization', 'Basic not-base64'],
    ['authorization', basic('nobody:nothing')],
    ['cookie', 'key=sk-1'],
    ['sec-websocket-protocol', 'realtime'],
    ['sec-websocket-protocol', 'openai-insecure-api-key.sk-unknown'],
  ])('finds none in %s: %s', (name, value) => {
    expect(finderFor(inAuthorization).inHeader(name, value)).toBeUndefined();
  });
});

describe('inPath', () => {
  const inQuery = finderFor({ in: 'query', name: 'apikey' });
  const inSegments = finderFor({ in: 'path' });

  it.each([
    [inQuery, '/q?apikey=sk-1', '/q?apikey=n%2Fw'],
    [inQuery, '/q?a=1&apikey=sk-1&b=2', '/q?a=1&apikey=n%2Fw&b=2'],
    [inQuery, '/q?%61pikey=key%2Fwith%3Dsigns', '/q?%61pikey=n%2Fw'],
    [inQuery, '/q?apikey=key/with=signs', '/q?apikey=n%2Fw'],
    [inQuery, '/q?apikey=sk-1&apikey=sk-1', '/q?apikey=n%2Fw&apikey=n%2Fw'],
    [inQuery, 'http://proxied.example/q?apikey=sk-1', 'http://proxied.example/q?apikey=n%2Fw'],
    [inSegments, '/v2/sk-1', '/v2/n%2Fw'],
    [inSegments, '/v2/key%2Fwith%3Dsigns/block?x=sk-1', '/v2/n%2Fw/block?x=sk-1'],
  ])('replaces the key: %#', (finder, path, expected) => {
    expect(finder.inPath(path)?.('n/w')).toBe(expected);
  });

  it.each([
    [inQuery, '/sk-1'],
    [inQuery, '/q?other=sk-1'],
    [inQuery, '/q?apikey'],
    [inQuery, '/q?apikey=%E0%A4%A'],
    [inQuery, '/q?'],
    [inSegments, '/v2/xsk-1'],
    [inSegments, '/?sk-1'],
    [inSegments, '/'],
  ])('finds none: %#', (finder, path) => {
    expect(finder.inPath(path)).toBeUndefined();
  });
});

describe('findKeyInHead', () => {
  const finder = finderFor(inAuthorization, { in: 'query', name: 'k' });
  const head = (...lines: string[]): string => `${lines.join('\r\n')}\r\n\r\n`;

  it('replaces every key and nothing else', () => {
    const text = head('POST /a?k=sk-1&x=y HTTP/1.1', 'Host: h', 'authorization: Bearer sk-1', 'X-Sk: sk-1');
    expect(findKeyInHead(text, finder)).toMatchObject({
      method: 'POST',
      path: '/a?k=sk-1&x=y',
      hasIdempotencyKey: false,
    });
    expect(findKeyInHead(text, finder)?.withKey('new')).toBe(
      head('POST /a?k=new&x=y HTTP/1.1', 'Host: h', 'authorization: Bearer new', 'X-Sk: sk-1'),
    );
  });

  it('sees an Idempotency-Key', () => {
    const text = head('POST / HTTP/1.1', 'IDEMPOTENCY-KEY: 1', 'Authorization: Bearer sk-1');
    expect(findKeyInHead(text, finder)?.hasIdempotencyKey).toBe(true);
  });

  it('leaves a request without a known key, a tunnel, and one that waits for a 100 alone', () => {
    for (const text of [
      head('GET / HTTP/1.1', 'Authorization: Bearer sk-2'),
      head('GET / HTTP/1.1'),
      head('CONNECT api:443 HTTP/1.1', 'Authorization: Bearer sk-1'),
      head('POST / HTTP/1.1', 'Expect: 100-continue', 'Authorization: Bearer sk-1'),
      'nonsense',
    ]) {
      expect(findKeyInHead(text, finder)).toBeUndefined();
    }
  });
});
