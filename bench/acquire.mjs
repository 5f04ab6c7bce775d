// One permit from asking to done (`acquire`, `report`, `end`), next to the limiters on npm, which count only, and to a
// plain object that does what it can with one window.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RateLimiter } from 'limiter';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { createKeyManager } from '../dist/index.js';
import { compareBatches, publish, row } from './measurements.mjs';

const OPERATIONS = 512;
const ROUNDS = 25;
/** Settlements of one batch are written, and small windows are over, before the next batch. */
const PAUSE_MS = 60;
const KEYS = 8;
const SUCCESS = { kind: 'success', scope: 'request', executed: 'yes' };
/** Leased from a shared store one at a time; up to 128 requests per window are. */
const SMALL = { requests: 128, perMs: 20 };
/** Leased from a shared store in batches. */
const LARGE = { requests: 60_000, per: 'minute' };

const env = Object.fromEntries(
  Array.from({ length: KEYS }, (_, index) => [`BENCH_API_KEY_${index + 1}`, `bench-key-${index}-of-eight`]),
);
const scratch = mkdtempSync(join(tmpdir(), 'keymux-bench-'));

function managerWith(store, limit) {
  return createKeyManager({
    env,
    cwd: scratch,
    config: {
      store,
      providers: {
        bench: {
          baseUrl: 'http://127.0.0.1:9100',
          env: ['BENCH_API_KEY'],
          strategy: 'round-robin',
          limits: [limit],
        },
      },
    },
  });
}

const managers = {
  'keymux, memory store': managerWith({ type: 'memory' }, LARGE),
  'keymux, SQLite store, batches': managerWith({ type: 'sqlite', path: join(scratch, 'large.db') }, LARGE),
  'keymux, SQLite store, one by one': managerWith({ type: 'sqlite', path: join(scratch, 'small.db') }, SMALL),
};
for (const manager of Object.values(managers)) await manager.ready;

async function spend(manager) {
  for (let n = 0; n < OPERATIONS; n += 1) {
    const lease = await manager.acquire('bench', { timeoutMs: 0 });
    lease.report(SUCCESS);
    lease.end();
  }
}

/** A fixed window per key, and the keys in turn; lets twice the limit through at the turn of a window. */
class PlainWindows {
  #windows = Array.from({ length: KEYS }, () => ({ startedAt: 0, spent: 0 }));
  #turn = 0;

  async acquire() {
    const now = Date.now();
    for (let tried = 0; tried < KEYS; tried += 1) {
      const window = this.#windows[this.#turn++ % KEYS];
      if (now - window.startedAt >= 60_000) Object.assign(window, { startedAt: now, spent: 0 });
      if (window.spent < LARGE.requests) {
        window.spent += 1;
        return window;
      }
    }
    throw new Error('no permit');
  }
}

const plain = new PlainWindows();
const flexible = new RateLimiterMemory({ points: 1e9, duration: 60 });
const limiters = Array.from(
  { length: KEYS },
  () => new RateLimiter({ tokensPerInterval: 1e9, interval: 60_000 }),
);

const samples = await compareBatches(
  {
    'plain object, one window': async () => {
      for (let n = 0; n < OPERATIONS; n += 1) await plain.acquire();
    },
    limiter: async () => {
      for (let n = 0; n < OPERATIONS; n += 1) await limiters[n % KEYS].removeTokens(1);
    },
    'rate-limiter-flexible, memory': async () => {
      for (let n = 0; n < OPERATIONS; n += 1) await flexible.consume(`key-${n % KEYS}`);
    },
    ...Object.fromEntries(Object.entries(managers).map(([name, manager]) => [name, () => spend(manager)])),
  },
  { operations: OPERATIONS, rounds: ROUNDS, pauseMs: PAUSE_MS },
);
for (const manager of Object.values(managers)) await manager.shutdown();
rmSync(scratch, { recursive: true, force: true });

const floor = samples['rate-limiter-flexible, memory'];
const inMicroseconds = (values) => values.map((ns) => ns / 1_000);
publish('acquire', {
  'one permit, 8 keys; the ratio is to rate-limiter-flexible': Object.entries(samples).map(([name, values]) =>
    row(name, 'µs', inMicroseconds(values), inMicroseconds(floor)),
  ),
});
