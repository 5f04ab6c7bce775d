// What a request waits for its permit while the store cannot be used: the SQLite file is gone and cannot come back, or
// another process holds its lock; Redis is frozen, killed, or refuses everybody. A request that gets none is lost.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createKeyManager } from '../dist/index.js';
import { delay, elapsedMs, figure, percentile, publish, row } from './measurements.mjs';
import { startRedis } from './redis-server.mjs';

const OUTAGE_MS = 3_000;
const REQUEST_EVERY_MS = 20;
const TIMEOUT_MS = 5_000;
const MAX_DELAY_MS = 50;
const SUCCESS = { kind: 'success', scope: 'request', executed: 'yes' };
const LIMITS = {
  'leased one by one': { requests: 128, per: 'second' },
  'leased in batches': { requests: 60_000, per: 'minute' },
};

function holdLock(path) {
  const Database = createRequire(import.meta.url)('libsql');
  const database = new Database(path);
  process.once('message', () => {
    database.exec('BEGIN IMMEDIATE');
    process.send('locked');
  });
  process.once('disconnect', () => process.exit());
  process.send('ready');
}

const sqlite = (begin) => async (scratch, name) => {
  const path = join(scratch, `${name}.db`);
  return { store: { type: 'sqlite', path }, begin: () => begin(path), close: () => {} };
};

const redis = (begin) => async () => {
  const server = await startRedis();
  return {
    store: { type: 'redis', url: server.url },
    begin: () => begin(server),
    close: () => server.stop(),
  };
};

/** Each makes a store, begins its outage, and returns how that ends. */
const outages = {
  'the SQLite file is gone': sqlite((path) => {
    for (const end of ['', '-wal', '-shm']) rmSync(path + end, { force: true });
    mkdirSync(path);
    return () => rmSync(path, { recursive: true });
  }),
  'the SQLite file is locked': sqlite(async (path) => {
    const holder = fork(fileURLToPath(import.meta.url), ['hold', path]);
    await once(holder, 'message');
    holder.send('lock');
    await once(holder, 'message');
    return () => holder.disconnect();
  }),
  'Redis is frozen': redis((server) => {
    server.pause();
    return () => server.resume();
  }),
  'Redis is killed': redis(async (server) => {
    await server.kill();
    return () => server.start();
  }),
  'Redis refuses (out of memory)': redis(async (server) => {
    await server.configure('maxmemory', '1');
    return () => server.configure('maxmemory', '0');
  }),
};

async function waitsDuring(manager, forMs) {
  const waits = [];
  let lost = 0;
  const running = [];
  const startedAt = process.hrtime.bigint();
  while (elapsedMs(startedAt) < forMs) {
    running.push(
      (async () => {
        const askedAt = process.hrtime.bigint();
        try {
          const lease = await manager.acquire('bench', { timeoutMs: TIMEOUT_MS });
          waits.push(elapsedMs(askedAt));
          lease.report(SUCCESS);
          lease.end();
        } catch {
          lost += 1;
        }
      })(),
    );
    await delay(REQUEST_EVERY_MS);
  }
  await Promise.all(running);
  return { waits, lost };
}

function managerOn(store, limit, scratch) {
  return createKeyManager({
    env: { BENCH_API_KEY: 'bench-key-one', BENCH_API_KEY_2: 'bench-key-two' },
    cwd: scratch,
    logger: { warn: () => {}, info: () => {} },
    config: {
      store,
      providers: { bench: { baseUrl: 'http://127.0.0.1:9100', env: ['BENCH_API_KEY'], limits: [limit] } },
    },
  });
}

async function measure() {
  const scratch = mkdtempSync(join(tmpdir(), 'keymux-bench-'));
  const groups = {};
  const figures = [];
  for (const [what, prepare] of Object.entries(outages)) {
    for (const [how, limit] of Object.entries(LIMITS)) {
      const { store, begin, close } = await prepare(scratch, `${what} ${how}`);
      const manager = managerOn(store, limit, scratch);
      await manager.ready;
      const before = await waitsDuring(manager, OUTAGE_MS / 3);
      const end = await begin();
      const during = await waitsDuring(manager, OUTAGE_MS);
      await end();
      const after = await waitsDuring(manager, OUTAGE_MS / 3);
      await manager.shutdown();
      await close();
      groups[`${what}, permits ${how}`] = Object.entries({ before, during, after }).map(
        ([phase, { waits }]) => row(`wait for a permit, ${phase}`, 'ms', waits),
      );
      const lost = before.lost + during.lost + after.lost;
      const extra = (share) => percentile(during.waits, share) - percentile(before.waits, share);
      figures.push(
        figure(`${what}, permits ${how}: requests lost`, lost, 1, ''),
        figure(`${what}, permits ${how}: longer at p50`, extra(0.5), MAX_DELAY_MS, 'ms'),
        figure(`${what}, permits ${how}: longer at p99`, extra(0.99), MAX_DELAY_MS, 'ms'),
        figure(`${what}, permits ${how}: longest wait`, Math.max(...during.waits), MAX_DELAY_MS, 'ms'),
      );
    }
  }
  rmSync(scratch, { recursive: true, force: true });
  publish('outage', groups, figures);
}

if (process.argv[2] === 'hold') holdLock(process.argv[3]);
else await measure();
