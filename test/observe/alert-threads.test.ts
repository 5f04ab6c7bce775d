import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { refuse } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeConfig, acmeEnv } from '../manager/acme.js';
import { watched } from './alert-receiver.js';

const soon = { timeout: 15_000, interval: 10 };

describe('a watch', () => {
  it('keeps no process alive', async () => {
    const program = fileURLToPath(new URL('./members/leaving.mjs', import.meta.url));
    // Rejects where the program does not end by itself.
    const { stdout } = await promisify(execFile)(process.execPath, [program], { timeout: 20_000 });
    expect(stdout).toBe('done');
  });
});

describe('the threads of a process', () => {
  it('tell the one that watches what happens in them', async () => {
    const simulator = await startSimulator({
      keys: { 'key-one': { always: refuse('rejected') }, 'key-two': {} },
      auth: { in: 'header', name: 'x-api-key' },
    });
    onTestFinished(() => simulator.close());
    const { log } = watched({ alerts: [{ when: 'failover', above: 0, log: true }] });
    const worker = new Worker(new URL('./members/relaying.mjs', import.meta.url), {
      workerData: {
        env: acmeEnv(['key-one', 'key-two']),
        cwd: '/nonexistent',
        config: { ...acmeConfig({ baseUrl: simulator.origin }), store: { type: 'memory' } },
      },
    });
    onTestFinished(() => worker.terminate().then(() => {}));
    expect((await once(worker, 'message'))[0]).toBe(200);
    expect(simulator.requests.map(({ status }) => status)).toEqual([401, 200]);
    await expect
      .poll(() => log, soon)
      .toEqual([
        expect.stringContaining('Alert failover raised: 1 request of acme had to go on with another key'),
      ]);
    worker.postMessage('end');
    // Neither the relay nor its channel keeps the thread alive.
    expect((await once(worker, 'exit'))[0]).toBe(0);
  });
});
