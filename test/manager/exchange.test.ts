import { KeymuxError } from '#keymux/core/errors.js';
import type { Outcome } from '#keymux/core/outcome.js';
import type { Exchange, RequestFacts } from '#keymux/manager/attempt.js';
import { Lease } from '#keymux/manager/lease.js';
import { Events } from '#keymux/manager/events.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { Notices } from '#keymux/manager/notices.js';
import { isOwned, runOwned } from '#keymux/manager/ownership.js';
import { getApiManager, keyManagers, setProcessManager } from '#keymux/manager/registry.js';
import { announceTransition } from '#keymux/manager/transitions.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { StateTable } from '#keymux/state/table.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import { describe, expect, it } from 'vitest';
import { acmeManager, memoryStore } from './acme.js';
import type { AcmeOptions } from './acme.js';

const HEAD = (status: number) => ({
  status,
  header: (name: string) => (status === 429 && name === 'retry-after' ? '30' : undefined),
});

function begin(manager: KeyManager, facts: Partial<RequestFacts> = {}): Exchange {
  return manager.exchange(manager.poolOf('acme'), {
    method: 'POST',
    path: '/x',
    hasIdempotencyKey: false,
    canReplay: () => true,
    ...facts,
  });
}

async function firstOf(exchange: Exchange): Promise<Lease> {
  const lease = await exchange.first();
  return lease instanceof Lease ? lease : expect.unreachable(lease.statusText);
}

