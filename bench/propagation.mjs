// A cooldown that one process reports, until the last of all other processes no longer hands the key out: one and ten
// of them, over SQLite and Redis, at rest and while all of them spend permits from the same store. All read the clock
// of the machine.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createKeyManager } from '../dist/index.js';
import { delay, figure, percentile, publish, row } from './measurements.mjs';
import { startRedis } from './redis-server.mjs';

const TRIALS = 200;
const MAX_P99_MS = { sqlite: 50, redis: 10 };
/** The watching processes look this often. Milliseconds; included in what is measured. */
const LOOK_EVERY_MS = 1;
/** How many permits a second each watching process spends under load. */
const LOAD_PER_SECOND = 100;
const FIRST = 'bench/main';
const SUCCESS = { kind: 'success', scope: 'request', executed: 'yes' };

function managerOn(store) {
  const provider = (env, more) => ({
    baseUrl: `http://127.0.0.1:${more.port}`,
    env: [env],
    limits: more.limits,
  });
  return createKeyManager({
    env: { BENCH_API_KEY: 'bench-key-one', BENCH_API_KEY_2: 'bench-key-two', LOAD_API_KEY: 'load-key-one' },
    cwd: '/nonexistent',
    logger: { warn: () => {}, info: () => {} },
    config: {
      store,
      providers: {
        bench: provider('BENCH_API_KEY', { port: 9100, limits: [] }),
        load: provider('LOAD_API_KEY', { port: 9101, limits: [{ requests: 100_000, per: 'minute' }] }),
      },
    },
  });
}

/** Spends permits at its pace until `isOver`. */
async function load(manager, isOver) {
  while (!isOver()) {
    try {
      const lease = await manager.acquire('load', { timeoutMs: 0 });
      lease.report(SUCCESS);
      lease.end();
    } catch {
      // No permit just now.
    }
    await delay((2_000 * Math.random()) / LOAD_PER_SECOND);
  }
}

/** Tells the parent each time that another key is the best one. */
async function watch(store, isLoaded) {
  const manager = managerOn(store);
  await manager.ready;
  let best = manager.resolve('bench').keyId;
  let isOver = !isLoaded;
  process.send({ best });
  const timer = setInterval(() => {
    const { keyId } = manager.resolve('bench');
    if (keyId === best) return;
    best = keyId;
    process.send({ best, at: String(process.hrtime.bigint()) });
  }, LOOK_EVERY_MS);
  const loading = load(manager, () => isOver);
  process.once('message', async () => {
    isOver = true;
    clearInterval(timer);
    await loading;
    await manager.shutdown();
    process.disconnect();
  });
}

async function measure(store, listeners, isLoaded) {
  const manager = managerOn(store);
  await manager.ready;
  const args = ['watch', JSON.stringify(store), String(isLoaded)];
  const watchers = Array.from({ length: listeners }, () => fork(fileURLToPath(import.meta.url), args));
  await Promise.all(watchers.map((watcher) => once(watcher, 'message')));

  /** Until the last of them has noticed. */
  async function latencyOf(change) {
    const heard = Promise.all(watchers.map((watcher) => once(watcher, 'message')));
    const startedAt = process.hrtime.bigint();
    change();
    return Math.max(...(await heard).map(([{ at }]) => Number(BigInt(at) - startedAt) / 1e6));
  }

  const samples = { cooldown: [], recovery: [] };
  for (let trial = 0; trial < TRIALS; trial += 1) {
    const retryAt = manager.now() + 600_000;
    samples.cooldown.push(
      await latencyOf(() =>
        manager.report(FIRST, { kind: 'rate-limited', scope: 'key', executed: 'no', retryAt }),
      ),
    );
    await delay(Math.random() * 30); // otherwise every change would fall on the same phase of the watchers
    samples.recovery.push(await latencyOf(() => manager.reset(FIRST)));
    await delay(Math.random() * 30);
  }
  const ended = watchers.map((watcher) => once(watcher, 'exit'));
  for (const watcher of watchers) watcher.send('done');
  await Promise.all(ended);
  await manager.shutdown();
  return samples;
}

async function measureAll() {
  const scratch = mkdtempSync(join(tmpdir(), 'keymux-bench-'));
  const redis = await startRedis();
  const groups = {};
  const figures = [];
  try {
    for (const type of ['sqlite', 'redis']) {
      for (const [listeners, isLoaded] of [
        [1, false],
        [10, false],
        [10, true],
      ]) {
        const path = join(scratch, `${listeners}-${isLoaded}.db`);
        const store = type === 'sqlite' ? { type, path } : { type, url: redis.url };
        const { cooldown, recovery } = await measure(store, listeners, isLoaded);
        const what = `over ${type}, from one process to ${listeners} ${isLoaded ? 'under load' : 'at rest'}`;
        groups[what] = [row('cooldown', 'ms', cooldown), row('recovery', 'ms', recovery)];
        figures.push(figure(`${what}: a cooldown, p99`, percentile(cooldown, 0.99), MAX_P99_MS[type], 'ms'));
      }
    }
  } finally {
    await redis.stop();
    rmSync(scratch, { recursive: true, force: true });
  }
  publish('propagation', groups, figures);
}

if (process.argv[2] === 'watch') await watch(JSON.parse(process.argv[3]), process.argv[4] === 'true');
else await measureAll();
