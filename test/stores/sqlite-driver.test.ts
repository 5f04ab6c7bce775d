import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  codeOf,
  explain,
  isBusy,
  isDamage,
  isStorageTrouble,
  messageOf,
  textOf,
} from '#keymux/stores/sqlite/driver.js';
import { setAside } from '#keymux/stores/sqlite/set-aside.js';
import { connectTo, dailyRequest, openStore, temporaryDirectory } from './sqlite-fixture.js';

function failure(code: string): Error {
  return Object.assign(new Error('it failed\nin detail'), { code });
}

describe('what an error of the driver means', () => {
  it.each([
    ['SQLITE_FULL', 'disk is full', 'Free some space'],
    ['ENOSPC', 'disk is full', 'Free some space'],
    ['SQLITE_READONLY_DIRECTORY', 'may not be written', 'KEYMUX_STATE_DIR'],
    ['EROFS', 'may not be written', 'KEYMUX_STATE_DIR'],
    ['SQLITE_CANTOPEN', 'cannot be opened', 'KEYMUX_STATE_DIR'],
    ['ENOTDIR', 'cannot be opened', 'KEYMUX_STATE_DIR'],
    ['SQLITE_IOERR_READ', 'SQLITE_IOERR_READ', 'Check the disk'],
  ])('explains %s', (code, problem, fix) => {
    const explained = explain(failure(code), '/there/state.db');
    expect(explained.problem).toContain(problem);
    expect(explained.fix).toContain(fix);
    expect(explained.fix).toContain('/there/state.db');
    expect(isStorageTrouble(failure(code))).toBe(true);
  });

  it('tells a lock from damage, and both from a mistake of the program', () => {
    expect(isBusy(failure('SQLITE_BUSY_RECOVERY'))).toBe(true);
    expect(isBusy(failure('SQLITE_CORRUPT'))).toBe(false);
    expect(isDamage(failure('SQLITE_CORRUPT_INDEX'))).toBe(true);
    expect(isDamage(failure('SQLITE_FULL'))).toBe(false);
    expect(isStorageTrouble(new TypeError('a mistake'))).toBe(false);
    expect(isStorageTrouble('not even an error')).toBe(false);
    expect(explain(new TypeError('a mistake'), '/there').problem).toContain('a mistake');
    expect(codeOf(new Error('ConnectionFailed("…: 14")'))).toBe('SQLITE_CANTOPEN');
    expect(messageOf(failure('EIO'))).toBe('it failed');
    expect(messageOf('thrown')).toBe('thrown');
  });

  it('reads damaged text as none', () => {
    expect(textOf(Uint8Array.of(0xe9, 0x8d, 0xb5))).toBe('鍵');
    expect(textOf(Uint8Array.of(0xe9, 0x8d))).toBeUndefined();
    expect(textOf('not bytes')).toBeUndefined();
  });
});

describe('damaged text in a sound file', () => {
  it('costs the rows that it is in, not the process', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store, notices } = await openStore({ path });
    for (const subject of ['key:a', 'key:b']) {
      await store.addUsage([{ subject, requests: 1, failures: 0, costUsd: 0 }]);
      const health = { status: 'healthy', version: 1, level: 0, strikes: 0 } as const;
      await store.publish([{ subject, health, disabled: false, disabledVersion: 0 }]);
    }
    const db = connectTo(path);
    for (const table of ['usage', 'health']) {
      db.exec(`UPDATE ${table} SET subject = CAST(x'6bff' AS TEXT) WHERE subject = 'key:a'`);
    }
    for (const bucket of ['p/a', 'p/b']) await store.lease({ ...dailyRequest(5, 2), bucket });
    db.exec(`UPDATE lease SET bucket = CAST(x'6bff' AS TEXT) WHERE bucket = 'p/a'`);
    expect((await store.census()).leases).toEqual([{ bucket: 'p/b', permits: 2, leases: 1 }]);
    expect((await store.usage()).map(({ subject }) => subject)).toEqual(['key:b']);
    expect((await store.open()).records.map(({ subject }) => subject)).toEqual(['key:b']);
    expect(notices).toEqual([]);
  });
});

describe('a damaged name of the file', () => {
  it('is no reason to say that something was forgotten', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const first = await openStore({ path });
    await first.store.lease(dailyRequest(5, 2));
    connectTo(path).exec("UPDATE lineage SET file_id = CAST(x'6bff' AS TEXT)");
    const { store, notices } = await openStore({ path });
    expect(await store.lease(dailyRequest(5, 1))).toMatchObject({ granted: 1, left: 2 });
    expect(await first.store.lease(dailyRequest(5, 1))).toMatchObject({ granted: 1, left: 1 });
    expect(notices).toEqual([]);
  });
});

describe('setAside', () => {
  it('takes all parts along, and never a name that is taken', () => {
    const path = join(temporaryDirectory(), 'state.db');
    const targets = ['first', 'second', 'third'].map((content) => {
      for (const part of ['', '-wal', '-shm']) writeFileSync(path + part, content + part);
      return setAside(path, 'corrupt', Date.UTC(2026, 0, 2, 3, 4, 5, 6));
    });
    expect(targets).toEqual(['', '-2', '-3'].map((suffix) => `${path}.corrupt-20260102T030405006Z${suffix}`));
    expect(targets.map((target) => readFileSync(`${target}-wal`, 'utf8'))).toEqual([
      'first-wal',
      'second-wal',
      'third-wal',
    ]);
    expect(existsSync(`${path}-shm`)).toBe(false);
  });
});
