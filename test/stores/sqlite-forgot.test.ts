import { rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Store } from '#keymux/core/ports.js';
import { loadDriver } from '#keymux/stores/sqlite/driver.js';
import { connectTo, dailyRequest, openStore, temporaryDirectory } from './sqlite-fixture.js';

const FORGOT = { code: 'KEYMUX_STORE_FORGOT', message: expect.stringContaining('"p/b"') };
const PARTS = ['', '-wal', '-shm'];

function chargeOf(store: Store, permits: number): Parameters<Store['charge']>[0] {
  const { bucket, windows } = dailyRequest(10, 0);
  return [{ bucket, windows, leaseId: `told-${String(permits)}`, permits, countedAt: store.now() }];
}

function outcomeOf(call: () => unknown): Promise<unknown> {
  return Promise.resolve()
    .then(call)
    .catch((error: unknown) => error);
}

/** Makes the store notice that its file is damaged, so that it is set aside at the next call. */
async function damage(store: Store, path: string): Promise<void> {
  const other = connectTo(path);
  other.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  truncateSync(path, 4_096);
  await expect.poll(() => outcomeOf(() => store.usage())).toEqual([]);
}

describe('a store whose file lost what it knew', () => {
  it('says so for each bucket that it was asked for, until it is told anew', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store, notices } = await openStore({ path });
    await store.lease(dailyRequest(10, 3));
    await damage(store, path);
    expect(notices.map(({ kind }) => kind)).toContain('set-aside');
    for (let call = 0; call < 2; call += 1) {
      expect(await outcomeOf(() => store.lease(dailyRequest(10, 1)))).toMatchObject(FORGOT);
    }
    expect(await store.lease({ ...dailyRequest(10, 1), bucket: 'p/new' })).toMatchObject({ granted: 1 });
    await store.charge(chargeOf(store, 3), { cautionMs: 0 });
    expect(await store.lease(dailyRequest(10, 9))).toMatchObject({ granted: 7 });
  });

  it('is content with a charge of no permits', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store } = await openStore({ path });
    await store.lease(dailyRequest(10, 0));
    await damage(store, path);
    expect(await outcomeOf(() => store.lease(dailyRequest(10, 1)))).toMatchObject(FORGOT);
    await store.charge(chargeOf(store, 0), { cautionMs: 60_000 });
    expect(await store.lease(dailyRequest(10, 1))).toMatchObject({ granted: 0, left: 10 });
  });

  it('says so to every member that knew the bucket, and to no other', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store: one } = await openStore({ path });
    const { store: other } = await openStore({ path });
    const { store: newcomer } = await openStore({ path });
    await one.lease(dailyRequest(10, 1));
    await other.lease(dailyRequest(10, 2));
    await damage(one, path);
    for (const store of [other, newcomer]) {
      await expect.poll(() => outcomeOf(() => store.usage())).toEqual([]);
    }
    expect(await outcomeOf(() => one.lease(dailyRequest(10, 1)))).toMatchObject(FORGOT);
    expect(await newcomer.lease(dailyRequest(10, 0))).toMatchObject({ left: 10 });
    await one.charge(chargeOf(one, 1), { cautionMs: 0 });
    expect(await outcomeOf(() => other.lease(dailyRequest(10, 1)))).toMatchObject(FORGOT);
    await other.charge(chargeOf(other, 2), { cautionMs: 0 });
    expect(await other.lease(dailyRequest(10, 9))).toMatchObject({ granted: 7 });
  });

  describe('while a member had lost its handle', () => {
    async function openPair(): Promise<{ path: string; away: Store; fail: () => Promise<void> }> {
      const path = join(temporaryDirectory(), 'state.db');
      let fails = false;
      class FailingDriver extends loadDriver() {
        override exec(sql: string): void {
          if (fails) throw Object.assign(new Error('disk I/O error'), { code: 'SQLITE_IOERR_READ' });
          super.exec(sql);
        }
      }
      const { store: away } = await openStore({ path }, { loadDriver: () => FailingDriver });
      await away.lease(dailyRequest(10, 4));
      const fail = async (): Promise<void> => {
        fails = true;
        expect(await outcomeOf(() => away.usage())).toMatchObject({ code: 'KEYMUX_STORE_UNAVAILABLE' });
        fails = false;
      };
      return { path, away, fail };
    }

    it('forgot everything where nobody took it over', async () => {
      const { path, away, fail } = await openPair();
      await fail();
      for (const part of PARTS) rmSync(path + part, { force: true });
      await expect.poll(() => outcomeOf(() => away.usage())).toEqual([]);
      expect(await outcomeOf(() => away.lease(dailyRequest(10, 1)))).toMatchObject(FORGOT);
    });

    it('forgot nothing where others took it over, from one file to the next', async () => {
      const { path, away, fail } = await openPair();
      const { store: witness } = await openStore({ path });
      await fail();
      for (let loss = 0; loss < 2; loss += 1) {
        for (const part of PARTS) rmSync(path + part, { force: true });
        expect(await outcomeOf(() => witness.usage())).toMatchObject({ code: 'KEYMUX_STORE_UNAVAILABLE' });
        await expect.poll(() => outcomeOf(() => witness.usage())).toEqual([]);
      }
      await expect.poll(() => outcomeOf(() => away.usage())).toEqual([]);
      expect(await away.lease(dailyRequest(10, 9))).toMatchObject({ granted: 6 });
    });
  });

  it('forgot nothing where a damaged file was set aside that had all permits in it', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store, notices } = await openStore({ path });
    await store.lease(dailyRequest(10, 3));
    connectTo(path).exec('DROP TABLE usage');
    await expect.poll(() => outcomeOf(() => store.usage())).toEqual([]);
    expect(notices.map(({ kind }) => kind)).toEqual(['degraded', 'set-aside', 'recovered']);
    expect(await store.lease(dailyRequest(10, 9))).toMatchObject({ granted: 7 });
  });

  it('forgot where the one row about its permits was damaged', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store } = await openStore({ path });
    await store.lease(dailyRequest(10, 3));
    connectTo(path).exec(`UPDATE lease SET lease_id = CAST(x'ff' AS TEXT); DROP TABLE usage`);
    await expect.poll(() => outcomeOf(() => store.usage())).toEqual([]);
    expect(await outcomeOf(() => store.lease(dailyRequest(10, 1)))).toMatchObject(FORGOT);
  });

  it('gives a file its name again that lost it', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const first = await openStore({ path });
    await first.store.lease(dailyRequest(10, 3));
    await first.store.close();
    connectTo(path).exec('DELETE FROM lineage');
    const { store } = await openStore({ path });
    expect(await store.lease(dailyRequest(10, 9))).toMatchObject({ granted: 7 });
  });
});
