// A manager that does as it is told: each line of stdin is a call (JSON), each line of stdout its answer.
import { createInterface } from 'node:readline';
import { sharedManager } from './shared-manager.mjs';

const manager = await sharedManager({
  ACME_API_KEY: 'operator-key-one',
  ACME_API_KEY_2: 'operator-key-two',
});
process.stdout.write('"ready"\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...args] = JSON.parse(line);
  const result = method === 'usage' ? await manager.store.usage() : await manager[method](...args);
  process.stdout.write(`${JSON.stringify(result ?? null)}\n`);
  if (method === 'shutdown') break;
}
process.exitCode = 0;
process.stdin.destroy();
