import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';
import { storeContract } from '#keymux/testing/contracts/store.js';

const root = mkdtempSync(join(tmpdir(), 'keymux-contract-'));
afterAll(() => rmSync(root, { recursive: true }));

const unexpected = (notice: unknown): void => expect.fail(JSON.stringify(notice));
const options = { now: Date.now, onNotice: unexpected };

storeContract({ describe, it }, () => createMemoryStore(options), { kind: 'memory', shared: false });

storeContract({ describe, it }, (place) => createSqliteStore({ ...options, directory: join(root, place) }), {
  kind: 'sqlite',
  shared: true,
});

describe('a sqlite store without its file', () => {
  const noDriver = (): never => {
    throw new Error('no driver for this platform');
  };
  storeContract(
    { describe, it },
    (place) =>
      createSqliteStore(
        { ...options, onNotice: () => {}, directory: join(root, `none-${place}`) },
        { loadDriver: noDriver },
      ),
    { kind: 'sqlite', shared: false },
  );
});
