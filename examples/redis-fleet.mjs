// Four processes, as on four hosts, share one limit of 20 requests in any second through a Redis; the provider counts
// on its own side. Needs a Redis or Valkey: REDIS_URL=redis://localhost node redis-fleet.mjs
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createKeyManager } from 'keymux';
import { startSimulator } from 'keymux/testing';

const REQUESTS_PER_HOST = 15;
const limits = [{ requests: 20, perMs: 1_000 }];

if (process.send === undefined) await main();
else await host();

async function main() {
  const provider = await startSimulator({ keys: { 'key-one': { name: 'one', limits } } });
  const env = { ...process.env, ACME_API_KEY: 'key-one', PROVIDER: provider.origin };
  const hosts = ['url', 'url', 'url', 'ioredis'].map((way) =>
    fork(fileURLToPath(import.meta.url), [way], { env }),
  );
  // All are there before the first request, so that each sees the others.
  await Promise.all(hosts.map((child) => once(child, 'message')));
  for (const child of hosts) child.send('go');
  await Promise.all(hosts.map((child) => once(child, 'exit')));
  console.log(`answered: ${provider.key('one').executed}, over the limit: ${provider.overshoots.length}`);
  await provider.close();
}

async function host() {
  const [, , way] = process.argv;
  const borrowed = way === 'ioredis' ? await clientOfTheTeam() : undefined;
  const manager = createKeyManager({
    config: {
      store: { type: 'redis', url: 'env:REDIS_URL', prefix: 'keymux-example' },
      providers: {
        acme: {
          baseUrl: process.env.PROVIDER,
          env: ['ACME_API_KEY'],
          limits,
          retry: { maxWaitMs: 20_000 },
        },
      },
    },
    ...(borrowed === undefined ? {} : { store: borrowed.store }),
  });
  await manager.ready;
  process.send('ready');
  await once(process, 'message');
  for (let i = 0; i < REQUESTS_PER_HOST; i++) await (await manager.fetch('acme', `/quote/${i}`)).text();
  await manager.shutdown();
  borrowed?.client.disconnect();
  process.disconnect();
}

/** A program that has a client already hands it over; it stays the program's own. */
async function clientOfTheTeam() {
  const { Redis } = await import('ioredis');
  const { createRedisStore, fromIoredis } = await import('keymux/redis');
  const client = new Redis(process.env.REDIS_URL, { lazyConnect: true });
  const onNotice = ({ message }) => console.warn(message);
  const store = createRedisStore({
    client: fromIoredis(client),
    prefix: 'keymux-example',
    now: Date.now,
    onNotice,
  });
  return { client, store };
}
