import { Cluster } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { fromIoredis } from '#keymux/stores/redis/client-ioredis.js';
import { createRedisClient } from '#keymux/stores/redis/client-node-redis.js';
import { redirectOf, slotOf, slotRanges } from '#keymux/stores/redis/client-slots.js';
import { hrtimeMs, RedisReplyError, type RedisClient } from '#keymux/stores/redis/client.js';
import { closedLater, COUNT, ECHO, PUBLISH } from './redis-client-fixture.js';
import { startCluster, type TestCluster } from './redis-cluster-fixture.js';
import { startRedis } from './redis-server.js';

const LONG_MS = 10_000;
const PATIENCE = { timeout: 60_000 };
const unavailable = { code: 'KEYMUX_STORE_UNAVAILABLE' };

const adapters = [
  { name: 'createRedisClient', create: (url: string) => createRedisClient(url), isOurs: true },
  {
    name: 'fromIoredis',
    create: (url: string) => {
      const hosts = url.replace('redis+cluster://', '').split(',');
      const nodes = hosts.map((host) => ({ host: '127.0.0.1', port: Number(host.split(':')[1]) }));
      const theirs = new Cluster(nodes, {
        clusterRetryStrategy: () => 100,
        redisOptions: { connectTimeout: 1_000 },
      });
      theirs.on('error', () => {});
      onTestFinished(() => theirs.disconnect());
      return fromIoredis(theirs);
    },
    isOurs: false,
  },
];

