import { setImmediate as turn } from 'node:timers/promises';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import { describe, expect, it } from 'vitest';
import { acmeManager, memoryStore } from './acme.js';

describe('a store that lets its deadline pass', () => {
  it.each([
    ['in batches', 100_000],
    ['one by one', 100],
  ])('holds each request up once at most where permits are leased %s', async (_how, requests) => {
    const store = faultyStore(memoryStore(), { shared: true });
    const manager = acmeManager({
      keys: ['key-one'],
      provider: { limits: [{ requests, per: 'minute' }] },
      options: { store, logger: { warn: () => {}, info: () => {} } },
    });
    await manager.ready;
    const giveUp = store.hold('lease');
    store.fail({ operation: ['lease', 'beat'], from: 'onwards' });
    const asked = Array.from({ length: 4 }, () => manager.acquire('acme'));
    while (store.asked.lease.length < 1) await turn();
    giveUp();
    for (const lease of await Promise.all(asked)) lease.cancel();

    (await manager.acquire('acme')).cancel();
    expect(store.asked.lease).toHaveLength(1);
  });
});
