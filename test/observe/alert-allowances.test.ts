import { SUCCESS } from '#keymux/core/outcome.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { readAllowances } from '#keymux/observe/alert-allowances.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import { describe, expect, it } from 'vitest';
import { acmeManager, memoryStore } from '../manager/acme.js';

const LIMITS = [
  { requests: 4, per: 'minute' },
  { requests: 100, per: 'day', resetsAt: '00:00', timeZone: 'UTC' },
];

async function spend(manager: KeyManager): Promise<void> {
  const lease = await manager.acquire('acme');
  lease.report(SUCCESS);
  lease.end();
}

describe('what is left of the limits', () => {
  it('is told for each window, of keys that share a bucket together', async () => {
    const manager = acmeManager({
      provider: {
        limits: LIMITS,
        keys: [
          { id: 'a', value: 'env:ONE', bucket: 'both' },
          { id: 'b', value: 'env:TWO', bucket: 'both' },
        ],
      },
      options: { env: { ONE: 'key-one', TWO: 'key-two' } },
    });
    await manager.ready;
    await spend(manager);
    const of = { bucket: 'acme/both', provider: 'acme', keys: ['acme/a', 'acme/b'] };
    expect(await readAllowances(manager)).toEqual([
      { ...of, window: '4 per minute', limit: 4, left: 3 },
      { ...of, window: '100 per day', limit: 100, left: 99 },
    ]);
  });

  it('is not told where there is no limit, nor where the store cannot say', async () => {
    expect(await readAllowances(acmeManager())).toEqual([]);
    const store = faultyStore(memoryStore(), { shared: true });
    const manager = acmeManager({ keys: ['key-one'], provider: { limits: LIMITS }, options: { store } });
    await manager.ready;
    expect(await readAllowances(manager)).toHaveLength(2);
    store.fail({ operation: 'lease', from: 'onwards' });
    expect(await readAllowances(manager)).toEqual([]);
  });

  it('is not asked for any more once the manager is shut down', async () => {
    const store = faultyStore(memoryStore(), { shared: true });
    const manager = acmeManager({ provider: { limits: LIMITS }, options: { store } });
    await manager.ready;
    const reading = readAllowances(manager);
    await manager.shutdown();
    expect((await reading).length).toBeLessThanOrEqual(2);
  });
});
