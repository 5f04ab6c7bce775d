import type { KeyManager } from '#keymux/manager/key-manager.js';
import { isRefusal, refusalFor } from '#keymux/manager/refusal.js';
import type { Refusal } from '#keymux/manager/refusal.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { describe, expect, it } from 'vitest';
import { acmeManager } from './acme.js';
import type { AcmeOptions } from './acme.js';

const RATE_LIMITED = { kind: 'rate-limited', scope: 'key', executed: 'no' } as const;

function managed(acme: AcmeOptions = {}) {
  const clock = createFakeClock();
  const manager = acmeManager({
    keys: ['key-one-canary', 'key-two-canary'],
    ...acme,
    options: { clock: clock.now, ...acme.options },
  });
  return { clock, manager };
}

function refusalOf(manager: KeyManager, service = 'acme'): Refusal {
  const pool = manager.poolOf(service);
  const now = manager.now();
  const refusal = refusalFor(pool, pool.shut(new Set(), false, now), now);
  expect(isRefusal(refusal)).toBe(true);
  expect(JSON.stringify(refusal) + refusal.error.message + refusal.error.fix).not.toContain('canary');
  return refusal;
}

describe('the refusal', () => {
  it('is a 429 with the time of the first return, rounded up, where a limited key returns', () => {
    const { manager, clock } = managed();
    manager.report('acme/main', { ...RATE_LIMITED, retryAt: manager.now() + 90_000 });
    manager.report('acme/2', { ...RATE_LIMITED, retryAt: manager.now() + 30_000 });
    clock.advance(500);
    const refusal = refusalOf(manager);
    expect(refusal).toMatchObject({
      status: 429,
      statusText: 'Too Many Requests',
      headers: { 'x-should-retry': 'false', 'retry-after': '30' },
    });
    expect(refusal.retryAt).toBe(refusal.error.retryAt);
    expect(JSON.parse(refusal.body)).toEqual({
      error: {
        message: expect.stringMatching(
          /acme\/main: rate-limited.*acme\/2: rate-limited.*returns in 30 s/,
        ) as string,
        type: 'keymux',
        code: 'KEYMUX_NO_USABLE_KEY',
        param: null,
      },
    });
  });

  it('asks for a second at least', () => {
    const { manager } = managed({ keys: ['key-one-canary'] });
    manager.report('acme/main', { ...RATE_LIMITED, retryAt: manager.now() + 40 });
    expect(refusalOf(manager).headers['retry-after']).toBe('1');
  });

  it('is a 429 where permits are out, one key is spent and the other is disabled', async () => {
    const { manager } = managed({ provider: { limits: [{ requests: 1, per: 'minute' }] } });
    manager.disable('acme/2');
    (await manager.acquire('acme')).end();
    await expect(manager.acquire('acme', { timeoutMs: 0 })).rejects.toThrow();
    const refusal = refusalOf(manager);
    expect(refusal).toMatchObject({ status: 429 });
    expect(refusal.error.message).toContain('acme/main: its limit is spent in the running window');
  });

  it('is a 429 where answers under way hold the only key, without a time', async () => {
    const { manager } = managed({ keys: ['key-one-canary'] });
    const out = await Promise.all([1, 2, 3, 4].map(() => manager.acquire('acme')));
    const refusal = refusalOf(manager);
    expect(refusal.status).toBe(429);
    expect(refusal.headers).toEqual({ 'x-should-retry': 'false' });
    expect(refusal.error.message).toContain('unproven key, 4 requests under way');
    for (const lease of out) lease.end();
  });

  it('is a 429 where the bucket rests', () => {
    const { manager } = managed();
    for (const key of ['acme/main', 'acme/2']) {
      manager.report(key, {
        kind: 'quota-exhausted',
        scope: 'bucket',
        executed: 'no',
        retryAt: manager.now() + 5_000,
      });
    }
    expect(refusalOf(manager)).toMatchObject({ status: 429, headers: { 'retry-after': '5' } });
  });

  it('is a 503 where the provider is in trouble', () => {
    const { manager } = managed();
    for (let i = 0; i < 5; i++) manager.report('acme/main', 'overloaded');
    expect(refusalOf(manager)).toMatchObject({
      status: 503,
      statusText: 'Service Unavailable',
      headers: { 'retry-after': '1' },
    });
  });

  it('is a 401 without a time where every key is dead or disabled', () => {
    const { manager } = managed();
    manager.report('acme/main', 'rejected');
    manager.disable('acme/2');
    const refusal = refusalOf(manager);
    expect(refusal).toMatchObject({
      status: 401,
      statusText: 'Unauthorized',
      headers: { 'x-should-retry': 'false' },
    });
    expect(refusal).not.toHaveProperty('retryAt');
    expect(refusal.headers).not.toHaveProperty('retry-after');
    manager.disable('acme/main');
    expect(refusalOf(manager).error.fix).toContain('keymux keys list');
  });

  it('is a 401 where there is no key at all, and a service passes over a provider without keys', () => {
    const other = {
      baseUrl: 'http://127.0.0.1:10',
      auth: { in: 'header', name: 'x' },
      env: ['OTHER_API_KEY'],
    };
    const { manager } = managed({
      options: {
        env: { ACME_API_KEY: 'key-one-canary' },
        config: {
          services: { quotes: { providers: ['other', 'acme'] } },
          providers: { acme: { ...other, baseUrl: 'http://127.0.0.1:9', env: ['ACME_API_KEY'] }, other },
        } as NonNullable<NonNullable<AcmeOptions['options']>['config']>,
      },
    });
    expect(manager.resolve('quotes').keyId).toBe('acme/main');
    expect(manager.inspect().notes).toEqual([expect.stringContaining('other has no usable key')]);
    const refusal = refusalOf(manager, 'other');
    expect(refusal).toMatchObject({ status: 401 });
    expect(refusal.error.message).toBe('The service "other" has no key.');
    expect(() => manager.getApiKey('other')).toThrow(
      expect.objectContaining({ code: 'KEYMUX_NO_USABLE_KEY' }),
    );
  });
});
