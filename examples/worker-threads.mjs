// Eight threads share one limit of 10 requests in any half second; the provider counts on its own side.
import { once } from 'node:events';
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { MinimalMultiKeyManager } from 'keymux';
import { startSimulator } from 'keymux/testing';

const REQUESTS_PER_THREAD = 5;

if (isMainThread) {
  const limits = [{ requests: 10, perMs: 500 }];
  const provider = await startSimulator({ keys: { 'key-one': { name: 'one', limits } } });
  MinimalMultiKeyManager.instance({
    env: { ACME_API_KEY: 'key-one' },
    config: {
      store: { type: 'memory' },
      providers: {
        acme: { baseUrl: provider.origin, env: ['ACME_API_KEY'], limits, retry: { maxWaitMs: 20_000 } },
      },
    },
  });
  const threads = Array.from(
    { length: 8 },
    (_, id) => new Worker(new URL(import.meta.url), { workerData: { id } }),
  );
  await Promise.all(threads.map((thread) => once(thread, 'exit')));
  console.log(`answered: ${provider.key('one').executed}, over the limit: ${provider.overshoots.length}`);
  await MinimalMultiKeyManager.resetInstance();
  await provider.close();
} else {
  const manager = MinimalMultiKeyManager.instance();
  for (let i = 0; i < REQUESTS_PER_THREAD; i++)
    await (await manager.fetch('acme', `/quote/${workerData.id}`)).text();
  await MinimalMultiKeyManager.resetInstance();
}
