import { describe, expect, it } from 'vitest';
import { applicationOf, isVirtualKey, virtualKeyFor } from '#keymux/config/virtual-key.js';
import { keyFault } from '#keymux/config/key-text.js';
import { catalogue } from '#keymux/providers/catalogue.js';
import { isTemplateValue } from '#keymux/providers/key-shape.js';

const SECRET = new Uint8Array(32).fill(7);

function keyOf(provider: string, application = '/home/ann/agent', secret = SECRET): string {
  return virtualKeyFor(provider, application, secret);
}

describe('a virtual key', () => {
  it.each([
    ['openai', /^sk-[a-z0-9]{48}$/],
    ['anthropic', /^sk-ant-api03-[a-z0-9]{95}$/],
    ['alpha_vantage', /^[A-Z0-9]{16}$/],
    ['brave_search', /^BSA[a-z0-9]{28}$/],
    ['google_maps', /^AIza[a-z0-9]{35}$/],
    ['twelve_data', /^[0-9a-f]{32}$/],
    ['finnhub', /^[a-z0-9]{40}$/],
    ['coinmarketcap', /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/],
    ['newsapi', /^[0-9a-f]{32}$/],
    ['sendgrid', /^SG\.[a-z0-9]{22}\.[a-z0-9]{43}$/],
    ['in-house', /^[a-z0-9]{40}$/],
    ['constructor', /^[a-z0-9]{40}$/],
  ])('of %s looks like its own', (provider, shape) => {
    expect(keyOf(provider)).toMatch(shape);
  });

  it.each([...catalogue.keys(), 'in-house'])(
    'of %s is known as such, could be a key, and is no template',
    (id) => {
      const key = keyOf(id);
      expect(isVirtualKey(key)).toBe(true);
      expect(keyFault(key)).toBeUndefined();
      expect(isTemplateValue(key)).toBe(false);
    },
  );

  it('is the same again for the same application, and another for any other', () => {
    expect(keyOf('openai')).toBe(keyOf('openai'));
    const others = [
      keyOf('openai', '/home/ann/other'),
      keyOf('openai', '/home/ann/agent', new Uint8Array(32)),
      keyOf('deepseek'),
      keyOf('one'),
      keyOf('two'),
    ];
    expect(new Set([keyOf('openai'), ...others]).size).toBe(6);
  });

  it.each([
    ['a key as it is elsewhere', 'sk-4f9c2e7a4f9c2e7a4f9c2e7a4f9c2e7a4f9c2e7a4f9c2e7a'],
    ['a key that somebody named after us', 'keymux-dev-key-4f9c2e7a'],
    [
      'a virtual key with one character changed',
      keyOf('openai').replace(/.$/, (last) => (last === '0' ? '1' : '0')),
    ],
    ['a part of one', keyOf('openai').slice(0, -1)],
    ['the mark alone', 'keymux'],
    ['nothing', ''],
  ])('is not seen in %s', (_what, text) => {
    expect(isVirtualKey(text)).toBe(false);
  });
});

describe('an application', () => {
  it('is the folder of its configuration file, else where it runs', () => {
    expect(applicationOf({ sources: ['/a/.env', '/b/keymux.config.yaml'] })).toBe('/b');
    expect(applicationOf({ sources: ['/a/.env'] })).toBe(process.cwd());
  });
});
