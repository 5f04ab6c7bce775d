// `manager.getApiKey` with 8 keys, next to a plain object that makes the same choice.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyManager } from '../dist/index.js';
import { compareBatches, figure, median, paired, publish, ratio, row } from './measurements.mjs';

const OPERATIONS = 200_000;
const KEYS = 8;
const MAX_NS = 150;
const MAX_RATIO = 3;

const keys = Array.from({ length: KEYS }, (_, index) => ({
  id: `key-${index}`,
  value: `bench-key-${index}`,
  priority: index,
  weight: 1,
}));
const env = Object.fromEntries(keys.map(({ value }, index) => [`BENCH_${index}`, value]));
const scratch = mkdtempSync(join(tmpdir(), 'keymux-bench-'));

async function managerWith(strategy, store) {
  const manager = createKeyManager({
    env,
    cwd: scratch,
    config: {
      store,
      services: { quotes: { providers: ['acme'], strategy } },
      providers: {
        acme: {
          baseUrl: 'http://127.0.0.1:9100',
          limits: [{ requests: 1_000, per: 'minute' }],
          keys: keys.map(({ id, priority, weight }, index) => ({
            id,
            value: `env:BENCH_${index}`,
            priority,
            weight,
          })),
        },
      },
    },
  });
  await manager.ready;
  return manager;
}

/** Scans for the healthy key of the lowest priority. */
class PlainPriority {
  #keys = keys.map((key) => ({ ...key, isHealthy: true }));

  getApiKey() {
    let best;
    for (const key of this.#keys) {
      if (key.isHealthy && (best === undefined || key.priority < best.priority)) best = key;
    }
    return best.value;
  }
}

/** Smooth weighted round robin over the healthy keys, as nginx does it. */
class PlainRoundRobin {
  #keys = keys.map((key) => ({ ...key, isHealthy: true, credit: 0 }));

  getApiKey() {
    let best;
    let total = 0;
    for (const key of this.#keys) {
      if (!key.isHealthy) continue;
      key.credit += key.weight;
      total += key.weight;
      if (best === undefined || key.credit > best.credit) best = key;
    }
    best.credit -= total;
    return best.value;
  }
}

let sink = 0;

/** Each variant gets a loop of its own, so that none suffers from the types that another one brought. */
function batchOf(holder) {
  const run = new Function(
    'holder',
    `let length = 0; for (let n = 0; n < ${OPERATIONS}; n += 1) length += holder.getApiKey('quotes').length; return length;`,
  );
  return () => {
    sink += run(holder);
  };
}

const groups = {};
const figures = [];
for (const [strategy, Plain] of [
  ['priority', PlainPriority],
  ['round-robin', PlainRoundRobin],
]) {
  const memory = await managerWith(strategy, { type: 'memory' });
  const sqlite = await managerWith(strategy, { type: 'sqlite', path: join(scratch, `${strategy}.db`) });
  const samples = await compareBatches(
    { plain: batchOf(new Plain()), memory: batchOf(memory), sqlite: batchOf(sqlite) },
    { operations: OPERATIONS },
  );
  await memory.shutdown();
  await sqlite.shutdown();
  groups[`getApiKey, ${KEYS} keys, ${strategy}`] = [
    row('plain object', 'ns', samples.plain),
    row('keymux, memory store', 'ns', samples.memory, samples.plain),
    row('keymux, SQLite store', 'ns', samples.sqlite, samples.plain),
  ];
  for (const store of ['memory', 'sqlite']) {
    const times = median(paired(samples[store], samples.plain, ratio));
    figures.push(
      figure(`getApiKey, ${strategy}, ${store}`, median(samples[store]), MAX_NS, 'ns'),
      figure(`getApiKey, ${strategy}, ${store}, next to a plain object`, times, MAX_RATIO, 'x'),
    );
  }
}
rmSync(scratch, { recursive: true, force: true });
if (sink === 0) throw new Error('nothing was read');
publish('get-api-key', groups, figures);
