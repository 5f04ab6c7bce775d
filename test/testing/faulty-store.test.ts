import { describe, expect, it, vi } from 'vitest';
import { KeymuxError } from '#keymux/core/errors.js';
import { FRESH } from '#keymux/core/health.js';
import { SUCCESS } from '#keymux/core/outcome.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { STORE_OPERATIONS, faultyStore } from '#keymux/testing/faulty-store.js';
import type { FaultyStoreOptions, StoreFault, StoreOperation } from '#keymux/testing/faulty-store.js';
import { createTestManager } from '#keymux/testing/test-manager.js';
import { methodCalls } from '#keymux/testing/contracts/store-samples.js';

function opened(options: FaultyStoreOptions = {}) {
  const memory = createMemoryStore({ now: () => 1_000, onNotice: () => {} });
  void memory.open();
  return faultyStore(memory, options);
}

describe('faultyStore', () => {
  it('passes every call on while it is told of no fault', async () => {
    const store = opened({ shared: true });
    await store.open();
    expect([store.kind, store.shared, store.now()]).toEqual(['memory', true, 1_000]);
    for (const [, call] of methodCalls(store)) await call();
    await store.close();
    expect(new Set(store.calls)).toEqual(new Set(STORE_OPERATIONS));
    expect(store.failed).toEqual([]);
  });

  it.each(STORE_OPERATIONS)('fails at %s alone', async (operation) => {
    const store = opened({ operation });
    const calls = [
      ['open', () => store.open()],
      ...methodCalls(store),
      ['close', () => store.close()],
    ] as const;
    for (const [name, call] of calls) {
      const answer = (async () => call())();
      if (name === operation)
        await expect(answer).rejects.toMatchObject({ code: 'KEYMUX_STORE_UNAVAILABLE' });
      else await answer;
    }
    expect(store.failed).toEqual([operation]);
  });

  it('fails at one call, or from it on, counted over all operations or over one', () => {
    const outcomes = (fault: StoreFault) => {
      const store = opened(fault);
      const work = [() => store.usage(), () => store.addUsage([]), () => store.usage(), () => store.usage()];
      return work.map((call) => {
        try {
          void call();
          return 'good';
        } catch {
          return 'bad';
        }
      });
    };
    expect(outcomes({ failCall: 2 })).toEqual(['good', 'bad', 'good', 'good']);
    expect(outcomes({ failCall: 2, from: 'onwards' })).toEqual(['good', 'bad', 'bad', 'bad']);
    expect(outcomes({ failCall: 2, operation: 'usage' })).toEqual(['good', 'good', 'bad', 'good']);
    expect(outcomes({ from: 'onwards', operation: 'usage' })).toEqual(['bad', 'good', 'bad', 'bad']);
  });

  it('loses an answer after the store did its work', async () => {
    const delta = { subject: 'key:a', requests: 1, failures: 0, costUsd: 0 };
    const lost = new Error('the line went dead');
    const store = opened({ when: 'after', error: lost });
    expect(() => store.addUsage([delta])).toThrow(lost);
    expect(await store.usage()).toMatchObject([{ requests: 1 }]);
    const slow = faultyStore(faultyStore(store, { delayMs: 1 }), { when: 'after', error: lost });
    await expect(slow.addUsage([delta])).rejects.toBe(lost);
    expect(await store.usage()).toMatchObject([{ requests: 2 }]);
  });

  it('takes another fault, counted anew, and is mended', async () => {
    const store = opened();
    await store.usage();
    store.fail({ failCall: 2 });
    await store.usage();
    expect(() => store.usage()).toThrow(KeymuxError);
    store.fail({ from: 'onwards' });
    store.mend();
    await store.usage();
    expect(store.calls).toHaveLength(4);
    for (const failCall of [0, 1.5, Number.NaN])
      expect(() => store.fail({ failCall })).toThrow(/counted from 1/);
  });

  it('fails at calls of several operations, counted together', async () => {
    const store = opened({ operation: ['usage', 'census'], failCall: 2, from: 'onwards' });
    await store.usage();
    await store.addUsage([]);
    expect(() => store.census()).toThrow(KeymuxError);
    expect(() => store.usage()).toThrow(KeymuxError);
    await store.addUsage([]);
    expect(store.failed).toEqual(['census', 'usage']);
  });

  it.each(['before', 'after'] as const)(
    'rejects in place of throwing, %s the store is asked',
    async (when) => {
      const delta = { subject: 'key:a', requests: 1, failures: 0, costUsd: 0 };
      const store = opened(when === 'before' ? { how: 'rejects' } : { how: 'rejects', when });
      const answer = store.addUsage([delta]);
      await expect(answer).rejects.toMatchObject({ code: 'KEYMUX_STORE_UNAVAILABLE' });
      expect(await store.usage()).toHaveLength(when === 'after' ? 1 : 0);
      store.fail({ operation: 'watch', how: 'rejects' });
      expect(() => store.watch(() => {})).toThrow(KeymuxError);
    },
  );

  it('holds calls of one operation until it is told to let them go', async () => {
    const delta = { subject: 'key:a', requests: 1, failures: 0, costUsd: 0 };
    const clock = createFakeClock(1_000);
    const store = opened({ delayMs: 60_000, clock, operation: 'addUsage' });
    const first = store.hold('addUsage');
    const failing = expect(store.addUsage([delta])).rejects.toThrow(KeymuxError);
    const second = store.hold('addUsage');
    const held = store.addUsage([delta]);
    first();
    await failing;
    expect(store.calls).toEqual(['addUsage', 'addUsage']);
    expect(await store.usage()).toEqual([]);
    // The first hold is over, the second is not.
    const alsoHeld = store.addUsage([delta]);
    expect(await store.usage()).toEqual([]);
    second();
    await Promise.all([held, alsoHeld]);
    await store.addUsage([delta]);
    expect(await store.usage()).toMatchObject([{ requests: 3 }]);
    expect(clock.now()).toBe(1_000 + 60_000 * store.calls.length);
  });

  it('answers at once again where nothing is held any more', async () => {
    const store = opened();
    store.hold('usage')();
    expect(store.usage()).toEqual([]);
    await store.close();
  });

  it('keeps what it was asked, also where it failed', async () => {
    const store = opened({ operation: 'addUsage' });
    const deltas = [{ subject: 'key:a', requests: 1, failures: 0, costUsd: 0 }];
    expect(() => store.addUsage(deltas)).toThrow(KeymuxError);
    expect(store.asked.addUsage).toEqual([deltas]);
    for (const [, call] of methodCalls(store)) await call();
    for (const [operation, questions] of Object.entries(store.asked))
      expect(questions, operation).toHaveLength(store.calls.filter((call) => call === operation).length);
    const bucket = expect.any(String) as string;
    expect(store.asked.lease[0]).toMatchObject({ bucket });
    expect(store.asked.settle[0]).toMatchObject([{ bucket }]);
  });

  it('tells those who watch what another member would have changed', () => {
    const store = opened();
    const told: unknown[] = [];
    const unwatch = store.watch((records) => told.push(records));
    const records = [{ subject: 'key:a', health: FRESH, disabled: true, disabledVersion: 1 }];
    store.tell(records);
    unwatch();
    store.tell([]);
    expect(told).toEqual([records]);
  });

  it('leaves the store below open where it is told so', async () => {
    for (const leavesOpen of [true, false]) {
      const close = vi.fn();
      const store = faultyStore(
        Object.assign(createMemoryStore({ now: () => 1_000, onNotice: () => {} }), { close }),
        {
          leavesOpen,
        },
      );
      await store.close();
      expect(store.calls).toEqual(['close']);
      expect(close).toHaveBeenCalledTimes(leavesOpen ? 0 : 1);
    }
  });

  it('takes its time on a clock that it moves', async () => {
    const clock = createFakeClock(1_000);
    const store = opened({ delayMs: 60_000, clock });
    const answer = store.usage();
    expect(clock.now()).toBe(1_000);
    expect(await answer).toEqual([]);
    expect(clock.now()).toBe(61_000);
  });
});

