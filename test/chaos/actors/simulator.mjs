// The provider, in a process of its own: it decides, counts, and at the end tells what it saw. Orders come as messages.
import { createServer, connect } from 'node:net';
import { ok, refuse } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';

/** How long an answer takes, so that there is always something under way. */
const GOOD = ok({ delayMs: 20 });
/** What refusals tell about when to come back. */
const RETRY_AFTER_SECONDS = 1;

/** The simulator's epoch is turned into the monotonic time that all processes share. */
const epochToMonotonic = Number(process.hrtime.bigint()) / 1e6 - (performance.timeOrigin + performance.now());

let simulator;
const changes = [];

const note = (change, key = '') => changes.push({ change, key, at: Number(process.hrtime.bigint()) / 1e6 });

const actions = {
  async start({ keys, address }) {
    simulator = await startSimulator({ keys, answer: GOOD });
    return { origin: address === undefined ? simulator.origin : await forward(address) };
  },
  storm({ key }) {
    simulator.key(key).behave(refuse(429, { retryAfterSeconds: RETRY_AFTER_SECONDS }));
    note('bad', key);
  },
  exhaust({ key }) {
    simulator.key(key).behave(refuse(402, { retryAfterSeconds: RETRY_AFTER_SECONDS }));
    note('bad', key);
  },
  /** For good: a key that was revoked is good again for nobody. */
  revoke({ key }) {
    simulator.key(key).revoke();
    note('bad', key);
  },
  restore({ key }) {
    simulator.key(key).behave(GOOD);
    if (!simulator.key(key).revoked) note('good', key);
  },
  down() {
    simulator.outage(503);
    note('bad');
  },
  up() {
    simulator.recover();
    note('good');
  },
  report() {
    const monotonic = (epochMs) => (epochMs === undefined ? undefined : epochMs + epochToMonotonic);
    const arrivals = simulator.requests.map((request) => ({
      id: request.headers['x-request-id'] ?? '',
      key: request.key,
      at: monotonic(request.at),
      endedAt: monotonic(request.endedAt),
      method: request.method,
      did: request.did,
      status: request.status,
      executed: request.executed,
      order: request.orderId,
      overshoot: request.overshoot,
    }));
    return { arrivals, changes };
  },
};

/** The simulator listens on the loopback of its host only; others reach it here. */
function forward(address) {
  const server = createServer((client) => {
    const upstream = connect(simulator.port, '127.0.0.1');
    client.pipe(upstream).pipe(client);
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  return new Promise((resolve) => {
    server.listen(0, address, () => resolve(`http://${address}:${server.address().port}`));
  });
}

process.on('message', async ({ n, order, ...rest }) => {
  process.send({ n, answer: await actions[order](rest) });
});
process.on('disconnect', () => process.exit());
