// A thread that shares the table of its process and sends requests through its own manager, several at a time.
import { parentPort, workerData } from 'node:worker_threads';
import { KeyManager } from '../../../dist/manager/key-manager.js';
import { StateTable } from '../../../dist/state/table.js';

const { buffer, options, requests, concurrency } = workerData;
const manager = new KeyManager({ ...options, drainMs: 0 }, { table: StateTable.attach(buffer) });
await manager.ready;
const statuses = [];
let started = 0;
await Promise.all(
  Array.from({ length: concurrency }, async () => {
    while (started++ < requests) {
      const response = await manager.fetch('acme', '/x');
      await response.text();
      statuses.push(response.status);
    }
  }),
);
await manager.shutdown();
parentPort.postMessage(statuses);
