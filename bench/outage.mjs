// What a request waits for its permit while the SQLite file cannot be used: the file is gone and cannot come back, or
// another process holds its lock. A request that gets none is lost.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createKeyManager } from '../dist/index.js';
import { delay, elapsedMs, figure, publish, row } from './measurements.mjs';

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

/** Each begins an outage of the file and returns how it ends. */
const outages = {
  'the file is gone': async (path) => {
    for (const end of ['', '-wal', '-shm']) rmSync(path + end, { force: true });
    mkdirSync(path);
    return () => rmSync(path, { recursive: true });
  },
  'the file is locked': async (path) => {
    const holder = fork(fileURLToPath(import.meta.url), ['hold', path]);
    await once(holder, 'message');
    holder.send('lock');
    await once(holder, 'message');
    return () => holder.disconnect();
  },
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

async function measure() {
  const scratch = mkdtempSync(join(tmpdir(), 'keymux-bench-'));
  const groups = {};
  const figures = [];
  for (const [what, begin] of Object.entries(outages)) {
    for (const [how, limit] of Object.entries(LIMITS)) {
      const path = join(scratch, `${what} ${how}.db`);
      const manager = createKeyManager({
        env: { BENCH_API_KEY: 'bench-key-one', BENCH_API_KEY_2: 'bench-key-two' },
        cwd: scratch,
        logger: { warn: () => {}, info: () => {} },
        config: {
          store: { type: 'sqlite', path },
          providers: {
            bench: { baseUrl: 'http://127.0.0.1:9100', env: ['BENCH_API_KEY'], limits: [limit] },
          },
        },
      });
      await manager.ready;
      const before = await waitsDuring(manager, OUTAGE_MS / 3);
      const end = await begin(path);
      const during = await waitsDuring(manager, OUTAGE_MS);
      end();
      const after = await waitsDuring(manager, OUTAGE_MS / 3);
      await manager.shutdown();
      groups[`${what}, permits ${how}`] = Object.entries({ before, during, after }).map(
        ([phase, { waits }]) => row(`wait for a permit, ${phase}`, 'ms', waits),
      );
      const lost = before.lost + during.lost + after.lost;
      figures.push(
        figure(`${what}, permits ${how}: requests lost`, lost, 1, ''),
        figure(`${what}, permits ${how}: longest wait`, Math.max(...during.waits), MAX_DELAY_MS, 'ms'),
      );
    }
  }
  rmSync(scratch, { recursive: true, force: true });
  publish('outage', groups, figures);
}

if (process.argv[2] === 'hold') holdLock(process.argv[3]);
else await measure();
