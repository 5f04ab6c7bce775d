import { getApiManager, keyManagers, runWithKeyManager } from '#keymux/manager/registry.js';
import { describe, expect, it } from 'vitest';
import { acmeManager } from './acme.js';

// The manager of the process is not loaded here: nobody stands in where a scope has none.
describe('getApiManager', () => {
  it('gives the manager of the scope, and says how to get one where there is none', () => {
    const manager = acmeManager();
    expect(runWithKeyManager(manager, () => getApiManager())).toBe(manager);
    expect(() => getApiManager()).toThrow(
      expect.objectContaining({ code: 'KEYMUX_USAGE', fix: expect.stringContaining('runWithKeyManager') }),
    );
    expect(() => keyManagers.get('nobody')).toThrow(expect.objectContaining({ name: 'KeymuxError' }));
  });
});

describe('keyManagers', () => {
  it('forgets those that were shut down, under whatever names', async () => {
    const holder = globalThis as { [name: symbol]: { managers: Map<string, unknown> } | undefined };
    for (const tenant of ['ann', 'bob', 'eve']) {
      const manager = keyManagers.create(tenant, { env: {}, config: { store: { type: 'memory' } } });
      await manager.shutdown();
    }
    expect(holder[Symbol.for('keymux.registry')]?.managers.size).toBe(1);
    expect(keyManagers.has('eve')).toBe(false);
  });
});
