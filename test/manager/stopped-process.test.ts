import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeManager } from './acme.js';

const SLEEPER = fileURLToPath(new URL('./members/sleeper.mjs', import.meta.url));
const SUCCESS = { kind: 'success', scope: 'request', executed: 'yes' } as const;

/** A process that holds one permit, and this one beside it. */
async function sleeperAndManager(requests: number) {
  const directory = mkdtempSync(join(tmpdir(), 'keymux-stopped-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'state.db');
  const limits = [{ requests, perMs: 2_000 }];
  const child = spawn(process.execPath, [SLEEPER, JSON.stringify({ path, limits })], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await closed;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<unknown> => JSON.parse(((await lines.next()) as { value: string }).value);
  expect(await answer()).toBe('taken');
  child.kill('SIGSTOP');
  const now = (): number => performance.timeOrigin + performance.now();
  const store = createSqliteStore({ path, now, onNotice: () => {} });
  const manager = acmeManager({ keys: ['sleeper-key'], provider: { limits }, options: { store } });
  const goOn = (): Promise<unknown> => {
    child.kill('SIGCONT');
    child.stdin.write('\n');
    return answer();
  };
  return { manager, goOn, bucket: 'acme/main', store };
}

describe('a process that was stopped while it held a permit', () => {
  it('does not send with it when the permit has run out and went to another', async () => {
    const { manager, goOn } = await sleeperAndManager(1);
    const lease = await manager.acquire('acme', { timeoutMs: 15_000 });
    expect(await goOn()).toBe('KEYMUX_LEASE_ENDED');
    void lease.apiKey;
    lease.report(SUCCESS);
    lease.end();
  });

  it('sends with another one where there is one', async () => {
    const { manager, goOn, store, bucket } = await sleeperAndManager(2);
    const windows = [{ requests: 2, perMs: 2_000 }];
    const left = async (): Promise<number> =>
      (await store.lease({ bucket, windows, want: 0, ttlMs: 0, slackMs: 0 })).left;
    await manager.ready;
    await expect.poll(left, { timeout: 15_000, interval: 50 }).toBe(2);
    expect(await goOn()).toBe(true);
    expect(await left()).toBe(1);
  });
});
