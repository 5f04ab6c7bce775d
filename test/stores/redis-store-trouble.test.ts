import { describe, expect, it } from 'vitest';
import { KeymuxError } from '#keymux/core/errors.js';
import type { HealthRecord } from '#keymux/core/ports.js';
import { Silence } from '#keymux/core/silence.js';
import { RedisReplyError, hrtimeMs } from '#keymux/stores/redis/client.js';
import type { RedisClient } from '#keymux/stores/redis/client.js';
import { createRedisStore } from '#keymux/stores/redis/store.js';
import { patiently } from '#keymux/stores/redis/patience.js';
import { explain } from '#keymux/stores/redis/trouble.js';
import {
  codeOf,
  command,
  dailyRequest,
  makeStore,
  openStore,
  resting,
  serverOfTest,
} from './redis-store-fixture.js';

const IMPATIENT = { patienceMs: 40 };
const UNAVAILABLE = 'KEYMUX_STORE_UNAVAILABLE';

describe('a Redis store whose server cannot be used', () => {
  it.for(['refused', 'frozen'])(
    'opens with nothing where it is %s at the start, and tells later',
    async (how) => {
      const server = await serverOfTest();
      const { store: before } = await openStore({ url: server.url });
      await before.publish([resting('key:a')]);
      await before.close();
      if (how === 'refused') await server.kill();
      else server.pause();
      const { store, notices } = makeStore({ url: server.url });
      expect(await store.open()).toEqual({ records: [], usage: [] });
      await expect
        .poll(() => notices, { timeout: 10_000 })
        .toMatchObject([{ kind: 'degraded', message: expect.stringContaining(server.url) }]);
      const seen: HealthRecord[] = [];
      store.watch((records) => seen.push(...records));
      if (how === 'refused') {
        await server.restart({ keepData: false });
        const { store: other } = await openStore({ url: server.url });
        await other.publish([resting('key:a')]);
      } else {
        server.resume();
      }
      await expect.poll(() => seen, { timeout: 10_000 }).toEqual([resting('key:a')]);
      await expect
        .poll(() => notices.map(({ kind }) => kind), { timeout: 10_000 })
        .toEqual(['degraded', 'recovered']);
    },
  );

  it('tells once that it was killed, refuses at once, and goes on when it is back', async () => {
    const server = await serverOfTest();
    const { store, notices } = await openStore({ url: server.url });
    await server.kill();
    await expect.poll(() => codeOf(() => store.lease(dailyRequest(10, 1)))).toBe(UNAVAILABLE);
    for (let call = 0; call < 3; call += 1) {
      expect(await codeOf(() => store.publish([resting('key:a')]))).toBe(UNAVAILABLE);
    }
    expect(notices.map(({ kind }) => kind)).toEqual(['degraded']);
    await server.restart({ keepData: false });
    await expect
      .poll(() => notices.map(({ kind }) => kind), { timeout: 10_000 })
      .toEqual(['degraded', 'recovered']);
    expect(await store.publish([resting('key:a')])).toEqual([resting('key:a')]);
  });

  it('gives a lease up when nothing is heard, and returns it when it was granted all the same', async () => {
    const server = await serverOfTest();
    const { store, notices } = await openStore({ url: server.url }, IMPATIENT);
    await store.lease(dailyRequest(10, 1));
    server.pause();
    expect(await codeOf(() => store.lease(dailyRequest(10, 9)))).toBe(UNAVAILABLE);
    expect(notices).toEqual([]);
    server.resume();
    const { store: other } = await openStore({ url: server.url });
    await expect.poll(async () => (await other.lease(dailyRequest(10, 0))).left, { timeout: 10_000 }).toBe(9);
    expect((await other.census()).leases).toEqual([{ bucket: 'p/b', permits: 1, leases: 1 }]);
  });

  it('returns a lease whose answer was lost with the connection', async () => {
    const server = await serverOfTest();
    const { store, notices } = await openStore({ url: server.url }, IMPATIENT);
    await store.lease(dailyRequest(10, 1));
    server.pause();
    const asked = codeOf(() => store.lease(dailyRequest(10, 9)));
    expect(await asked).toBe(UNAVAILABLE);
    // The client gives the connection up after longer silence, and connects anew.
    await expect.poll(() => codeOf(() => store.census()), { timeout: 10_000 }).toBe(UNAVAILABLE);
    await expect.poll(() => codeOf(() => store.census()), { timeout: 10_000 }).toBe(UNAVAILABLE);
    server.resume();
    await expect.poll(() => notices.map(({ kind }) => kind), { timeout: 15_000 }).toContain('recovered');
    await expect.poll(async () => (await store.lease(dailyRequest(10, 0))).left, { timeout: 10_000 }).toBe(9);
  });

  it.for([
    {
      what: 'out of memory',
      begin: [['CONFIG', 'SET', 'maxmemory', '1']],
      end: [['CONFIG', 'SET', 'maxmemory', '0']],
    },
    {
      what: 'a replica',
      begin: [['REPLICAOF', '127.0.0.1', '1']],
      end: [['REPLICAOF', 'NO', 'ONE']],
    },
  ])('says that the server is $what, and mends', async ({ what, begin, end }) => {
    const { url } = await serverOfTest();
    const { store, notices } = await openStore({ url });
    for (const words of begin) await command(url, ...words);
    await expect.poll(() => codeOf(() => store.publish([resting('key:a')]))).toBe(UNAVAILABLE);
    expect(await codeOf(() => store.lease(dailyRequest(10, 1)))).toBe(UNAVAILABLE);
    expect(notices).toMatchObject([{ kind: 'degraded', message: expect.stringContaining(what) }]);
    for (const words of end) await command(url, ...words);
    await expect
      .poll(() => notices.map(({ kind }) => kind), { timeout: 10_000 })
      .toEqual(['degraded', 'recovered']);
    expect(await store.lease(dailyRequest(10, 1))).toMatchObject({ granted: 1 });
  });

  it('says so where a password is missing or wrong, and repeats none', async () => {
    const { url } = await serverOfTest({ args: ['--requirepass', 'sesame-open'] });
    const login = url.replace('//', '//:wrong-words@');
    for (const address of [url, login]) {
      const { store, notices } = makeStore({ url: address });
      expect(await store.open()).toEqual({ records: [], usage: [] });
      expect(notices).toMatchObject([{ kind: 'degraded' }]);
      expect(JSON.stringify(notices)).toMatch(/login|password/);
      expect(JSON.stringify(notices)).not.toMatch(/wrong-words|sesame/);
      await store.close();
    }
  });

  it('ends its attempts when it is closed', async () => {
    const server = await serverOfTest();
    await server.kill();
    const { store, notices } = makeStore({ url: server.url });
    await store.open();
    await store.close();
    expect(notices.map(({ kind }) => kind)).toEqual(['degraded']);
    expect(await codeOf(() => store.census())).toBe('KEYMUX_CLOSED');
  });

  it('passes on that the client cannot be used at all', async () => {
    const wrong = new KeymuxError('KEYMUX_CONFIG_INVALID', 'no such file', { fix: 'none' });
    const client = { address: 'redis://x', connect: () => Promise.reject(wrong), close: async () => {} };
    const store = createRedisStore({
      client: client as unknown as RedisClient,
      now: Date.now,
      onNotice: () => {},
    });
    await expect(store.open()).rejects.toBe(wrong);
    await store.close();
  });
});

