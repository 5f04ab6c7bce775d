import { KeyManager } from '#keymux/manager/key-manager.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeConfig, acmeEnv } from './acme.js';

describe('a store that many wait for', () => {
  it('is asked in proportion to the permits that it grants, not to the requests that wait', async () => {
    const PROCESSES = 11;
    const WAITING = 100;
    const store = faultyStore(
      createMemoryStore({ now: () => performance.timeOrigin + performance.now(), onNotice: () => {} }),
      // Its answers take a moment, as those of a server do.
      { shared: true, delayMs: 1 },
    );
    const managers = Array.from(
      { length: PROCESSES },
      () =>
        new KeyManager({
          env: acmeEnv(['key-one']),
          cwd: '/nonexistent',
          config: acmeConfig({ provider: { limits: [{ requests: 10, perMs: 500 }] } }),
          store,
        }),
    );
    onTestFinished(async () => {
      await Promise.all(managers.map((manager) => manager.shutdown()));
    });
    await Promise.all(managers.map((manager) => manager.ready));
    const end = new AbortController();
    let granted = 0;
    const asked = managers.flatMap((manager) =>
      Array.from({ length: WAITING }, async () => {
        const lease = await manager.acquire('acme', { signal: end.signal });
        granted += 1;
        lease.sent();
        lease.report({ kind: 'success', scope: 'request', executed: 'yes' });
        lease.end();
      }),
    );
    const all = Promise.allSettled(asked);
    await expect.poll(() => granted, { timeout: 20_000 }).toBeGreaterThanOrEqual(40);
    const questions = store.asked.lease.length;
    end.abort();
    await all;
    // Each process may be told once, for each moment at which permits come back, that there is none left.
    expect(questions).toBeLessThan(granted + PROCESSES * (granted / 10 + 2) * 2);
  });
});
