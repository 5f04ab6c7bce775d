import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { presence } from '#keymux/testing/contracts/store-samples.js';
import { connectTo, openStore, readValue, resting, temporaryDirectory } from './sqlite-fixture.js';

const PARTS = ['', '-wal', '-shm'];

describe('members in a state file', () => {
  it('are told apart by how many changes of health they have not taken up', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store: writer } = await openStore({ path });
    const { store: reader } = await openStore({ path });
    await writer.publish([resting('key:a'), resting('key:b')]);
    // It watches nothing, so that it takes up nothing.
    await reader.publish([resting('key:own')]);
    await reader.beat(presence('reader'));
    await writer.beat(presence('writer'));
    const behind = async (): Promise<unknown> =>
      Object.fromEntries((await writer.census()).members.map((member) => [member.memberId, member.behind]));
    expect(await behind()).toEqual({ reader: 2, writer: 1 });
    const seen: string[] = [];
    reader.watch((records) => seen.push(...records.map(({ subject }) => subject)));
    await expect.poll(() => seen).toEqual(['key:a', 'key:b']);
    await reader.beat(presence('reader'));
    expect(await behind()).toEqual({ reader: 0, writer: 1 });
  });

  it('leave no row behind when they are gone', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store } = await openStore({ path });
    for (let index = 0; index < 20; index += 1) {
      await store.beat(presence(`brief-${String(index)}`, { ttlMs: 1, group: `g-${String(index)}` }));
    }
    const from = store.now();
    await expect.poll(() => store.now()).toBeGreaterThan(from + 1);
    await store.beat(presence('last', { group: 'g' }));
    expect(readValue(path, 'SELECT count(*) FROM member')).toBe(1);
    expect(readValue(path, 'SELECT count(*) FROM leader')).toBe(1);
  });

  it('are taken over into the next file, so that the fleet does not look smaller', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store } = await openStore({ path });
    await store.beat(presence('a', { group: 'g' }));
    const before = await store.beat(presence('b'));
    for (const part of PARTS) rmSync(path + part);
    await expect.poll(() => Promise.resolve(store.usage()).catch((error: unknown) => error)).toEqual([]);
    const after = await store.beat(presence('b', { isReturning: true, remembered: 2 }));
    expect(after).toEqual(before);
  });

  it('are met anew where their rows were damaged', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store } = await openStore({ path });
    await store.beat(presence('a', { group: 'g' }));
    await store.beat(presence('b'));
    const db = connectTo(path);
    db.exec(`UPDATE member SET host = CAST(x'ff' AS TEXT) WHERE member_id = 'a'`);
    db.exec(`UPDATE leader SET member_id = CAST(x'ff' AS TEXT)`);
    expect(await store.beat(presence('b'))).toMatchObject({ size: 1, rank: 0 });
    expect(await store.beat(presence('a', { group: 'g' }))).toMatchObject({
      size: 2,
      rank: 1,
      leader: { memberId: 'a' },
    });
  });
});

describe('charges in a state file', () => {
  it('are forgotten when nobody would tell them again', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store } = await openStore({ path });
    const charge = { bucket: 'p/b', windows: [], leaseId: 'told-1', permits: 1, countedAt: store.now() };
    await store.charge([charge], { cautionMs: 0 });
    connectTo(path).exec('UPDATE told SET until = 1');
    await store.charge([{ ...charge, leaseId: 'told-2' }], { cautionMs: 0 });
    expect(readValue(path, 'SELECT count(*) FROM told')).toBe(1);
    connectTo(path).exec('UPDATE told SET until = 1');
    await store.lease({ bucket: 'p/b', windows: [], want: 1, ttlMs: 1, slackMs: 1 });
    expect(readValue(path, 'SELECT count(*) FROM told')).toBe(0);
  });
});
