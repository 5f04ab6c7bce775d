/** Two members of one state. */
import assert from 'node:assert/strict';
import type { HealthRecord } from '../../core/ports.js';
import type { ContractCases } from './contract-cases.js';
import { CLOCK_SPREAD_MS, DAY, healthy, record, request, resting, settlement } from './store-samples.js';

export function sharingCases(cases: ContractCases): void {
  cases.onPair('shows one member what another published', async (one, other) => {
    await one.publish([record('key:a', resting(2, 9_000))]);
    const [standing] = await other.publish([record('key:a', healthy(1))]);
    assert.deepEqual(standing?.health, resting(2, 9_000));
    assert.equal((await other.open()).records.length, 1);
  });
  cases.onPair('tells a watcher what others change, and not what it changed itself', async (one, other) => {
    const seen: HealthRecord[] = [];
    const unwatch = other.watch((records) => seen.push(...records));
    await other.publish([record('key:own', healthy(1))]);
    await one.publish([record('key:a', resting(2, 9_000))]);
    await cases.untilSeen(() => seen.length > 0);
    assert.deepEqual(seen, [record('key:a', resting(2, 9_000))]);
    unwatch();
  });
  cases.onPair('tells every watcher, until it is told to stop', async (one, other) => {
    const counts = [0, 0];
    const unwatch = [0, 1].map((index) =>
      other.watch((records) => (counts[index] = (counts[index] ?? 0) + records.length)),
    );
    await one.publish([record('key:a', healthy(1))]);
    await cases.untilSeen(() => counts.every((count) => count === 1));
    unwatch[0]?.();
    await one.publish([record('key:a', healthy(2))]);
    await cases.untilSeen(() => counts[1] === 2);
    assert.deepEqual(counts, [1, 2]);
    unwatch[1]?.();
  });
  cases.onPair('spends one allowance', async (one, other) => {
    const first = await one.lease(request(DAY, 3));
    const second = await other.lease(request(DAY, 3));
    assert.deepEqual([first.granted, second.granted], [3, 2]);
    assert.notEqual(first.leaseId, second.leaseId);
    await one.settle([settlement(first, { returned: 3 })]);
    assert.equal((await other.lease(request(DAY, 9))).granted, 3);
  });
  cases.onPair('keeps the permits of a member that is gone', async (one, other) => {
    await one.lease(request(DAY, 4));
    await one.close();
    assert.equal((await other.lease(request(DAY, 9))).granted, 1);
  });
  cases.onPair('adds up the usage of all', async (one, other) => {
    const delta = { subject: 'key:a', requests: 1, failures: 0, costUsd: 0.5 };
    await Promise.all([one.addUsage([delta]), other.addUsage([delta])]);
    const [total] = await one.usage();
    assert.deepEqual([total?.requests, total?.costUsd], [2, 1]);
  });
  cases.onPair('has one clock', async (one, other) => {
    for (let reading = 0; reading < 100; reading += 1) {
      const before = one.now();
      const between = other.now();
      const after = one.now();
      assert.ok(before - CLOCK_SPREAD_MS <= between && between <= after + CLOCK_SPREAD_MS);
    }
  });
  cases.onPlace('keeps everything from one opening to the next', async (place) => {
    const first = await cases.makeStore(place);
    await first.open();
    await first.publish([record('key:a', resting(2, 9_000), true, 3)]);
    await first.addUsage([{ subject: 'key:a', requests: 1, failures: 1, costUsd: 0 }]);
    await first.lease(request(DAY, 4));
    await first.close();
    const second = await cases.makeStore(place);
    const state = await second.open();
    assert.deepEqual(state.records, [record('key:a', resting(2, 9_000), true, 3)]);
    assert.equal(state.usage[0]?.requests, 1);
    assert.equal((await second.lease(request(DAY, 9))).granted, 1);
    await second.close();
  });
}
