/** Clients that a program has already: what is taken from them, and what is left as it is. */
import { inspect } from 'node:util';
import { createClient, createCluster, createSentinel } from '@redis/client';
import { Cluster, Redis } from 'ioredis';
import type { ClusterOptions, RedisOptions } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fromIoredis } from '#keymux/stores/redis/client-ioredis.js';
import { fromNodeRedis, type NodeRedis } from '#keymux/stores/redis/client-node-redis.js';
import { administer, closedLater, COUNT, ECHO, PUBLISH } from './redis-client-fixture.js';
import { startRedis, type RedisServer } from './redis-server.js';

const LONG_MS = 10_000;
const CANARY = 'canary-77aa10';
const hooks = { onMessage: () => {}, onGap: () => {} };
const invalid = { name: 'KeymuxError', code: 'KEYMUX_CONFIG_INVALID' };

/** How replies look; the constructors want to know it exactly. */
interface Legacy {
  readonly replyMapping?: 'legacy';
}

async function aServer(...args: string[]): Promise<RedisServer> {
  const server = await startRedis({ args });
  onTestFinished(() => server.stop());
  return server;
}

function ioredis(options: RedisOptions & Legacy): Redis {
  const theirs = new Redis(options);
  theirs.on('error', () => {});
  onTestFinished(() => theirs.disconnect());
  return theirs;
}

function ioredisCluster(redisOptions: NonNullable<ClusterOptions['redisOptions']> & Legacy = {}): Cluster {
  const theirs = new Cluster(['redis://127.0.0.1:1'], { lazyConnect: true, redisOptions });
  onTestFinished(() => theirs.disconnect());
  return theirs;
}

describe('a client of ioredis that is borrowed', () => {
  it('is connected where it waits for its first command, and stays open and as it was', async () => {
    const { port } = await aServer();
    const theirs = ioredis({ port, lazyConnect: true, connectionName: 'theirs', keyPrefix: 'app:' });
    const before = { ...theirs.options };
    const listeners = (): number =>
      theirs.eventNames().reduce((sum, name) => sum + theirs.listenerCount(name), 0);
    const listenersBefore = listeners();
    const client = fromIoredis(theirs);
    await client.connect(LONG_MS);
    await client.subscribe('news', hooks);
    await client.run(ECHO, ['k'], ['a'], LONG_MS);
    await client.close();
    expect(theirs.options).toEqual(before);
    expect(theirs.mode).toBe('normal');
    expect(listeners()).toBe(listenersBefore);
    await expect(theirs.ping()).resolves.toBe('PONG');
  });

  it('keeps its own prefix of keys, which channels do not get', async () => {
    const { url, port } = await aServer();
    const client = closedLater(fromIoredis(ioredis({ port, keyPrefix: 'app:' })));
    await client.connect(LONG_MS);
    const messages: string[] = [];
    await client.subscribe('news', { onMessage: (text) => messages.push(text), onGap: () => {} });
    await client.run(COUNT, ['k'], [], LONG_MS);
    await client.run(PUBLISH, ['k'], ['news', 'x'], LONG_MS);
    await expect.poll(() => messages).toEqual(['x']);
    await expect((await administer(url))('GET', 'app:k')).resolves.toBe('1');
  });

  it.each<[RedisOptions & Legacy, string]>([
    [{ host: 'h', port: 1, db: 2, password: CANARY }, 'redis://h:1/2'],
    [{ host: 'h', tls: {} }, 'rediss://h:6379'],
    [{ path: '/run/redis.sock' }, 'unix:/run/redis.sock'],
    [
      { sentinels: [{ host: 'a' }, { port: 2 }], name: 'm', db: 1 },
      'redis+sentinel://a:26379,localhost:2/m/1',
    ],
  ])('tells where it leads: %#', (options, address) => {
    const client = fromIoredis(ioredis({ ...options, lazyConnect: true }));
    expect(client.address).toBe(address);
    expect(inspect(client, { depth: 9, showHidden: true })).not.toContain(CANARY);
  });

  it('of a cluster tells nothing before it is connected, and follows no channel yet', async () => {
    const client = closedLater(fromIoredis(ioredisCluster()));
    expect(client.address).toBe('redis+cluster://unknown');
    expect(fromIoredis(ioredisCluster({ tls: {} })).address).toBe('rediss+cluster://unknown');
    let gaps = 0;
    await client.subscribe('news', { onMessage: () => {}, onGap: () => (gaps += 1) });
    expect(gaps).toBe(0);
  });

  it('is refused where numbers come as texts', () => {
    expect(() => fromIoredis(ioredis({ lazyConnect: true, stringNumbers: true }))).toThrow(
      expect.objectContaining(invalid),
    );
    expect(() => fromIoredis(ioredisCluster({ stringNumbers: true }))).toThrow(
      expect.objectContaining(invalid),
    );
  });

  it('is connected where its user may not even ask whether the server is there', async () => {
    const { port } = await aServer('--user', 'mux', 'on', '>mine', '~*', '&*', '+@all', '-ping');
    const client = closedLater(fromIoredis(ioredis({ port, username: 'mux', password: 'mine' })));
    await client.connect(LONG_MS);
    await expect(client.run(ECHO, ['k'], ['a'], LONG_MS)).resolves.toHaveLength(5);
  });

  it('takes its password into no error', async () => {
    const { port } = await aServer('--requirepass', 'another');
    const client = closedLater(fromIoredis(ioredis({ port, password: CANARY, retryStrategy: () => 50 })));
    const outcomes = [
      await client.connect(300).catch((error: unknown) => error),
      await client.run(ECHO, ['k'], ['a'], 300).catch((error: unknown) => error),
    ];
    expect(outcomes).toMatchObject([
      { code: 'KEYMUX_STORE_UNAVAILABLE' },
      { code: 'KEYMUX_STORE_UNAVAILABLE' },
    ]);
    expect(inspect(outcomes, { depth: 9, showHidden: true })).not.toContain(CANARY);
  });
});

