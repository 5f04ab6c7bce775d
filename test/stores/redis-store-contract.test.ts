import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRedisStore } from '#keymux/stores/redis/store.js';
import { storeContract } from '#keymux/testing/contracts/store.js';
import { startRedis } from './redis-server.js';
import type { RedisServer } from './redis-server.js';
import { PATIENT } from './redis-store-fixture.js';

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

const unexpected = (notice: unknown): void => expect.fail(JSON.stringify(notice));

storeContract(
  { describe, it },
  (place) =>
    createRedisStore({ url: server.url, prefix: place, now: Date.now, onNotice: unexpected }, PATIENT),
  { kind: 'redis', shared: true },
);
