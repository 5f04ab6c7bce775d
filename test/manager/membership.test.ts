import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Fence } from '#keymux/core/fleet.js';
import type { KeyManagerOptions } from '#keymux/manager/options.js';
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import type { FaultyStore } from '#keymux/testing/faulty-store.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeManager, memoryStore } from './acme.js';

const quiet = { warn: () => {}, info: () => {} };
const soon = { timeout: 10_000, interval: 10 };

function memberOf(store: FaultyStore, requests = 10, options: KeyManagerOptions = {}) {
  return acmeManager({
    keys: ['key-one'],
    provider: { limits: [{ requests, per: 'minute' }] },
    options: { store, logger: quiet, ...options },
  });
}

/** Managers of one thread, as so many processes: each has a table of its own. */
async function fleetOf(size: number, requests = 10) {
  const inner = memoryStore();
  const faulty = Array.from({ length: size }, () => faultyStore(inner, { shared: true, leavesOpen: true }));
  const managers = faulty.map((store) => memberOf(store, requests));
  for (const manager of managers) await manager.ready;
  return { inner, faulty, managers };
}

describe('a member of a fleet', () => {
  it('says that it is there, knows the others, and takes its leave', async () => {
    const { inner, managers, faulty } = await fleetOf(3);
    await expect.poll(() => managers.map(({ membership }) => membership.place.size), soon).toEqual([3, 3, 3]);
    expect(managers.map(({ membership }) => membership.place.rank).sort()).toEqual([0, 1, 2]);
    expect(managers[0]!.membership.standing).toBe('sharing');
    expect(new Set(managers.map(({ membership }) => membership.memberId)).size).toBe(3);
    expect(faulty[0]!.asked.beat[0]).toMatchObject({ pid: process.pid, isReturning: false, remembered: 0 });
    await managers[0]!.shutdown();
    const { members } = await inner.census();
    expect(members.map(({ memberId }) => memberId)).toEqual([
      managers[1]!.membership.memberId,
      managers[2]!.membership.memberId,
    ]);
  });

  it('is told when it begins to lead and when it does so no longer', async () => {
    const { managers } = await fleetOf(2);
    const told: (Fence | undefined)[][] = managers.map(() => []);
    const forget = managers.map(({ membership }, index) =>
      membership.onLeadership((fence) => told[index]!.push(fence)),
    );
    for (const { membership } of managers) membership.setGroup('keys of two');
    await expect.poll(() => told.flat().length, soon).toBe(1);
    const first = told[0]!.length === 1 ? 0 : 1;
    const [leader, other] = first === 0 ? managers : managers.toReversed();
    expect(leader!.membership.fence).toEqual(told[first]![0]);
    await expect.poll(() => other!.membership.leadership?.memberId, soon).toBe(leader!.membership.memberId);
    expect(other!.membership.fence).toBeUndefined();
    leader!.membership.setGroup(undefined);
    expect(told[first]).toEqual([expect.objectContaining({ group: 'keys of two' }), undefined]);
    await expect.poll(() => other!.membership.fence?.group, soon).toBe('keys of two');
    for (const each of forget) each();
  });

  it('is alone while the store is lost, and told of once', async () => {
    const store = faultyStore(memoryStore(), { shared: true });
    const manager = memberOf(store);
    await manager.ready;
    const told: string[] = [];
    for (const name of ['degraded', 'restored'] as const) manager.on(name, () => told.push(name));
    store.fail({ operation: ['lease', 'beat'], from: 'onwards' });
    for (let i = 0; i < 3; i += 1) (await manager.acquire('acme')).end();
    expect(manager.membership.standing).toBe('alone');
    expect(manager.membership.lostSince).toBeDefined();
    expect(store.asked.lease.filter(({ want }) => want > 0)).toHaveLength(1);
    const beats = store.asked.beat.length;
    await expect.poll(() => store.asked.beat.length, soon).toBeGreaterThan(beats + 1);
    expect(told).toEqual(['degraded']);
    store.mend();
    await expect.poll(() => manager.membership.standing, soon).toBe('sharing');
    expect(store.asked.beat.findLast(({ isReturning }) => isReturning)).toMatchObject({ remembered: 1 });
    expect(store.asked.charge.flat().reduce((sum, { permits }) => sum + permits, 0)).toBe(3);
    expect(told).toEqual(['degraded', 'restored']);
  });

  it('lets requests go on that waited for the store', async () => {
    const store = faultyStore(memoryStore(), { shared: true });
    const manager = memberOf(store, 10, {
      config: {
        store: { type: 'sqlite', path: '/nonexistent/never-opened.db', whenLost: 'stop' },
        providers: {
          acme: {
            baseUrl: 'http://127.0.0.1:9',
            env: ['ACME_API_KEY'],
            limits: [{ requests: 9, per: 'minute' }],
          },
        },
      },
    });
    await manager.ready;
    store.fail({ operation: ['lease', 'beat'], from: 'onwards' });
    const waiting = manager.acquire('acme', { timeoutMs: 20_000 });
    await expect.poll(() => manager.membership.standing, soon).toBe('alone');
    store.mend();
    (await waiting).end();
  });

  it('joins later where the store did not open at first', async () => {
    const store = faultyStore(memoryStore(), { shared: true });
    store.fail({ operation: 'open', from: 'onwards', how: 'rejects' });
    const manager = memberOf(store);
    await manager.ready;
    expect(manager.membership.standing).toBe('alone');
    manager.disable('acme/main');
    await expect.poll(() => store.failed.length, soon).toBeGreaterThanOrEqual(3);
    store.mend();
    await expect.poll(() => manager.membership.standing, soon).toBe('sharing');
    await expect.poll(() => store.asked.publish.length, soon).toBe(1);
    await expect.poll(() => manager.membership.place.size, soon).toBe(1);
  });

  it('is no member where it only looks on', async () => {
    const store = faultyStore(memoryStore(), { shared: true });
    const manager = acmeManager({
      keys: ['key-one'],
      options: { store, logger: quiet },
      seams: { observer: true },
    });
    await manager.ready;
    store.fail({ operation: 'publish' });
    manager.disable('acme/main');
    await expect.poll(() => store.asked.publish.length, soon).toBe(2);
    expect(store.asked.beat).toEqual([]);
  });

  it('is the process, also where only a worker thread of it uses keymux', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'keymux-worker-only-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const dist = new URL('../../dist/', import.meta.url).href;
    const program = `
      import { Worker } from 'node:worker_threads';
      const code = \`
        import { MinimalMultiKeyManager } from '${dist}index.js';
        const manager = MinimalMultiKeyManager.instance();
        await manager.ready;
        setInterval(() => {
          const { state } = manager.inspect().keys[0];
          if (state === 'disabled') process.stdout.write('heard\\\\n', () => process.exit());
        }, 20);
      \`;
      new Worker(new URL('data:text/javascript,' + encodeURIComponent(code)));`;
    const child = spawn(
      process.execPath,
      ['--import', `${dist}register.js`, '--input-type=module', '-e', program],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        cwd: directory,
        env: { ...process.env, KEYMUX_STATE_DIR: directory, FINNHUB_API_KEY: 'c1a2n3a4r5y6z7' },
      },
    );
    const closed = once(child, 'close');
    onTestFinished(async () => {
      child.kill('SIGKILL');
      await closed;
    });
    const now = (): number => performance.timeOrigin + performance.now();
    const store = createSqliteStore({ directory, now, onNotice: () => {} });
    onTestFinished(() => store.close());
    const seen = async () => {
      await store.open();
      return (await store.census()).members;
    };
    await expect.poll(async () => (await seen()).map(({ pid }) => pid), soon).toEqual([child.pid]);
    const [before] = await seen();
    await expect.poll(async () => (await seen())[0]?.seenAt, soon).toBeGreaterThan(before!.seenAt);
  });
});
