import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { fromIoredis } from '#keymux/stores/redis/client-ioredis.js';
import { createRedisClient } from '#keymux/stores/redis/client-node-redis.js';
import type { RedisClient } from '#keymux/stores/redis/client.js';
import { administer, closedLater, PUBLISH, script } from './redis-client-fixture.js';
import { MASTER_NAME, startWatchedMaster, type WatchedMaster } from './redis-sentinel-fixture.js';

const LONG_MS = 10_000;
const PATIENCE = { timeout: 60_000 };
const PASSWORD = 'sentinel-canary-41';
const WRITE = script('write', 'return redis.call("SET", KEYS[1], ARGV[1])["ok"]');

interface SentinelAdapter {
  readonly name: string;
  readonly create: (sentinels: readonly string[]) => RedisClient;
}

const adapters: readonly SentinelAdapter[] = [
  {
    name: 'createRedisClient',
    create: (sentinels) =>
      createRedisClient(`redis+sentinel://${sentinels.join(',')}/${MASTER_NAME}`, {
        sentinel: { password: PASSWORD },
      }),
  },
  {
    name: 'fromIoredis',
    create: (sentinels) => {
      const theirs = new Redis({
        sentinels: sentinels.map((text) => ({ host: '127.0.0.1', port: Number(text.split(':')[1]) })),
        name: MASTER_NAME,
        sentinelPassword: PASSWORD,
        sentinelRetryStrategy: () => 100,
        retryStrategy: () => 100,
      });
      theirs.on('error', () => {});
      onTestFinished(() => theirs.disconnect());
      return fromIoredis(theirs);
    },
  },
];

describe.each(adapters)('a client of $name behind sentinels', ({ name, create }) => {
  let watched: WatchedMaster;
  beforeAll(async () => void (watched = await startWatchedMaster({ sentinelPassword: PASSWORD })), 60_000);
  afterAll(() => watched.stop());

  it(
    'follows the master through a failover, with commands and with channels',
    { timeout: 120_000 },
    async () => {
      const { master, replica, sentinels } = watched;
      const client = closedLater(create(sentinels));
      await client.connect(LONG_MS);
      expect(client.address).toBe(`redis+sentinel://${sentinels.join(',')}/${MASTER_NAME}`);
      const messages: string[] = [];
      let gaps = 0;
      await client.subscribe('news', { onMessage: (text) => messages.push(text), onGap: () => (gaps += 1) });
      await expect(client.run(WRITE, ['k'], ['before'], LONG_MS)).resolves.toBe('OK');
      const toReplica = await administer(replica.url);
      await expect.poll(() => toReplica('GET', 'k'), PATIENCE).toBe('before');
      await master.kill();
      const write = (): Promise<unknown> => client.run(WRITE, ['k'], ['after'], 500).catch(() => undefined);
      await expect.poll(write, PATIENCE).toBe('OK');
      await expect(toReplica('GET', 'k')).resolves.toBe('after');
      await expect(toReplica('ROLE')).resolves.toContain('master');
      await expect.poll(() => gaps, PATIENCE).toBeGreaterThan(1);
      await client.run(PUBLISH, ['k'], ['news', 'from the new master'], LONG_MS);
      await expect.poll(() => messages, PATIENCE).toEqual(['from the new master']);
    },
  );

  if (name === 'createRedisClient')
    it('says why it finds no master', async () => {
      const { sentinels } = watched;
      const [first = ''] = sentinels;
      const unknown = closedLater(
        createRedisClient(`redis+sentinel://127.0.0.1:1,${first}/nobody`, {
          sentinel: { password: PASSWORD },
        }),
      );
      await expect(unknown.connect(1_000)).rejects.toMatchObject({
        code: 'KEYMUX_STORE_UNAVAILABLE',
        message: expect.stringMatching(/nobody|ECONNREFUSED/),
      });
      const stranger = closedLater(createRedisClient(`redis+sentinel://${first}/${MASTER_NAME}`));
      await expect(stranger.connect(600_000)).rejects.toMatchObject({
        code: 'KEYMUX_STORE_UNAVAILABLE',
        message: expect.stringContaining('NOAUTH'),
      });
    });
});

describe('a client of a master that was replaced', () => {
  it('leaves it at once, though it still takes part as a master', { timeout: 120_000 }, async () => {
    const watched = await startWatchedMaster();
    onTestFinished(() => watched.stop());
    const url = `redis+sentinel://${watched.sentinels.join(',')}/${MASTER_NAME}`;
    const client = closedLater(createRedisClient(url));
    await client.connect(LONG_MS);
    const [first = ''] = watched.sentinels;
    const toNew = await administer(watched.replica.url);
    const toOld = await administer(watched.master.url);
    await (
      await administer(`redis://${first}`)
    )('SENTINEL', 'FAILOVER', MASTER_NAME);
    let writes = 0;
    const arrived = async (): Promise<unknown> => {
      writes += 1;
      await client.run(WRITE, ['k'], [String(writes)], 500).catch(() => {});
      return (await toNew('GET', 'k')) === String(writes);
    };
    await expect.poll(arrived, PATIENCE).toBe(true);
    await expect(toOld('ROLE')).resolves.toContain('master');
  });
});
