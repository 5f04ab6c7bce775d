// Acquires leases as fast as it can and prints when each was granted and answered. Ends when it is killed.
import { sharedManager } from './shared-manager.mjs';

const { limits, hold } = JSON.parse(process.argv[2]);
const manager = await sharedManager({ ACME_API_KEY: 'key-of-the-spender' }, { limits });
for (;;) {
  const lease = await manager.acquire('acme', { timeoutMs: 600_000 });
  process.stdout.write(`${manager.now()}\n`);
  if (hold) await new Promise(() => setInterval(() => {}, 1_000));
  lease.report({ kind: 'success', scope: 'request', executed: 'yes' });
  lease.end();
}
