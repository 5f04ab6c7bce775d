import { FLAVOURS } from '#keymux/testing/simulator-flavours.js';
import type { Flavour } from '#keymux/testing/simulator-flavour.js';
import type { KeyScript, RateLimit } from '#keymux/testing/script-key.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import type { SimulatorOptions } from '#keymux/testing/simulator-api.js';
import type { Store, StoreOptions } from '#keymux/core/ports.js';
import { SUCCESS } from '#keymux/core/outcome.js';
import type { Lease } from '#keymux/manager/lease.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { StateTable } from '#keymux/state/table.js';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeConfig, acmeEnv, acmeManager } from './acme.js';

/** Says in milliseconds when the window is empty again, so that tests need not take seconds. */
const TALKATIVE: Flavour = {
  ...FLAVOURS.generic,
  limitHeaders: ({ requests, remaining, resetMs }) => ({
    'x-ratelimit-limit': String(requests),
    'x-ratelimit-remaining': String(remaining),
    'x-ratelimit-reset': `${Math.ceil(resetMs)}ms`,
  }),
  retryHeaders: (waitMs) => ({ 'retry-after-ms': String(Math.ceil(waitMs)) }),
};
const SILENT: Flavour = { ...TALKATIVE, limitHeaders: () => ({}) };

async function simulated(options: SimulatorOptions) {
  const simulator = await startSimulator({ auth: { in: 'header', name: 'x-api-key' }, ...options });
  onTestFinished(() => simulator.close());
  return simulator;
}

async function load(
  flavour: Flavour,
  keys: Record<string, KeyScript>,
  requests: number,
  concurrency: number,
) {
  const simulator = await simulated({ flavour, keys });
  const manager = acmeManager({
    keys: Object.keys(keys),
    baseUrl: simulator.origin,
    provider: { retry: { maxWaitMs: 20_000, deadlineMs: 30_000 } },
    services: { acme_any: { providers: ['acme'], strategy: 'round-robin' } },
  });
  let started = 0;
  const statuses: number[] = [];
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (started++ < requests) {
        const response = await manager.fetch('acme_any', '/x');
        await response.text();
        statuses.push(response.status);
      }
    }),
  );
  return { refusals: simulator.overshoots.length, statuses, simulator, manager };
}

const HIDDEN: RateLimit[] = [{ requests: 20, perMs: 400 }];

