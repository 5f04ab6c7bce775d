import { KeymuxError } from '#keymux/core/errors.js';
import type { ProbePolicy } from '#keymux/core/provider.js';
import { ProbeBudget } from '#keymux/manager/probe-budget.js';
import type { ProbeDelay, ProbeLeave } from '#keymux/manager/probe-budget.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import { describe, expect, it } from 'vitest';

const MINUTE_MS = 60_000;
const DAY_MS = 1_440 * MINUTE_MS;
const POLICY: ProbePolicy = {
  method: 'GET',
  path: '/me',
  everyMs: 5 * MINUTE_MS,
  dailyBudget: 3,
  costsQuota: 'no',
  authenticated: true,
};
const FORGOT = new KeymuxError('KEYMUX_STORE_FORGOT', 'It was flushed.', { fix: 'none' });

function budgeted() {
  const { now, advance } = createFakeClock();
  const store = faultyStore(createMemoryStore({ now, onNotice: () => {} }), { shared: true });
  void store.open();
  const budget = new ProbeBudget(store, { ask: (question) => question() });
  const ask = () => budget.ask('acme', 'main', POLICY, MINUTE_MS);
  return { now, advance, store, ask };
}

function leave(answer: ProbeLeave | ProbeDelay): ProbeLeave {
  return 'delayMs' in answer ? expect.unreachable(`to wait ${answer.delayMs} ms`) : answer;
}

describe('the budget of probes', () => {
  it('lets out one in a while and so many a day, and says when there is another', async () => {
    const { advance, ask } = budgeted();
    await leave(await ask()).spent();
    advance(MINUTE_MS);
    expect(await ask()).toEqual({ delayMs: 4 * MINUTE_MS + 1 });
    advance(4 * MINUTE_MS + 1);
    await leave(await ask()).spent();
    advance(10 * MINUTE_MS);
    await leave(await ask()).spent();
    advance(10 * MINUTE_MS);
    expect(await ask()).toEqual({ delayMs: DAY_MS - 25 * MINUTE_MS });
  });

  it('counts none that did not go out', async () => {
    const { ask } = budgeted();
    await leave(await ask()).giveBack();
    const again = leave(await ask());
    expect(again.isOver()).toBe(false);
  });

  it('is over in time for the answer to be counted', async () => {
    const { advance, ask } = budgeted();
    const probe = leave(await ask());
    advance(MINUTE_MS);
    expect(probe.isOver()).toBe(true);
  });

  it('tells a store that forgot what was sent within a day, as if all were sent last', async () => {
    const { now, advance, store, ask } = budgeted();
    await leave(await ask()).spent();
    advance(DAY_MS + MINUTE_MS);
    await leave(await ask()).spent();
    advance(10 * MINUTE_MS);
    await leave(await ask()).spent();
    const lastAt = now();
    advance(10 * MINUTE_MS);
    store.fail({ operation: 'lease', error: FORGOT });
    expect(await ask()).toEqual({ delayMs: 0 });
    expect(store.asked.charge.flat()).toMatchObject([
      { bucket: 'probe:acme/main', permits: 2, countedAt: lastAt },
    ]);
  });

  it('fails as the store does', async () => {
    const { store, ask } = budgeted();
    store.fail({ operation: 'lease', how: 'rejects' });
    await expect(ask()).rejects.toMatchObject({ code: 'KEYMUX_STORE_UNAVAILABLE' });
  });
});
