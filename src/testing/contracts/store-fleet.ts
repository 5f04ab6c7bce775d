/** Members of a fleet: who is there, who leads, and what a leader alone may write. */
import assert from 'node:assert/strict';
import { PRESENCE_TTL_MS } from '../../core/fleet.js';
import type { Fence, Fleet } from '../../core/fleet.js';
import type { Store } from '../../core/ports.js';
import type { ContractCases } from './contract-cases.js';
import {
  CLOCK_SPREAD_MS,
  DAY,
  healthy,
  presence,
  record,
  refuses,
  request,
  resting,
  until,
} from './store-samples.js';

/** How long a member lives that is to be missed soon. */
const BRIEF_MS = 40;
const GROUP = 'keys-1';

async function untilGone(store: Store, ttlMs: number): Promise<void> {
  const from = store.now();
  await until(() => store.now() > from + ttlMs);
}

function fenceOf({ leader }: Fleet): Fence {
  assert.ok(leader !== undefined, 'nobody leads');
  return { group: GROUP, token: leader.token };
}

export function memberCases(cases: ContractCases): void {
  cases.onStore('counts its members and ranks them by time of joining', async (store) => {
    assert.deepEqual(await store.beat(presence('a')), { size: 1, rank: 0, reunionUntil: 0 });
    assert.deepEqual(await store.beat(presence('b')), { size: 2, rank: 1, reunionUntil: 0 });
    assert.deepEqual(await store.beat(presence('c')), { size: 3, rank: 2, reunionUntil: 0 });
    assert.deepEqual(await store.beat(presence('a')), { size: 3, rank: 0, reunionUntil: 0 });
  });
  cases.onStore('misses a member that was not heard for longer than it said', async (store) => {
    await store.beat(presence('a', { ttlMs: BRIEF_MS }));
    await store.beat(presence('b'));
    await untilGone(store, BRIEF_MS);
    assert.deepEqual(await store.beat(presence('c')), { size: 2, rank: 1, reunionUntil: 0 });
    assert.deepEqual(
      (await store.census()).members.map(({ memberId }) => memberId),
      ['b', 'c'],
    );
    assert.deepEqual(await store.beat(presence('a')), { size: 3, rank: 2, reunionUntil: 0 });
  });
  cases.onStore('counts a member that leaves no more, and closes the gap', async (store) => {
    for (const memberId of ['a', 'b', 'c']) await store.beat(presence(memberId));
    await store.leave('b');
    await store.leave('b');
    await store.leave('unheard-of');
    assert.deepEqual(await store.beat(presence('c')), { size: 2, rank: 1, reunionUntil: 0 });
  });
  cases.onStore('keeps the leases of a member that leaves', async (store) => {
    await store.beat(presence('a'));
    await store.lease(request(DAY, 4));
    await store.leave('a');
    assert.equal((await store.lease(request(DAY, 9))).granted, 1);
  });
  cases.onStore('shows members, leaders and leases to people', async (store) => {
    const before = store.now();
    const lasting = { ...request(DAY, 2), ttlMs: 60_000 };
    await store.beat(presence('a', { group: GROUP, host: 'host-1', pid: 17, startedAt: 5_000.5 }));
    const { leader } = await store.beat(presence('b', { group: GROUP }));
    await store.lease(lasting);
    await store.lease({ ...lasting, want: 1 });
    await store.lease({ ...lasting, bucket: 'p/other' });
    const census = await store.census();
    assert.ok(census.at >= before - CLOCK_SPREAD_MS && census.at <= store.now());
    assert.equal(census.members.length, 2);
    const [first] = census.members;
    const { seenAt, ...rest } = first ?? assert.fail();
    assert.deepEqual(rest, { memberId: 'a', host: 'host-1', pid: 17, startedAt: 5_000.5, behind: 0 });
    assert.ok(seenAt >= before - CLOCK_SPREAD_MS && seenAt <= census.at);
    assert.deepEqual(
      census.leaders.map(({ group, memberId, token }) => [group, memberId, token]),
      [[GROUP, 'a', leader?.token]],
    );
    assert.deepEqual(
      [...census.leases].sort((one, other) => (one.bucket < other.bucket ? -1 : 1)),
      [
        { bucket: 'p/b', permits: 3, leases: 2 },
        { bucket: 'p/other', permits: 2, leases: 1 },
      ],
    );
  });
  cases.onStore('shows nobody where nobody is', async (store) => {
    const { members, leaders, leases } = await store.census();
    assert.deepEqual({ members, leaders, leases }, { members: [], leaders: [], leases: [] });
  });
}

