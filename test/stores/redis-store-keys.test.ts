import { describe, expect, it } from 'vitest';
import type { Presence } from '#keymux/core/fleet.js';
import type { Store } from '#keymux/core/ports.js';
import {
  chargeOf,
  codeOf,
  command,
  dailyRequest,
  makeStore,
  openStore,
  resting,
  serverOfTest,
} from './redis-store-fixture.js';

const MEMBER: Presence = {
  memberId: 'a',
  host: 'h',
  pid: 1,
  startedAt: 0,
  ttlMs: 3_000,
  group: 'g',
  isReturning: false,
  remembered: 0,
};

/** What the user of a fleet with the prefix `fleet` must be allowed. */
const RIGHTS = [
  '~fleet:*',
  '&fleet:*',
  ...['evalsha', 'eval', 'subscribe', 'ping', 'time', 'publish', 'pexpire', 'get', 'set'],
  ...['hget', 'hset', 'hdel', 'hkeys', 'hgetall'],
  ...['zadd', 'zrem', 'zcard', 'zscore', 'zrank', 'zrange', 'zrangebyscore', 'zremrangebyscore'],
].map((word) => (/^[~&]/.test(word) ? word : `+${word}`));

/** One call of each kind. */
async function useAll(store: Store): Promise<void> {
  const grant = await store.lease(dailyRequest(10, 2));
  await store.settle([
    { bucket: 'p/b', leaseId: grant.leaseId, spent: 1, countedAt: store.now(), returned: 1 },
  ]);
  await store.charge(chargeOf(store, 1), { cautionMs: 1 });
  await store.addUsage([{ subject: 'key:a', requests: 1, failures: 0, costUsd: 0.1 }]);
  const { leader } = await store.beat(MEMBER);
  await store.publish([resting('key:a')], { group: 'g', token: leader?.token ?? 0 });
  await store.usage();
  await store.census();
  await store.open();
}

async function keysOf(url: string): Promise<string[]> {
  return (await command(url, 'KEYS', '*')) as string[];
}

describe('the keys of a Redis store', () => {
  it('all run out some time', async () => {
    const { url } = await serverOfTest();
    const { store } = await openStore({ url });
    await useAll(store);
    const keys = await keysOf(url);
    expect(keys.length).toBe(10);
    for (const key of keys) {
      const lifeMs = Number(await command(url, 'PTTL', key));
      expect(lifeMs, key).toBeGreaterThan(key.endsWith(':permits') ? 86_400_000 : 39 * 86_400_000);
      expect(lifeMs, key).toBeLessThan(41 * 86_400_000);
    }
    await store.leave('a');
    for (const key of await keysOf(url))
      expect(Number(await command(url, 'PTTL', key)), key).toBeGreaterThan(0);
  });

  it('are those of one fleet, named by the prefix', async () => {
    const { url } = await serverOfTest();
    const { store: one } = await openStore({ url, prefix: 'team-a' });
    const { store: other } = await openStore({ url, prefix: 'team-b' });
    await one.lease(dailyRequest(10, 10));
    await one.publish([resting('key:a')]);
    await one.beat(MEMBER);
    expect(await other.lease(dailyRequest(10, 10))).toMatchObject({ granted: 10 });
    expect((await other.open()).records).toEqual([]);
    expect(await other.beat({ ...MEMBER, memberId: 'b' })).toMatchObject({ size: 1 });
    for (const key of await keysOf(url)) expect(key).toMatch(/^team-[ab]:\{team-[ab][/}]/);
  });

  it.for(['', 'a b', '{a}', 'a*', 'x'.repeat(65)])('cannot begin with "%s"', (prefix) => {
    expect(() => makeStore({ url: 'redis://127.0.0.1:1', prefix })).toThrow(
      expect.objectContaining({ code: 'KEYMUX_USAGE' }),
    );
  });

  it('fit a user who may do nothing else', async () => {
    const { url } = await serverOfTest();
    await command(
      url,
      'ACL',
      'SETUSER',
      'fleet',
      'on',
      '>sesame',
      'resetkeys',
      'resetchannels',
      '-@all',
      ...RIGHTS,
    );
    const login = url.replace('//', '//fleet:sesame@');
    const { store: one, notices } = await openStore({ url: login, prefix: 'fleet' });
    const { store: other } = await openStore({ url: login, prefix: 'fleet' });
    let changes = 0;
    other.watch(() => (changes += 1));
    await useAll(one);
    await expect.poll(() => changes).toBeGreaterThan(0);
    await one.leave('a');
    expect(notices).toEqual([]);
    const { store: stranger, notices: complaints } = makeStore({ url: login, prefix: 'other' });
    await stranger.open();
    expect(await codeOf(() => stranger.lease(dailyRequest(10, 1)))).toBe('KEYMUX_STORE_UNAVAILABLE');
    expect(complaints).toMatchObject([{ message: expect.stringContaining('may not do') }]);
  });

  it('each need all of these rights', async () => {
    const { url } = await serverOfTest();
    const needless: string[] = [];
    for (const right of RIGHTS.filter((word) => word.startsWith('+'))) {
      await command(url, 'FLUSHALL');
      await command(url, 'SCRIPT', 'FLUSH');
      const others = RIGHTS.filter((word) => word !== right);
      await command(url, 'ACL', 'SETUSER', 'fleet', 'reset', 'on', '>sesame', '-@all', ...others);
      const { store, notices } = makeStore({ url: url.replace('//', '//fleet:sesame@'), prefix: 'fleet' });
      await store.open();
      const code = await codeOf(async () => {
        await useAll(store);
        await store.leave('a');
      });
      if (code === undefined && notices.length === 0) needless.push(right);
      await store.close();
    }
    // The channel is followed in the background, and its connection tried.
    expect(needless).toEqual(['+subscribe', '+ping']);
  });

  it('lie in one slot of a cluster for each call', async () => {
    const server = await serverOfTest({ args: ['--cluster-enabled', 'yes', '--cluster-port', '0'] });
    await command(server.url, 'CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    await expect
      .poll(async () => String(await command(server.url, 'CLUSTER', 'INFO')), { timeout: 10_000 })
      .toContain('cluster_state:ok');
    const { store, notices } = await openStore({ url: server.url });
    const { store: other } = await openStore({ url: server.url });
    let changes = 0;
    other.watch(() => (changes += 1));
    await useAll(store);
    await expect.poll(() => changes).toBeGreaterThan(0);
    expect(notices).toEqual([]);
  });
});
