import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from '@redis/client';
import { describe, expect, it } from 'vitest';
import type { Store, StoreNotice } from '#keymux/core/ports.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { createSealedStore } from '#keymux/stores/sealed-store.js';
import { Sealing } from '#keymux/stores/sealing.js';
import { DAY_MS, dailyRequest, openStore, resting, temporaryDirectory } from './sqlite-fixture.js';
import { makeStore, serverOfTest } from './redis-store-fixture.js';

const KEY = new Uint8Array(32).fill(7);
const OTHER_KEY = new Uint8Array(32).fill(8);
const CANARIES = ['canary-provider', 'canary-bucket', 'canary-fingerprint', 'canary-host', 'canary-group'];

/** Uses every method that writes, with names that must not be found again. */
async function useAll(store: Store): Promise<void> {
  await store.open();
  const subject = 'key:canary-fingerprint';
  await store.beat({
    memberId: 'canary-host:1:2',
    host: 'canary-host',
    pid: 1,
    startedAt: 0,
    ttlMs: 60_000,
    group: 'canary-group',
    isReturning: false,
    remembered: 0,
  });
  await store.publish([resting(subject), resting('bucket:canary-provider/canary-bucket')]);
  const request = { ...dailyRequest(10, 3), ttlMs: 600_000, bucket: 'canary-provider/canary-bucket' };
  const { leaseId } = await store.lease(request);
  const { bucket, windows } = request;
  await store.settle([{ bucket, leaseId, spent: 1, countedAt: store.now(), returned: 1 }]);
  const told = {
    bucket,
    windows,
    leaseId: 'canary-host:1:2/told',
    permits: 2,
    countedAt: store.now() + 600_000,
  };
  await store.charge([told], { cautionMs: 0 });
  await store.addUsage([{ subject, requests: 4, failures: 1, costUsd: 0.5 }]);
}

function canariesIn(content: Buffer): string[] {
  const text = content.toString('latin1');
  return CANARIES.flatMap((canary) =>
    (['utf8', 'hex', 'base64', 'base64url'] as const).filter((encoding) =>
      // The end of a base64 text depends on what follows.
      text.includes(Buffer.from(canary).toString(encoding).slice(0, 10)),
    ),
  );
}

async function lookAll(store: Store): Promise<unknown> {
  const state = await store.open();
  const census = await store.census();
  return {
    subjects: state.records.map(({ subject }) => subject).sort(),
    usage: state.usage.map(({ subject, requests }) => [subject, requests]),
    hosts: census.members.map(({ memberId, host }) => [memberId, host]),
    groups: census.leaders.map(({ group, memberId }) => [group, memberId]),
    leases: census.leases.map(({ bucket, permits }) => [bucket, permits]),
  };
}

const ALL = {
  subjects: ['bucket:canary-provider/canary-bucket', 'key:canary-fingerprint'],
  usage: [['key:canary-fingerprint', 4]],
  hosts: [['canary-host:1:2', 'canary-host']],
  groups: [['canary-group', 'canary-host:1:2']],
  leases: [['canary-provider/canary-bucket', 3]],
};

