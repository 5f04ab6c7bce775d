import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { createRedisStore } from '#keymux/stores/redis/store.js';
import { createSealedStore } from '#keymux/stores/sealed-store.js';
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';
import { storeContract } from '#keymux/testing/contracts/store.js';
import { startRedis } from './redis-server.js';
import type { RedisServer } from './redis-server.js';
import { PATIENT } from './redis-store-fixture.js';

const KEY = new Uint8Array(32).fill(7);
const root = mkdtempSync(join(tmpdir(), 'keymux-sealed-'));
let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(async () => {
  rmSync(root, { recursive: true });
  await server.stop();
});

const unexpected = (notice: unknown): void => expect.fail(JSON.stringify(notice));
const options = { now: Date.now, onNotice: unexpected };

describe('sealed', () => {
  storeContract({ describe, it }, () => createSealedStore(createMemoryStore(options), KEY, unexpected), {
    kind: 'memory',
    shared: false,
  });

  storeContract(
    { describe, it },
    (place) =>
      createSealedStore(createSqliteStore({ ...options, directory: join(root, place) }), KEY, unexpected),
    { kind: 'sqlite', shared: true },
  );

  storeContract(
    { describe, it },
    (place) =>
      createSealedStore(
        createRedisStore({ url: server.url, prefix: place, ...options }, PATIENT),
        KEY,
        unexpected,
      ),
    { kind: 'redis', shared: true },
  );
});
