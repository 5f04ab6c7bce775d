import { inspect as print } from 'node:util';
import { SUCCESS } from '#keymux/core/outcome.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeySnapshot } from '#keymux/manager/inspection.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { describe, expect, it } from 'vitest';
import { acmeManager } from './acme.js';
import type { AcmeOptions } from './acme.js';

const RATE_LIMITED = { kind: 'rate-limited', scope: 'key', executed: 'no' } as const;

function managed(acme: AcmeOptions = {}) {
  const clock = createFakeClock();
  const manager = acmeManager({ keys: ['key-one'], ...acme, options: { clock: clock.now, ...acme.options } });
  return { clock, manager };
}

function first(manager: KeyManager): KeySnapshot {
  return manager.inspect().keys[0]!;
}

function told(manager: KeyManager, service = 'acme') {
  return manager.explain(service).candidates.map(({ usable, because }) => [usable, because]);
}

async function answered(manager: KeyManager): Promise<void> {
  await using lease = await manager.acquire('acme', { timeoutMs: 0 });
  lease.report(SUCCESS);
}

describe('the state of a key', () => {
  it('goes from unproven to ready, to resting, to returning and back', async () => {
    const { clock, manager } = managed();
    expect(first(manager)).toMatchObject({
      id: 'acme/main',
      state: 'unproven',
      uses: 0,
      foundIn: 'env:ACME_API_KEY',
    });
    await answered(manager);
    expect(first(manager)).toMatchObject({ state: 'ready', uses: 1, failures: 0 });
    expect(first(manager)).not.toHaveProperty('reason');
    manager.report('acme/main', { ...RATE_LIMITED, retryAt: clock.now() + 60_000 });
    expect(first(manager)).toMatchObject({
      state: 'resting',
      reason: 'rate-limited, until a time stated by the provider',
      source: 'stated',
      until: clock.now() + 60_000,
      failures: 1,
    });
    clock.advance(60_010);
    expect(first(manager)).toMatchObject({ state: 'returning' });
    await answered(manager);
    expect(first(manager)).toMatchObject({ state: 'returning' });
    clock.advance(10_000);
    await answered(manager);
    expect(first(manager)).toMatchObject({ state: 'ready' });
  });

  it('is rejected, out of permits or disabled', async () => {
    const { clock, manager } = managed({
      keys: ['key-one', 'key-two'],
      provider: { limits: [{ requests: 1, per: 'minute' }] },
    });
    manager.report('acme/2', 'rejected');
    expect(manager.inspect().keys[1]).toMatchObject({ state: 'rejected', source: 'guessed' });
    manager.disable('acme/2');
    expect(manager.inspect().keys[1]).toMatchObject({ state: 'disabled', reason: 'disabled by a person' });
    await answered(manager);
    await expect(answered(manager)).rejects.toThrow();
    expect(first(manager)).toMatchObject({
      state: 'out-of-permits',
      permitsLeft: 0,
      limits: [{ requests: 1, perMs: 60_000, left: 0 }],
      until: clock.now() + 2_000,
    });
    manager.reset('acme/main');
    expect(first(manager).state).toBe('ready');
  });

  it('tells what is under way', async () => {
    const { manager, clock } = managed();
    const lease = await manager.acquire('acme');
    clock.advance(30);
    lease.report(SUCCESS);
    expect(first(manager)).toMatchObject({ inFlight: 1, latencyMs: 30 });
    lease.end();
    expect(first(manager).inFlight).toBe(0);
  });

  it('is kept apart for one text that is a key of two providers', () => {
    const provider = (port: number, name: string) => ({
      baseUrl: `http://127.0.0.1:${port}`,
      auth: { in: 'header', name: 'x' },
      env: [name],
    });
    const { manager } = managed({
      options: {
        env: { A_API_KEY: 'one-text', B_API_KEY: 'one-text' },
        config: { providers: { a: provider(9, 'A_API_KEY'), b: provider(10, 'B_API_KEY') } } as NonNullable<
          NonNullable<AcmeOptions['options']>['config']
        >,
      },
    });
    manager.report('a/main', 'rejected');
    manager.disable('b/main');
    expect(manager.inspect().keys.map(({ id, state }) => [id, state])).toEqual([
      ['a/main', 'rejected'],
      ['b/main', 'disabled'],
    ]);
  });
});