const LIMIT = 3;

/** Asks for more than the limits allow, and does what people do meanwhile. */
async function smallProgram(fault: StoreFault | undefined) {
  const clock = createFakeClock();
  const memory = createMemoryStore({ now: clock.now, onNotice: () => {} });
  const store = faultyStore(memory, { ...fault, shared: true });
  const spent = new Map<string, number>();
  const errors: unknown[] = [];
  const attempt = async (work: () => unknown): Promise<void> => {
    try {
      await work();
    } catch (error) {
      errors.push(error);
    }
  };
  const test = await createTestManager({
    env: { KEY_ONE: 'key-one-4711', KEY_TWO: 'key-two-4712' },
    config: {
      providers: {
        acme: {
          baseUrl: 'http://127.0.0.1:9',
          limits: [{ requests: LIMIT, per: 'day' }],
          keys: [
            { id: 'one', value: 'env:KEY_ONE' },
            { id: 'two', value: 'env:KEY_TWO' },
          ],
        },
      },
    },
    clock,
    store,
  });
  const { manager } = test;
  const spend = async (): Promise<void> => {
    const lease = await manager.acquire('acme', { timeoutMs: 0 });
    spent.set(lease.keyId, (spent.get(lease.keyId) ?? 0) + 1);
    lease.report(SUCCESS);
  };
  await attempt(spend);
  await attempt(() => manager.report('acme/one', 'rate-limited'));
  await attempt(spend);
  await attempt(() => manager.reset('acme/one'));
  await attempt(() => manager.disable('acme/two'));
  await attempt(spend);
  await attempt(() => manager.enable('acme/two'));
  for (let more = 0; more < 2 * LIMIT; more += 1) await attempt(spend);
  await attempt(() => expect(manager.inspect().providers).toHaveLength(1));
  await attempt(() => test.dispose());
  return { store, spent, errors };
}

