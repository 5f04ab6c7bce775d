/** A store that is only slow: members take it for lost again and again, and nobody exceeds a limit for that. */
import { setTimeout as delay } from 'node:timers/promises';
import { KeymuxError } from '#keymux/core/errors.js';
import type { Store } from '#keymux/core/ports.js';
import { Silence } from '#keymux/core/silence.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import { maxInAnyWindow } from '#keymux/testing/rolling-window.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeConfig, acmeEnv, memoryStore } from './acme.js';

const PATIENCE_MS = 40;

/** Its answers to leases take their time every now and then, on the way there or back, and are not waited for. */
function slowStore(share: number) {
  const store = Object.assign(faultyStore(memoryStore(), { shared: true, leavesOpen: true }), { alarms: 0 });
  const lease = store.lease.bind(store);
  store.lease = async (request) => {
    const isSlow = Math.random() < share;
    const [thereMs, backMs] = isSlow ? [Math.random() * 140, 60 + Math.random() * 140] : [0, 0];
    if (thereMs > 0) await delay(thereMs);
    const answer = Promise.resolve(lease(request)).then(async (grant) => {
      if (backMs > 0) await delay(backMs);
      return grant;
    });
    const late = delay(isSlow ? PATIENCE_MS : 10_000, undefined, { ref: false });
    const first = await Promise.race([answer, late]);
    if (first !== undefined) return first;
    store.alarms += 1;
    void answer.then(({ leaseId, granted }) => {
      if (granted === 0) return;
      void store.settle([{ bucket: request.bucket, leaseId, spent: 0, countedAt: 0, returned: granted }]);
    });
    throw new KeymuxError('KEYMUX_STORE_UNAVAILABLE', 'It is slow.', {
      fix: 'Wait.',
      cause: new Silence(PATIENCE_MS),
    });
  };
  return store;
}

function fleetOver(store: Store, members: number, limit: { requests: number; perMs: number }) {
  const warnings: string[] = [];
  const managers = Array.from(
    { length: members },
    () =>
      new KeyManager({
        env: acmeEnv(['key-one']),
        cwd: '/nonexistent',
        config: acmeConfig({ provider: { limits: [limit] } }),
        logger: { warn: (message) => warnings.push(message), info: () => {} },
        store,
        drainMs: 0,
      }),
  );
  onTestFinished(async () => {
    await Promise.all(managers.map((manager) => manager.shutdown()));
  });
  return { managers, warnings };
}

/** All spend as much as they get for so long. */
async function spendAll(managers: readonly KeyManager[], forMs: number): Promise<readonly number[]> {
  const end = AbortSignal.timeout(forMs);
  const spentAt: number[] = [];
  const askers = managers.flatMap((manager) =>
    Array.from({ length: 3 }, async () => {
      while (!end.aborted) {
        const lease = await manager.acquire('acme', { signal: end, timeoutMs: forMs });
        lease.sent();
        spentAt.push(performance.now());
        lease.report({ kind: 'success', scope: 'request', executed: 'yes' });
        lease.end();
      }
    }),
  );
  await Promise.allSettled(askers);
  return spentAt;
}

describe('a store that is slow again and again', () => {
  it.each([
    { members: 4, requests: 5, perMs: 300 },
    { members: 11, requests: 5, perMs: 300 },
    { members: 5, requests: 300, perMs: 700 },
  ])('is no reason for $members members to exceed $requests per $perMs ms', async ({ members, ...limit }) => {
    const store = slowStore(0.2);
    const { managers, warnings } = fleetOver(store, members, limit);
    await Promise.all(managers.map((manager) => manager.ready));
    const spentAt = await spendAll(managers, 4_000);
    expect(store.alarms).toBeGreaterThan(5);
    expect(maxInAnyWindow(spentAt, limit.perMs)).toBeLessThanOrEqual(limit.requests);
    // It gets on all the same.
    expect(spentAt.length).toBeGreaterThan(2 * limit.requests);
    expect(warnings).toEqual([]);
  });
});
