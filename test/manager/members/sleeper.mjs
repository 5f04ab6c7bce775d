// Takes a permit that holds for 300 ms, and looks whether it may be sent with when a line comes in.
import { createInterface } from 'node:readline';
import { KeyManager } from '../../../dist/manager/key-manager.js';

const { path, limits } = JSON.parse(process.argv[2]);
const manager = new KeyManager(
  {
    env: { ACME_API_KEY: 'sleeper-key' },
    cwd: '/nonexistent',
    config: {
      store: { type: 'sqlite', path },
      providers: { acme: { baseUrl: 'http://127.0.0.1:9', env: ['ACME_API_KEY'], limits } },
    },
  },
  { holdMs: 300 },
);
await manager.ready;
const lease = await manager.acquire('acme');
process.stdout.write('"taken"\n');
for await (const _ of createInterface({ input: process.stdin })) {
  let sent = true;
  try {
    void lease.apiKey;
    lease.sent();
    lease.report({ kind: 'success', scope: 'request', executed: 'yes' });
  } catch (error) {
    sent = error.code;
  }
  process.stdout.write(`${JSON.stringify(sent)}\n`);
  lease.end();
  break;
}
await manager.shutdown();
