import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { KeymuxError } from '#keymux/core/errors.js';
import type { Outcome } from '#keymux/core/outcome.js';
import { SUCCESS } from '#keymux/core/outcome.js';
import { describe, expect, it } from 'vitest';
import { acmeManager } from './acme.js';

const RATE_LIMITED: Outcome = { kind: 'rate-limited', scope: 'key', executed: 'no' };

function rejected(error: unknown): KeymuxError {
  expect(error).toBeInstanceOf(KeymuxError);
  return error as KeymuxError;
}

describe('getApiKey and resolve', () => {
  it('give the preferred key and where to send requests', () => {
    const manager = acmeManager({ baseUrl: 'http://127.0.0.1:9/v2' });
    expect(manager.getApiKey('acme')).toBe('key-one');
    expect(manager.resolve('acme')).toEqual({
      provider: 'acme',
      baseUrl: 'http://127.0.0.1:9/v2',
      apiKey: 'key-one',
      keyId: 'acme/main',
    });
  });

  it('go on with the next key when one was reported as limited, and name what is out when none is left', () => {
    const manager = acmeManager();
    manager.report('acme/main', { ...RATE_LIMITED, retryAt: manager.now() + 60_000 });
    expect(manager.getApiKey('acme')).toBe('key-two');
    manager.report('acme/2', 'rejected');
    try {
      manager.getApiKey('acme');
      expect.unreachable();
    } catch (error) {
      const { code, message, fix, retryAt } = rejected(error);
      expect(code).toBe('KEYMUX_NO_USABLE_KEY');
      expect(message).toContain('acme/main: rate-limited');
      expect(message).toContain('acme/2: rejected');
      expect(fix).toMatch(/returns in 6[01] s/);
      expect(retryAt).toBeGreaterThan(manager.now() + 59_000);
      expect(message + fix).not.toContain('key-one');
    }
  });

  it('name the known services when asked for another', () => {
    const manager = acmeManager();
    expect(() => manager.getApiKey('nobody')).toThrow(
      expect.objectContaining({ code: 'KEYMUX_UNKNOWN_SERVICE' }),
    );
  });

  it('return to a key by themselves when its deadline is over', async () => {
    const manager = acmeManager();
    manager.report('acme/main', { ...RATE_LIMITED, retryAt: manager.now() + 40 });
    expect(manager.getApiKey('acme')).toBe('key-two');
    await expect.poll(() => manager.getApiKey('acme'), { interval: 5 }).toBe('key-one');
  });
});