export function leadershipCases(cases: ContractCases): void {
  cases.onStore('lets one member of a group lead, and tells the others who', async (store) => {
    const before = store.now();
    const { leader } = await store.beat(presence('a', { group: GROUP }));
    assert.equal(leader?.memberId, 'a');
    assert.ok(
      leader.until >= before + PRESENCE_TTL_MS - CLOCK_SPREAD_MS &&
        leader.until <= store.now() + PRESENCE_TTL_MS,
    );
    assert.deepEqual((await store.beat(presence('b', { group: GROUP }))).leader, leader);
    const renewed = (await store.beat(presence('a', { group: GROUP }))).leader;
    assert.deepEqual([renewed?.memberId, renewed?.token], ['a', leader.token]);
    assert.ok((renewed?.until ?? 0) >= leader.until);
  });
  cases.onStore(
    'lets each group have its own leader, and no leader where there is no group',
    async (store) => {
      await store.beat(presence('a', { group: GROUP }));
      assert.equal((await store.beat(presence('b', { group: 'keys-2' }))).leader?.memberId, 'b');
      assert.equal('leader' in (await store.beat(presence('c'))), false);
    },
  );
  cases.onStore('lets another lead with a higher token when the leader goes', async (store) => {
    const first = await store.beat(presence('a', { group: GROUP }));
    await store.leave('a');
    const second = await store.beat(presence('b', { group: GROUP }));
    assert.equal(second.leader?.memberId, 'b');
    assert.ok(fenceOf(second).token > fenceOf(first).token);
    await store.leave('b');
    const third = await store.beat(presence('a', { group: GROUP }));
    assert.ok(fenceOf(third).token > fenceOf(second).token);
  });
  cases.onStore('lets another lead when the leader falls silent', async (store) => {
    const first = await store.beat(presence('a', { group: GROUP, ttlMs: BRIEF_MS }));
    await untilGone(store, BRIEF_MS);
    const second = await store.beat(presence('b', { group: GROUP }));
    assert.equal(second.leader?.memberId, 'b');
    assert.ok(fenceOf(second).token > fenceOf(first).token);
    assert.deepEqual((await store.beat(presence('a', { group: GROUP }))).leader, second.leader);
  });
  cases.onStore('gives a leader that fell silent a new token', async (store) => {
    const first = await store.beat(presence('a', { group: GROUP, ttlMs: BRIEF_MS }));
    await untilGone(store, BRIEF_MS);
    const second = await store.beat(presence('a', { group: GROUP }));
    assert.ok(fenceOf(second).token > fenceOf(first).token);
  });
  cases.onStore('ends the leadership of a member that changes its group', async (store) => {
    await store.beat(presence('a', { group: GROUP }));
    assert.equal((await store.beat(presence('a', { group: 'keys-2' }))).leader?.memberId, 'a');
    assert.equal((await store.beat(presence('b', { group: GROUP }))).leader?.memberId, 'b');
    assert.equal('leader' in (await store.beat(presence('a'))), false);
    assert.deepEqual(
      (await store.census()).leaders.map(({ group }) => group),
      [GROUP],
    );
  });
}

