import { describe, expect, it } from 'vitest';
import { KeymuxError } from '#keymux/core/errors.js';
import type { Store, StoreNotice } from '#keymux/core/ports.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { createSealedStore } from '#keymux/stores/sealed-store.js';
import { Sealing } from '#keymux/stores/sealing.js';
import type { NameKind } from '#keymux/stores/sealing.js';
import { openStore as openRedis, PATIENT, serverOfTest } from './redis-store-fixture.js';
import { dailyRequest, openStore as openSqlite, resting, temporaryDirectory } from './sqlite-fixture.js';

const KEY = new Uint8Array(32).fill(7);
const sealing = new Sealing(KEY);
const stranger = new Sealing(new Uint8Array(32).fill(8));
const NAME_KINDS: readonly NameKind[] = ['subject', 'bucket', 'member', 'group', 'charge'];

const STORES: Readonly<Record<string, () => Promise<Store>>> = {
  memory: async () => {
    const store = createMemoryStore({ now: Date.now, onNotice: () => {} });
    await store.open();
    return store;
  },
  SQLite: async () => (await openSqlite({ directory: temporaryDirectory() })).store,
  Redis: async () => (await openRedis({ url: (await serverOfTest()).url }, PATIENT)).store,
};

/** The sealed text with its last byte changed. */
function bent(sealed: string): string {
  const bytes = Buffer.from(sealed.slice(5), 'base64url');
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  return sealed.slice(0, 5) + bytes.toString('base64url');
}

/** What somebody who may write to the store can put where a name of this kind stands; `name` is the right one. */
function forgeries(kind: NameKind, name: string): string[] {
  const sealed = sealing.sealName(kind, name);
  return [
    name,
    stranger.sealName(kind, name),
    ...NAME_KINDS.filter((other) => other !== kind).map((other) => sealing.sealName(other, name)),
    bent(sealed),
    sealed.slice(0, -2),
    sealed.slice(0, 20),
    `${sealed}AA`,
    `${sealed}=`,
    sealing.sealText(name, name),
    'kmn1.',
  ];
}

/** What can stand for the host of `member`. */
function hostForgeries(member: string): string[] {
  const sealed = sealing.sealText('host', member);
  return [
    'host',
    stranger.sealText('host', member),
    sealing.sealText('host', 'another member'),
    bent(sealed),
    sealed.slice(0, -2),
    sealed.slice(0, 12),
    sealing.sealName('member', 'host'),
    'kmt1.',
  ];
}

const presence = (memberId: string, host: string, group?: string) => ({
  memberId,
  host,
  pid: 1,
  startedAt: 0,
  ttlMs: 600_000,
  ...(group === undefined ? {} : { group }),
  isReturning: false,
  remembered: 0,
});

/** Past the seal, into every field that holds a name. Returns how many records and usages it wrote. */
async function tamper(store: Store): Promise<number> {
  const subjects = forgeries('subject', 'key:one');
  await store.publish(subjects.map((subject) => resting(subject)));
  await store.addUsage(subjects.map((subject) => ({ subject, requests: 1, failures: 0, costUsd: 0 })));
  for (const bucket of forgeries('bucket', 'p/b')) await store.lease({ ...dailyRequest(9, 1), bucket });
  for (const memberId of forgeries('member', 'member')) await store.beat(presence(memberId, 'host'));
  for (const group of forgeries('group', 'group'))
    await store.beat(presence(sealing.sealName('member', 'one'), sealing.sealText('host', 'one'), group));
  for (const index of hostForgeries('').keys()) {
    const member = `member ${index}`;
    const host = hostForgeries(member)[index] ?? '';
    await store.beat(presence(sealing.sealName('member', member), host));
  }
  return 2 * subjects.length;
}

