/** A fleet that was away as a whole comes back: until all have told what they spent, each keeps to its share. */
import assert from 'node:assert/strict';
import { REUNION_MS } from '../../core/fleet.js';
import type { Store } from '../../core/ports.js';
import type { ContractCases } from './contract-cases.js';
import { CLOCK_SPREAD_MS, presence, until } from './store-samples.js';

const BRIEF_MS = 40;

/** Members that were there, and have not been heard for longer than they live. */
async function silence(store: Store, members: readonly string[]): Promise<void> {
  for (const memberId of members) await store.beat(presence(memberId, { ttlMs: BRIEF_MS }));
  const from = store.now();
  await until(() => store.now() > from + BRIEF_MS);
}

export function reunionCases(cases: ContractCases): void {
  cases.onStore('begins a reunion with the first that returns, and tells everybody', async (store) => {
    await silence(store, ['a', 'b', 'c']);
    const before = store.now();
    const first = await store.beat(presence('b', { isReturning: true, remembered: 3 }));
    assert.ok(
      first.reunionUntil >= before + REUNION_MS - CLOCK_SPREAD_MS &&
        first.reunionUntil <= store.now() + REUNION_MS,
    );
    assert.deepEqual([first.size, first.rank], [3, 0]);
    const second = await store.beat(presence('a', { isReturning: true, remembered: 2 }));
    assert.deepEqual(second, { size: 3, rank: 1, reunionUntil: first.reunionUntil });
    const fresh = await store.beat(presence('new'));
    assert.deepEqual(fresh, { size: 3, rank: 2, reunionUntil: first.reunionUntil });
    const another = await store.beat(presence('another'));
    assert.deepEqual(another, { size: 4, rank: 3, reunionUntil: first.reunionUntil });
  });
  cases.onStore(
    'remembers the largest fleet that anybody told of, though that member goes',
    async (store) => {
      await silence(store, ['a']);
      await store.beat(presence('a', { isReturning: true, remembered: 2 }));
      await store.beat(presence('b', { isReturning: true, remembered: 7 }));
      await store.leave('b');
      assert.equal((await store.beat(presence('a', { remembered: 2 }))).size, 7);
    },
  );
  cases.onStore('ends a reunion in time', async (store) => {
    await silence(store, ['a']);
    const { reunionUntil } = await store.beat(presence('a', { isReturning: true, remembered: 5 }));
    await until(() => store.now() > reunionUntil);
    assert.deepEqual(await store.beat(presence('a', { isReturning: true, remembered: 5 })), {
      size: 1,
      rank: 0,
      reunionUntil: 0,
    });
  });
  cases.onStore('holds no reunion for one that was away while others were there', async (store) => {
    await store.beat(presence('a', { ttlMs: BRIEF_MS }));
    await store.beat(presence('b'));
    const from = store.now();
    // The others have been there for longer than the first moments after a silence.
    await until(() => store.now() > from + REUNION_MS);
    await store.beat(presence('b'));
    assert.deepEqual(await store.beat(presence('a', { isReturning: true, remembered: 9 })), {
      size: 2,
      rank: 1,
      reunionUntil: 0,
    });
  });
  cases.onStore('holds no reunion for a new fleet', async (store) => {
    await silence(store, ['a', 'b']);
    assert.equal((await store.beat(presence('c'))).reunionUntil, 0);
    assert.equal((await store.beat(presence('d', { remembered: 4 }))).size, 2);
  });
  cases.onStore('holds a reunion although a process that was only just started came first', async (store) => {
    await silence(store, ['a', 'b']);
    assert.equal((await store.beat(presence('new'))).reunionUntil, 0);
    const { reunionUntil, size } = await store.beat(presence('a', { isReturning: true, remembered: 5 }));
    assert.ok(reunionUntil > store.now());
    assert.equal(size, 5);
    assert.equal((await store.beat(presence('new'))).reunionUntil, reunionUntil);
  });
  cases.onStore('holds a reunion on a store that knows nobody', async (store) => {
    const { reunionUntil, size } = await store.beat(presence('a', { isReturning: true, remembered: 2 }));
    assert.ok(reunionUntil > store.now());
    assert.equal(size, 2);
  });
}
