import { REUNION_MS } from '#keymux/core/fleet.js';
import { KeymuxError } from '#keymux/core/errors.js';
import type { MaybePromise } from '#keymux/core/ports.js';
import { LeasedPermits } from '#keymux/manager/leased-permits.js';
import { LocalPermits } from '#keymux/manager/local-permits.js';
import type { Bucket } from '#keymux/manager/permits.js';
import { isShortage } from '#keymux/manager/permits.js';
import { StateTable } from '#keymux/state/table.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import { describe, expect, it } from 'vitest';

function memberOver(requests: number) {
  const { now, advance } = createFakeClock();
  const store = faultyStore(createMemoryStore({ now, onNotice: () => {} }), { shared: true });
  void store.open();
  const bucket: Bucket = { name: 'acme/main', windows: [{ requests, perMs: 60_000 }] };
  const troubles: unknown[] = [];
  const fleet = { memberId: 'm', place: { size: 2, rank: 0 }, reunionUntil: 0, noteCaution: () => {} };
  const link = {
    isLost: false,
    isInDoubt: false,
    lostAt: undefined as number | undefined,
    ask: <T>(question: () => MaybePromise<T>): MaybePromise<T> => question(),
  };
  const permits = new LeasedPermits({
    store,
    own: new LocalPermits(StateTable.create({ now })),
    link,
    fleet,
    whenLost: 'share',
    onTrouble: (error) => troubles.push(error),
  });
  return { now, advance, store, bucket, permits, fleet, link, troubles };
}

describe('a store that forgot a bucket', () => {
  it('is told what was granted, where that is more than this process counts along', async () => {
    const { now, advance, store, bucket, permits } = memberOver(100_000);
    let spent = 0;
    for (let batches = 0; batches < 140;) {
      const leases = store.asked.lease.length;
      const permit = await permits.take(bucket, now());
      if (isShortage(permit)) expect.unreachable();
      else permit.settle(now());
      spent += 1;
      batches += store.asked.lease.length - leases;
      advance(1);
    }
    await permits.flush();
    const error = new KeymuxError('KEYMUX_STORE_FORGOT', 'Forgotten.', { fix: '' });
    store.fail({ operation: 'lease', error });
    await permits.checkMemory();
    // Told in fewer charges than there were grants, and none of them is missing.
    const told = store.asked.charge.flat().filter((charge) => charge.permits > 0);
    expect(told.length).toBeLessThan(130);
    expect(told.reduce((sum, charge) => sum + charge.permits, 0)).toBeGreaterThanOrEqual(spent);
    await permits.close();
  });

  it('is looked at no more while it is lost, and trouble with that is told', async () => {
    const { now, store, bucket, permits, link, troubles } = memberOver(10);
    await permits.checkMemory();
    expect(store.asked.lease).toEqual([]);
    const permit = await permits.take(bucket, now());
    if (!isShortage(permit)) permit.settle(now());
    link.isLost = true;
    await permits.checkMemory();
    expect(store.asked.lease).toHaveLength(1);
    link.isLost = false;
    store.fail({ operation: 'lease' });
    await permits.checkMemory();
    expect(troubles).toHaveLength(1);
    await permits.close();
  });
});

describe('a permit that is charged before it is spent', () => {
  it.each(['throws', 'rejects'] as const)(
    'is spent all the same where the store %s, and told later',
    async (how) => {
      const { now, store, bucket, permits, fleet } = memberOver(10);
      fleet.reunionUntil = now() + REUNION_MS;
      store.fail({ operation: 'charge', how });
      const permit = await permits.take(bucket, now());
      if (isShortage(permit)) return expect.unreachable();
      permit.settle(now());
      await permits.rejoin();
      expect(new Set(store.asked.charge.flat().map(({ permits: charged }) => charged))).toEqual(new Set([1]));
      expect(store.asked.charge.flat().length).toBe(2);
      await permits.close();
    },
  );
});
