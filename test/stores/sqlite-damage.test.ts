import { readFileSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createSqliteStore } from '#keymux/stores/sqlite/store.js';
import {
  connectTo,
  dailyRequest,
  openStore,
  readValue,
  resting,
  temporaryDirectory,
} from './sqlite-fixture.js';

/** A closed file with some of everything in it. */
async function writtenFile(): Promise<{ directory: string; path: string; bytes: Buffer }> {
  const directory = temporaryDirectory();
  const path = join(directory, 'state.db');
  const store = createSqliteStore({ now: Date.now, onNotice: () => {}, path });
  await store.open();
  for (let index = 0; index < 60; index += 1) {
    await store.publish([resting(`key:${String(index).padStart(4, '0')}`)]);
    await store.lease({ ...dailyRequest(10, 2), bucket: `p/${String(index)}` });
  }
  await store.addUsage([{ subject: 'key:0001', requests: 7, failures: 1, costUsd: 0.5 }]);
  await store.close();
  // The closed handle lives until its statements are collected; this moves everything into the main file.
  connectTo(path).exec('PRAGMA wal_checkpoint(TRUNCATE)');
  return { directory, path, bytes: readFileSync(path) };
}

/** Puts bytes in place of the state file, under a new inode as a restored or copied file would have. */
function plant(directory: string, bytes: Uint8Array | string): string {
  const path = join(directory, 'state.db');
  const planted = join(directory, 'planted');
  writeFileSync(planted, bytes);
  for (const part of ['-wal', '-shm']) rmSync(path + part, { force: true });
  renameSync(planted, path);
  return path;
}

function setAside(directory: string): string[] {
  return readdirSync(directory).filter((name) =>
    /^state\.db\.(corrupt|empty|foreign|newer|orphan)/.test(name),
  );
}