describe('a limit that nobody configured', () => {
  it.each([4, 50])('is kept by what answers state, with %i requests at a time', async (concurrency) => {
    const keys = { 'key-one': { limits: HIDDEN } };
    const silent = await load(SILENT, keys, 60, concurrency);
    const told = await load(TALKATIVE, keys, 120, concurrency);
    expect(new Set(silent.statuses)).toEqual(new Set([200]));
    expect(new Set(told.statuses)).toEqual(new Set([200]));
    expect(silent.refusals).toBeGreaterThan(4);
    expect(told.refusals).toBeLessThanOrEqual(1);
  });

  it('is kept by two keys of one declared bucket', async () => {
    const buckets = { one: { limits: HIDDEN } };
    const simulator = await simulated({
      flavour: TALKATIVE,
      keys: { 'key-one': { bucket: 'one' }, 'key-two': { bucket: 'one' } },
      buckets,
    });
    const manager = acmeManager({
      baseUrl: simulator.origin,
      provider: {
        retry: { maxWaitMs: 20_000 },
        keys: [
          { id: 'a', value: 'env:ONE', bucket: 'shared' },
          { id: 'b', value: 'env:TWO', bucket: 'shared' },
        ],
      },
      services: { both: { providers: ['acme'], strategy: 'round-robin' } },
      options: { env: { ONE: 'key-one', TWO: 'key-two' } },
    });
    const statuses = await Promise.all(
      Array.from({ length: 60 }, async () => (await manager.fetch('both', '/x')).status),
    );
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(simulator.keys.map(({ seen }) => seen > 10)).toEqual([true, true]);
    expect(simulator.overshoots.length).toBeLessThanOrEqual(1);
  });

  it('is kept by four threads that share the table', async () => {
    const spent = async (flavour: Flavour, requests: number) => {
      const simulator = await simulated({ flavour, keys: { 'key-one': { limits: HIDDEN } } });
      const retry = { maxWaitMs: 20_000, deadlineMs: 30_000 };
      const config = acmeConfig({ baseUrl: simulator.origin, provider: { retry } });
      const options = {
        env: acmeEnv(['key-one']),
        cwd: '/nonexistent',
        config: { ...config, store: { type: 'memory' } },
      };
      const { buffer } = StateTable.create();
      const threads = Array.from({ length: 4 }, () => {
        const workerData = { buffer, options, requests, concurrency: 5 };
        return new Worker(new URL('./members/load.mjs', import.meta.url), { workerData });
      });
      const statuses = await Promise.all(threads.map(async (thread) => once(thread, 'message')));
      expect(new Set(statuses.flat(2))).toEqual(new Set([200]));
      return simulator.overshoots.length;
    };
    expect(await spent(SILENT, 20)).toBeGreaterThan(4);
    // Each thread may find out for itself.
    expect(await spent(TALKATIVE, 30)).toBeLessThanOrEqual(4);
  });

  // The simulator counts in rolling windows, which come back all at once: a trial finds out.
  it('is kept but for trials where the allowance is said to refill little by little', async () => {
    const keys = { 'key-one': { limits: HIDDEN } };
    const silent = await load({ ...FLAVOURS.openai, limitHeaders: () => ({}) }, keys, 100, 20);
    const told = await load(FLAVOURS.openai, keys, 100, 20);
    expect(new Set(told.statuses)).toEqual(new Set([200]));
    expect(silent.refusals).toBeGreaterThan(15);
    expect(told.refusals).toBeLessThanOrEqual(silent.refusals / 2);
  });
});

describe('a limit that is configured, and stated in whole seconds', () => {
  it.each([1, 3])(
    'is spent as soon as it is back, and never above, with %i at a time',
    async (concurrency) => {
      const limits = [{ requests: 4, perMs: 100 }];
      const simulator = await simulated({ flavour: FLAVOURS.generic, keys: { 'key-one': { limits } } });
      const manager = acmeManager({
        keys: ['key-one'],
        baseUrl: simulator.origin,
        provider: { limits, retry: { maxWaitMs: 60_000, deadlineMs: 60_000 } },
      });
      const windows = 6;
      let left = windows * 4;
      const startedAt = performance.now();
      await Promise.all(
        Array.from({ length: concurrency }, async () => {
          while (left-- > 0) expect((await manager.fetch('acme', '/x')).status).toBe(200);
        }),
      );
      expect(simulator.overshoots).toEqual([]);
      expect(simulator.requests).toHaveLength(windows * 4);
      // Believed to the letter, each window but the last would take a second.
      expect(performance.now() - startedAt).toBeLessThan((windows - 1) * 1_000);
    },
  );
});

/** A head with these headers. */
function head(headers: Record<string, string>, status = 200) {
  return { status, header: (name: string) => headers[name] };
}

/** A manager at a time of its own, and requests through it that are answered by hand. */
function clocked(provider: object = {}, makeStore: typeof createMemoryStore = createMemoryStore) {
  const clock = createFakeClock();
  const store = makeStore({ now: clock.now, onNotice: () => {} });
  const manager = acmeManager({
    keys: ['key-one'],
    provider,
    options: { clock: clock.now, store, drainMs: 0 },
  });
  const pool = manager.poolOf('acme');
  const send = () => manager.acquire('acme', { timeoutMs: 0 });
  const answer = (lease: Lease, headers: Record<string, string>, status = 200) => {
    pool.learn(lease, head(headers, status));
    lease.report(SUCCESS);
    lease.end();
  };
  const exchange = async (headers: Record<string, string>, status = 200) =>
    answer(await send(), headers, status);
  return { clock, manager, send, answer, exchange, key: () => manager.inspect().keys[0]! };
}

