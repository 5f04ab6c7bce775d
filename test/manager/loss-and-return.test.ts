/** Several managers over one real store that goes away and comes back; a counter of our own judges. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Store, StoreNotice } from '#keymux/core/ports.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { createRedisStore } from '#keymux/stores/redis/store.js';
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';

import { maxInAnyWindow } from '#keymux/testing/rolling-window.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../stores/redis-server.js';
import { connectTo, temporaryDirectory } from '../stores/sqlite-fixture.js';
import { acmeConfig, acmeEnv } from './acme.js';

const MEMBERS = 3;
const LIMIT = { requests: 12, perMs: 1_500 };
/** Where it cannot be known whether a permit was spent, it comes back after 30 s. */
const soon = { timeout: 45_000, interval: 10 };
const now = (): number => performance.timeOrigin + performance.now();

type Making = (onNotice: (notice: StoreNotice) => void) => Store;

async function membersOf(make: Making, whenLost: 'share' | 'stop' = 'share') {
  const told: string[] = [];
  const managers = Array.from({ length: MEMBERS }, () => {
    const manager: KeyManager = new KeyManager({
      env: acmeEnv(['key-one']),
      cwd: '/nonexistent',
      config: {
        ...acmeConfig({ provider: { limits: [LIMIT] } }),
        store: { type: 'sqlite', path: '/nonexistent/never-opened.db', whenLost },
      },
      logger: { warn: () => {}, info: () => {} },
      store: make(() => {}),
      drainMs: 0,
    });
    for (const name of ['degraded', 'restored'] as const) manager.on(name, () => told.push(name));
    return manager;
  });
  onTestFinished(async () => {
    await Promise.all(managers.map((manager) => manager.shutdown()));
  });
  await Promise.all(managers.map((manager) => manager.ready));
  await expect.poll(() => managers.map(({ membership }) => membership.place.size), soon).toEqual([3, 3, 3]);
  return { managers, told, spending: spendOn(managers) };
}

/** All spend whatever they get, from now on. */
function spendOn(managers: readonly KeyManager[]) {
  const spentAt: number[] = [];
  const end = new AbortController();
  const askers = managers.map(async (manager) => {
    while (!end.signal.aborted) {
      const lease = await manager.acquire('acme', { signal: end.signal, timeoutMs: 60_000 });
      lease.sent();
      spentAt.push(performance.now());
      lease.report({ kind: 'success', scope: 'request', executed: 'yes' });
      lease.end();
    }
  });
  const over = Promise.allSettled(askers);
  const stop = async (): Promise<readonly number[]> => {
    end.abort();
    await over;
    return spentAt;
  };
  onTestFinished(() => void end.abort());
  return { spentAt, stop };
}

async function moreOf(spentAt: readonly number[], more: number): Promise<void> {
  const before = spentAt.length;
  await expect.poll(() => spentAt.length, soon).toBeGreaterThan(before + more);
}

const standings = (managers: readonly KeyManager[]) => managers.map(({ membership }) => membership.standing);
const ALONE = ['alone', 'alone', 'alone'];
const SHARING = ['sharing', 'sharing', 'sharing'];

function sqliteIn(directory: string): Making {
  return (onNotice) => createSqliteStore({ directory, now, onNotice });
}

describe('members over one SQLite file', () => {
  it('keep to the limit while it is locked for long, and after', { timeout: 120_000 }, async () => {
    const directory = temporaryDirectory();
    const { managers, told, spending } = await membersOf(sqliteIn(directory));
    await moreOf(spending.spentAt, LIMIT.requests);
    const lock = connectTo(join(directory, 'state.db'));
    lock.exec('BEGIN IMMEDIATE');
    await expect.poll(() => standings(managers), soon).toEqual(ALONE);
    await moreOf(spending.spentAt, LIMIT.requests);
    lock.exec('ROLLBACK');
    await expect.poll(() => standings(managers), soon).toEqual(SHARING);
    await moreOf(spending.spentAt, LIMIT.requests);
    expect(maxInAnyWindow(await spending.stop(), LIMIT.perMs)).toBeLessThanOrEqual(LIMIT.requests);
    expect(told.toSorted()).toEqual([...ALONE.map(() => 'degraded'), ...ALONE.map(() => 'restored')]);
  });

  it('keep to the limit when it is deleted, and in a new one', { timeout: 120_000 }, async () => {
    const directory = temporaryDirectory();
    const { managers, spending } = await membersOf(sqliteIn(directory));
    await moreOf(spending.spentAt, LIMIT.requests);
    for (const end of ['', '-wal', '-shm']) rmSync(join(directory, `state.db${end}`), { force: true });
    await moreOf(spending.spentAt, 2 * LIMIT.requests);
    await expect.poll(() => standings(managers), soon).toEqual(SHARING);
    expect(maxInAnyWindow(await spending.stop(), LIMIT.perMs)).toBeLessThanOrEqual(LIMIT.requests);
  });
});

describe('members over one Redis', () => {
  async function start(whenLost: 'share' | 'stop' = 'share') {
    const redis = await startRedis();
    onTestFinished(() => redis.stop());
    const fleet = await membersOf(
      (onNotice) => createRedisStore({ url: redis.url, now, onNotice }),
      whenLost,
    );
    await moreOf(fleet.spending.spentAt, LIMIT.requests);
    return { redis, ...fleet };
  }

  it('keep to the limit while it is frozen, and after', { timeout: 120_000 }, async () => {
    const { redis, managers, spending } = await start();
    redis.pause();
    await expect.poll(() => standings(managers), soon).toEqual(ALONE);
    await moreOf(spending.spentAt, LIMIT.requests);
    redis.resume();
    await expect.poll(() => standings(managers), soon).toEqual(SHARING);
    await moreOf(spending.spentAt, LIMIT.requests);
    expect(maxInAnyWindow(await spending.stop(), LIMIT.perMs)).toBeLessThanOrEqual(LIMIT.requests);
  });

  it(
    'keep to the limit when it is killed, and when it has forgotten everything',
    { timeout: 120_000 },
    async () => {
      const { redis, managers, spending } = await start();
      await redis.kill();
      await expect.poll(() => standings(managers), soon).toEqual(ALONE);
      await moreOf(spending.spentAt, LIMIT.requests);
      await redis.restart({ keepData: false });
      await expect.poll(() => standings(managers), soon).toEqual(SHARING);
      await moreOf(spending.spentAt, LIMIT.requests);
      expect(maxInAnyWindow(await spending.stop(), LIMIT.perMs)).toBeLessThanOrEqual(LIMIT.requests);
    },
  );

  it(
    'spend nothing without a lease where they are told to stop, also while it is met with caution',
    { timeout: 120_000 },
    async () => {
      const { redis, managers, spending } = await start('stop');
      await redis.kill();
      await expect.poll(() => standings(managers), soon).toEqual(ALONE);
      const spentThen = spending.spentAt.length;
      await redis.restart({ keepData: false });
      await expect.poll(() => standings(managers), soon).toContain('returning');
      expect(spending.spentAt.length).toBe(spentThen);
      await expect.poll(() => standings(managers), soon).toEqual(SHARING);
      await moreOf(spending.spentAt, 1);
      expect(maxInAnyWindow(await spending.stop(), LIMIT.perMs)).toBeLessThanOrEqual(LIMIT.requests);
    },
  );
});
