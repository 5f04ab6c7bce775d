/** Leases and what becomes of them. */
import assert from 'node:assert/strict';
import { windowStart } from '../../core/quota.js';
import type { QuotaWindow } from '../../core/quota.js';
import type { ContractCases } from './contract-cases.js';
import { agreesWithModel } from './store-model.js';
import { DAY, leaseWhenFree, request, settlement, until } from './store-samples.js';

export function leaseCases(cases: ContractCases): void {
  cases.onStore('grants no more than is wanted and no more than is left', async (store) => {
    const first = await store.lease(request(DAY, 3));
    assert.equal(first.granted, 3);
    assert.equal(first.left, 2);
    const second = await store.lease(request(DAY, 3));
    assert.equal(second.granted, 2);
    assert.equal(second.left, 0);
    assert.notEqual(first.leaseId, second.leaseId);
    const none = await store.lease(request(DAY, 1));
    assert.equal(none.granted, 0);
  });
  cases.onStore('says until when permits may be spent', async (store) => {
    const before = store.now();
    const grant = await store.lease({ ...request(DAY, 1), ttlMs: 5_000 });
    assert.ok(grant.validUntil >= before + 5_000 && grant.validUntil <= store.now() + 5_000);
  });
  cases.onStore('says when to ask again, and grants then', async (store) => {
    const brief: QuotaWindow = { requests: 2, perMs: 500 };
    const grant = await store.lease(request(brief, 2));
    await store.settle([settlement(grant, { spent: 2, countedAt: store.now() })]);
    assert.equal((await store.lease(request(brief, 1))).granted, 0);
    assert.equal((await leaseWhenFree(store, request(brief, 1))).granted, 1);
  });
  cases.onStore('heeds the tightest of several windows', async (store) => {
    const windows = [{ requests: 100, perMs: 1_000 }, DAY, { requests: 9, perMs: 3_600_000 }];
    const grant = await store.lease({ ...request(DAY, 50), windows });
    assert.equal(grant.granted, 5);
    assert.equal(grant.left, 0);
  });
  cases.onStore('counts a calendar window from the last reset', async (store) => {
    const hour = String((new Date(store.now()).getUTCHours() + 12) % 24).padStart(2, '0');
    const calendar = { unit: 'day', at: `${hour}:00`, timeZone: 'UTC' } as const;
    const daily: QuotaWindow = { requests: 4, perMs: 86_400_000, calendar };
    assert.equal((await store.lease(request(daily, 9))).granted, 4);
    const none = await store.lease(request(daily, 1));
    assert.equal(none.granted, 0);
    assert.equal(new Date(none.retryAt).getUTCHours(), Number(hour));
    assert.ok(none.retryAt > windowStart(daily, store.now()));
  });
  cases.onStore('keeps buckets apart', async (store) => {
    await store.lease(request(DAY, 5));
    assert.equal((await store.lease({ ...request(DAY, 5), bucket: 'p/other' })).granted, 5);
  });
  cases.onStore('grants what is wanted where there is no limit', async (store) => {
    const grant = await store.lease({ ...request(DAY, 7), windows: [] });
    assert.equal(grant.granted, 7);
    assert.equal(grant.left, Number.POSITIVE_INFINITY);
  });
  cases.onStore('grants nothing, and takes nothing, where nothing is wanted', async (store) => {
    const grant = await store.lease(request(DAY, 0));
    assert.equal(grant.granted, 0);
    assert.equal(grant.left, 5);
  });
  cases.onStore('agrees with the model over many windows', (store) => agreesWithModel(store));
}

export function settlementCases(cases: ContractCases): void {
  cases.onStore('frees what is returned', async (store) => {
    const grant = await store.lease(request(DAY, 5));
    await store.settle([settlement(grant, { returned: 3 })]);
    assert.equal((await store.lease(request(DAY, 9))).granted, 3);
  });
  cases.onStore('charges what was spent at the moment given', async (store) => {
    const brief: QuotaWindow = { requests: 3, perMs: 60_000 };
    const grant = await store.lease(request(brief, 3));
    const longAgo = store.now() - 60_001;
    await store.settle([settlement(grant, { spent: 2, countedAt: longAgo })]);
    assert.equal((await store.lease(request(brief, 9))).granted, 2);
  });
  cases.onStore('keeps the rest of a lease charged as it was', async (store) => {
    const grant = await store.lease(request(DAY, 5));
    await store.settle([settlement(grant, { spent: 1, returned: 1, countedAt: store.now() })]);
    assert.equal((await store.lease(request(DAY, 9))).granted, 1);
    await store.settle([settlement(grant, { returned: 3 })]);
    assert.equal((await store.lease(request(DAY, 9))).granted, 3);
  });
  cases.onStore('never charges later than the lease said', async (store) => {
    const brief: QuotaWindow = { requests: 1, perMs: 50 };
    const grant = await store.lease(request(brief, 1));
    await store.settle([settlement(grant, { spent: 1, countedAt: store.now() + 1e9 })]);
    // The request says 5 ms of slack; 2 ms are for the rounding of moments.
    await until(() => store.now() > grant.validUntil + 5 + brief.perMs + 2);
    assert.equal((await store.lease(request(brief, 1))).granted, 1);
  });
  cases.onStore('never gives back more than the lease holds', async (store) => {
    const first = await store.lease(request(DAY, 2));
    await store.lease(request(DAY, 3));
    await store.settle([settlement(first, { returned: 4 }), settlement(first, { returned: 4 })]);
    assert.equal((await store.lease(request(DAY, 9))).granted, 2);
  });
  cases.onStore('ignores a lease that it does not know', async (store) => {
    await store.lease(request(DAY, 5));
    await store.settle([
      { bucket: 'p/b', leaseId: 'unheard-of', spent: 0, countedAt: 0, returned: 5 },
      { bucket: 'p/unheard-of', leaseId: 'unheard-of', spent: 0, countedAt: 0, returned: 5 },
    ]);
    await store.settle([]);
    assert.equal((await store.lease(request(DAY, 1))).granted, 0);
  });
  cases.onStore('loses no permit when a bucket sees thousands of leases', async (store) => {
    const wide: QuotaWindow = { requests: 3_000, perMs: 86_400_000 };
    for (let count = 0; count < 2_000; count += 1) {
      const grant = await store.lease(request(wide, 1));
      assert.equal(grant.left, 2_999 - count);
      await store.settle([settlement(grant, { spent: 1, countedAt: store.now() })]);
    }
    assert.equal((await store.lease(request(wide, 5_000))).granted, 1_000);
  });
}