describe('explain', () => {
  it.for([
    ['LOADING Redis is loading the dataset in memory', /loading/],
    ['CLUSTERDOWN The cluster is down', /cluster is down/],
    ['MASTERDOWN Link with MASTER is down', /without its master/],
    ['NOPERM this user has no permissions', /may not/],
    ['NOAUTH Authentication required.', /login/],
    ['ERR something new', /something new/],
  ] as const)('puts "%s" into words', ([message, words]) => {
    const { problem, fix } = explain(new RedisReplyError(message));
    expect(problem).toMatch(words);
    expect(fix).not.toBe('');
  });

  it('has words for what is no answer, too', () => {
    expect(explain('odd').problem).toBe('odd');
    expect(explain(new Error('read ECONNRESET.')).problem).toBe('read ECONNRESET');
  });
});

describe('patiently', () => {
  const later = <T>(ms: number, value: T): Promise<T> =>
    new Promise((resolve) => setTimeout(() => resolve(value), ms));

  it('waits on while the server is heard', async () => {
    const heardUntilMs = hrtimeMs() + 150;
    const heard = (): number => Math.min(hrtimeMs(), heardUntilMs);
    expect(await patiently(later(180, 'late'), heard, 40)).toBe('late');
  });

  it('gives up when it is not heard any more', async () => {
    const sinceMs = hrtimeMs();
    const heard = (): number => Math.min(hrtimeMs(), sinceMs + 100);
    await expect(patiently(later(5_000, 'late'), heard, 40)).rejects.toBeInstanceOf(Silence);
    expect(hrtimeMs() - sinceMs).toBeGreaterThanOrEqual(135);
  });

  it('passes on what the answer was refused with', async () => {
    const wrong = new Error('wrong');
    await expect(patiently(Promise.reject(wrong), () => 0, 40)).rejects.toBe(wrong);
  });
});
