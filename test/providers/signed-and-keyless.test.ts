import { beforeEach, describe, expect, it } from 'vitest';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { catalogue } from '#keymux/providers/catalogue.js';
import { startProviderSimulator } from '#keymux/testing/provider-simulator.js';
import { refuse } from '#keymux/testing/script.js';
import { managerFor } from '../interceptors/managed.js';

const signed = [...catalogue.values()].filter((entry) => entry.signed);
const paired = signed.filter(({ pairedEnv = [] }) => pairedEnv.length > 0);

let manager: KeyManager;

/** A manager with two keys of the provider, whose only origin is the simulator's. */
async function managing(id: string, origin: string, provider: object = {}): Promise<void> {
  const keys = [
    { id: 'one', value: 'env:FIRST' },
    { id: 'two', value: 'env:SECOND' },
  ];
  const config = { providers: { [id]: { baseUrl: origin, keys, ...provider } } };
  manager = managerFor(origin, [], {
    manager: {
      env: { FIRST: 'pair-one-key', SECOND: 'pair-two-key' },
      config: config,
    },
  });
  await manager.ready;
}

describe.each(paired)('requests to $id, which are signed', (entry) => {
  const { auth } = entry;
  if (auth.in !== 'header') throw new Error(`${entry.id} signs in a header`);
  const headers = (key: string) => ({
    [auth.name]: auth.scheme === undefined ? key : `${auth.scheme} ${key}`,
    'x-signature': 'f00d',
  });

  beforeEach((context) => {
    context.onTestFinished(() => manager.shutdown());
  });

  it('keep their key and are sent once, whatever the answer', async () => {
    await using simulator = await startProviderSimulator(entry, {
      keys: { 'pair-one-key': { name: 'one', always: refuse(429) }, 'pair-two-key': { name: 'two' } },
    });
    await managing(entry.id, simulator.origin);
    for (const key of ['pair-one-key', 'pair-two-key']) {
      const answer = await fetch(`${simulator.origin}/order?x=1`, {
        method: 'POST',
        headers: headers(key),
        body: '{}',
      });
      await answer.text();
      expect(answer.status).toBe(key === 'pair-one-key' ? 429 : 200);
    }
    expect(simulator.requests.map(({ key, carries }) => [key, carries])).toEqual([
      ['one', ['one']],
      ['two', ['two']],
    ]);
  });

  it('would be repeated with the other key if they were not marked', async () => {
    await using simulator = await startProviderSimulator(entry, {
      keys: { 'pair-one-key': { name: 'one', always: refuse(401) }, 'pair-two-key': { name: 'two' } },
    });
    await managing(entry.id, simulator.origin, { signed: false });
    const answer = await fetch(`${simulator.origin}/order`, { headers: headers('pair-one-key') });
    await answer.text();
    expect(answer.status).toBe(200);
    expect(simulator.requests.map(({ key }) => key)).toEqual(['one', 'two']);
  });

  it('get a key from the library only, and only if it was given under that id', async () => {
    await using simulator = await startProviderSimulator(entry);
    await managing(entry.id, simulator.origin);
    expect(['pair-one-key', 'pair-two-key']).toContain(manager.getApiKey(entry.id));
  });
});

describe('a pair in the environment', () => {
  it.each(paired)('is no key of $id by itself', async ({ id, pairedEnv = [] }) => {
    const env = Object.fromEntries(pairedEnv.map((name) => [name, 'pair-one-key']));
    manager = managerFor('http://127.0.0.1:9', [], { manager: { env, config: { providers: { [id]: {} } } } });
    await manager.ready;
    expect(() => manager.getApiKey(id)).toThrow(expect.objectContaining({ code: 'KEYMUX_NO_USABLE_KEY' }));
    await manager.shutdown();
  });
});

describe('a provider without keys', () => {
  it('has no key to give, and its requests are left alone', async () => {
    await using simulator = await startProviderSimulator('yahoo_finance', {
      keys: { 'crumb.of.session': { name: 'session', always: refuse(429) } },
    });
    manager = managerFor(simulator.origin, [], {
      manager: { env: {}, config: { providers: { yahoo_finance: { baseUrl: simulator.origin } } } },
    });
    await manager.ready;
    expect(() => manager.getApiKey('yahoo_finance')).toThrow(
      expect.objectContaining({ code: 'KEYMUX_NO_USABLE_KEY' }),
    );
    const answer = await fetch(`${simulator.origin}/v7/finance/quote?crumb=crumb.of.session`);
    await answer.text();
    expect(answer.status).toBe(429);
    expect(simulator.requests.map(({ key }) => key)).toEqual(['session']);
    await manager.shutdown();
  });
});
