/** Permits that were spent without a lease, and the caution until all of them are told. */
import assert from 'node:assert/strict';
import type { Charged, Store } from '../../core/ports.js';
import type { QuotaWindow } from '../../core/quota.js';
import type { ContractCases } from './contract-cases.js';
import { CLOCK_SPREAD_MS, DAY, charged, leaseWhenFree, request, settlement, until } from './store-samples.js';

const CAUTION_MS = 300;

function told(store: Store, part: Partial<Charged>): Charged {
  return charged({ countedAt: store.now(), ...part });
}

export function chargeCases(cases: ContractCases): void {
  cases.onStore('counts what was spent without a lease', async (store) => {
    await store.charge([told(store, { permits: 3 })], { cautionMs: 0 });
    const grant = await store.lease(request(DAY, 9));
    assert.deepEqual([grant.granted, grant.left, grant.cautiousUntil], [2, 0, 0]);
  });
  cases.onStore('charges more than the limit, and owes nothing below zero', async (store) => {
    await store.charge([told(store, { permits: 9 })], { cautionMs: 0 });
    const none = await store.lease(request(DAY, 1));
    assert.deepEqual([none.granted, none.left, none.leftInWindows], [0, 0, [0]]);
  });
  cases.onStore('counts once what it is told twice, even when it was settled meanwhile', async (store) => {
    const charge = told(store, { permits: 2 });
    await store.charge([charge, charge], { cautionMs: 0 });
    await store.charge([charge], { cautionMs: 0 });
    assert.equal((await store.lease(request(DAY, 0))).left, 3);
    const { leaseId, countedAt } = charge;
    await store.settle([{ bucket: 'p/b', leaseId, spent: 2, countedAt, returned: 0 }]);
    await store.charge([charge], { cautionMs: 0 });
    assert.equal((await store.lease(request(DAY, 0))).left, 3);
  });
  cases.onStore('settles a charge as any other lease', async (store) => {
    const charge = told(store, { permits: 4 });
    await store.charge([charge], { cautionMs: 0 });
    const settled = { bucket: 'p/b', leaseId: charge.leaseId };
    await store.settle([{ ...settled, spent: 1, countedAt: charge.countedAt, returned: 2 }]);
    assert.equal((await store.lease(request(DAY, 0))).left, 3);
    await store.settle([{ ...settled, spent: 0, countedAt: 0, returned: 9 }]);
    assert.equal((await store.lease(request(DAY, 0))).left, 4);
  });
  cases.onStore('charges what was spent long ago only to windows that reach back so far', async (store) => {
    const minute: QuotaWindow = { requests: 5, perMs: 60_000 };
    const charge = told(store, { permits: 2, windows: [minute, DAY], countedAt: store.now() - 120_000 });
    await store.charge([charge], { cautionMs: 0 });
    const grant = await store.lease({ ...request(DAY, 0), windows: [minute, DAY] });
    assert.deepEqual(grant.leftInWindows, [5, 3]);
    const { leaseId, countedAt } = charge;
    await store.settle([{ bucket: 'p/b', leaseId, spent: 0, countedAt, returned: 1 }]);
    assert.equal((await store.lease(request(DAY, 0))).left, 4);
  });
  cases.onStore('frees a charge when its window has passed', async (store) => {
    const brief: QuotaWindow = { requests: 2, perMs: 500 };
    await store.charge([told(store, { permits: 2, windows: [brief] })], { cautionMs: 0 });
    assert.equal((await store.lease(request(brief, 1))).granted, 0);
    assert.equal((await leaseWhenFree(store, request(brief, 1))).granted, 1);
  });
  cases.onStore('takes several charges at once, each to its own bucket', async (store) => {
    await store.charge(
      [told(store, { permits: 1 }), told(store, { permits: 4, bucket: 'p/other', leaseId: 'told-2' })],
      { cautionMs: 0 },
    );
    await store.charge([], { cautionMs: CAUTION_MS });
    assert.equal((await store.lease(request(DAY, 0))).left, 4);
    assert.equal((await store.lease({ ...request(DAY, 0), bucket: 'p/other' })).left, 1);
  });
  cases.onStore('tells what is left in each window', async (store) => {
    const windows: QuotaWindow[] = [{ requests: 9, perMs: 3_600_000 }, DAY];
    const grant = await store.lease({ ...request(DAY, 2), windows });
    assert.deepEqual([grant.left, grant.leftInWindows], [3, [7, 3]]);
    const unlimited = await store.lease({ ...request(DAY, 2), windows: [] });
    assert.deepEqual(unlimited.leftInWindows, []);
  });
}

export function cautionCases(cases: ContractCases): void {
  cases.onStore('grants nothing until the caution is over, and says until when', async (store) => {
    const before = store.now();
    await store.charge([told(store, { permits: 2 })], { cautionMs: CAUTION_MS });
    const none = await store.lease(request(DAY, 1));
    assert.deepEqual([none.granted, none.leaseId, none.left, none.leftInWindows], [0, '', 3, [3]]);
    assert.ok(
      none.cautiousUntil >= before + CAUTION_MS - CLOCK_SPREAD_MS &&
        none.cautiousUntil <= store.now() + CAUTION_MS,
    );
    assert.ok(none.retryAt >= none.cautiousUntil);
    await until(() => store.now() > none.cautiousUntil);
    const grant = await store.lease(request(DAY, 9));
    assert.deepEqual([grant.granted, grant.cautiousUntil], [3, 0]);
  });
  cases.onStore('is cautious without a single permit, and only about that bucket', async (store) => {
    await store.charge([told(store, { permits: 0 })], { cautionMs: 60_000 });
    const none = await store.lease(request(DAY, 1));
    assert.deepEqual([none.granted, none.left], [0, 5]);
    assert.equal((await store.lease({ ...request(DAY, 9), bucket: 'p/other' })).granted, 5);
    await store.charge([told(store, { permits: 2 })], { cautionMs: 0 });
    assert.equal((await store.lease(request(DAY, 0))).left, 3);
  });
  cases.onStore('is cautious where there is no limit, too', async (store) => {
    await store.charge([told(store, { permits: 1, windows: [] })], { cautionMs: 60_000 });
    const none = await store.lease({ ...request(DAY, 1), windows: [] });
    assert.deepEqual([none.granted, none.leftInWindows], [0, []]);
    assert.ok(none.cautiousUntil > store.now());
  });
  cases.onStore('never shortens a caution', async (store) => {
    await store.charge([told(store, { permits: 0 })], { cautionMs: 60_000 });
    const { cautiousUntil } = await store.lease(request(DAY, 1));
    await store.charge([told(store, { permits: 0 })], { cautionMs: 1 });
    assert.equal((await store.lease(request(DAY, 1))).cautiousUntil, cautiousUntil);
  });
  cases.onStore('still takes back what is returned during a caution', async (store) => {
    const grant = await store.lease(request(DAY, 5));
    await store.charge([told(store, { permits: 0 })], { cautionMs: 60_000 });
    await store.settle([settlement(grant, { returned: 4 })]);
    assert.equal((await store.lease(request(DAY, 0))).left, 4);
  });
}
