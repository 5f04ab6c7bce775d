// A program that shares its keys with others: for each line of stdin it uses a key of a service, at a cost.
import { createInterface } from 'node:readline';
import { createKeyManager } from '../../../dist/manager/registry.js';

const manager = createKeyManager();
await manager.ready;
process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const { service, costUsd } = JSON.parse(line);
  const { keyId } = manager.resolve(service);
  manager.report(keyId, 'success', { costUsd });
  process.stdout.write(`used ${keyId}\n`);
}
await manager.shutdown();