describe('a manager on a store that fails', () => {
  it('answers, or says cleanly why not, and never overspends, whichever call fails', async () => {
    const whole = await smallProgram(undefined);
    expect([...whole.spent.values()]).toEqual([LIMIT, LIMIT]);
    const counts = new Map<StoreOperation, number>();
    for (const operation of whole.store.calls) counts.set(operation, (counts.get(operation) ?? 0) + 1);
    expect(counts.get('lease')).toBeGreaterThan(2);
    let met = 0;
    for (const [operation, count] of counts) {
      for (let failCall = 1; failCall <= count; failCall += 1) {
        for (const from of ['once', 'onwards'] as const) {
          for (const when of ['before', 'after'] as const) {
            const fault: StoreFault = { operation, failCall, from, when };
            const { spent, errors, store } = await smallProgram(fault);
            met += store.failed.length > 0 ? 1 : 0;
            for (const [key, permits] of spent)
              expect(permits, `${key} under ${JSON.stringify(fault)}`).toBeLessThanOrEqual(LIMIT);
            for (const error of errors)
              expect(error, JSON.stringify(fault)).toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY' });
          }
        }
      }
    }
    expect(met).toBeGreaterThan(40);
  });

  it.each(['open', 'watch'] as const)('takes up a store again at which %s failed', async (operation) => {
    const memory = createMemoryStore({ now: Date.now, onNotice: () => {} });
    const store = faultyStore(memory, { operation, shared: true });
    await using test = await createTestManager({ providers: { acme: {} }, clock: 'real', store });
    const calls = () => store.calls.filter((call) => call === operation).length;
    await expect.poll(calls, { timeout: 10_000 }).toBe(2);
    expect(store.failed).toEqual([operation]);
    expect(test.warnings.join()).toContain(`failed at "${operation}"`);
  });
});
