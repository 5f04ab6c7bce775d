/** Health, disabled flags and usage: what is kept of each subject. */
import assert from 'node:assert/strict';
import type { ContractCases } from './contract-cases.js';
import { CLOCK_SPREAD_MS, bySubject, healthy, record, resting } from './store-samples.js';

export function healthCases(cases: ContractCases): void {
  cases.onStore('keeps a record as it was published', async (store) => {
    const records = [
      record('key:a', resting(3, 5_000.25)),
      record('provider:p', healthy(1)),
      record('bucket:p/b', { status: 'recovering', version: 2, level: 1, since: 12.5 }),
    ];
    assert.deepEqual(await store.publish(records), records);
    const { records: stored } = await store.open();
    assert.deepEqual(bySubject(stored), bySubject(records));
  });
  cases.onStore('lets the later version win, whatever the order', async (store) => {
    await store.publish([record('key:a', resting(2, 9_000))]);
    const [recovered] = await store.publish([record('key:a', healthy(3))]);
    assert.deepEqual(recovered?.health, healthy(3));
    const [late] = await store.publish([record('key:a', resting(2, 99_000))]);
    assert.deepEqual(late?.health, healthy(3));
  });
  cases.onStore('keeps the later deadline within one version', async (store) => {
    await store.publish([record('key:a', resting(2, 9_000))]);
    const [earlier] = await store.publish([record('key:a', resting(2, 8_000))]);
    assert.deepEqual(earlier?.health, resting(2, 9_000));
    const [later] = await store.publish([record('key:a', resting(2, 10_000))]);
    assert.deepEqual(later?.health, resting(2, 10_000));
  });
  cases.onStore('merges two records of one subject in one call', async (store) => {
    await store.publish([record('key:a', healthy(1)), record('key:a', resting(2, 7_000))]);
    assert.deepEqual((await store.open()).records, [record('key:a', resting(2, 7_000))]);
  });
  cases.onStore('answers with what stands for each record, in their order', async (store) => {
    await store.publish([record('key:b', resting(5, 1_000))]);
    const standing = await store.publish([record('key:a', healthy(1)), record('key:b', healthy(4))]);
    assert.deepEqual(
      standing.map(({ subject, health }) => [subject, health.version]),
      [
        ['key:a', 1],
        ['key:b', 5],
      ],
    );
    assert.deepEqual(await store.publish([]), []);
  });
  cases.onStore('keeps names as they are, with quotes and in any script', async (store) => {
    const subject = `key:O'Brien "ключ" 鍵 %_`;
    await store.publish([record(subject, healthy(1))]);
    assert.equal((await store.open()).records[0]?.subject, subject);
  });
}

export function disabledFlagsCases(cases: ContractCases): void {
  cases.onStore('lets the higher disabledVersion win, apart from health', async (store) => {
    await store.publish([record('key:a', resting(4, 9_000), true, 2)]);
    const [stale] = await store.publish([record('key:a', healthy(5), false, 1)]);
    assert.deepEqual(stale, record('key:a', healthy(5), true, 2));
    const [enabled] = await store.publish([record('key:a', healthy(1), false, 3)]);
    assert.deepEqual(enabled, record('key:a', healthy(5), false, 3));
  });
  cases.onStore('takes the careful side where two set the flag at once', async (store) => {
    await store.publish([record('key:a', healthy(1), true, 2)]);
    const [standing] = await store.publish([record('key:a', healthy(1), false, 2)]);
    assert.equal(standing?.disabled, true);
    await store.publish([record('key:b', healthy(1), false, 2)]);
    assert.equal((await store.publish([record('key:b', healthy(1), true, 2)]))[0]?.disabled, true);
  });
}

export function usageCases(cases: ContractCases): void {
  cases.onStore('adds usage up', async (store) => {
    const before = store.now();
    await store.addUsage([{ subject: 'key:a', requests: 2, failures: 1, costUsd: 0.25 }]);
    await store.addUsage([
      { subject: 'key:a', requests: 3, failures: 0, costUsd: 0.5 },
      { subject: 'key:b', requests: 1, failures: 1, costUsd: 0 },
    ]);
    await store.addUsage([]);
    const totals = bySubject(await store.usage());
    assert.deepEqual(
      totals.map(({ subject, requests, failures, costUsd }) => [subject, requests, failures, costUsd]),
      [
        ['key:a', 5, 1, 0.75],
        ['key:b', 1, 1, 0],
      ],
    );
    for (const { lastUsedAt } of totals) {
      assert.ok(lastUsedAt >= before - CLOCK_SPREAD_MS && lastUsedAt <= store.now());
    }
    assert.deepEqual(bySubject((await store.open()).usage), totals);
  });
}