describe('a client of node-redis that is borrowed', () => {
  it('stays open and as it was, also where its replies are bytes and its keys have a prefix', async () => {
    const { url } = await aServer();
    const theirs = createClient({
      url,
      RESP: 2,
      keyPrefix: 'app:',
      commandOptions: { typeMapping: { 36: Buffer } },
    });
    await theirs.connect();
    onTestFinished(() => theirs.destroy());
    const events = (): number => theirs.eventNames().length;
    const eventsBefore = events();
    const client = fromNodeRedis(theirs);
    await client.connect(LONG_MS);
    const messages: unknown[] = [];
    await client.subscribe('news', { onMessage: (text) => messages.push(text), onGap: () => {} });
    await expect(client.run(ECHO, ['k'], ['a'], LONG_MS)).resolves.toEqual(['k', 'a', 7, null, ['1.5']]);
    await client.run(PUBLISH, ['k'], ['news', 'x'], LONG_MS);
    await expect.poll(() => messages).toEqual(['x']);
    await client.close();
    expect(events()).toBe(eventsBefore);
    await expect(theirs.ping()).resolves.toBeTruthy();
  });

  it.each([
    [{ url: `redis://user:${CANARY}@h:1/2` }, 'redis://h:1/2'],
    [{ url: 'rediss://h' }, 'rediss://h:6379'],
    [{}, 'redis://localhost:6379'],
    [{ socket: { path: '/run/redis.sock', tls: false as const } }, 'unix:/run/redis.sock'],
  ])('tells where it leads: %#', (options, address) => {
    const client = fromNodeRedis(createClient(options));
    expect(client.address).toBe(address);
    expect(inspect(client, { depth: 9, showHidden: true })).not.toContain(CANARY);
  });

  it('tells of the place that its library takes by default, where it was told nothing', () => {
    const theirs = { isPubSubActive: false, on: () => {}, off: () => {} } as unknown as NodeRedis;
    expect(fromNodeRedis(theirs).address).toBe('redis://localhost:6379');
  });

  it('is refused where it is for a cluster or for Sentinel', () => {
    const cluster = createCluster({ rootNodes: [] }) as unknown as NodeRedis;
    const sentinel = createSentinel({ name: 'm', sentinelRootNodes: [] }) as unknown as NodeRedis;
    for (const client of [cluster, sentinel])
      expect(() => fromNodeRedis(client)).toThrow(expect.objectContaining(invalid));
  });
});
