import { format, inspect } from 'node:util';
import { deserialize, serialize } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { keyIdOf } from '#keymux/core/credential.js';
import type { Credential } from '#keymux/core/credential.js';
import { Secret } from '#keymux/core/secret.js';

const TEXT = 'sk-live-4242424242';
const secret = new Secret(TEXT);
const credential: Credential = {
  id: 'main',
  provider: 'acme',
  secret,
  priority: 0,
  weight: 1,
  bucket: 'main',
  origin: 'env:ACME_API_KEY',
};

/** Own properties of every kind, those of the prototypes included, and what getters give. */
function everything(value: object): unknown[] {
  const found: unknown[] = [];
  for (let level: unknown = value; level !== null; level = Object.getPrototypeOf(level)) {
    for (const name of Reflect.ownKeys(level as object))
      found.push(name, Reflect.get(level as object, name, value));
  }
  return found;
}

describe('Secret', () => {
  it('gives its text to those who ask for it by name', () => {
    expect(secret.reveal()).toBe(TEXT);
  });

  it('knows its like', () => {
    expect(secret.equals(new Secret(TEXT))).toBe(true);
    expect(secret.equals(new Secret(`${TEXT}3`))).toBe(false);
  });

  it.each<[string, (value: unknown) => unknown]>([
    ['inspect', (value) => inspect(value)],
    [
      'inspect of what is hidden',
      (value) => inspect(value, { showHidden: true, depth: Infinity, getters: true }),
    ],
    ['inspect without customization', (value) => inspect(value, { customInspect: false, showHidden: true })],
    ['inspect with proxies', (value) => inspect(new Proxy(value as object, {}), { showProxy: true })],
    ['the placeholders of format', (value) => format('%s %o %O %j %d', value, value, value, value, value)],
    ['JSON', (value) => JSON.stringify(value)],
    ['JSON with a replacer', (value) => JSON.stringify(value, (_, inner: unknown) => inner, 2)],
    ['String', (value) => String(value)],
    ['a clone', (value) => inspect(structuredClone(value), { showHidden: true, depth: Infinity })],
    ['serialized bytes', (value) => Buffer.from(serialize(value)).toString('latin1')],
    ['deserialized bytes', (value) => inspect(deserialize(serialize(value)))],
    [
      'its properties',
      (value) =>
        inspect([Object.entries(value as object), everything(value as object)], { showHidden: true }),
    ],
    ['a copy', (value) => inspect({ ...(value as object) }, { customInspect: false })],
    [
      'an error',
      (value) => inspect(new Error(`refused ${String(value)}`, { cause: value }), { showHidden: true }),
    ],
  ])('does not show in %s', (_, show) => {
    expect(show(secret)).not.toContain(TEXT.slice(3));
    expect(show({ ...credential, secret })).not.toContain(TEXT.slice(3));
    expect(show([new Map([[credential, secret]])])).not.toContain(TEXT.slice(3));
  });

  it('says what it is in place of its text', () => {
    expect([`${secret.toString()}`, JSON.stringify(secret), inspect(secret)]).toEqual([
      '[secret]',
      '"[secret]"',
      '[secret]',
    ]);
    expect(Object.keys(secret)).toEqual([]);
  });
});

describe('keyIdOf', () => {
  it('names a credential by its provider and id', () => {
    expect(keyIdOf(credential)).toBe('acme/main');
  });
});
