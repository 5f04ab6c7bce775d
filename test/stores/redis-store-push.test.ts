import { expect, it, describe, onTestFinished } from 'vitest';
import type { HealthRecord } from '#keymux/core/ports.js';
import { createRedisClient } from '#keymux/stores/redis/client-node-redis.js';
import type { RedisClient, Reply } from '#keymux/stores/redis/client.js';
import { createRedisStore } from '#keymux/stores/redis/store.js';
import type { RedisServer } from './redis-server.js';
import {
  DAY_MS,
  PATIENT,
  codeOf,
  command,
  dailyRequest,
  openStore,
  resting,
  serverOfTest,
} from './redis-store-fixture.js';

const CHANNEL = 'keymux:{keymux}:changes';

/** A client of which one part does what the test says. */
function clientOf(server: RedisServer, part: Partial<RedisClient>): RedisClient {
  const client = createRedisClient(server.url);
  return {
    address: client.address,
    connect: (deadlineMs) => client.connect(deadlineMs),
    run: (...args) => client.run(...args),
    get lastHeardMs() {
      return client.lastHeardMs;
    },
    subscribe: (...args) => client.subscribe(...args),
    close: () => client.close(),
    ...part,
  };
}

async function openReader(client: RedisClient): Promise<string[]> {
  const store = createRedisStore({ client, now: Date.now, onNotice: () => {} }, PATIENT);
  onTestFinished(async () => {
    await store.close();
  });
  await store.open();
  const seen: string[] = [];
  store.watch((records: readonly HealthRecord[]) => seen.push(...records.map(({ subject }) => subject)));
  return seen;
}

describe('a Redis store behind its channel', () => {
  it('finds changes by and by where it cannot follow the channel', async () => {
    const server = await serverOfTest();
    const { store: writer } = await openStore({ url: server.url });
    let attempts = 0;
    const refuses = clientOf(server, {
      subscribe: () => {
        attempts += 1;
        return Promise.reject(new Error('NOPERM'));
      },
    });
    const seen = await openReader(refuses);
    await writer.publish([resting('key:a')]);
    await expect.poll(() => seen, { timeout: 15_000 }).toEqual(['key:a']);
    await expect.poll(() => attempts, { timeout: 15_000 }).toBeGreaterThan(1);
  });

  it('finds at once what a lost message would have told, when the next one comes', async () => {
    const server = await serverOfTest();
    const { store: writer } = await openStore({ url: server.url });
    const client = createRedisClient(server.url);
    let isDeaf = true;
    const loses = clientOf(server, {
      subscribe: (channel, { onMessage, onGap }) =>
        client.subscribe(channel, { onGap, onMessage: (message) => void (isDeaf || onMessage(message)) }),
    });
    onTestFinished(() => client.close());
    const seen = await openReader(loses);
    // Once it follows the channel it has read all there is, so that only a message can bring more so soon.
    await expect.poll(() => command(server.url, 'PUBSUB', 'NUMSUB', CHANNEL)).toEqual([CHANNEL, 1]);
    await writer.publish([resting('key:a')]);
    isDeaf = false;
    await writer.publish([resting('key:b')]);
    await expect.poll(() => [...seen].sort()).toEqual(['key:a', 'key:b']);
  });

  it('is not disturbed by what others say there', async () => {
    const { url } = await serverOfTest();
    const { store: writer } = await openStore({ url });
    const { store: reader } = await openStore({ url });
    const seen: string[] = [];
    reader.watch((records) => seen.push(...records.map(({ subject }) => subject)));
    await expect.poll(() => command(url, 'PUBSUB', 'NUMSUB', CHANNEL)).toEqual([CHANNEL, 1]);
    for (const noise of ['hello', '{}', '[]', '["x","y",5,6]']) await command(url, 'PUBLISH', CHANNEL, noise);
    await writer.publish([resting('key:a')]);
    await expect.poll(() => seen).toEqual(['key:a']);
  });

  it('goes on with the numbers of changes where only they were lost', async () => {
    const { url } = await serverOfTest();
    const { store: writer } = await openStore({ url });
    const { store: reader } = await openStore({ url });
    const seen: string[] = [];
    reader.watch((records) => seen.push(...records.map(({ subject }) => subject)));
    for (const subject of ['key:a', 'key:b', 'key:c']) await writer.publish([resting(subject)]);
    await expect.poll(() => seen).toEqual(['key:a', 'key:b', 'key:c']);
    await command(url, 'DEL', 'keymux:{keymux}:fleet');
    await writer.publish([resting('key:d')]);
    await expect.poll(() => seen).toContain('key:d');
  });
});

