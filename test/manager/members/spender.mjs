// Acquires leases as fast as it can and prints when each was granted and answered. Ends when it is killed.
import { createKeyManager } from '../../../dist/manager/registry.js';

const { limits, hold } = JSON.parse(process.argv[2]);
const manager = createKeyManager({
  env: { ACME_API_KEY: 'key-of-the-spender' },
  cwd: process.env.KEYMUX_STATE_DIR,
  config: {
    providers: {
      acme: {
        baseUrl: 'http://127.0.0.1:9',
        auth: { in: 'header', name: 'x-api-key' },
        env: ['ACME_API_KEY'],
        limits,
      },
    },
  },
});
await manager.ready;
for (;;) {
  const lease = await manager.acquire('acme', { timeoutMs: 600_000 });
  process.stdout.write(`${manager.now()}\n`);
  if (hold) await new Promise(() => setInterval(() => {}, 1_000));
  lease.report({ kind: 'success', scope: 'request', executed: 'yes' });
  lease.end();
}