describe('acquire', () => {
  it('never grants more than the limit in a rolling window, and waits for the rest', async () => {
    const manager = acmeManager({ keys: ['key-one'], provider: { limits: [{ requests: 3, perMs: 150 }] } });
    const grantedAt: number[] = [];
    await Promise.all(
      Array.from({ length: 9 }, async () => {
        await using lease = await manager.acquire('acme');
        grantedAt.push(manager.now());
        lease.report(SUCCESS);
      }),
    );
    grantedAt.sort((a, b) => a - b);
    for (let i = 3; i < grantedAt.length; i++) {
      expect(grantedAt[i]! - grantedAt[i - 3]!).toBeGreaterThan(150);
    }
  });

  it('serves those that wait in the order in which they came', async () => {
    const manager = acmeManager({ keys: ['key-one'], provider: { limits: [{ requests: 1, perMs: 30 }] } });
    const order: number[] = [];
    await Promise.all(
      [0, 1, 2, 3].map(async (number) => {
        await using lease = await manager.acquire('acme');
        order.push(number);
        lease.report(SUCCESS);
      }),
    );
    expect(order).toEqual([0, 1, 2, 3]);
  });

  it('gives up at once where the soonest return lies beyond the timeout, and says when it is', async () => {
    const manager = acmeManager({ keys: ['key-one'], provider: { limits: [{ requests: 1, per: 'hour' }] } });
    (await manager.acquire('acme')).end();
    const error = rejected(
      await manager.acquire('acme', { timeoutMs: 1_000 }).catch((caught: unknown) => caught),
    );
    expect(error.code).toBe('KEYMUX_NO_USABLE_KEY');
    expect(error.retryAt).toBeGreaterThan(manager.now() + 3_000_000);
  });

  it('is aborted while it waits', async () => {
    const manager = acmeManager({
      keys: ['key-one'],
      provider: { limits: [{ requests: 1, perMs: 10_000 }] },
    });
    (await manager.acquire('acme')).end();
    const controller = new AbortController();
    const waiting = manager.acquire('acme', { signal: controller.signal });
    controller.abort(new Error('enough'));
    const error = rejected(await waiting.catch((caught: unknown) => caught));
    expect(error.code).toBe('KEYMUX_ABORTED');
    expect(error.cause).toMatchObject({ message: 'enough' });
  });

  it('times out where answers under way hold the only key', async () => {
    const manager = acmeManager({ keys: ['key-one'] });
    const out = await Promise.all([1, 2, 3, 4].map(() => manager.acquire('acme')));
    const error = rejected(
      await manager.acquire('acme', { timeoutMs: 60 }).catch((caught: unknown) => caught),
    );
    expect(error.code).toBe('KEYMUX_TIMEOUT');
    for (const lease of out) lease.end();
  });

  it('lets only a few requests onto a fresh key, and more with each good answer', async () => {
    const manager = acmeManager({ keys: ['key-one'] });
    let out = 0;
    let most = 0;
    const inRounds: number[] = [];
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        await using lease = await manager.acquire('acme');
        out += 1;
        most = Math.max(most, out);
        inRounds.push(out);
        await new Promise(setImmediate);
        out -= 1;
        lease.report(SUCCESS);
      }),
    );
    expect(inRounds.slice(0, 4)).toEqual([1, 2, 3, 4]);
    expect(most).toBeLessThanOrEqual(100);
    expect(manager.inspect().keys[0]).toMatchObject({ uses: 100, inFlight: 0, state: 'ready' });
  });

  it('returns the permit of a lease that was cancelled', async () => {
    const manager = acmeManager({ keys: ['key-one'], provider: { limits: [{ requests: 1, per: 'hour' }] } });
    (await manager.acquire('acme')).cancel();
    await using lease = await manager.acquire('acme', { timeoutMs: 0 });
    expect(lease.keyId).toBe('acme/main');
  });

  it('hides the key once the lease has ended, and counts only the first report', async () => {
    const manager = acmeManager();
    const lease = await manager.acquire('acme');
    expect(lease.apiKey).toBe('key-one');
    lease.report(SUCCESS);
    lease.report({ ...RATE_LIMITED, retryAt: manager.now() + 60_000 });
    lease.end();
    expect(manager.getApiKey('acme')).toBe('key-one');
    expect(() => lease.apiKey).toThrow(expect.objectContaining({ code: 'KEYMUX_LEASE_ENDED' }));
  });

  it('tries a key that is only guessed to be dead when nothing else is left, but not in a hurry', async () => {
    let now = 1_800_000_000_000;
    const manager = acmeManager({ keys: ['key-one'], options: { clock: () => now } });
    const first = await manager.acquire('acme');
    first.report({ kind: 'rejected', scope: 'key', executed: 'no', status: 401 });
    first.end();
    await expect(manager.acquire('acme', { timeoutMs: 0 })).rejects.toMatchObject({
      code: 'KEYMUX_NO_USABLE_KEY',
    });
    now += 6_000;
    const trial = await manager.acquire('acme', { timeoutMs: 0 });
    await expect(manager.acquire('acme', { timeoutMs: 0 })).rejects.toMatchObject({
      code: 'KEYMUX_NO_USABLE_KEY',
    });
    trial.report(SUCCESS);
    trial.end();
    expect(manager.getApiKey('acme')).toBe('key-one');
  });
});