describe('the circuit of a provider', () => {
  it('opens, is tried once, and closes by and by', async () => {
    const { clock, manager } = managed({ keys: ['key-one', 'key-two'] });
    const provider = () => manager.inspect().providers[0]!;
    expect(provider()).toMatchObject({ id: 'acme', circuit: 'closed', healthScore: 1, mode: 'direct' });
    for (let i = 0; i < 5; i++) manager.report('acme/main', 'overloaded');
    expect(provider()).toMatchObject({ circuit: 'open', until: clock.now() + 1_000 });
    expect(provider().healthScore).toBeLessThan(0.6);
    expect(told(manager)).toEqual([
      [false, 'overloaded, until a time guessed'],
      [false, 'overloaded, until a time guessed'],
    ]);
    expect(manager.explain('acme')).not.toHaveProperty('next');
    expect(manager.inspect().services[0]).not.toHaveProperty('next');
    clock.advance(1_100);
    expect(provider()).toMatchObject({ circuit: 'half-open' });
    expect(provider()).not.toHaveProperty('until');
    const trial = await manager.acquire('acme');
    expect(told(manager)).toEqual([
      [true, 'returning provider, 1 requests under way'],
      [true, 'returning provider, 1 requests under way'],
    ]);
    await expect(manager.acquire('acme', { timeoutMs: 0 })).rejects.toMatchObject({ code: 'KEYMUX_TIMEOUT' });
    trial.report(SUCCESS);
    trial.end();
    expect(provider()).toMatchObject({ circuit: 'slow-start' });
    clock.advance(10_000);
    await answered(manager);
    expect(provider()).toMatchObject({ circuit: 'closed' });
  });

  it('is not judged by mistakes of the application', async () => {
    const { clock, manager } = managed();
    for (let i = 0; i < 5; i++) manager.report('acme/main', 'overloaded');
    clock.advance(60_000);
    const own = new TypeError('a mistake in the adapter');
    await expect(manager.run('acme', () => Promise.reject(own))).rejects.toBe(own);
    expect(manager.inspect().providers[0]).toMatchObject({ circuit: 'half-open' });
  });

  it('is that of its proxy too, where the way out is blamed', () => {
    const { manager } = managed();
    const events: string[] = [];
    manager.on('cooldown', ({ subject, reason, evidence }) =>
      events.push(`${subject} ${reason} ${evidence}`),
    );
    manager.report('acme/main', {
      kind: 'rate-limited',
      scope: 'egress',
      executed: 'no',
      evidence: 'status 429',
    });
    expect(events).toEqual(['acme rate-limited status 429']);
  });
});

describe('an explanation', () => {
  it('tells in the order of preference who is chosen and why the others are not', async () => {
    const { manager, clock } = managed({ keys: ['key-one', 'key-two', 'key-three', 'key-four'] });
    manager.disable('acme/main');
    manager.report('acme/2', { ...RATE_LIMITED, scope: 'bucket', retryAt: clock.now() + 5_000 });
    const out = await Promise.all([1, 2, 3, 4].map(() => manager.acquire('acme')));
    const { next, strategy, at, service, candidates } = manager.explain('acme');
    // It would be chosen, were it not for those under way.
    expect({ next, strategy, at, service }).toEqual({
      next: 'acme/3',
      strategy: 'priority',
      at: clock.now(),
      service: 'acme',
    });
    expect(candidates).toEqual([
      {
        key: 'acme/main',
        usable: false,
        because: 'disabled by a person',
        fact: { subject: 'acme/main', source: 'person', seen: 'here', ageMs: 0 },
      },
      {
        key: 'acme/2',
        usable: false,
        because: 'rate-limited, until a time stated by the provider',
        until: clock.now() + 5_000,
        source: 'stated',
        fact: { subject: 'acme/2', source: 'stated', seen: 'here', ageMs: 0 },
      },
      {
        key: 'acme/3',
        usable: true,
        because: 'unproven key, 4 requests under way',
        fact: { subject: 'acme/3', source: 'observed' },
      },
      { key: 'acme/4', usable: true, because: 'usable, passed over by priority' },
    ]);
    for (const lease of out) lease.end();
    expect(told(manager)[2]).toEqual([true, 'chosen by priority']);
  });
});

describe('what can be looked at', () => {
  it('holds no key, whatever happens', async () => {
    const canary = 'sk-canary-0123456789abcdef';
    const keys = [`${canary}-one`, `${canary}-two`];
    const { manager } = managed({ keys });
    const seen: unknown[] = [];
    for (const name of [
      'failover',
      'cooldown',
      'rejected',
      'recovered',
      'quota',
      'degraded',
      'exhausted',
      'reloaded',
    ] as const) {
      manager.on(name, (event) => seen.push(event));
    }
    const refused = (status: number) =>
      Object.assign(new Error(`no: ${canary}`), { status, headers: {}, error: { message: canary } });
    const lease = await manager.acquire('acme');
    seen.push(print(lease, { depth: Infinity, showHidden: true }), JSON.stringify(lease));
    lease.end();
    await manager.run('acme', ({ keyId }) =>
      keyId === 'acme/main' ? Promise.reject(refused(401)) : Promise.resolve('done'),
    );
    manager.report('acme/2', { ...RATE_LIMITED, retryAt: manager.now() + 90_000 });
    for (const work of [
      () => manager.getApiKey('acme'),
      () => manager.getApiKey('nobody'),
      () => manager.disable(`acme/nine`),
      () => lease.apiKey,
    ]) {
      try {
        work();
        expect.unreachable();
      } catch (error) {
        seen.push(error);
      }
    }
    seen.push(await manager.run('acme', () => Promise.resolve(1)).catch((error: unknown) => error));
    seen.push(await (await manager.fetch('acme', '/x')).text());
    manager.reload();
    manager.reset('acme/main');
    seen.push(manager.inspect(), manager.explain('acme'), manager.poolOf('acme'), manager.origins, manager);
    for (const thing of seen) {
      expect(print(thing, { depth: Infinity, showHidden: true, maxArrayLength: null })).not.toContain(canary);
      if (!(thing instanceof Error)) continue;
      expect(`${thing.message} ${thing.stack} ${JSON.stringify(thing)}`).not.toContain(canary);
    }
    expect(JSON.stringify([manager.inspect(), manager.explain('acme'), manager.configuration])).not.toContain(
      canary,
    );
    expect(seen.length).toBeGreaterThan(12);
  });
});
