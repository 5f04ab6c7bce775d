// What the audit trail costs: `manager.getApiKey`, and a request to a server on this machine, with the trail off and on.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startAudit } from '../dist/audit.js';
import { createKeyManager } from '../dist/index.js';
import { compareBatches, difference, figure, median, paired, publish, ratio, row } from './measurements.mjs';

const READS = 100_000;
const REQUESTS = 200;
const MAX_READ_COST_NS = 50;
const MAX_REQUEST_RATIO = 1.5;

const scratch = mkdtempSync(join(tmpdir(), 'keymux-bench-'));
const server = createServer((request, response) => {
  request.resume();
  response.end('{}');
}).listen(0, '127.0.0.1');
await once(server, 'listening');

function managerOf() {
  return createKeyManager({
    env: { ACME_API_KEY: 'bench-key' },
    cwd: scratch,
    config: {
      store: { type: 'memory' },
      providers: { acme: { baseUrl: `http://127.0.0.1:${server.address().port}`, env: ['ACME_API_KEY'] } },
    },
  });
}

const off = managerOf();
const on = managerOf();
await Promise.all([off.ready, on.ready]);
const audit = startAudit(on, { path: join(scratch, 'audit'), stateFolder: join(scratch, 'state') });

function read(manager) {
  for (let index = 0; index < READS; index += 1) manager.getApiKey('acme');
}

async function send(manager) {
  for (let index = 0; index < REQUESTS; index += 1) await (await manager.fetch('acme', '/')).text();
}

const reads = await compareBatches({ off: () => read(off), on: () => read(on) }, { operations: READS });
const requests = await compareBatches({ off: () => send(off), on: () => send(on) }, { operations: REQUESTS });
audit.stop();
await Promise.all([off.shutdown(), on.shutdown()]);
server.close();
server.closeAllConnections();
rmSync(scratch, { recursive: true, force: true });

const readCost = median(paired(reads.on, reads.off, difference));
const requestRatio = median(paired(requests.on, requests.off, ratio));
publish(
  'audit',
  {
    'getApiKey, 1 key': [row('no trail', 'ns', reads.off), row('with the trail', 'ns', reads.on, reads.off)],
    'manager.fetch to a server on this machine': [
      row('no trail', 'ns', requests.off),
      row('with the trail', 'ns', requests.on, requests.off),
    ],
  },
  [
    figure('what the trail adds to getApiKey', readCost, MAX_READ_COST_NS, 'ns'),
    figure('request, next to one without a trail', requestRatio, MAX_REQUEST_RATIO, 'x'),
  ],
);
