// One process of a fleet: a manager of its own over the store that all share, which does as it is told.
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { createKeyManager } from '../../../dist/index.js';
import { createRedisStore } from '../../../dist/redis.js';
import { createSqliteStore } from '../../../dist/sqlite.js';
import { LeaseWatch } from './lease-watch.mjs';

const { config, env, cwd, till: tillPort, watchesLeases } = JSON.parse(process.argv[2]);
const warnings = [];
const SUCCESS = { kind: 'success', scope: 'request', executed: 'yes' };

function storeOfOwn({ type, ...place }) {
  const options = { now: Date.now, onNotice: ({ message }) => warnings.push(message), ...place };
  return type === 'redis' ? createRedisStore(options) : createSqliteStore(options);
}

const watch = watchesLeases ? new LeaseWatch(storeOfOwn(config.store)) : undefined;
const manager = createKeyManager({
  env,
  cwd,
  config,
  drainMs: 0,
  logger: { warn: (message) => warnings.push(message), info: () => {} },
  ...(watch === undefined ? {} : { store: watch.store }),
});
await manager.ready;

/** Spends permits on the plain socket of the judge; resolves when it has counted one. */
class Till {
  #waiting = [];
  #socket;

  constructor(port) {
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (bytes) => {
      for (const counted of this.#waiting.splice(0, bytes.length)) counted();
    });
  }

  spend(key) {
    this.#socket.write(`${key}\n`);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

const till = tillPort === undefined ? undefined : new Till(tillPort);
let isStopped = false;
let held;

/** Each answers whether a permit was had. */
const ways = {
  async fetch(service) {
    const response = await manager.fetch(service, '/');
    await response.text();
    return response.ok;
  },

  async till(service, timeoutMs) {
    let lease;
    try {
      lease = await manager.acquire(service, { timeoutMs });
    } catch (error) {
      if (error.code === 'KEYMUX_NO_USABLE_KEY' || error.code === 'KEYMUX_TIMEOUT') return false;
      throw error;
    }
    watch?.spent(manager.now());
    lease.sent();
    await till.spend(lease.keyId);
    lease.report(SUCCESS);
    lease.end();
    return true;
  },
};

/** So many requests at a time, until each is told that there is nothing left, or `stop`. Answers with those granted. */
async function spend({ service, way, atATime, timeoutMs = 60_000, pauseMs = 0 }) {
  let granted = 0;
  isStopped = false;
  await Promise.all(
    Array.from({ length: atATime }, async () => {
      while (!isStopped && (await ways[way](service, timeoutMs))) {
        granted += 1;
        if (pauseMs > 0) await delay(pauseMs);
      }
    }),
  );
  return granted;
}

const answers = {
  spend,
  stop: () => void (isStopped = true),
  leases: () => ({ stale: watch.stale, lapsed: watch.lapsed }),
  /** Permits of one window that the store has left; asking for none spends none. */
  left: async (service, window) => {
    const { bucket } = manager.inspect().keys.find(({ provider }) => provider === service);
    const request = { bucket, windows: [window], want: 0, ttlMs: 0, slackMs: 0 };
    return (await manager.store.lease(request)).left;
  },
  /** Takes a lease and keeps it until `reportHeld`. */
  hold: async (service) => {
    held = await manager.acquire(service);
    return held.keyId;
  },
  reportHeld: (outcome, forMs) => {
    held.report({ ...outcome, retryAt: manager.now() + forMs });
    held.end();
  },
  warnings: () => warnings,
  now: () => manager.now(),
  wallClock: () => [Date.now(), new Date().getTime()],
  keys: () =>
    manager.inspect().keys.map(({ id, state, until }) => [id, state, until === undefined ? null : until]),
  next: (service) => {
    try {
      return manager.resolve(service).keyId;
    } catch (error) {
      return error.code;
    }
  },
  report: (keyId, outcome, forMs) =>
    manager.report(keyId, { ...outcome, ...(forMs === undefined ? {} : { retryAt: manager.now() + forMs }) }),
  reset: (keyId) => manager.reset(keyId),
  disable: (keyId) => manager.disable(keyId),
  enable: (keyId) => manager.enable(keyId),
  shutdown: () => manager.shutdown(),
};

process.on('message', async ({ id, call, args }) => {
  try {
    process.send({ id, result: (await answers[call](...args)) ?? null });
  } catch (error) {
    process.send({ id, error: String(error.stack) });
  }
});
process.once('disconnect', () => process.exit());
process.send({ id: 0, result: 'ready' });
