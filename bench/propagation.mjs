// A cooldown that one process reports, until another process that shares the SQLite file no longer hands the key out.
// Both read the clock of the machine.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createKeyManager } from '../dist/index.js';
import { delay, figure, percentile, publish, row } from './measurements.mjs';

const TRIALS = 200;
const MAX_P99_MS = 50;
/** The watching process looks this often. Milliseconds; included in what is measured. */
const LOOK_EVERY_MS = 1;
const FIRST = 'bench/main';

function managerOn(path) {
  return createKeyManager({
    env: { BENCH_API_KEY: 'bench-key-one', BENCH_API_KEY_2: 'bench-key-two' },
    config: {
      store: { type: 'sqlite', path },
      providers: { bench: { baseUrl: 'http://127.0.0.1:9100', env: ['BENCH_API_KEY'] } },
    },
  });
}

/** Tells the parent each time that another key is the best one. */
async function watch(path) {
  const manager = managerOn(path);
  await manager.ready;
  let best = manager.resolve('bench').keyId;
  process.send({ best });
  const timer = setInterval(() => {
    const { keyId } = manager.resolve('bench');
    if (keyId === best) return;
    best = keyId;
    process.send({ best, at: String(process.hrtime.bigint()) });
  }, LOOK_EVERY_MS);
  process.once('message', async () => {
    clearInterval(timer);
    await manager.shutdown();
    process.disconnect();
  });
}

async function measure() {
  const scratch = mkdtempSync(join(tmpdir(), 'keymux-bench-'));
  const path = join(scratch, 'state.db');
  const manager = managerOn(path);
  await manager.ready;
  const watcher = fork(fileURLToPath(import.meta.url), [path]);
  await once(watcher, 'message');

  async function latencyOf(change) {
    const startedAt = process.hrtime.bigint();
    change();
    const [{ at }] = await once(watcher, 'message');
    return Number(BigInt(at) - startedAt) / 1e6;
  }

  const samples = { cooldown: [], recovery: [] };
  for (let trial = 0; trial < TRIALS; trial += 1) {
    const retryAt = manager.now() + 600_000;
    samples.cooldown.push(
      await latencyOf(() =>
        manager.report(FIRST, { kind: 'rate-limited', scope: 'key', executed: 'no', retryAt }),
      ),
    );
    await delay(Math.random() * 30); // otherwise every change would fall on the same phase of the watcher
    samples.recovery.push(await latencyOf(() => manager.reset(FIRST)));
    await delay(Math.random() * 30);
  }
  watcher.send('done');
  await once(watcher, 'exit');
  await manager.shutdown();
  rmSync(scratch, { recursive: true, force: true });
  return samples;
}

if (process.send !== undefined && process.argv[2] !== undefined) {
  await watch(process.argv[2]);
} else {
  const { cooldown, recovery } = await measure();
  publish(
    'propagation',
    {
      'from one process to another over SQLite': [
        row('cooldown', 'ms', cooldown),
        row('recovery', 'ms', recovery),
      ],
    },
    [figure('a cooldown reaches another process, p99', percentile(cooldown, 0.99), MAX_P99_MS, 'ms')],
  );
}
