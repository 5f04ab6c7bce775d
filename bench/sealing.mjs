// What sealing costs: a lease with its settlement, and a transition, in a store that is sealed and in one that is not, in
// one run. SQLite; and Redis where there is a server.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRedisStore } from '../dist/stores/redis/store.js';
import { createSealedStore } from '../dist/stores/sealed-store.js';
import { createSqliteStore } from '../dist/stores/sqlite/store.js';
import { compareBatches, figure, median, paired, publish, ratio, row } from './measurements.mjs';
import { startRedis } from './redis-server.mjs';

const ROUNDS = 31;
const LEASES = 200;
const TRANSITIONS = 200;
const KEYS = 16;
const MAX_RATIO = 1.25;
const WINDOWS = [{ requests: 1_000_000_000, perMs: 86_400_000 }];

const scratch = mkdtempSync(join(tmpdir(), 'keymux-bench-'));
const options = { now: Date.now, onNotice: () => {} };
const sqlite = (name) => createSqliteStore({ ...options, directory: join(scratch, name) });
const sealed = (store) => createSealedStore(store, new Uint8Array(32).fill(7));

async function lease(store) {
  for (let turn = 0; turn < LEASES; turn += 1) {
    const bucket = `acme/key-${turn % KEYS}`;
    const { leaseId } = await store.lease({ bucket, windows: WINDOWS, want: 1, ttlMs: 1_000, slackMs: 50 });
    await store.settle([{ bucket, leaseId, spent: 1, countedAt: store.now(), returned: 0 }]);
  }
}

let version = 0;

async function change(store) {
  for (let turn = 0; turn < TRANSITIONS; turn += 1) {
    version += 1;
    const health = { status: 'healthy', version, level: 0, strikes: 0 };
    const subject = `key:acme/key-${turn % KEYS}`;
    await store.publish([{ subject, health, disabled: false, disabledVersion: 0 }]);
  }
}

const groups = {};
const figures = [];

async function compare(kind, plain, seal) {
  await plain.open();
  await seal.open();
  for (const [what, work, operations] of [
    ['a lease and its settlement', lease, LEASES],
    ['a transition', change, TRANSITIONS],
  ]) {
    const samples = await compareBatches(
      { plain: () => work(plain), sealed: () => work(seal) },
      { operations, rounds: ROUNDS },
    );
    groups[`${what}, ${kind}`] = [
      row('in clear', 'ns', samples.plain),
      row('sealed', 'ns', samples.sealed, samples.plain),
    ];
    const cost = median(paired(samples.sealed, samples.plain, ratio));
    figures.push(figure(`${what}, ${kind}, sealed next to in clear`, cost, MAX_RATIO, 'x'));
  }
  await plain.close();
  await seal.close();
}

try {
  await compare('SQLite', sqlite('plain'), sealed(sqlite('sealed')));
  const redis = await startRedis().catch(() => undefined);
  if (redis === undefined) console.error('no Redis: install redis-server, or name one in REDIS_SERVER');
  else {
    const remote = (prefix) => createRedisStore({ ...options, url: redis.url, prefix });
    await compare('Redis', remote('plain'), sealed(remote('sealed')));
    await redis.stop();
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
publish('sealing', groups, figures);