describe('a request goes on', () => {
  it('after a failure before anything was sent, with another key, but not for ever', async () => {
    const manager = acmeManager();
    const exchange = begin(manager);
    const used: string[] = [];
    let lease = await firstOf(exchange);
    for (;;) {
      used.push(lease.keyId);
      const step = await exchange.afterError(lease, 'ECONNREFUSED', 'unsent');
      lease.end();
      if (step.do !== 'retry') {
        expect(step).toEqual({ do: 'deliver' });
        break;
      }
      expect(step.delayMs).toBeGreaterThan(0);
      lease = step.lease;
    }
    expect(used).toEqual(['acme/main', 'acme/2', 'acme/main']);
  });

  it('after a refusal of the route, without asking the same key again', async () => {
    const manager = acmeManager({ keys: ['key-one', 'key-two'] });
    const exchange = begin(manager);
    const first = await firstOf(exchange);
    const step = await exchange.afterHead(first, HEAD(403));
    first.end();
    if (step.do !== 'retry') return expect.unreachable();
    expect(step.lease.keyId).toBe('acme/2');
    // Now nobody is left; the provider's own answer stands.
    expect(await exchange.afterHead(step.lease, HEAD(403))).toEqual({ do: 'deliver' });
    step.lease.end();
  });

  it.each([
    ['the body is gone', { canReplay: () => false }, {}],
    ['the attempts are used up', {}, { maxAttempts: 1 }],
    ['the deadline has passed', {}, { deadlineMs: 1 }],
  ] as const)('no more where %s', async (_, facts, retry) => {
    const clock = createFakeClock();
    const manager = acmeManager({ provider: { retry }, options: { clock: clock.now } });
    const exchange = begin(manager, facts);
    const lease = await firstOf(exchange);
    clock.advance(5);
    expect(await exchange.afterBody(lease, HEAD(429), '')).toEqual({ do: 'deliver' });
    lease.end();
  });

  it('no more where the caller went away while the next key was asked for, and gives that back', async () => {
    const store = faultyStore(memoryStore(), { shared: true });
    const manager = acmeManager({
      provider: { limits: [{ requests: 9, per: 'minute' }] },
      options: { store },
    });
    await manager.ready;
    const controller = new AbortController();
    const exchange = begin(manager, { signal: controller.signal });
    const lease = await firstOf(exchange);
    const go = store.hold('lease');
    const step = exchange.afterBody(lease, HEAD(429), '');
    lease.end();
    controller.abort();
    go();
    expect(await step).toEqual({ do: 'deliver' });
    expect(manager.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
  });

  it('elsewhere after trouble also where permits come from a store', async () => {
    const store = faultyStore(memoryStore(), { shared: true });
    const manager = acmeManager({
      provider: { limits: [{ requests: 9, per: 'minute' }] },
      options: { store },
    });
    await manager.ready;
    const exchange = begin(manager, { method: 'GET' });
    const started = exchange.first();
    const lease = await Promise.resolve(started);
    if (!(lease instanceof Lease)) return expect.unreachable();
    const go = store.hold('lease');
    const next = exchange.afterHead(lease, HEAD(503));
    go();
    const step = await next;
    lease.end();
    expect(step).toMatchObject({ do: 'retry', lease: { keyId: 'acme/2' } });
    if (step.do === 'retry') step.lease.end();
  });

  it('to nobody where there is no key, and says so', async () => {
    const manager = acmeManager({ keys: [] });
    const exhausted: unknown[] = [];
    manager.on('exhausted', (event) => exhausted.push(event));
    expect(await begin(manager).first()).toMatchObject({ status: 401 });
    expect(exhausted).toEqual([{ service: 'acme', at: expect.any(Number) as number }]);
  });

  it('with a refusal that hides the answer of a dead key while a limited one returns', async () => {
    const manager = acmeManager();
    const out: Outcome = {
      kind: 'rate-limited',
      scope: 'key',
      executed: 'no',
      retryAt: manager.now() + 60_000,
    };
    manager.report('acme/2', out);
    const refused = Object.assign(new Error('no'), { status: 401 });
    await expect(manager.run('acme', () => Promise.reject(refused))).rejects.toMatchObject({
      code: 'KEYMUX_NO_USABLE_KEY',
      retryAt: expect.any(Number) as number,
    });
    const other = acmeManager({
      options: { fetch: () => Promise.resolve(new Response('dead', { status: 401 })) },
    });
    other.report('acme/2', out);
    const response = await other.fetch('acme', '/x');
    expect(response.status).toBe(429);
    expect(other.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
  });
});

describe('fetch', () => {
  const failing = (error: Error): AcmeOptions => ({
    options: { fetch: () => Promise.reject(error) },
  });

  it('gives its lease back where the client fails, and throws what it threw', async () => {
    for (const error of [new TypeError('own'), Object.assign(new Error('x'), { code: 'ECONNRESET' })]) {
      const manager = acmeManager(failing(error));
      await expect(manager.fetch('acme', '/x', { method: 'POST' })).rejects.toBe(error);
      expect(manager.inspect().keys[0]?.inFlight).toBe(0);
    }
  });

  it.each([
    ['after a refusal', () => Promise.resolve(new Response(null, { status: 429 }))],
    ['after trouble', () => Promise.reject(Object.assign(new Error('x'), { code: 'ECONNREFUSED' }))],
  ])('gives its lease back where the next key cannot be asked for (%s)', async (_, fetch) => {
    const manager = acmeManager({ keys: ['key-one'], options: { fetch } });
    const pool = manager.poolOf('acme');
    const acquire = pool.acquire.bind(pool);
    let asked = 0;
    pool.acquire = (options) => {
      if (++asked > 1) throw new KeymuxError('KEYMUX_TABLE_FULL', 'full', { fix: 'restart' });
      return acquire(options);
    };
    await expect(manager.fetch('acme', '/x')).rejects.toMatchObject({ code: 'KEYMUX_TABLE_FULL' });
    expect(manager.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0]);
  });

  it('judges an answer without a body that might have told more', async () => {
    const manager = acmeManager({
      provider: { errors: [{ status: 429, match: 'quota', outcome: 'quota-exhausted' }] },
      options: { fetch: () => Promise.resolve(new Response(null, { status: 429 })) },
    });
    expect((await manager.fetch('acme', '/x')).status).toBe(429);
    expect(manager.inspect().keys[0]?.reason).toMatch(/^rate-limited/);
  });
});

describe('leastBad', () => {
  it('is the key that returns first, or any that is usable, or none', () => {
    const manager = acmeManager();
    const pool = manager.poolOf('acme');
    const rest = (keyId: string, forMs: number) =>
      manager.report(keyId, {
        kind: 'rate-limited',
        scope: 'key',
        executed: 'no',
        retryAt: manager.now() + forMs,
      });
    rest('acme/main', 90_000);
    expect(pool.leastBad()?.keyId).toBe('acme/2');
    rest('acme/2', 30_000);
    expect(pool.leastBad()?.keyId).toBe('acme/2');
    manager.disable('acme/2');
    expect(pool.leastBad()?.keyId).toBe('acme/main');
    expect(acmeManager({ keys: [] }).poolOf('acme').leastBad()).toBeUndefined();
  });
});

describe('a failover threshold', () => {
  it('leaves nobody out where no provider does well', () => {
    const manager = acmeManager({ services: { quotes: { providers: ['acme'], failoverThreshold: 0.99 } } });
    manager.report('acme/main', 'overloaded');
    expect(manager.getApiKey('quotes')).toBe('key-one');
  });
});

describe('messages', () => {
  it('name what is known where something is asked for that is not', () => {
    const manager = acmeManager({ keys: [], options: { config: false } });
    expect(() => manager.getApiKey('x')).toThrow(
      expect.objectContaining({ fix: expect.stringContaining('keymux init') as string }),
    );
    expect(() => manager.disable('x/y')).toThrow(
      expect.objectContaining({ fix: expect.stringContaining('Known: none') as string }),
    );
  });

  it('of a store that is lost are told and logged once until it is back, by one thread', () => {
    const { fleet } = StateTable.create();
    const [told, logged]: [string[], string[]] = [[], []];
    const [notices, ofOtherThread] = ['first', 'other'].map((thread) => {
      const events = new Events();
      for (const name of ['degraded', 'restored', 'state-set-aside'] as const) {
        events.on(name, ({ message }) => told.push(`${thread} ${name} ${message}`));
      }
      const logger = { warn: (line: string) => void logged.push(line), info: () => {} };
      return new Notices(events, logger, () => 0, fleet);
    }) as [Notices, Notices];
    notices.trouble('a text that was thrown');
    notices.trouble('a text that was thrown');
    notices.lost(new KeymuxError('KEYMUX_STORE_UNAVAILABLE', 'Gone.', { fix: 'Mend it.' }));
    ofOtherThread.lost('Gone.');
    notices.trouble('lost all the same');
    notices.tell({ kind: 'degraded', message: 'The file is gone.', fix: '' });
    expect(notices.degraded).toBe('The file is gone.');
    expect(ofOtherThread.degraded).toBe('Gone.');
    notices.tell({ kind: 'recovered', message: 'The file is there.', fix: '' });
    expect(notices.degraded).toBeDefined();
    ofOtherThread.back();
    notices.back();
    expect(notices.degraded).toBeUndefined();
    notices.tell({ kind: 'set-aside', message: 'Damaged.', fix: 'Look.' });
    notices.faultyReload(new Error('not YAML'));
    notices.faultyReload(new KeymuxError('KEYMUX_CONFIG_INVALID', 'Wrong.', { fix: 'Line 3.' }));
    const back = 'The store answers again, and was told what was spent without it.';
    expect(told).toEqual([
      'first degraded Gone.',
      `other restored ${back}`,
      'first state-set-aside Damaged.',
    ]);
    expect(logged).toEqual([
      'keymux: a text that was thrown Requests go on meanwhile; see to the store.',
      'keymux: Gone. Mend it.',
      `keymux: ${back} Nothing needs doing.`,
      'keymux: Damaged. Look.',
      'keymux: the changed configuration is not used: not YAML Mend the file.',
      'keymux: the changed configuration is not used: Wrong. Line 3.',
    ]);
  });

  it('of a rest that did not change are not repeated', () => {
    const events = new Events();
    const seen: unknown[] = [];
    events.on('cooldown', (event) => seen.push(event));
    const health = {
      status: 'resting',
      version: 1,
      level: 1,
      reason: 'rate-limited',
      until: 10,
      source: 'stated',
    } as const;
    announceTransition(events, 'acme/main', health, { ...health, source: 'guessed' }, { type: 'reset' }, 0);
    expect(seen).toEqual([]);
    announceTransition(events, 'acme/main', health, { ...health, until: 20 }, { type: 'reset' }, 0);
    expect(seen).toEqual([
      { subject: 'acme/main', reason: 'rate-limited', until: 20, source: 'stated', at: 0 },
    ]);
  });
});

describe('a store that does not open', () => {
  it('leaves a manager that works, and writes nothing to it', async () => {
    const store = faultyStore(memoryStore(), { shared: true });
    const error = new Error('the disk is on fire');
    store.fail({ operation: 'open', from: 'onwards', how: 'rejects', error });
    const warnings: string[] = [];
    const manager = acmeManager({
      provider: { limits: [{ requests: 2, per: 'minute' }] },
      keys: ['key-one'],
      options: { store, logger: { warn: (line) => void warnings.push(line), info: () => {} } },
    });
    await manager.ready;
    for (let i = 0; i < 2; i++) (await manager.acquire('acme')).end();
    await expect(manager.acquire('acme', { timeoutMs: 0 })).rejects.toMatchObject({
      code: 'KEYMUX_NO_USABLE_KEY',
    });
    manager.disable('acme/main');
    await manager.shutdown();
    expect(store.asked.publish).toEqual([]);
    expect(warnings[0]).toContain('on fire');
  });

  it.each([true, false])('in time for the shutdown is left alone (fails: %s)', async (fails) => {
    const store = faultyStore(memoryStore());
    if (fails) store.fail({ operation: 'open', from: 'onwards', how: 'rejects' });
    const open = store.hold('open');
    const warnings: string[] = [];
    const listeners = process.listenerCount('exit');
    const manager = acmeManager({
      options: { store, logger: { warn: (line) => void warnings.push(line), info: () => {} } },
    });
    const ready = manager.ready;
    await manager.shutdown();
    open();
    await ready;
    await manager.ready;
    await new Promise(setImmediate);
    expect(process.listenerCount('exit')).toBe(listeners);
    expect(warnings).toEqual([]);
  });
});

describe('a manager that opens its store late', () => {
  it('is ready once somebody asks', async () => {
    const manager = acmeManager({ seams: { recovery: 'lazy' } });
    await manager.ready;
    expect(manager.inspect().store.kind).toBe('memory');
  });

  it('refuses whoever went away before', async () => {
    const controller = new AbortController();
    controller.abort(new Error('enough'));
    await expect(acmeManager().acquire('acme', { signal: controller.signal })).rejects.toMatchObject({
      code: 'KEYMUX_ABORTED',
      cause: { message: 'enough' },
    });
  });
});

describe('one layer', () => {
  it('owns what runs within it, and nothing else', async () => {
    const seen: boolean[] = [isOwned()];
    await runOwned(async () => {
      await new Promise(setImmediate);
      seen.push(isOwned());
    });
    expect([...seen, isOwned()]).toEqual([false, true, false]);
  });

  it('knows the keys that the application may hold, also those that were taken away', () => {
    const env: Record<string, string> = { ACME_API_KEY: 'key-one' };
    const manager = acmeManager({ options: { env } });
    env['ACME_API_KEY'] = 'key-new';
    manager.reload();
    const managed = manager.origins.find('http://127.0.0.1:9');
    expect(['key-one', 'key-new', 'key-other'].map((key) => managed?.isKnownKey(key))).toEqual([
      true,
      true,
      false,
    ]);
    expect(manager.origins.find('http://127.0.0.1:10')).toBeUndefined();
    expect(manager.origins.size).toBe(1);
  });

  it('leaves signed requests alone', () => {
    expect(acmeManager({ provider: { signed: true } }).origins.size).toBe(0);
  });
});

describe('the manager of the process', () => {
  it('is the one that was set, where no scope has another', () => {
    const manager = acmeManager();
    try {
      setProcessManager(() => manager);
      expect(getApiManager()).toBe(manager);
    } finally {
      setProcessManager(() => {
        throw new KeymuxError('KEYMUX_USAGE', 'none', { fix: 'none' });
      });
    }
    expect(() => getApiManager()).toThrow(expect.objectContaining({ code: 'KEYMUX_USAGE' }));
    expect(keyManagers.has('nobody')).toBe(false);
  });
});
