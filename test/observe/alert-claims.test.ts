import type { AlertRule } from '#keymux/core/alert-rules.js';
import { KeymuxError } from '#keymux/core/errors.js';
import { claimRaised, claimRecovered } from '#keymux/observe/alert-claims.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import type { FaultyStore } from '#keymux/testing/faulty-store.js';
import { describe, expect, it } from 'vitest';
import { memoryStore } from '../manager/acme.js';

const RULE: AlertRule = { name: 'r', when: 'quota', threshold: 0.8, perMs: 0, forMs: 0, everyMs: 60_000 };

function sharedStore(): FaultyStore {
  const store = faultyStore(memoryStore(), { shared: true });
  void store.open();
  return store;
}

describe('a claim', () => {
  it('is granted once, for each rule, subject and end of it', async () => {
    const store = sharedStore();
    expect(await claimRaised(store, RULE, 'acme')).toBe(true);
    expect(await claimRaised(store, RULE, 'acme')).toBe(false);
    expect(await claimRaised(store, RULE, 'other')).toBe(true);
    expect(await claimRaised(store, { ...RULE, name: 's' }, 'acme')).toBe(true);
    expect(await claimRecovered(store, RULE, 'acme')).toBe(true);
    expect(await claimRecovered(store, RULE, 'acme')).toBe(false);
    expect(store.asked.lease.at(-1)!.windows).toEqual([{ requests: 1, perMs: 54_000 }]);
    expect(store.asked.settle.flat()).toHaveLength(4);
  });

  it('is granted to each where nothing is shared, or nobody can be asked', async () => {
    const alone = memoryStore();
    expect(await claimRaised(alone, RULE, 'acme')).toBe(true);
    expect(await claimRaised(alone, RULE, 'acme')).toBe(true);
    const store = sharedStore();
    store.fail({ operation: 'lease', from: 'onwards' });
    expect(await claimRaised(store, RULE, 'acme')).toBe(true);
    expect(await claimRaised(store, RULE, 'acme')).toBe(true);
  });

  it('is granted while the store does not know what others did', async () => {
    const store = sharedStore();
    const windows = [{ requests: 1, perMs: 54_000 }];
    const charge = { bucket: 'alert:r/acme', windows, leaseId: 'x', permits: 0, countedAt: store.now() };
    await store.charge([charge], { cautionMs: 2_000 });
    expect(await claimRaised(store, RULE, 'acme')).toBe(true);
  });

  it('tells a store that forgot', async () => {
    const store = sharedStore();
    const lease = store.lease.bind(store);
    store.lease = () => {
      throw new KeymuxError('KEYMUX_STORE_FORGOT', 'gone', { fix: 'tell it' });
    };
    expect(await claimRaised(store, RULE, 'acme')).toBe(true);
    store.lease = lease;
    expect(await claimRaised(store, RULE, 'acme')).toBe(false);
    store.lease = () => {
      throw new KeymuxError('KEYMUX_STORE_FORGOT', 'gone', { fix: 'tell it' });
    };
    store.fail({ operation: 'charge', from: 'onwards' });
    expect(await claimRaised(store, RULE, 'acme')).toBe(true);
  });
});
