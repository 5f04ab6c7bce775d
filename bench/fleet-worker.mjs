// One of several processes that take permits from one store, each with a limiter of the given kind; and how to start
// them. A job: permits one after the other (or `atATime`), as fast as they come or `perSecond`, for `forMs`.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { createKeyManager } from '../dist/index.js';
import { delay, elapsedMs } from './measurements.mjs';

const SUCCESS = { kind: 'success', scope: 'request', executed: 'yes' };
const MOST_SAMPLES = 20_000;
const STORE_METHODS = ['lease', 'settle', 'charge', 'publish', 'addUsage', 'beat'];

/** Each gives a function that takes one permit; it answers whether there was one. */
const limiters = {
  async keymux({ store, keys, limits }) {
    const manager = createKeyManager({
      env: Object.fromEntries(
        Array.from({ length: keys }, (_, n) => [`BENCH_API_KEY_${n + 1}`, `bench-key-${n}`]),
      ),
      cwd: '/nonexistent',
      logger: { warn: () => {}, info: () => {} },
      config: {
        store,
        providers: {
          bench: {
            baseUrl: 'http://127.0.0.1:9100',
            env: ['BENCH_API_KEY'],
            strategy: 'round-robin',
            limits,
          },
        },
      },
    });
    await manager.ready;
    const ops = counting(manager.store);
    return {
      ops,
      close: () => manager.shutdown(),
      async take() {
        try {
          const lease = await manager.acquire('bench', { timeoutMs: 0 });
          lease.report(SUCCESS);
          lease.end();
          return true;
        } catch {
          return false;
        }
      },
    };
  },

  async 'rate-limiter-flexible'({ port, keys }) {
    const { Redis } = await import('ioredis');
    const { RateLimiterRedis } = await import('rate-limiter-flexible');
    const client = new Redis({ port, host: '127.0.0.1' });
    const limiter = new RateLimiterRedis({ storeClient: client, points: 1e9, duration: 60 });
    let turn = 0;
    return {
      close: () => client.disconnect(),
      take: async () => (await limiter.consume(`key-${turn++ % keys}`)) !== undefined,
    };
  },

  async bottleneck({ port, keys }) {
    const { Redis } = await import('ioredis');
    const { default: Bottleneck } = await import('bottleneck');
    const limitersOfKeys = Array.from(
      { length: keys },
      (_, n) =>
        new Bottleneck({
          id: `key-${n}`,
          datastore: 'ioredis',
          Redis,
          clientOptions: { port, host: '127.0.0.1' },
          reservoir: 1e9,
          reservoirRefreshAmount: 1e9,
          reservoirRefreshInterval: 60_000,
        }),
    );
    await Promise.all(limitersOfKeys.map((limiter) => limiter.ready()));
    let turn = 0;
    return {
      close: () => Promise.all(limitersOfKeys.map((limiter) => limiter.disconnect(false))),
      take: () => limitersOfKeys[turn++ % keys].schedule(async () => true),
    };
  },
};

/** Counts what the store is asked, by method. */
function counting(store) {
  const ops = Object.fromEntries(STORE_METHODS.map((method) => [method, 0]));
  for (const method of STORE_METHODS) {
    const ask = store[method];
    store[method] = (...args) => {
      ops[method] += 1;
      return ask.apply(store, args);
    };
  }
  return ops;
}

async function work(limiter, { forMs, atATime = 1, perSecond }) {
  const waits = [];
  let granted = 0;
  let refused = 0;
  const startedAt = process.hrtime.bigint();
  const pauseMs = perSecond === undefined ? 0 : (1_000 * atATime) / perSecond;
  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  const cpu = process.cpuUsage();
  await Promise.all(
    Array.from({ length: atATime }, async () => {
      if (pauseMs > 0) await delay(Math.random() * pauseMs);
      for (let n = 0; elapsedMs(startedAt) < forMs; n += 1) {
        const askedAt = process.hrtime.bigint();
        const isGranted = await limiter.take();
        const tookMs = elapsedMs(askedAt);
        if (!isGranted) refused += 1;
        else if (granted++ < MOST_SAMPLES) waits.push(tookMs);
        else waits[Math.floor(Math.random() * MOST_SAMPLES)] = tookMs;
        if (pauseMs > 0) await delay(Math.max(0, pauseMs - tookMs));
        // Permits that are had at once leave no turn for timers.
        else if (n % 64 === 63) await new Promise(setImmediate);
      }
    }),
  );
  loop.disable();
  const { user, system } = process.cpuUsage(cpu);
  return {
    waits,
    granted,
    refused,
    ops: { ...limiter.ops },
    cpuMs: (user + system) / 1_000,
    // The resolution is part of what the monitor takes for delay.
    loopMs: {
      median: loop.percentile(50) / 1e6 - 1,
      p99: loop.percentile(99) / 1e6 - 1,
      max: loop.max / 1e6 - 1,
    },
  };
}

async function serve({ kind, ...options }) {
  const limiter = await limiters[kind](options);
  process.on('message', async (job) => {
    if (job === 'end') {
      await limiter.close();
      process.exit();
    }
    process.send(await work(limiter, job));
  });
  process.once('disconnect', () => process.exit());
  process.send('ready');
}

/** Starts so many workers; `run` gives all the same job at the same time. */
export async function startWorkers(count, options) {
  const workers = Array.from({ length: count }, () =>
    fork(fileURLToPath(import.meta.url), ['worker', JSON.stringify(options)]),
  );
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  return {
    async run(job) {
      const results = workers.map((worker) => once(worker, 'message'));
      for (const worker of workers) worker.send(job);
      return (await Promise.all(results)).map(([result]) => result);
    },
    async end() {
      const ended = workers.map((worker) => once(worker, 'exit'));
      for (const worker of workers) worker.send('end');
      await Promise.all(ended);
    },
  };
}

if (process.argv[2] === 'worker') await serve(JSON.parse(process.argv[3]));