const left = (remaining: number, seconds = 60, limit = 10) => ({
  'x-ratelimit-limit': String(limit),
  'x-ratelimit-remaining': String(remaining),
  'x-ratelimit-reset': String(seconds),
});

describe('what an answer says is left', () => {
  it('is spent by every request, and then nothing goes out until the window ends', async () => {
    const { clock, manager, send, exchange, key } = clocked();
    const shortages: number[] = [];
    manager.on('quota', ({ retryAt }) => shortages.push(retryAt));
    await exchange(left(2));
    const end = clock.now() + 60_000;
    expect(key().stated).toEqual({ kind: 'fixed', left: 2, limit: 10, until: end });
    const out = [await send(), await send()];
    expect(key().stated?.left).toBe(0);
    await expect(send()).rejects.toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY', retryAt: end });
    expect(shortages).toEqual([end]);
    expect(key()).toMatchObject({ state: 'out-of-permits', until: end });
    expect(manager.explain('acme').candidates[0]).toMatchObject({
      usable: false,
      stated: { left: 0, until: end },
    });
    for (const lease of out) lease.end();
    clock.advance(60_010);
    await exchange(left(9));
    expect(key().stated).toMatchObject({ kind: 'fixed', left: 9 });
  });

  it('holds until a second less where all of it was counted, and then the own count decides', async () => {
    const { clock, send, answer, exchange, key } = clocked({ limits: [{ requests: 2, perMs: 60_200 }] });
    const start = clock.now();
    await exchange(left(1, 61, 2));
    const last = await send();
    await expect(send()).rejects.toMatchObject({ retryAt: start + 60_000 });
    answer(last, left(0, 61, 2));
    expect(key().stated).toMatchObject({ left: 0, until: start + 60_000 });
    clock.advance(60_000);
    await expect(send()).rejects.toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY', retryAt: start + 60_201 });
    clock.advance(300);
    (await send()).end();
  });

  it('holds as stated where somebody else spends of it too', async () => {
    const { clock, send, exchange } = clocked({ limits: [{ requests: 2, perMs: 60_200 }] });
    const start = clock.now();
    await exchange(left(0, 61, 2));
    await expect(send()).rejects.toMatchObject({ retryAt: start + 61_000 });
  });

  it('is less by what is under way, and not raised by an older answer that comes late', async () => {
    const { send, answer, key } = clocked();
    const [first, second, third] = [await send(), await send(), await send()];
    answer(second, left(8));
    expect(key().stated?.left).toBe(6);
    answer(first, left(9));
    answer(third, left(7));
    expect(key().stated?.left).toBe(6);
    const [fourth, fifth] = [await send(), await send()];
    answer(fifth, left(5));
    expect(key().stated?.left).toBe(4);
    answer(fourth, left(40));
    expect(key().stated?.left).toBe(4);
    // Sent after all of that, so that it knows better.
    answer(await send(), left(5));
    expect(key().stated?.left).toBe(5);
  });

  it('is lowered at once where others spend of it too', async () => {
    const { exchange, key } = clocked();
    await exchange(left(9));
    await exchange(left(3));
    expect(key().stated?.left).toBe(3);
  });

  it('is given back by a request that was never sent, or that found no permit', async () => {
    const { send, exchange, key } = clocked({ limits: [{ requests: 2, per: 'minute' }] });
    await exchange(left(5));
    const lease = await send();
    expect(key().stated?.left).toBe(4);
    lease.cancel();
    expect(key().stated?.left).toBe(5);
    await exchange(left(4));
    await expect(send()).rejects.toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY' });
    expect(key().stated?.left).toBe(4);
  });

  it('lets few into the next window before the first answer of it', async () => {
    const { clock, send, answer, exchange, key } = clocked();
    for (let i = 0; i < 40; i++) await exchange(left(1, 1, 100));
    clock.advance(1_010);
    const out: Lease[] = [];
    for (let i = 0; i < 4; i++) out.push(await send());
    await expect(send()).rejects.toMatchObject({ code: 'KEYMUX_TIMEOUT' });
    expect(key().stated).toMatchObject({ kind: 'returning', left: 0 });
    answer(out[0]!, left(99, 1, 100));
    expect(key().stated).toMatchObject({ kind: 'fixed', left: 96 });
    await send();
  });

  it('is forgotten where no answer tells of the next window', async () => {
    const { clock, send, exchange, key } = clocked();
    for (let i = 0; i < 40; i++) await exchange(left(1, 1));
    clock.advance(1_010);
    await exchange({});
    clock.advance(1_010);
    for (let i = 0; i < 20; i++) await send();
    expect(key()).not.toHaveProperty('stated');
  });

  it('is forgotten when a person says that all is well', async () => {
    const { manager, send, exchange, key } = clocked();
    await exchange(left(0));
    await expect(send()).rejects.toThrow();
    manager.reset('acme/main');
    await send();
    expect(key()).not.toHaveProperty('stated');
  });

  it.each([
    ['what is left without an end', { 'x-ratelimit-remaining': '0' }],
    ['an end that has passed', { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '2001-01-01T00:00:00Z' }],
    ['no number', { 'x-ratelimit-remaining': 'NaN', 'x-ratelimit-reset': '60' }],
    [
      'tokens of which some are left',
      { 'x-ratelimit-remaining-tokens': '5', 'x-ratelimit-reset-tokens': '6m0s' },
    ],
  ])('is not taken from %s', async (_title, headers) => {
    const { send, exchange, key } = clocked();
    await exchange(headers);
    await send();
    expect(key()).not.toHaveProperty('stated');
  });

  it('is what the strategy `most-remaining` goes by, where it is less than what is counted', async () => {
    const manager = acmeManager({
      keys: ['key-one'],
      provider: { limits: [{ requests: 10, per: 'minute' }] },
    });
    const pool = manager.poolOf('acme');
    const remaining = () => pool.contenders[0]!.remaining;
    const exchange = async (headers: Record<string, string>) => {
      const lease = await manager.acquire('acme');
      pool.learn(lease, head(headers));
      lease.report(SUCCESS);
      lease.end();
    };
    await exchange({});
    expect(remaining()).toBe(0.9);
    await exchange(left(45, 60, 50));
    expect(remaining()).toBe(0.8);
    await exchange(left(5, 60, 50));
    expect(remaining()).toBe(0.1);
    const unlimited = acmeManager({ keys: ['key-one'] });
    const lease = await unlimited.acquire('acme');
    expect(unlimited.poolOf('acme').contenders[0]!.remaining).toBeUndefined();
    unlimited.poolOf('acme').learn(lease, head(left(5, 60, 50)));
    expect(unlimited.poolOf('acme').contenders[0]!.remaining).toBe(0.1);
    lease.end();
  });

  it('is believed for a day at most', async () => {
    const { clock, exchange, key } = clocked();
    await exchange(left(0, 20 * 86_400));
    expect(key().until).toBe(clock.now() + 86_400_000);
  });

  it('is left to the refusal where the answer is one', async () => {
    const { exchange, key } = clocked();
    await exchange(left(0), 429);
    expect(key()).not.toHaveProperty('stated');
  });

  it('blocks a bucket without tokens, until the later of two kinds may be back', async () => {
    const { clock, send, exchange } = clocked();
    await exchange({
      'x-tokenlimit-remaining': '0',
      'x-tokenlimit-reset': '100',
      'anthropic-ratelimit-input-tokens-remaining': '0',
      'anthropic-ratelimit-input-tokens-reset': new Date(clock.now() + 50_000).toISOString(),
    });
    await expect(send()).rejects.toMatchObject({ retryAt: clock.now() + 10_000 });
  });

  it('blocks a bucket without tokens until their window ends, where that is said', async () => {
    const { clock, send, exchange } = clocked();
    await exchange({
      ratelimit: '"tokens";r=0;t=100',
      'ratelimit-policy': '"tokens";q=1000;w=600;qu="tokens"',
    });
    await expect(send()).rejects.toMatchObject({ retryAt: clock.now() + 100_000 });
  });

  it.each([
    ['the least', ['7', '2', '5'], ['60', '50', '40'], 2, 50_000],
    ['of equals the one that ends last', ['2', '2', '2'], ['40', '60', '50'], 2, 60_000],
    ['the first of the same', ['2', '2', '2'], ['60', '60', '60'], 2, 60_000],
  ])('is of several windows %s', async (_title, remaining, resets, left, restMs) => {
    const { clock, exchange, key } = clocked();
    await exchange({
      'x-ratelimit-limit': '100, 200, 300',
      'x-ratelimit-remaining': remaining.join(', '),
      'x-ratelimit-reset': resets.join(', '),
    });
    expect(key().stated).toMatchObject({ left, until: clock.now() + restMs });
  });
});

