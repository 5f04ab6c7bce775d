// How long the store holds up the event loop of a process while eleven of them want permits of the same keys: next to
// the same work with a store of each process's own, and to processes that do nothing.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startWorkers } from './fleet-worker.mjs';
import { figure, median, publish, row } from './measurements.mjs';
import { startRedis } from './redis-server.mjs';

const PROCESSES = 11;
const ROUNDS = 5;
const FOR_MS = 1_500;
const MAX_BLOCK_MS = 5;
const IDLE = 'idle';
const OWN = 'a store of its own (memory)';
const KEYS = 4;
/** 800 permits a second in all, of which the processes want 1,100: all the time some of them ask in vain. */
const LIMITS = [{ requests: 200, per: 'second' }];
const JOB = { forMs: FOR_MS, atATime: 4, perSecond: 100 };

const scratch = mkdtempSync(join(tmpdir(), 'keymux-bench-'));
const redis = await startRedis();
const stores = {
  [OWN]: { type: 'memory' },
  SQLite: { type: 'sqlite', path: join(scratch, 'state.db') },
  Redis: { type: 'redis', url: redis.url },
};

const crews = {};
const loops = { [IDLE]: [] };
try {
  for (const [name, store] of Object.entries(stores)) {
    crews[name] = await startWorkers(PROCESSES, { kind: 'keymux', store, limits: LIMITS, keys: KEYS });
    loops[name] = [];
  }
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [name, crew] of [[IDLE, crews[OWN]], ...Object.entries(crews)]) {
      const results = await crew.run(name === IDLE ? { forMs: FOR_MS, perSecond: 1 } : JOB);
      if (round > 0) loops[name].push(...results.map(({ loopMs }) => loopMs.p99));
    }
  }
  for (const crew of Object.values(crews)) await crew.end();
} finally {
  await redis.stop();
  rmSync(scratch, { recursive: true, force: true });
}
publish(
  'contention',
  {
    [`event loop held up in each of ${PROCESSES} processes, p99 of ${FOR_MS} ms`]: Object.entries(loops).map(
      ([name, values]) => row(name, 'ms', values),
    ),
  },
  ['SQLite', 'Redis'].map((name) =>
    figure(
      `${name}: event loop held up longer than without a shared store, p99`,
      Math.max(0, median(loops[name]) - median(loops[OWN])),
      MAX_BLOCK_MS,
      'ms',
    ),
  ),
);
