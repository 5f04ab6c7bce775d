// A permit from asking to done, next to the limiters of npm that share a Redis, in one run on one server: 1, 4 and 11
// processes at once. The others only count; keymux also chooses among the keys and records the outcome.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startWorkers } from './fleet-worker.mjs';
import { median, publish, row } from './measurements.mjs';
import { startRedis } from './redis-server.mjs';

const PROCESSES = [1, 4, 11];
const KEYS = 16;
const ROUNDS = 3;
const FOR_MS = 300;
/** Leased one at a time. */
const SMALL = [{ requests: 128, perMs: 20 }];
/** Leased in batches. */
const LARGE = [{ requests: 600_000, per: 'minute' }];
const FLOOR = 'rate-limiter-flexible, Redis';

const scratch = mkdtempSync(join(tmpdir(), 'keymux-bench-'));
const redis = await startRedis();
const { port, url } = redis;
const sqlite = (name) => ({ type: 'sqlite', path: join(scratch, `${name}.db`) });
const keymux = (store, limits) => ({ kind: 'keymux', store, limits, keys: KEYS });

const variants = (count) => ({
  [FLOOR]: { kind: 'rate-limiter-flexible', port, keys: KEYS },
  'bottleneck, Redis': { kind: 'bottleneck', port, keys: KEYS },
  'keymux, Redis, one by one': keymux({ type: 'redis', url }, SMALL),
  'keymux, Redis, batches': keymux({ type: 'redis', url }, LARGE),
  'keymux, SQLite, one by one': keymux(sqlite(`small-${count}`), SMALL),
  'keymux, SQLite, batches': keymux(sqlite(`large-${count}`), LARGE),
});

/** What each permit took, in microseconds, in turns of all variants; the first round warms up. */
async function compare(count) {
  const crews = {};
  const samples = {};
  for (const [name, options] of Object.entries(variants(count))) {
    crews[name] = await startWorkers(count, options);
    samples[name] = [];
  }
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [name, crew] of Object.entries(crews)) {
      const results = await crew.run({ forMs: FOR_MS });
      if (round > 0) samples[name].push(...results.flatMap(({ waits }) => waits.map((ms) => ms * 1_000)));
    }
  }
  for (const crew of Object.values(crews)) await crew.end();
  return samples;
}

const groups = {};
try {
  for (const count of PROCESSES) {
    const samples = await compare(count);
    const title = `one permit, ${KEYS} keys, ${count} ${count === 1 ? 'process' : 'processes'}; the ratio is to ${FLOOR}`;
    groups[title] = Object.entries(samples).map(([name, values]) => ({
      ...row(name, 'µs', values),
      ratio: median(values) / median(samples[FLOOR]),
    }));
  }
} finally {
  await redis.stop();
  rmSync(scratch, { recursive: true, force: true });
}
publish('permit', groups);