describe('a limit that is lower than the configured one', () => {
  const policy = (limit: number) => ({ 'ratelimit-policy': `"default";q=${limit};w=60` });
  const LIMITS = {
    limits: [
      { requests: 10, per: 'minute' },
      { requests: 500, per: 'day' },
    ],
  };

  /** A permit may be charged this late where the store was not told yet what became of it. */
  const WINDOW_AND_MORE_MS = 120_000;

  async function spent(send: () => Promise<Lease>): Promise<number> {
    for (let count = 0; ; count += 1) {
      const lease = await send().catch(() => undefined);
      if (lease === undefined) return count;
      lease.report(SUCCESS);
      lease.end();
    }
  }

  it.each([
    ['alone', createMemoryStore],
    ['over a shared store', createSharedStore],
  ])('counts at once, and rises step by step, %s', async (_title, makeStore) => {
    const { clock, send, exchange, key } = clocked(LIMITS, makeStore);
    await exchange(policy(5));
    expect(key().limits).toEqual([
      { requests: 10, perMs: 60_000, stated: 5, left: 4 },
      { requests: 500, perMs: 86_400_000, left: 499 },
    ]);
    expect(await spent(send)).toBe(4);
    clock.advance(WINDOW_AND_MORE_MS);
    await exchange(policy(20));
    expect(key().limits[0]?.stated).toBe(6);
    await exchange(policy(20));
    expect(key().limits[0]?.stated).toBe(6);
    clock.advance(30_000);
    await exchange({}, 429);
    clock.advance(40_000);
    await exchange(policy(20));
    expect(key().limits[0]?.stated).toBe(6);
    for (let window = 0; window < 4; window += 1) {
      clock.advance(WINDOW_AND_MORE_MS);
      await exchange(policy(20));
    }
    expect(key().limits[0]?.stated).toBeUndefined();
    clock.advance(WINDOW_AND_MORE_MS);
    expect(await spent(send)).toBe(10);
  });

  it('is none of a window of another length, nor of one that is higher or 0', async () => {
    const { exchange, key } = clocked(LIMITS);
    for (const limit of [11, 10, 0]) await exchange(policy(limit));
    await exchange({ 'ratelimit-policy': '"default";q=2;w=61' });
    expect(key().limits.every(({ stated }) => stated === undefined)).toBe(true);
  });
});

/** A store that permits are leased from, as processes share one. */
function createSharedStore(options: StoreOptions): Store {
  return new Proxy(createMemoryStore(options), {
    get: (target, name) => {
      if (name === 'shared') return true;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
