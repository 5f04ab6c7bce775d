// A manager that does as it is told: each line of stdin is a call (JSON), each line of stdout its answer.
import { createInterface } from 'node:readline';
import { createKeyManager } from '../../../dist/manager/registry.js';

const manager = createKeyManager({
  env: { ACME_API_KEY: 'operator-key-one', ACME_API_KEY_2: 'operator-key-two' },
  cwd: process.env.KEYMUX_STATE_DIR,
  config: {
    providers: {
      acme: {
        baseUrl: 'http://127.0.0.1:9',
        auth: { in: 'header', name: 'x-api-key' },
        env: ['ACME_API_KEY'],
      },
    },
  },
});
await manager.ready;
process.stdout.write('"ready"\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...args] = JSON.parse(line);
  const result = method === 'usage' ? await manager.store.usage() : await manager[method](...args);
  process.stdout.write(`${JSON.stringify(result ?? null)}\n`);
  if (method === 'shutdown') break;
}
process.exitCode = 0;
process.stdin.destroy();