describe('a sealed store', () => {
  it('leaves no name in the files of SQLite, and gives all of them back', async () => {
    const directory = temporaryDirectory();
    const { store } = await openStore({ directory });
    const sealed = createSealedStore(store, KEY);
    await useAll(sealed);
    expect(await lookAll(sealed)).toEqual(ALL);
    const files = readdirSync(directory);
    expect(files.some((name) => name.endsWith('.db'))).toBe(true);
    for (const name of files)
      expect([name, canariesIn(readFileSync(join(directory, name)))]).toEqual([name, []]);
  });

  it('leaves no name in Redis, and gives all of them back', async () => {
    const server = await serverOfTest();
    const { store } = makeStore({ url: server.url });
    const sealed = createSealedStore(store, KEY);
    await useAll(sealed);
    expect(await lookAll(sealed)).toEqual(ALL);
    const client = createClient({ url: server.url });
    await client.connect();
    const names = await client.keys('*');
    expect(names.length).toBeGreaterThan(5);
    expect(canariesIn(Buffer.from(names.join('\n')))).toEqual([]);
    for (const name of names) {
      // Compression and integers of a dump could hide a text, so the values are read as they are.
      const type = await client.type(name);
      const value =
        type === 'hash'
          ? JSON.stringify(await client.hGetAll(name))
          : type === 'zset'
            ? JSON.stringify(await client.zRangeWithScores(name, 0, -1))
            : type === 'string'
              ? ((await client.get(name)) ?? '')
              : JSON.stringify(await client.sendCommand(['DUMP', name]));
      expect([name, canariesIn(Buffer.from(value))]).toEqual([name, []]);
    }
    client.destroy();
  });

  it('leaves alone what another key or none has sealed, and tells so once', async () => {
    const directory = temporaryDirectory();
    const { store } = await openStore({ directory });
    await store.publish([resting('key:plain')]);
    await useAll(createSealedStore(store, OTHER_KEY));
    const notices: StoreNotice[] = [];
    const sealed = createSealedStore(store, KEY, (notice) => notices.push(notice));
    const nothing = { subjects: [], usage: [], hosts: [], groups: [], leases: [] };
    expect(await lookAll(sealed)).toEqual(nothing);
    expect(await lookAll(sealed)).toEqual(nothing);
    expect(await sealed.usage()).toEqual([]);
    expect(notices).toEqual([
      expect.objectContaining({
        kind: 'set-aside',
        message: expect.stringMatching(/^4 entries of the store/),
      }),
    ]);
    expect(await lookAll(createSealedStore(store, OTHER_KEY))).toEqual(ALL);
    expect((await store.open()).records.map(({ subject }) => subject)).toContain('key:plain');
  });

  it('tells members of what others with the same key change, and of nothing else', async () => {
    const directory = temporaryDirectory();
    const notices: StoreNotice[] = [];
    const { store } = await openStore({ directory });
    const { store: other } = await openStore({ directory });
    const seen: string[] = [];
    const sealed = createSealedStore(store, KEY, (notice) => notices.push(notice));
    const stop = sealed.watch((records) => seen.push(...records.map(({ subject }) => subject)));
    await other.publish([resting('key:plain')]);
    await createSealedStore(other, KEY).publish([resting('key:one')]);
    await expect.poll(() => seen, { timeout: 10_000 }).toEqual(['key:one']);
    expect(notices).toHaveLength(1);
    stop();
  });

  it('shares limits exactly among its members', async () => {
    const directory = temporaryDirectory();
    const members = [await openStore({ directory }), await openStore({ directory })];
    const sealed = members.map(({ store }) => createSealedStore(store, KEY));
    let granted = 0;
    for (let turn = 0; turn < 12; turn += 1) {
      const grant = await sealed[turn % 2]?.lease(dailyRequest(7, 1));
      granted += grant?.granted ?? 0;
    }
    expect(granted).toBe(7);
  });

  it('speaks of names as they are in its errors', async () => {
    const store = createSealedStore(createMemoryStore({ now: Date.now, onNotice: () => {} }), KEY);
    await store.open();
    expect(() => store.lease({ ...dailyRequest(1, 1), want: -1 })).toThrow('permits wanted of "p/b"');
    expect(() => store.publish([resting('key:1')], { group: 'a-group', token: 1 })).toThrow(
      expect.objectContaining({ code: 'KEYMUX_FENCED', message: expect.stringContaining('"a-group"') }),
    );
    expect(() => store.leave(5 as never)).not.toThrow();
    await store.close();
    expect(() => store.usage()).toThrow(expect.objectContaining({ code: 'KEYMUX_CLOSED' }));
  });

  it('passes on what is no error of keymux', () => {
    const broken = { ...createMemoryStore({ now: Date.now, onNotice: () => {} }), kind: 'memory' as const };
    const boom = new Error('boom');
    const store = createSealedStore(
      Object.assign(broken, {
        usage: (): never => {
          throw boom;
        },
      }),
      KEY,
    );
    expect(() => store.usage()).toThrow(boom);
  });
});

describe('sealing', () => {
  const sealing = new Sealing(KEY);

  it('seals equal names alike, and differently for each kind and key', () => {
    const sealed = sealing.sealName('bucket', 'acme/main');
    expect(new Sealing(KEY).sealName('bucket', 'acme/main')).toBe(sealed);
    expect(sealing.sealName('subject', 'acme/main')).not.toBe(sealed);
    expect(new Sealing(OTHER_KEY).sealName('bucket', 'acme/main')).not.toBe(sealed);
    expect(new Sealing(KEY).openName('bucket', sealed)).toBe('acme/main');
    expect(sealing.openName('subject', sealed)).toBeUndefined();
    expect(sealing.openName('bucket', 'acme/main')).toBeUndefined();
    expect(sealing.openName('bucket', 'kmn1.')).toBeUndefined();
  });

  it('seals equal texts differently each time, for one place', () => {
    const sealed = sealing.sealText('host-1', 'member-1');
    expect(sealing.sealText('host-1', 'member-1')).not.toBe(sealed);
    expect(sealing.openText(sealed, 'member-1')).toBe('host-1');
    expect(sealing.openText(sealed, 'member-2')).toBeUndefined();
    expect(sealing.openText('kmt1.AAAA', 'member-1')).toBeUndefined();
    expect(sealing.openText('host-1', 'member-1')).toBeUndefined();
  });

  it('notices every bit that was flipped', () => {
    const name = sealing.sealName('bucket', 'acme/main');
    const text = sealing.sealText('host-1', 'member-1');
    for (const sealed of [name, text]) {
      const mark = sealed.slice(0, 5);
      const bytes = Buffer.from(sealed.slice(5), 'base64url');
      for (let bit = 0; bit < bytes.length * 8; bit += 1) {
        const flipped = Buffer.from(bytes);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const changed = `${mark}${flipped.toString('base64url')}`;
        expect(sealing.openName('bucket', changed) ?? sealing.openText(changed, 'member-1')).toBeUndefined();
      }
    }
  });

  it('keeps a bounded number of names', () => {
    const first = sealing.sealName('bucket', 'b0');
    for (let index = 1; index < 5_000; index += 1) sealing.sealName('bucket', `b${index}`);
    expect(sealing.sealName('bucket', 'b0')).toBe(first);
    expect(sealing.openMessage(`about ${first} and kmn1.AAAA`)).toBe('about b0 and kmn1.AAAA');
  });
});

it('keeps windows of a day in clear, which the stores count by', () => {
  const store = createSealedStore(createMemoryStore({ now: Date.now, onNotice: () => {} }), KEY);
  void store.open();
  expect(store.lease(dailyRequest(3, 2))).toMatchObject({ granted: 2, left: 1 });
  expect(dailyRequest(1, 1).windows[0]?.perMs).toBe(DAY_MS);
});
