// A server of two processes behind one port (`node:cluster`) shares one limit of 10 requests in any half second through
// the SQLite store; the provider counts on its own side.
import cluster from 'node:cluster';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyManager } from 'keymux';
import { startSimulator } from 'keymux/testing';

const REQUESTS = 20;
const limits = [{ requests: 10, perMs: 500 }];

if (cluster.isPrimary) await main();
else await serve();

async function main() {
  const provider = await startSimulator({ keys: { 'key-one': { name: 'one', limits } } });
  const folder = mkdtempSync(join(tmpdir(), 'keymux-example-'));
  const env = { PROVIDER: provider.origin, ACME_API_KEY: 'key-one', KEYMUX_STATE_DIR: folder };
  const workers = Array.from({ length: 2 }, () => cluster.fork(env));
  const [{ port }] = await Promise.all(workers.map(async (worker) => (await once(worker, 'listening'))[0]));
  const statuses = await Promise.all(
    Array.from({ length: REQUESTS }, async () => (await fetch(`http://127.0.0.1:${port}/`)).status),
  );
  for (const worker of workers) worker.send('stop');
  await Promise.all(workers.map((worker) => once(worker, 'exit')));
  const answered = statuses.filter((status) => status === 200).length;
  console.log(`answered: ${answered}, over the limit: ${provider.overshoots.length}`);
  await provider.close();
  rmSync(folder, { recursive: true, force: true });
}

async function serve() {
  const manager = createKeyManager({
    config: {
      store: { type: 'sqlite' },
      providers: {
        acme: {
          baseUrl: process.env.PROVIDER,
          env: ['ACME_API_KEY'],
          limits,
          retry: { maxWaitMs: 20_000 },
        },
      },
    },
  });
  await manager.ready;
  const server = createServer(async (_, response) => {
    const answer = await manager.fetch('acme', '/quote');
    response.writeHead(answer.status, { connection: 'close' }).end(await answer.text());
  });
  server.listen(0, '127.0.0.1');
  process.on('message', async () => {
    server.close();
    await manager.shutdown();
    cluster.worker.disconnect();
  });
}
