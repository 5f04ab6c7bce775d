import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { KeymuxError } from '#keymux/core/errors.js';
import { MinimalMultiKeyManager } from '#keymux/interceptors/process-manager.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { at, outage, recover, revoke } from '#keymux/testing/script-key.js';
import { refuse } from '#keymux/testing/script.js';
import { createTestManager } from '#keymux/testing/test-manager.js';

const TWO_KEYS = { 'key-one-4711': { name: 'one' }, 'key-two-4712': { name: 'two' } };

async function statusOf(answer: Promise<Response>): Promise<number> {
  const response = await answer;
  await response.arrayBuffer();
  return response.status;
}

function errorOf(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

describe('createTestManager', () => {
  it('sends the requests of a manager to simulated providers, each with its keys', async () => {
    await using test = await createTestManager({
      providers: {
        acme: { keys: { 'key-bad-4711': { name: 'bad', always: refuse(401) }, 'key-good-4712': {} } },
        openai: { keys: { 'sk-one-4713': {} } },
        finnhub: { flavour: 'generic', auth: { in: 'query', name: 'token' }, keys: { 'fh-one-4714': {} } },
      },
      config: { services: { quotes: { providers: ['finnhub', 'acme'] } } },
    });
    const { manager } = test;
    expect(await statusOf(manager.fetch('acme', '/quote'))).toBe(200);
    expect(await statusOf(manager.fetch('quotes', '/quote'))).toBe(200);
    expect(await statusOf(manager.fetch('openai', '/v1/models'))).toBe(200);
    expect(test.simulator('acme').requests.map(({ key }) => key)).toEqual(['bad', 'key-2']);
    expect(test.simulator('finnhub').key('key-1').seen).toBe(1);
    expect(test.simulator('openai').key('key-1').seen).toBe(1);
    expect(manager.decisions({ service: 'acme' }).map(({ chosen }) => chosen)).toContain('acme/bad');
    expect(test.env).toMatchObject({ ACME_API_KEY: 'key-bad-4711', ACME_API_KEY_2: 'key-good-4712' });
    expect(errorOf(() => test.simulator('nobody'))).toMatchObject({
      message: expect.stringContaining('nobody'),
      fix: expect.stringContaining('acme, openai, finnhub'),
    });
  });

  it('lives in a folder of its own that goes with it', async () => {
    const test = await createTestManager({ providers: { acme: { keys: TWO_KEYS } }, store: 'sqlite' });
    expect(test.manager.store.kind).toBe('sqlite');
    expect(await statusOf(test.manager.fetch('acme', '/'))).toBe(200);
    expect(existsSync(test.directory)).toBe(true);
    await test.dispose();
    await test[Symbol.asyncDispose]();
    expect(existsSync(test.directory)).toBe(false);
    expect(test.manager.closed).toBe(true);
    await expect(fetch(test.simulator('acme').origin)).rejects.toThrow();
  });

  it('keeps what it is given: store, name, variables, logger, number of decisions', async () => {
    const store = createMemoryStore({ now: Date.now, onNotice: () => {} });
    const lines: string[] = [];
    await using test = await createTestManager({
      providers: { acme: { keys: TWO_KEYS } },
      store,
      name: 'mine',
      env: { EXTRA: 'yes' },
      decisions: 0,
      secretSources: [],
      fetch: (input, init) => fetch(input, init),
      logger: { warn: (message) => void lines.push(message), info: () => {} },
    });
    expect(test.manager.store).toBe(store);
    expect(test.manager.name).toBe('mine');
    expect(test.env['EXTRA']).toBe('yes');
    expect(await statusOf(test.manager.fetch('acme', '/'))).toBe(200);
    expect(test.manager.decisions()).toEqual([]);
    expect(test.warnings).toEqual([]);
  });

  it('goes by the time of a store that keeps its own', async () => {
    const providers = { acme: { keys: TWO_KEYS } };
    const config = { providers: { acme: { limits: [{ requests: 2, per: 'day' }] } } } as const;
    await using test = await createTestManager({ providers, config, store: 'sqlite' });
    expect(await statusOf(test.manager.fetch('acme', '/'))).toBe(200);
    expect(() => test.clock.advance(1)).toThrow(/cannot be moved/);
    const clock = createFakeClock();
    await expect(createTestManager({ providers, clock, store: 'sqlite' })).rejects.toThrow(
      'A sqlite store keeps its own time',
    );
    const redis = { ...config, store: { type: 'redis', url: 'redis://127.0.0.1:9' } } as const;
    await expect(createTestManager({ clock, config: redis })).rejects.toThrow('A redis store');
  });

  it('moves the time of manager and provider together', async () => {
    const day = 86_400_000;
    await using test = await createTestManager({
      providers: {
        acme: { keys: { 'key-one-4711': { name: 'one', limits: [{ requests: 1, perMs: day }] } } },
      },
      config: { providers: { acme: { limits: [{ requests: 1, per: 'day' }] } } },
    });
    const { manager, clock } = test;
    expect(await statusOf(manager.fetch('acme', '/'))).toBe(200);
    await expect(manager.acquire('acme', { timeoutMs: 0 })).rejects.toMatchObject({
      code: 'KEYMUX_NO_USABLE_KEY',
    });
    expect(() => manager.getApiKey('acme')).toThrow(KeymuxError);
    clock.advance(2 * day);
    expect(manager.now()).toBe(clock.now());
    expect(manager.getApiKey('acme')).toBe('key-one-4711');
    expect(await statusOf(manager.fetch('acme', '/'))).toBe(200);
    expect(test.simulator('acme').overshoots).toEqual([]);
  });

  it('lets what was planned of a provider happen when the clock says so', async () => {
    await using test = await createTestManager({
      providers: {
        acme: {
          keys: { 'key-one-4711': { name: 'one', timeline: [at(60_000, revoke())] } },
          timeline: [at(1_000, outage(503)), at(2_000, recover())],
        },
      },
    });
    const simulator = test.simulator('acme');
    const headers = { authorization: 'Bearer key-one-4711' };
    const statuses: number[] = [];
    for (const afterMs of [0, 1_000, 1_000, 58_000]) {
      test.clock.advance(afterMs);
      statuses.push(await statusOf(fetch(simulator.origin, { headers })));
    }
    simulator.outage(500, { forMs: 5_000 });
    statuses.push(await statusOf(fetch(simulator.origin, { headers })));
    test.clock.advance(5_000);
    statuses.push(await statusOf(fetch(simulator.origin, { headers })));
    expect(statuses).toEqual([200, 503, 200, 401, 500, 401]);
  });

  it('wakes requests that wait when their time has come, and none before', async () => {
    const clock = createFakeClock(1_900_000_000_000);
    await using test = await createTestManager({
      providers: { acme: { keys: { 'key-one-4711': { first: [refuse(429, { retryAfterSeconds: 60 })] } } } },
      config: { providers: { acme: { retry: { maxWaitMs: 120_000, deadlineMs: 120_000 } } } },
      clock,
    });
    const answer = test.manager.fetch('acme', '/');
    const { room } = test.manager.poolOf('acme');
    while (room.size === 0) await new Promise(setImmediate);
    test.clock.advance(30_000);
    while (room.size === 0) await new Promise(setImmediate);
    expect(test.simulator('acme').requests).toHaveLength(1);
    test.clock.set(1_900_000_090_000);
    expect(await statusOf(answer)).toBe(200);
    expect(clock.now()).toBe(1_900_000_090_000);
  });

  it('refuses to move the wall clock', async () => {
    await using test = await createTestManager({ clock: 'real' });
    const before = Date.now();
    expect(test.clock.now()).toBeGreaterThan(before - 60_000);
    expect(() => test.clock.advance(1)).toThrow(/cannot be moved/);
    expect(() => test.clock.set(1)).toThrow(/cannot be moved/);
    expect(errorOf(() => test.simulator('acme'))).toMatchObject({ fix: expect.stringContaining('none') });
  });

  it('is the manager of the process on demand, in place of the one before', async () => {
    const before = MinimalMultiKeyManager.instance({ env: {}, config: { store: { type: 'memory' } } });
    {
      await using test = await createTestManager({
        providers: {
          acme: { keys: { 'key-bad-4711': { name: 'bad', always: refuse(401) }, 'key-good-4712': {} } },
        },
        intercept: true,
      });
      expect(before.closed).toBe(true);
      expect(process.env['ACME_API_KEY']).toBe('key-bad-4711');
      const headers = { authorization: `Bearer ${process.env['ACME_API_KEY']}` };
      expect(await statusOf(fetch(`${test.simulator('acme').origin}/quote`, { headers }))).toBe(200);
      expect(test.simulator('acme').requests.map(({ key }) => key)).toEqual(['bad', 'key-2']);
    }
    expect(process.env['ACME_API_KEY']).toBeUndefined();
  });

  it('says which keys the manager did not take up, and leaves nothing behind', async () => {
    const making = createTestManager({ providers: { acme: { keys: { 'your-api-key-here': {} } } } });
    await expect(making).rejects.toThrow(/Of 1 keys of acme the manager took up 0: .+/);
    await expect(createTestManager({ config: { providers: { 'No Name!': {} } } })).rejects.toMatchObject({
      code: 'KEYMUX_INIT_FAILED',
    });
    await expect(
      createTestManager({ providers: { one: {}, two: { keys: { 'key-one-4711': { bucket: 'none' } } } } }),
    ).rejects.toMatchObject({ code: 'KEYMUX_USAGE' });
  });
});
