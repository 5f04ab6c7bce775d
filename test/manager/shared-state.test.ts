import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { UsageTotal } from '#keymux/core/ports.js';
import type { Snapshot } from '#keymux/manager/inspection.js';
import { describe, expect, it, onTestFinished } from 'vitest';

function stateDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'keymux-shared-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A manager in a process of its own. */
async function startOperator(directory: string) {
  const member = fileURLToPath(new URL('./members/operator.mjs', import.meta.url));
  const child = spawn(process.execPath, [member], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, KEYMUX_STATE_DIR: directory },
  });
  const closed = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<unknown> => JSON.parse(((await lines.next()) as { value: string }).value);
  expect(await answer()).toBe('ready');
  const call = (method: string, ...args: unknown[]): Promise<unknown> => {
    child.stdin.write(`${JSON.stringify([method, ...args])}\n`);
    return answer();
  };
  return {
    call,
    states: async () => ((await call('inspect')) as Snapshot).keys.map(({ state }) => state),
    closed,
  };
}

const soon = { timeout: 5_000, interval: 10 };

describe('two processes over one SQLite file', () => {
  it('share cooldowns, what people decide, and usage', async () => {
    const directory = stateDirectory();
    const [one, two] = await Promise.all([startOperator(directory), startOperator(directory)]);
    await one.call('report', 'acme/main', {
      kind: 'rate-limited',
      scope: 'key',
      executed: 'no',
      retryAt: Date.now() + 900_000,
    });
    await expect.poll(() => two.states(), soon).toEqual(['resting', 'unproven']);
    await two.call('disable', 'acme/2');
    await expect.poll(() => one.states(), soon).toEqual(['resting', 'disabled']);
    await two.call('reset', 'acme/main');
    await expect.poll(() => one.states(), soon).toEqual(['unproven', 'disabled']);
    await one.call('enable', 'acme/2');
    await expect.poll(() => two.states(), soon).toEqual(['unproven', 'unproven']);

    for (let i = 0; i < 3; i++) await one.call('report', 'acme/main', 'success', { costUsd: 0.5 });
    await two.call('report', 'acme/main', 'success', { costUsd: 0.25 });
    await expect
      .poll(async () => (await two.call('usage')) as UsageTotal[], soon)
      .toMatchObject([{ requests: 5, failures: 1, costUsd: 1.75 }]);
    await one.call('shutdown');
    expect(await one.closed).toEqual([0, null]);
    expect(await two.states()).toEqual(['ready', 'unproven']);
  });
});

describe('a worker thread', () => {
  it('shares the table of its process, sees what the others do, and is counted once', async () => {
    const directory = stateDirectory();
    const dist = new URL('../../dist/', import.meta.url).href;
    const program = `
      import { once } from 'node:events';
      import { Worker } from 'node:worker_threads';
      import { MinimalMultiKeyManager } from '${dist}interceptors/process-manager.js';
      const manager = MinimalMultiKeyManager.instance();
      await manager.ready;
      manager.report('finnhub/main', 'success');
      const code = \`
        import { parentPort } from 'node:worker_threads';
        import { MinimalMultiKeyManager } from '${dist}interceptors/process-manager.js';
        const manager = MinimalMultiKeyManager.instance();
        await manager.ready;
        const lease = await manager.acquire('finnhub');
        lease.report({ kind: 'success', scope: 'request', executed: 'yes' });
        lease.end();
        manager.report('finnhub/main', 'success', { costUsd: 2 });
        manager.disable('finnhub/2');
        parentPort.postMessage(manager.inspect().keys.map(({ uses, state }) => [uses, state]));
      \`;
      const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(code)));
      const [inWorker] = await once(worker, 'message');
      const inMain = manager.inspect().keys.map(({ uses, state }) => [uses, state]);
      await once(worker, 'exit');
      let usage = [];
      while (usage[0]?.costUsd !== 2 || usage[0].requests < 3) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        usage = await manager.store.usage();
      }
      await MinimalMultiKeyManager.resetInstance();
      const again = MinimalMultiKeyManager.instance();
      await again.ready;
      const after = (await again.store.usage()).map(({ requests, costUsd }) => [requests, costUsd]);
      const states = again.inspect().keys.map(({ state }) => state);
      await MinimalMultiKeyManager.resetInstance();
      console.log(JSON.stringify({ inWorker, inMain, after, states }));`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
      cwd: directory,
      env: {
        ...process.env,
        KEYMUX_STATE_DIR: directory,
        FINNHUB_API_KEY: 'c1a2n3a4r5y6z7',
        FINNHUB_API_KEY_2: 'c2a2n3a4r5y6z7',
      },
    });
    let output = '';
    for await (const chunk of child.stdout) output += String(chunk);
    expect(JSON.parse(output)).toEqual({
      inWorker: [
        [3, 'ready'],
        [0, 'disabled'],
      ],
      inMain: [
        [3, 'ready'],
        [0, 'disabled'],
      ],
      after: [[3, 2]],
      states: ['unproven', 'disabled'],
    });
  });
});