describe('a Redis store whose calls fail here and there', () => {
  it('gives a server back what it lost, though the first attempt fails', async () => {
    const server = await serverOfTest();
    const client = createRedisClient(server.url);
    let failures = 0;
    const fails = clientOf(server, {
      connect: (deadlineMs) => client.connect(deadlineMs),
      run: (script, ...rest) =>
        script.name === 'publish' && (failures += 1) === 2
          ? Promise.reject(new Error('read ECONNRESET'))
          : client.run(script, ...rest),
    });
    onTestFinished(() => client.close());
    const store = createRedisStore({ client: fails, now: Date.now, onNotice: () => {} }, PATIENT);
    onTestFinished(async () => {
      await store.close();
    });
    await store.open();
    await store.publish([resting('key:a')]);
    await command(server.url, 'FLUSHALL');
    await store.lease({ ...dailyRequest(10, 0), bucket: 'p/other' });
    const { store: newcomer } = await openStore({ url: server.url });
    await expect
      .poll(async () => (await newcomer.open()).records, { timeout: 10_000 })
      .toEqual([resting('key:a')]);
    expect(failures).toBeGreaterThan(1);
  });

  it('ends a lease by the time of the server, though it had none when it asked', async () => {
    const server = await serverOfTest();
    const client = createRedisClient(server.url);
    const fails = clientOf(server, {
      connect: (deadlineMs) => client.connect(deadlineMs),
      run: (script, ...rest) =>
        script.name === 'lease' ? client.run(script, ...rest) : Promise.reject(new Error('read ECONNRESET')),
    });
    onTestFinished(() => client.close());
    const wrong = (): number => Date.now() + 40 * DAY_MS;
    const store = createRedisStore({ client: fails, now: wrong, onNotice: () => {} }, PATIENT);
    onTestFinished(async () => {
      await store.close();
    });
    await store.open();
    const { granted, validUntil } = await store.lease(dailyRequest(10, 1));
    expect(granted).toBe(1);
    expect(validUntil).toBeLessThan(Date.now() + DAY_MS);
    const settlement = { bucket: 'p/b', leaseId: 'x', spent: 1, countedAt: 0, returned: 0 };
    expect(await codeOf(() => store.settle([settlement]))).toBe('KEYMUX_STORE_UNAVAILABLE');
  });
});

describe('a Redis store that gets answers it cannot take', () => {
  async function openWith(run: () => Promise<Reply>): Promise<{ code: unknown; notices: string[] }> {
    const client: RedisClient = {
      address: 'redis://odd:1',
      connect: async () => {},
      run,
      lastHeardMs: 0,
      subscribe: async () => async () => {},
      close: async () => {},
    };
    const notices: string[] = [];
    const store = createRedisStore({
      client,
      now: Date.now,
      onNotice: ({ message }) => notices.push(message),
    });
    await store.open();
    const code = await codeOf(() => store.usage());
    await store.close();
    return { code, notices };
  }

  it('says that they are no answers of its scripts', async () => {
    const { code, notices } = await openWith(() => Promise.resolve(null));
    expect(code).toBe('KEYMUX_STORE_UNAVAILABLE');
    expect(notices).toEqual([expect.stringContaining('redis://odd:1')]);
  });

  it('gives up where the server never agrees on the time', async () => {
    let answers = 0;
    const { code, notices } = await openWith(() => Promise.resolve(['CLOCK', String((answers += 1e6)), '0']));
    expect(code).toBe('KEYMUX_STORE_UNAVAILABLE');
    expect(notices).toEqual([expect.stringContaining('clock')]);
  });
});
