// A manager with alerts, as each process of a fleet has one: each line of stdin is a call (JSON), answered on stdout.
import { createInterface } from 'node:readline';
import { createKeyManager } from '../../../dist/manager/registry.js';
import { startAlerts } from '../../../dist/observe/alerts.js';

const { env, config } = JSON.parse(process.argv[2]);
const manager = createKeyManager({ env, cwd: process.env.KEYMUX_STATE_DIR, config });
startAlerts(manager, { lookEveryMs: 20, heirAfterMs: 300 });
await manager.ready;
// How often this process asked whether it is to tell that something was raised, or is over.
const claims = { raised: 0, over: 0 };
const lease = manager.store.lease.bind(manager.store);
manager.store.lease = (request) => {
  if (request.bucket.startsWith('alert:')) claims.raised += 1;
  if (request.bucket.startsWith('alert-over:')) claims.over += 1;
  return lease(request);
};
process.stdout.write('"ready"\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...args] = JSON.parse(line);
  const result = method === 'claims' ? claims : await manager[method](...args);
  process.stdout.write(`${JSON.stringify(result ?? null)}\n`);
}