describe('what people decide', () => {
  it('disables a key until it is enabled', () => {
    const manager = acmeManager();
    manager.disable('acme/main');
    expect(manager.getApiKey('acme')).toBe('key-two');
    expect(manager.inspect().keys[0]?.state).toBe('disabled');
    manager.enable('acme/main');
    expect(manager.getApiKey('acme')).toBe('key-one');
  });

  it('resets what is held against a key', () => {
    const manager = acmeManager();
    manager.report('acme/main', 'rejected');
    expect(manager.getApiKey('acme')).toBe('key-two');
    manager.reset('acme/main');
    expect(manager.getApiKey('acme')).toBe('key-one');
  });

  it('refuses a key id that does not exist, and names those that do', () => {
    const manager = acmeManager();
    expect(() => manager.disable('acme/nine')).toThrow(
      expect.objectContaining({
        code: 'KEYMUX_UNKNOWN_KEY',
        fix: expect.stringContaining('acme/main, acme/2') as string,
      }),
    );
  });

  it('explains why each key is passed over', () => {
    const manager = acmeManager({ keys: ['key-one', 'key-two', 'key-three'] });
    manager.disable('acme/main');
    manager.report('acme/2', { ...RATE_LIMITED, retryAt: manager.now() + 60_000 });
    const { next, candidates } = manager.explain('acme');
    expect(next).toBe('acme/3');
    expect(candidates.map(({ key, usable, because }) => [key, usable, because])).toEqual([
      ['acme/main', false, 'disabled by a person'],
      ['acme/2', false, 'rate-limited, until a time stated by the provider'],
      ['acme/3', true, 'chosen by priority'],
    ]);
  });
});

describe('events', () => {
  it('tell of rests, rejections and returns', async () => {
    const manager = acmeManager();
    const seen: string[] = [];
    for (const name of ['cooldown', 'rejected', 'recovered', 'quota'] as const) {
      manager.on(name, (event) => seen.push(`${name} ${'subject' in event ? event.subject : event.bucket}`));
    }
    manager.report('acme/main', { ...RATE_LIMITED, retryAt: manager.now() + 60_000 });
    manager.report('acme/2', 'rejected');
    manager.reset('acme/main');
    expect(seen).toEqual(['cooldown acme/main', 'rejected acme/2', 'recovered acme/main']);
  });

  it('are published on diagnostics channels, too', () => {
    const manager = acmeManager();
    const seen: unknown[] = [];
    const listen = (message: unknown): void => void seen.push(message);
    subscribe('keymux:cooldown', listen);
    manager.report('acme/main', RATE_LIMITED);
    unsubscribe('keymux:cooldown', listen);
    manager.report('acme/2', RATE_LIMITED);
    expect(seen).toEqual([expect.objectContaining({ subject: 'acme/main', reason: 'rate-limited' })]);
  });

  it('survive a listener that throws, and can be left', () => {
    const manager = acmeManager();
    const seen: string[] = [];
    manager.on('cooldown', () => {
      throw new Error('a listener of the application');
    });
    const leave = manager.on('cooldown', ({ subject }) => seen.push(subject));
    manager.report('acme/main', RATE_LIMITED);
    leave();
    manager.report('acme/2', RATE_LIMITED);
    expect(seen).toEqual(['acme/main']);
  });
});

describe('a failover threshold', () => {
  it('leaves a provider that does badly for the next one, and comes back to it', () => {
    let now = 1_800_000_000_000;
    const provider = (port: number, name: string) => ({
      baseUrl: `http://127.0.0.1:${port}`,
      auth: { in: 'header', name: 'x-api-key' } as const,
      env: [name],
    });
    const manager = acmeManager({
      options: {
        clock: () => now,
        env: { ACME_API_KEY: 'key-acme', OTHER_API_KEY: 'key-other' },
        config: {
          services: { quotes: { providers: ['acme', 'other'], failoverThreshold: 0.8 } },
          providers: { acme: provider(9, 'ACME_API_KEY'), other: provider(10, 'OTHER_API_KEY') },
        },
      },
    });
    expect(manager.getApiKey('quotes')).toBe('key-acme');
    manager.report('acme/main', 'overloaded');
    expect(manager.getApiKey('quotes')).toBe('key-acme');
    manager.report('acme/main', 'overloaded');
    expect(manager.getApiKey('quotes')).toBe('key-other');
    expect(manager.inspect().providers[0]?.healthScore).toBeLessThan(0.8);
    now += 30_000;
    expect(manager.getApiKey('quotes')).toBe('key-acme');
  });
});