export function fenceCases(cases: ContractCases): void {
  const written = [record('key:a', resting(1, 9e12))];
  const refused = async (store: Store, fence: Fence): Promise<void> => {
    await refuses('KEYMUX_FENCED', () => store.publish(written, fence), 'a write of a stale leader');
    await refuses('KEYMUX_FENCED', () => store.publish([], fence), 'an empty write of a stale leader');
    assert.deepEqual((await store.open()).records, []);
  };
  cases.onStore('takes what a leader writes', async (store) => {
    const fence = fenceOf(await store.beat(presence('a', { group: GROUP })));
    assert.deepEqual(await store.publish(written, fence), written);
    assert.deepEqual((await store.open()).records, written);
  });
  cases.onStore('refuses what is written after another came to lead, and says who', async (store) => {
    const stale = fenceOf(await store.beat(presence('a', { group: GROUP })));
    await store.leave('a');
    const standing = fenceOf(await store.beat(presence('b', { group: GROUP })));
    await refused(store, stale);
    const message = await messageOf(() => store.publish(written, stale));
    assert.ok(message.includes(GROUP) && message.includes('"b"'), message);
    assert.deepEqual(await store.publish(written, standing), written);
  });
  cases.onStore(
    'refuses what is written after the leadership ended, though nobody followed',
    async (store) => {
      const stale = fenceOf(await store.beat(presence('a', { group: GROUP, ttlMs: BRIEF_MS })));
      await untilGone(store, BRIEF_MS);
      await refused(store, stale);
    },
  );
  cases.onStore('refuses a leadership that never was', async (store) => {
    const { token } = fenceOf(await store.beat(presence('a', { group: GROUP })));
    await refused(store, { group: GROUP, token: token + 1 });
    await refused(store, { group: 'unheard-of', token });
  });
}

export function fleetSharingCases(cases: ContractCases): void {
  cases.onPair('counts members of all processes, and no two have one rank', async (one, other) => {
    const ids = Array.from({ length: 12 }, (_, index) => `m-${String(index)}`);
    const beat = async (memberId: string, index: number): Promise<Fleet> =>
      (index % 2 === 0 ? one : other).beat(presence(memberId, { group: GROUP }));
    await Promise.all(ids.map(beat));
    const fleets = await Promise.all(ids.map(beat));
    assert.deepEqual(
      fleets.map(({ rank }) => rank).sort((a, b) => a - b),
      ids.map((_, index) => index),
    );
    assert.deepEqual(new Set(fleets.map(({ size }) => size)), new Set([12]));
    assert.equal(new Set(fleets.map(({ leader }) => leader?.memberId)).size, 1);
    assert.deepEqual((await one.census()).members.length, 12);
  });
  cases.onPair('fences a leader in another process', async (one, other) => {
    const stale = fenceOf(await one.beat(presence('a', { group: GROUP, ttlMs: BRIEF_MS })));
    await untilGone(other, BRIEF_MS);
    await other.beat(presence('b', { group: GROUP }));
    await refuses('KEYMUX_FENCED', () => one.publish([record('key:a', healthy(1))], stale), 'a stale write');
  });
  cases.onPair('is cautious for all when one says so', async (one, other) => {
    const { windows, bucket } = request(DAY, 0);
    const charge = { bucket, windows, leaseId: 'told-1', permits: 2, countedAt: one.now() };
    await one.charge([charge], { cautionMs: 60_000 });
    const none = await other.lease(request(DAY, 1));
    assert.deepEqual([none.granted, none.left], [0, 3]);
    await other.charge([charge], { cautionMs: 0 });
    assert.equal((await one.lease(request(DAY, 0))).left, 3);
  });
  cases.onPair('says of a member that heard everything that it is not behind', async (one, other) => {
    const seen: string[] = [];
    const unwatch = other.watch((records) => seen.push(...records.map(({ subject }) => subject)));
    await one.publish([record('key:a', healthy(1))]);
    await cases.untilSeen(() => seen.length > 0);
    await other.publish([record('key:own', healthy(1))]);
    await other.beat(presence('b'));
    assert.deepEqual(
      (await one.census()).members.map(({ behind }) => behind),
      [0],
    );
    unwatch();
  });
}

async function messageOf(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}