describe('a state file that is no good', () => {
  it.each([
    ['text', 'foreign', 'this is a shopping list\n'.repeat(400)],
    ['a single byte', 'corrupt', 'x'],
    ['nothing', 'empty', ''],
  ])('is set aside whole when it holds %s', async (_what, reason, content) => {
    const directory = temporaryDirectory();
    plant(directory, content);
    const { store, notices } = await openStore({ directory });
    expect(notices).toMatchObject([{ kind: 'set-aside', message: expect.stringContaining(directory) }]);
    const [name, ...others] = setAside(directory);
    expect(others).toEqual([]);
    expect(name).toMatch(new RegExp(`^state\\.db\\.${reason}-\\d{8}T\\d{9}Z$`));
    expect(readFileSync(join(directory, name ?? ''), 'utf8')).toBe(content);
    expect(notices[0]?.message).toContain(name);
    expect(await store.lease(dailyRequest(3, 1))).toMatchObject({ granted: 1, left: 2 });
  });

  it('is set aside when another program made it', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'state.db');
    const foreign = connectTo(path);
    foreign.exec('PRAGMA application_id = 77; CREATE TABLE health (subject TEXT)');
    foreign.close();
    const { notices } = await openStore({ path });
    const [name = ''] = setAside(directory);
    expect(name).toContain('.foreign-');
    expect(notices[0]?.fix).toContain('KEYMUX_STATE_DIR');
    expect(readValue(join(directory, name), 'PRAGMA application_id')).toBe(77);
  });

  it('is set aside when a newer version made it', async () => {
    const { directory, path } = await writtenFile();
    connectTo(path).exec('PRAGMA user_version = 99');
    const { store, notices } = await openStore({ path });
    expect(setAside(directory)[0]).toContain('.newer-');
    expect(notices[0]?.message).toContain('newer version of keymux');
    expect((await store.open()).records).toEqual([]);
  });

  it.each([
    ['usage', 0],
    ['lineage', 1],
  ])('is set aside when %s is missing, and the other tables are taken over', async (table, usage) => {
    const { path } = await writtenFile();
    connectTo(path).exec(`DROP TABLE ${table}`);
    const { store, notices } = await openStore({ path });
    expect(notices).toMatchObject([{ kind: 'set-aside' }]);
    const state = await store.open();
    expect(state.records).toHaveLength(60);
    expect(state.usage).toHaveLength(usage);
    expect(await store.lease({ ...dailyRequest(10, 99), bucket: 'p/7' })).toMatchObject({ granted: 8 });
  });

  it('is not what somebody left behind who died while making one', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'state.db.new-0123456789ab'), 'half of it');
    const { notices } = await openStore({ directory });
    expect(readdirSync(directory).filter((name) => name.includes('.new-'))).toEqual([]);
    expect(notices).toEqual([]);
  });

  it('gets names that nobody has', async () => {
    const directory = temporaryDirectory();
    for (let round = 0; round < 4; round += 1) {
      plant(directory, 'x'.repeat(round * 1_000));
      const store = createSqliteStore({ now: Date.now, onNotice: () => {}, directory });
      await store.open();
      await store.close();
    }
    expect(setAside(directory)).toHaveLength(4);
  });

  it('does not lend its journal to the next one', async () => {
    const directory = temporaryDirectory();
    const first = await openStore({ directory });
    await first.store.publish([resting('key:a')]);
    rmSync(join(directory, 'state.db'));
    const second = await openStore({ directory });
    expect(second.notices).toMatchObject([
      { kind: 'set-aside', message: expect.stringContaining('journal') },
    ]);
    expect(setAside(directory).every((name) => name.includes('.orphan-'))).toBe(true);
    expect((await second.store.open()).records).toEqual([]);
  });

  it('is replaced by a sound one, whatever length it was cut to', async () => {
    const { directory, bytes } = await writtenFile();
    const lengths = [1, 50, 99, 100, 101, 511, 512, 4_095];
    for (let length = 4_096; length < bytes.length; length += 4_096) lengths.push(length, length + 1_000);
    for (const length of lengths) {
      const path = plant(directory, bytes.subarray(0, length));
      await expectSoundAfterwards(path, `cut to ${String(length)} bytes`);
    }
  });

  it('is replaced by a sound one, or survives, whichever byte is flipped', async () => {
    const { directory, bytes } = await writtenFile();
    const offsets = [...Array.from({ length: 104 }, (_, index) => index)];
    for (let offset = 104; offset < bytes.length; offset += 389) offsets.push(offset);
    for (const offset of offsets) {
      const damaged = Buffer.from(bytes);
      damaged[offset] = (damaged[offset] ?? 0) ^ 0xff;
      await expectSoundAfterwards(plant(directory, damaged), `byte ${String(offset)} flipped`);
    }
  });

  it('is noticed when whole pages are overwritten, and what is readable is taken over', async () => {
    const { directory, path, bytes } = await writtenFile();
    const root = Number(readValue(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'usage'"));
    const damaged = Buffer.from(bytes).fill(0xa5, (root - 1) * 4_096, root * 4_096);
    plant(directory, damaged);
    const { store, notices } = await openStore({ path });
    expect(notices).toMatchObject([{ kind: 'set-aside', message: expect.stringContaining('damaged') }]);
    const [name = ''] = setAside(directory);
    expect(readFileSync(join(directory, name)).equals(damaged)).toBe(true);
    const state = await store.open();
    expect(state.records).toHaveLength(60);
    expect(await store.lease({ ...dailyRequest(10, 99), bucket: 'p/7' })).toMatchObject({ granted: 8 });
  });

  it('loses only the record whose text was damaged', async () => {
    const { path } = await writtenFile();
    const db = connectTo(path);
    db.exec(`UPDATE health SET health = '{"status":"resting"' WHERE subject = 'key:0003'`);
    db.exec(`UPDATE health SET health = '7' WHERE subject = 'key:0004'`);
    db.exec(`UPDATE health SET health = '{"status":"odd","version":1,"level":1}' WHERE subject = 'key:0005'`);
    db.exec(
      `UPDATE health SET health = '{"status":"resting","version":1.5,"level":1}' WHERE subject = 'key:0006'`,
    );
    const { store, notices } = await openStore({ path });
    expect((await store.open()).records).toHaveLength(56);
    expect(notices).toEqual([]);
    expect(await store.publish([resting('key:0003', 2)])).toEqual([resting('key:0003', 2)]);
    expect((await store.open()).records).toHaveLength(57);
  });

  it('is noticed at work: calls fail, the file is set aside, and work goes on', async () => {
    const { directory, path, bytes } = await writtenFile();
    const { store, notices } = await openStore({ path });
    const watcher = connectTo(path);
    watcher.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    truncateSync(path, 4_096 * 2);
    expect(bytes.length).toBeGreaterThan(4_096 * 2);
    // Another connection commits, so that this one reads its pages anew.
    try {
      watcher.exec('BEGIN IMMEDIATE; UPDATE clock SET monotonic_ms = 0; COMMIT');
    } catch {
      // It may itself run into the damage.
    }
    expect(await publishes(store)).toBe(false);
    await expect.poll(async () => publishes(store), { interval: 10 }).toBe(true);
    expect(notices.map(({ kind }) => kind)).toEqual(['degraded', 'set-aside', 'recovered']);
    expect(setAside(directory)).not.toEqual([]);
  });
});

async function publishes(store: Awaited<ReturnType<typeof openStore>>['store']): Promise<boolean> {
  try {
    await store.publish(Array.from({ length: 40 }, (_, index) => resting(`key:new-${String(index)}`)));
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: 'KEYMUX_STORE_UNAVAILABLE' });
    return false;
  }
}

async function expectSoundAfterwards(path: string, what: string): Promise<void> {
  const notices: string[] = [];
  const store = createSqliteStore({ now: Date.now, onNotice: ({ kind }) => notices.push(kind), path });
  await store.open();
  const grant = await store.lease({ ...dailyRequest(10, 1), bucket: 'p/fresh' });
  expect(grant.granted, what).toBe(1);
  await store.publish([resting('key:fresh')]);
  await store.close();
  expect(
    notices.filter((kind) => kind !== 'set-aside'),
    what,
  ).toEqual([]);
  expect(readValue(path, 'PRAGMA integrity_check'), what).toBe('ok');
}
