import { describe, expect, it, onTestFinished } from 'vitest';
import { createRedisClient } from '#keymux/stores/redis/client-node-redis.js';
import type { RedisClient } from '#keymux/stores/redis/client.js';
import { createRedisStore } from '#keymux/stores/redis/store.js';
import { PATIENT, dailyRequest, serverOfTest } from './redis-store-fixture.js';

/** As a client that sends its questions again after a new connection, though the server has answered them. */
function resending(client: RedisClient, sent: string[]): RedisClient {
  return {
    get address() {
      return client.address;
    },
    get lastHeardMs() {
      return client.lastHeardMs;
    },
    connect: (deadlineMs) => client.connect(deadlineMs),
    run: async (script, keys, args, deadlineMs) => {
      sent.push(script.name);
      await client.run(script, keys, args, deadlineMs);
      return client.run(script, keys, args, deadlineMs);
    },
    subscribe: (channel, hooks) => client.subscribe(channel, hooks),
    close: () => client.close(),
  };
}

describe('a Redis store whose questions are asked twice', () => {
  it('counts each of them once', async () => {
    const { url } = await serverOfTest();
    const sent: string[] = [];
    const store = createRedisStore(
      { client: resending(createRedisClient(url), sent), now: Date.now, onNotice: () => {} },
      PATIENT,
    );
    onTestFinished(async () => {
      await store.close();
    });
    await store.open();
    const left = async (): Promise<number> => (await store.lease(dailyRequest(10, 0))).left;

    const { leaseId, granted, left: leftThen } = await store.lease(dailyRequest(10, 6));
    expect([granted, leftThen]).toEqual([6, 4]);
    expect(await left()).toBe(4);
    expect(sent).toContain('lease');
    const settlement = { bucket: 'p/b', leaseId, countedAt: store.now() };
    await store.settle([
      { ...settlement, spent: 1, returned: 0 },
      { ...settlement, spent: 0, returned: 2 },
    ]);
    expect(await left()).toBe(6);
    await store.settle([{ ...settlement, spent: 1, returned: 0 }]);
    expect(await left()).toBe(6);
    expect((await store.census()).leases).toEqual([{ bucket: 'p/b', permits: 2, leases: 1 }]);
  });
});
