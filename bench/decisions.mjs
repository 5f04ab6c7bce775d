// What remembering decisions adds to a request: a whole attempt (selection, permit, outcome) with and without it.
import { createKeyManager, createMemoryStore } from '../dist/index.js';
import { compareBatches, difference, figure, median, paired, publish, row } from './measurements.mjs';

const OPERATIONS = 20_000;
const KEYS = 8;
/** A tenth of what interception may add to a request. */
const MAX_ADDED_NS = 2_000;
const SUCCESS = { kind: 'success', scope: 'request', executed: 'yes' };

async function managerWith(decisions) {
  const manager = createKeyManager({
    decisions,
    env: { ACME_API_KEYS: Array.from({ length: KEYS }, (_, index) => `bench-key-${index}`).join(',') },
    cwd: '/nonexistent',
    config: { providers: { acme: { baseUrl: 'http://127.0.0.1:9', env: ['ACME_API_KEY'] } } },
    store: createMemoryStore({ now: () => performance.timeOrigin + performance.now() }),
  });
  await manager.ready;
  return manager;
}

/** Attempts of one manager; each variant gets a loop of its own. */
function batchOf(manager) {
  const pool = manager.poolOf('acme');
  const facts = { method: 'GET', path: '/x', hasIdempotencyKey: false, canReplay: () => true };
  const run = new Function(
    'manager, pool, facts, SUCCESS',
    `for (let n = 0; n < ${OPERATIONS}; n += 1) {
      const exchange = manager.exchange(pool, facts);
      const lease = exchange.first();
      exchange.afterOutcome(lease, SUCCESS);
      lease.end();
    }`,
  );
  return () => run(manager, pool, facts, SUCCESS);
}

const without = await managerWith(0);
const remembering = await managerWith(1_000);
const samples = await compareBatches(
  { without: batchOf(without), remembering: batchOf(remembering) },
  { operations: OPERATIONS },
);
await Promise.all([without.shutdown(), remembering.shutdown()]);
if (remembering.decisions({ last: 1 }).length === 0) throw new Error('nothing was remembered');
if (without.decisions({ last: 1 }).length > 0) throw new Error('something was remembered');
const added = paired(samples.remembering, samples.without, difference);
publish(
  'decisions',
  {
    [`an attempt, ${KEYS} keys, memory store`]: [
      row('without decisions', 'ns', samples.without),
      row('the latest 1,000 remembered', 'ns', samples.remembering, samples.without),
      row('difference', 'ns', added),
    ],
  },
  [figure('remembering the decision of an attempt', median(added), MAX_ADDED_NS, 'ns')],
);
