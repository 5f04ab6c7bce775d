import { readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MIGRATIONS, migrate } from '#keymux/stores/sqlite/schema.js';
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';
import {
  connectTo,
  dailyRequest,
  openStore,
  readValue,
  resting,
  temporaryDirectory,
} from './sqlite-fixture.js';

const NEWEST = MIGRATIONS.length;
const NEXT = [...MIGRATIONS, 'CREATE TABLE note (text TEXT NOT NULL) STRICT'];
const BROKEN = [...MIGRATIONS, 'CREATE TABLE note (text TEXT NOT NULL) STRICT; CREATE TABLE health (x)'];

async function writtenDirectory(): Promise<string> {
  const directory = temporaryDirectory();
  const store = createSqliteStore({ now: Date.now, onNotice: () => {}, directory });
  await store.open();
  await store.publish([resting('key:a')]);
  await store.lease(dailyRequest(5, 2));
  await store.close();
  return directory;
}

function backups(directory: string): string[] {
  return readdirSync(directory).filter((name) => name.endsWith('.bak'));
}

describe('migrate', () => {
  it('changes nothing while another writes', () => {
    const path = join(temporaryDirectory(), 'state.db');
    connectTo(path).exec('BEGIN IMMEDIATE');
    const db = connectTo(path);
    expect(() => migrate(db, 0, MIGRATIONS)).toThrow(expect.objectContaining({ code: 'SQLITE_BUSY' }));
    expect(db.inTransaction).toBe(false);
    expect(readValue(path, 'PRAGMA user_version')).toBe(0);
  });
});

describe('a state file of an older version', () => {
  it('is migrated with everything in it, after a private copy was made', async () => {
    const directory = await writtenDirectory();
    const { store, notices } = await openStore({ directory }, { migrations: NEXT });
    expect((await store.open()).records).toEqual([resting('key:a')]);
    expect(await store.lease(dailyRequest(5, 9))).toMatchObject({ granted: 3 });
    expect(notices).toEqual([]);
    const path = join(directory, 'state.db');
    expect(readValue(path, 'PRAGMA user_version')).toBe(NEWEST + 1);
    expect(readValue(path, 'SELECT count(*) FROM note')).toBe(0);
    expect(backups(directory)).toEqual([`state.db.v${String(NEWEST)}.bak`]);
    const backup = join(directory, `state.db.v${String(NEWEST)}.bak`);
    expect(statSync(backup).mode & 0o777).toBe(0o600);
    expect(readValue(backup, 'SELECT subject FROM health')).toBe('key:a');
    expect(readValue(backup, 'PRAGMA user_version')).toBe(NEWEST);
  });

  it('is left as it was when the migration fails, and the program starts all the same', async () => {
    const directory = await writtenDirectory();
    const { store, notices } = await openStore({ directory }, { migrations: BROKEN });
    expect(notices).toMatchObject([{ kind: 'degraded' }]);
    expect(await store.lease(dailyRequest(5, 9))).toMatchObject({ granted: 5 });
    expect(backups(directory)).toEqual([]);
    const path = join(directory, 'state.db');
    expect(readValue(path, 'PRAGMA user_version')).toBe(NEWEST);
    expect(readValue(path, "SELECT count(*) FROM sqlite_schema WHERE name = 'note'")).toBe(0);
  });

  it('never overwrites an earlier copy', async () => {
    const directory = await writtenDirectory();
    const first = await openStore({ directory }, { migrations: NEXT });
    await first.store.close();
    // Someone puts the older file back.
    renameSync(join(directory, 'state.db'), join(directory, 'kept'));
    const again = createSqliteStore({ now: Date.now, onNotice: () => {}, directory });
    await again.open();
    await again.close();
    await openStore({ directory }, { migrations: NEXT });
    expect(backups(directory).sort()).toEqual([
      `state.db.v${String(NEWEST)}-2.bak`,
      `state.db.v${String(NEWEST)}.bak`,
    ]);
  });

  it('is migrated from the very first version, with its permits', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'state.db');
    const first = connectTo(path);
    migrate(first, 0, MIGRATIONS.slice(0, 1));
    first.exec(`INSERT INTO bucket VALUES ('p/b', 86400000);
                INSERT INTO lease VALUES ('p/b', 'old:1', 'm', 3, ${String(Date.now())}, 0)`);
    const { store, notices } = await openStore({ path });
    expect(notices).toEqual([]);
    expect(await store.lease(dailyRequest(5, 9))).toMatchObject({ granted: 2, cautiousUntil: 0 });
    expect(await store.census()).toMatchObject({ members: [], leaders: [] });
  });
});