describe.each(adapters)('a client of $name for a cluster', ({ create, isOurs }) => {
  let cluster: TestCluster;
  beforeAll(async () => void (cluster = await startCluster()), 120_000);
  afterAll(() => cluster.stop());

  async function connected(): Promise<RedisClient> {
    const client = closedLater(create(cluster.url));
    await client.connect(LONG_MS);
    return client;
  }

  it('runs scripts on the node of the key, also where that node alone has forgotten them', async () => {
    const client = await connected();
    for (const _ of ['first', 'second']) {
      for (const master of [0, 1, 2]) {
        const key = cluster.keyOf(master);
        await expect(client.run(ECHO, [key], ['a'], LONG_MS)).resolves.toEqual([key, 'a', 7, null, ['1.5']]);
      }
      await cluster.masters[1].send('SCRIPT', 'FLUSH');
    }
    expect(client.address).toMatch(/^redis\+cluster:\/\/127\.0\.0\.1:\d+,/);
    expect(hrtimeMs() - client.lastHeardMs).toBeLessThan(LONG_MS);
  });

  if (isOurs)
    it('computes slots as the server does', async () => {
      for (const key of ['123456789', 'a{tag}b', '{tag}{other}', 'a{}{tag}', 'a{tag', 'a}b{tag}', '{ä}', ''])
        await expect(cluster.masters[1].send('CLUSTER', 'KEYSLOT', key)).resolves.toBe(slotOf(key));
    });

  it('hears on any node what is published at any other', async () => {
    const client = await connected();
    const messages: string[] = [];
    await client.subscribe('news', { onMessage: (text) => messages.push(text), onGap: () => {} });
    for (const master of [0, 1, 2])
      await client.run(PUBLISH, [cluster.keyOf(master)], ['news', String(master)], LONG_MS);
    await expect.poll(() => messages.toSorted()).toEqual(['0', '1', '2']);
  });

  it('follows a slot that moves, while it moves and afterwards', async () => {
    const client = await connected();
    const key = cluster.keyOf(1, 1);
    const slot = String(slotOf(key));
    const [, from, to] = cluster.masters;
    await client.run(ECHO, [key], ['known'], LONG_MS);
    await to.send('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id);
    await from.send('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id);
    await expect(from.send('GET', key)).rejects.toThrow(/^ASK /);
    await to.send('SCRIPT', 'FLUSH');
    await expect(client.run(COUNT, [key], [], LONG_MS)).resolves.toBe(1);
    for (const { send } of [to, from]) await send('CLUSTER', 'SETSLOT', slot, 'NODE', to.id);
    await expect(from.send('GET', key)).rejects.toThrow(/^MOVED /);
    await expect(client.run(COUNT, [key], [], LONG_MS)).resolves.toBe(2);
    await expect(to.send('GET', key)).resolves.toBe('2');
  });

  if (isOurs)
    it('waits while the keys of one script lie on two nodes', async () => {
      const client = await connected();
      const key = cluster.keyOf(1, 2);
      const [first, second] = [`${key}1`, `${key}2`];
      const slot = String(slotOf(key));
      const [, from, to] = cluster.masters;
      await from.send('SET', first, '1');
      await to.send('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id);
      await from.send('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id);
      await expect(from.send('MGET', first, second)).rejects.toThrow(/^TRYAGAIN/);
      await expect(client.run(ECHO, [first, second], ['a'], 50)).rejects.toMatchObject({ code: 'TRYAGAIN' });
      const waiting = client.run(ECHO, [first, second], ['b'], LONG_MS);
      await from.send('DEL', first);
      for (const { send } of [to, from]) await send('CLUSTER', 'SETSLOT', slot, 'NODE', to.id);
      await expect(waiting).resolves.toContain('b');
    });

  it('goes on with the other nodes while one is frozen', async () => {
    const client = await connected();
    const frozen = cluster.masters[2];
    frozen.server.pause();
    onTestFinished(() => frozen.server.resume());
    const answer = client.run(ECHO, [cluster.keyOf(2)], ['a'], 300);
    const sentMs = hrtimeMs();
    await expect(client.run(ECHO, [cluster.keyOf(1)], ['a'], LONG_MS)).resolves.toHaveLength(5);
    if (isOurs) expect(client.lastHeardMs).toBeLessThan(sentMs);
    await expect(answer).rejects.toMatchObject({ name: 'KeymuxError' });
    frozen.server.resume();
    const again = (): Promise<unknown> => client.run(ECHO, [cluster.keyOf(2)], ['a'], 500).catch(() => []);
    await expect.poll(again, PATIENCE).toHaveLength(5);
  });

  it('follows a failover, and the others answer meanwhile', { timeout: 120_000 }, async () => {
    const client = await connected();
    const [lost] = cluster.masters;
    const key = cluster.keyOf(0);
    await expect(client.run(ECHO, [key], ['a'], LONG_MS)).resolves.toHaveLength(5);
    await lost.server.kill();
    const refused = (): Promise<unknown> => client.run(ECHO, [key], ['a'], 200).catch(() => 'refused');
    await expect.poll(refused).toBe('refused');
    const again = (): Promise<unknown> => client.run(ECHO, [key], ['a'], 500).catch(() => []);
    await expect.poll(again, PATIENCE).toHaveLength(5);
    await expect(cluster.replica.send('ROLE')).resolves.toContain('master');
  });
});

describe('a client for a cluster', () => {
  it('is not connected where no node can be reached, or none is of a cluster', async () => {
    const nobody = closedLater(createRedisClient('redis+cluster://127.0.0.1:1'));
    await expect(nobody.connect(300)).rejects.toMatchObject(unavailable);
    await expect(nobody.run(ECHO, ['k'], ['a'], LONG_MS)).rejects.toMatchObject(unavailable);
    const single = await startRedis({ args: ['--requirepass', 'other'] });
    onTestFinished(() => single.stop());
    const url = `redis+cluster://127.0.0.1:${String(single.port)}`;
    const message = (text: string): object => ({ message: expect.stringContaining(text) as string });
    await expect(closedLater(createRedisClient(url)).connect(600_000)).rejects.toMatchObject(
      message('NOAUTH'),
    );
    const alone = closedLater(createRedisClient(url, { password: 'other' }));
    await expect(alone.connect(600_000)).rejects.toMatchObject(message('cluster support disabled'));
  });

  it('is closed while it connects', async () => {
    const client = createRedisClient('redis+cluster://127.0.0.1:1');
    const connecting = client.connect(60_000);
    setImmediate(() => void client.close());
    await expect(connecting).rejects.toMatchObject({ code: 'KEYMUX_CLOSED' });
  });
});

describe('what nodes of a cluster say', () => {
  it('means the node that was asked where it does not know its address', () => {
    const asked = { host: 'asked', port: 1 };
    expect(slotRanges([[0, 5, ['', 7000, 'id']]], asked)).toEqual([
      { first: 0, last: 5, master: { host: 'asked', port: 7000 } },
    ]);
    expect(() => slotRanges('x', asked)).toThrow('belongs to no cluster');
    expect(() => slotRanges([], asked)).toThrow('belongs to no cluster');
    expect(() => slotRanges(['x', [0, 5, 'x']], asked)).toThrow('belongs to no cluster');
    expect(redirectOf(new RedisReplyError('MOVED 7 :7001'), asked)?.to).toEqual({
      host: 'asked',
      port: 7001,
    });
    expect(redirectOf(new RedisReplyError('ASK 7 ::1:7001'), asked)).toEqual({
      kind: 'ask',
      slot: 7,
      to: { host: '::1', port: 7001 },
    });
    expect(redirectOf(new Error('MOVED 7 :7001'), asked)).toBeUndefined();
  });
});