describe.each(Object.keys(STORES))('a sealed store over %s', (kind) => {
  it('believes no name of another key, of another kind, bent or cut, and leaves it where it is', async () => {
    const store = await (STORES[kind] ?? expect.fail)();
    const notices: StoreNotice[] = [];
    const sealed = createSealedStore(store, KEY, (notice) => notices.push(notice));
    const written = await tamper(store);
    const nothing = await sealed.open();
    expect([nothing.records, nothing.usage, await sealed.usage()]).toEqual([[], [], []]);
    expect(notices).toMatchObject([{ message: expect.stringMatching(`^${written} entries of the store`) }]);

    await sealed.publish([resting('key:one')]);
    await sealed.addUsage([{ subject: 'key:one', requests: 5, failures: 0, costUsd: 0 }]);
    const { granted } = await sealed.lease({ ...dailyRequest(9, 9), ttlMs: 600_000 });
    await sealed.beat(presence('two', 'host', 'group'));
    const { records, usage } = await sealed.open();
    expect([granted, records.map(({ subject }) => subject)]).toEqual([9, ['key:one']]);
    expect(usage).toMatchObject([{ subject: 'key:one', requests: 5 }]);
    const { members, leaders, leases } = await sealed.census();
    const hosts = Object.fromEntries(members.map(({ memberId, host }) => [memberId, host]));
    const { one, two, ...forged } = hosts;
    expect([one, two, new Set(Object.values(forged))]).toEqual(['host', 'host', new Set(['unknown'])]);
    expect(Object.keys(forged)).toHaveLength(hostForgeries('').length);
    expect(leaders).toMatchObject([{ group: 'group', memberId: 'two' }]);
    expect(leases).toMatchObject([{ bucket: 'p/b', permits: 9 }]);

    const raw = await store.open();
    expect(raw.records.length + raw.usage.length).toBe(written + 2);
  });

  it('shows who leads as it stands there, where that is somebody without the key', async () => {
    const store = await (STORES[kind] ?? expect.fail)();
    const leader = stranger.sealName('member', 'stranger');
    await store.beat(presence(leader, 'host', sealing.sealName('group', 'group')));
    const sealed = createSealedStore(store, KEY);
    expect((await sealed.beat(presence('one', 'host', 'group'))).leader).toMatchObject({ memberId: leader });
    expect((await sealed.census()).leaders).toMatchObject([{ group: 'group', memberId: leader }]);
  });
});

describe('a sealed text', () => {
  it('cannot be opened when it is cut, at any place', () => {
    const name = sealing.sealName('bucket', 'acme/main');
    const text = sealing.sealText('host-1', 'member-1');
    for (let length = 0; length < name.length; length += 1)
      expect([length, sealing.openName('bucket', name.slice(0, length))]).toEqual([length, undefined]);
    for (let length = 0; length < text.length; length += 1)
      expect([length, sealing.openText(text.slice(0, length), 'member-1')]).toEqual([length, undefined]);
  });

  it('is written in one way only', () => {
    const sealed = sealing.sealName('bucket', 'acme/main');
    for (const other of [`${sealed}=`, `${sealed} `, sealed.replace('kmn1.', 'KMN1.'), ` ${sealed}`])
      expect(sealing.openName('bucket', other)).toBeUndefined();
  });
});

it('tells those that watch of no forgery', () => {
  const forged = forgeries('subject', 'key:one').map((subject) => resting(subject));
  const good = resting(sealing.sealName('subject', 'key:two'));
  const store = Object.assign(createMemoryStore({ now: Date.now, onNotice: () => {} }), {
    watch: (onChange: Parameters<Store['watch']>[0]) => {
      onChange(forged);
      onChange([...forged, good]);
      return () => {};
    },
  });
  const notices: StoreNotice[] = [];
  const seen: string[][] = [];
  const sealed = createSealedStore(store, KEY, (notice) => notices.push(notice));
  sealed.watch((records) => void seen.push(records.map(({ subject }) => subject)))();
  expect([seen, notices.length]).toEqual([[['key:two']], 1]);
});

it('keeps the moment of a later attempt in errors that speak of names', () => {
  const store = createMemoryStore({ now: Date.now, onNotice: () => {} });
  const bucket = sealing.sealName('bucket', 'p/b');
  const failing = Object.assign(store, {
    usage: (): never => {
      throw new KeymuxError('KEYMUX_TIMEOUT', `too late for ${bucket}`, { fix: 'Wait.', retryAt: 5 });
    },
  });
  expect(() => createSealedStore(failing, KEY).usage()).toThrow(
    expect.objectContaining({ message: 'too late for p/b', fix: 'Wait.', retryAt: 5 }),
  );
});
