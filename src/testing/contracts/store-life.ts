/** Opening, closing, and refusing what makes no sense. */
import assert from 'node:assert/strict';
import type { ContractCases } from './contract-cases.js';
import {
  DAY,
  charged,
  healthy,
  methodCalls,
  presence,
  record,
  refuses,
  request,
  resting,
  settlement,
} from './store-samples.js';

export function lifeCycleCases(cases: ContractCases): void {
  cases.onStore('says what it is', async (store) => {
    assert.equal(store.kind, cases.options.kind);
    assert.equal(store.shared, cases.options.shared);
  });
  cases.onPlace('opens empty', async (place) => {
    const store = await cases.makeStore(place);
    assert.deepEqual(await store.open(), { records: [], usage: [] });
    await store.close();
  });
  cases.onStore('answers a second open with what it holds by then', async (store) => {
    await store.publish([record('key:a', resting(1, 9e12))]);
    assert.deepEqual((await store.open()).records, [record('key:a', resting(1, 9e12))]);
  });
  cases.onPlace('refuses work before it is open', async (place) => {
    const store = await cases.makeStore(place);
    for (const [method, call] of methodCalls(store)) {
      await refuses('KEYMUX_USAGE', call, `${method} before open()`);
    }
    await store.close();
  });
  cases.onStore('closes twice without complaint', async (store) => {
    await store.close();
    await store.close();
  });
  cases.onStore('refuses every method but now() once it is closed', async (store) => {
    await store.close();
    for (const [method, call] of [...methodCalls(store), ['open', () => store.open()] as const]) {
      await refuses('KEYMUX_CLOSED', call, `${method} after close()`);
    }
    assert.ok(Number.isFinite(store.now()));
  });
  cases.onPlace('closes before it was ever open', async (place) => {
    const store = await cases.makeStore(place);
    await store.close();
    await refuses('KEYMUX_CLOSED', () => store.open(), 'open after close');
  });
  cases.onStore('has a clock that does not run backwards', async (store) => {
    let latest = store.now();
    for (let reading = 0; reading < 1_000; reading += 1) {
      const now = store.now();
      assert.ok(now >= latest);
      latest = now;
    }
  });
}

export function badInputCases(cases: ContractCases): void {
  cases.onStore('refuses numbers that make no sense, and takes nothing', async (store) => {
    const whole = request(DAY, 1);
    const grant = await store.lease(whole);
    const wrong: (() => unknown)[] = [
      ...[-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY].map((want) => () => store.lease({ ...whole, want })),
      () => store.lease({ ...whole, ttlMs: Number.NaN }),
      () => store.lease({ ...whole, slackMs: -1 }),
      () => store.lease({ ...whole, ttlMs: 86_400_000 }),
      () => store.lease({ ...whole, bucket: '' }),
      () => store.lease({ ...whole, windows: [{ requests: Number.NaN, perMs: 1 }] }),
      () => store.lease({ ...whole, windows: [{ requests: 1, perMs: Number.NaN }] }),
      () => store.settle([settlement(grant, { returned: -1 })]),
      () => store.settle([settlement(grant, { spent: 0.5 })]),
      () => store.settle([settlement(grant, { spent: 1, countedAt: Number.NaN })]),
      () => store.settle([settlement(grant, { returned: 1 }), settlement(grant, { spent: -1 })]),
      () => store.addUsage([{ subject: 'key:a', requests: Number.NaN, failures: 0, costUsd: 0 }]),
      () => store.publish([record('', healthy(1))]),
      () => store.publish([record('key:a', healthy(1), false, -1)]),
      () => store.charge([charged({ permits: 1 }), charged({ permits: -1 })], { cautionMs: 0 }),
      () => store.charge([charged({ leaseId: '' })], { cautionMs: 0 }),
      () => store.charge([charged({ countedAt: Number.NaN })], { cautionMs: 0 }),
      () => store.charge([charged({ windows: [{ requests: 0.5, perMs: 1 }] })], { cautionMs: 0 }),
      () => store.charge([charged({})], { cautionMs: -1 }),
      () => store.charge([charged({})], { cautionMs: 3_600_000 }),
      () => store.publish([{ ...record('key:a', resting(1, 9e12)), disabled: 0 as unknown as boolean }]),
      () => store.beat(presence('')),
      () => store.beat(presence('a', { host: '' })),
      () => store.beat(presence('a', { group: '' })),
      () => store.beat(presence('a', { ttlMs: Number.POSITIVE_INFINITY })),
      () => store.beat(presence('a', { pid: 0.5 })),
      () => store.beat(presence('a', { startedAt: Number.NaN })),
      () => store.beat(presence('a', { remembered: -1 })),
      () => store.beat(presence('a', { isReturning: 1 as unknown as boolean })),
    ];
    for (const call of wrong) await refuses('KEYMUX_USAGE', call, String(call));
    assert.equal((await store.lease(request(DAY, 9))).granted, 4);
    assert.deepEqual(await store.open(), { records: [], usage: [] });
    assert.deepEqual((await store.census()).members, []);
  });
}
