// A thread that sends one request through a manager of its own, and tells the first thread what happened.
import { parentPort, workerData } from 'node:worker_threads';
import { KeyManager } from '../../../dist/manager/key-manager.js';
import { relayOccurrences } from '../../../dist/observe/alert-occurrences.js';

const manager = new KeyManager({ ...workerData, store: undefined });
const stop = relayOccurrences(manager);
const response = await manager.fetch('acme', '/x');
await response.text();
parentPort.postMessage(response.status);
parentPort.once('message', async () => {
  stop();
  await manager.shutdown();
});
