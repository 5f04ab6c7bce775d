import { PROVIDER_POLICY } from '#keymux/core/health.js';
import type { Outcome } from '#keymux/core/outcome.js';
import type { RefusedAlikeEvent } from '#keymux/manager/events.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { Lease } from '#keymux/manager/lease.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import { describe, expect, it } from 'vitest';
import { acmeManager, memoryStore } from './acme.js';
import { byKey, serveProvider } from './provider-server.js';

const KEYS = ['key-one', 'key-two', 'key-three'];
const standing = (manager: KeyManager) => manager.inspect().keys.map(({ state }) => state);

function alikeOf(manager: KeyManager): RefusedAlikeEvent[] {
  const events: RefusedAlikeEvent[] = [];
  manager.on('refused-alike', (event) => events.push(event));
  return events;
}

async function statusOf(answer: Promise<Response>): Promise<number> {
  const response = await answer;
  await response.text();
  return response.status;
}

describe('the same refusal of every key', () => {
  it('is not the keys: their penalties are taken back and the caller gets the error', async () => {
    const server = await serveProvider(byKey({ 'key-one': 401, 'key-two': 401, 'key-three': 401 }));
    const manager = acmeManager({ keys: KEYS, baseUrl: server.origin });
    const events = alikeOf(manager);
    const response = await manager.fetch('acme', '/x', { method: 'POST', body: '1' });
    expect(server.keys()).toEqual(KEYS);
    expect(response.status).toBe(401);
    expect(await response.json()).toEqual({ status: 401 });
    expect(standing(manager)).toEqual(['unproven', 'unproven', 'unproven']);
    expect(events).toEqual([
      {
        requestId: expect.any(String) as string,
        service: 'acme',
        provider: 'acme',
        keys: ['acme/main', 'acme/2', 'acme/3'],
        reason: 'rejected',
        status: 401,
        evidence: 'status 401',
        at: expect.any(Number) as number,
      },
    ]);
  });

  it('stands against the keys where another one then works', async () => {
    const server = await serveProvider(byKey({ 'key-one': 401, 'key-two': 401 }));
    const manager = acmeManager({ keys: KEYS, baseUrl: server.origin });
    const events = alikeOf(manager);
    expect(await statusOf(manager.fetch('acme', '/x'))).toBe(200);
    expect(server.keys()).toEqual(KEYS);
    expect(standing(manager)).toEqual(['rejected', 'rejected', 'ready']);
    expect(events).toEqual([]);
  });

  it.each([
    ['another status', { 'key-one': 401, 'key-two': 402 }],
    ['a 429, which is always true of its key', { 'key-one': 429, 'key-two': 401 }],
    ['a 400, for which the key was good enough', { 'key-one': 401, 'key-two': 400 }],
  ])('is not to be seen where one key met %s', async (_, statuses) => {
    const server = await serveProvider(byKey(statuses));
    const manager = acmeManager({ baseUrl: server.origin, provider: { retry: { maxWaitMs: 0 } } });
    const events = alikeOf(manager);
    await statusOf(manager.fetch('acme', '/x'));
    expect(server.keys().slice(0, 2)).toEqual(['key-one', 'key-two']);
    expect(standing(manager)[0]).not.toBe('unproven');
    expect(events).toEqual([]);
  });

  it('needs two owners: keys of one bucket are one witness', async () => {
    const server = await serveProvider(byKey({ 'key-one': 401, 'key-two': 401 }));
    const keys = ['main', '2'].map((id) => ({
      id,
      value: `env:ACME_API_KEY${id === '2' ? '_2' : ''}`,
      bucket: 'acct',
    }));
    const manager = acmeManager({ baseUrl: server.origin, provider: { keys } });
    const events = alikeOf(manager);
    expect(await statusOf(manager.fetch('acme', '/x'))).toBe(401);
    expect(server.keys()).toEqual(['key-one', 'key-two']);
    expect(standing(manager)).toEqual(['rejected', 'rejected']);
    expect(events).toEqual([]);
  });

  it('of a route leaves keys and provider alone: it may be one request that is not allowed', async () => {
    const server = await serveProvider(byKey({ 'key-one': 403, 'key-two': 403 }));
    const manager = acmeManager({ baseUrl: server.origin });
    for (let i = 0; i < 6; i++) expect(await statusOf(manager.fetch('acme', '/x'))).toBe(403);
    expect(server.keys()).toHaveLength(12);
    expect(manager.inspect().providers).toMatchObject([{ circuit: 'closed', healthScore: 1 }]);
  });

  it('is a strike of the provider, so that a broken login is not hammered for ever', async () => {
    const clock = createFakeClock();
    const server = await serveProvider(byKey({ 'key-one': 401, 'key-two': 401 }));
    const manager = acmeManager({
      baseUrl: server.origin,
      provider: { retry: { maxWaitMs: 0 } },
      options: { clock: clock.now },
    });
    const { threshold = 0, baseMs = 0 } = PROVIDER_POLICY.cooldowns.overloaded ?? {};
    for (let i = 0; i < threshold; i++) expect(await statusOf(manager.fetch('acme', '/x'))).toBe(401);
    expect(server.seen).toHaveLength(2 * threshold);
    expect(await statusOf(manager.fetch('acme', '/x'))).toBe(503);
    expect(server.seen).toHaveLength(2 * threshold);
    clock.advance(baseMs + 1);
    expect(await statusOf(manager.fetch('acme', '/x'))).toBe(401);
    expect(server.seen).toHaveLength(2 * threshold + 2);
  });

  it('is taken back also where each of many requests at once gave a part of the penalties', async () => {
    const server = await serveProvider(byKey({ 'key-one': 401, 'key-two': 401, 'key-three': 401 }));
    const manager = acmeManager({
      keys: KEYS,
      baseUrl: server.origin,
      provider: { strategy: 'round-robin', retry: { maxWaitMs: 0 } },
    });
    const events = alikeOf(manager);
    const answers = Array.from({ length: 4 }, () => statusOf(manager.fetch('acme', '/x')));
    for (const status of await Promise.all(answers)) expect([401, 429, 503]).toContain(status);
    expect(new Set(server.keys())).toEqual(new Set(KEYS));
    expect(events.length).toBeGreaterThan(0);
  });

  it('takes back nothing that its subject has left behind since', async () => {
    const server = await serveProvider((seen, response) => {
      if (seen.headers['x-api-key'] === 'key-two') chargeAnew();
      response.writeHead(401).end();
    });
    const manager = acmeManager({ baseUrl: server.origin });
    function chargeAnew(): void {
      manager.reset('acme/main');
      manager.report('acme/main', { kind: 'rejected', scope: 'key', executed: 'no' });
    }
    expect(await statusOf(manager.fetch('acme', '/x'))).toBe(401);
    expect(standing(manager)).toEqual(['rejected', 'unproven']);
  });

  it('travels: what was taken back is a new version for the store', async () => {
    const store = faultyStore(memoryStore(), { shared: true });
    const server = await serveProvider(byKey({ 'key-one': 401, 'key-two': 401 }));
    const manager = acmeManager({ baseUrl: server.origin, options: { store } });
    await manager.ready;
    expect(await statusOf(manager.fetch('acme', '/x'))).toBe(401);
    await expect
      .poll(() => {
        const last = new Map(store.asked.publish.flat().map(({ subject, health }) => [subject, health]));
        return [...last].filter(([subject]) => subject.startsWith('key:')).map(([, health]) => health);
      })
      .toEqual([
        { status: 'healthy', version: 2, level: 0, strikes: 0 },
        { status: 'healthy', version: 2, level: 0, strikes: 0 },
      ]);
  });

  it('may be told by an adapter, in fewer words', async () => {
    const manager = acmeManager();
    const events = alikeOf(manager);
    const refused = Object.assign(new Error('no'), { status: 401 });
    await expect(manager.run('acme', () => Promise.reject(refused))).rejects.toBe(refused);
    expect(events).toMatchObject([{ keys: ['acme/main', 'acme/2'], status: 401 }]);
    const exchange = manager.exchange(manager.poolOf('acme'), {
      method: 'POST',
      path: '/x',
      hasIdempotencyKey: false,
      canReplay: () => true,
    });
    const outcome: Outcome = { kind: 'restricted', scope: 'key', executed: 'no' };
    const first = await exchange.first();
    if (!(first instanceof Lease)) return expect.unreachable();
    const step = await exchange.afterOutcome(first, outcome);
    first.end();
    if (step.do !== 'retry') return expect.unreachable();
    expect(await exchange.afterOutcome(step.lease, outcome)).toEqual({ do: 'deliver' });
    step.lease.end();
    expect(events[1]).not.toHaveProperty('status');
    expect(standing(manager)).toEqual(['unproven', 'unproven']);
  });

  it('is judged provider by provider', async () => {
    const server = await serveProvider(byKey({ 'key-one': 401, 'key-two': 401, other: 401 }));
    const manager = acmeManager({
      options: {
        env: { ACME_API_KEY: 'key-one', ACME_API_KEY_2: 'key-two', OTHER_API_KEY: 'other' },
        config: {
          services: { both: { providers: ['acme', 'other'] } },
          providers: Object.fromEntries(
            ['acme', 'other'].map((id) => [
              id,
              { baseUrl: server.origin, auth: { in: 'header', name: 'x-api-key' } },
            ]),
          ) as never,
        },
      },
    });
    const events = alikeOf(manager);
    expect(await statusOf(manager.fetch('both', '/x'))).toBe(401);
    expect(server.keys()).toEqual(['key-one', 'key-two', 'other']);
    expect(events.map(({ provider, keys }) => [provider, keys])).toEqual([['acme', ['acme/main', 'acme/2']]]);
    expect(standing(manager)).toEqual(['unproven', 'unproven', 'rejected']);
  });
});

describe('the last usable key', () => {
  it('is not benched for longer than the shortest guess, however often it is refused', async () => {
    const clock = createFakeClock();
    const server = await serveProvider(byKey({ 'key-one': 429 }));
    const manager = acmeManager({
      keys: ['key-one'],
      baseUrl: server.origin,
      provider: { retry: { maxWaitMs: 0 } },
      options: { clock: clock.now },
    });
    for (let incident = 1; incident <= 5; incident++) {
      expect(await statusOf(manager.fetch('acme', '/x'))).toBe(429);
      expect(server.seen).toHaveLength(incident);
      clock.advance(1_010);
    }
  });

  it('is waited for by a request for maxWaitMs altogether, and then its refusal is passed on', async () => {
    const server = await serveProvider(byKey({ 'key-one': 429 }));
    const manager = acmeManager({
      keys: ['key-one'],
      baseUrl: server.origin,
      provider: { retry: { maxWaitMs: 1_500 } },
    });
    expect(await statusOf(manager.fetch('acme', '/x'))).toBe(429);
    expect(server.seen).toHaveLength(2);
  });

  it('is any key that others could stand in for: then guesses grow', async () => {
    const clock = createFakeClock();
    const server = await serveProvider(byKey({ 'key-one': 429 }));
    const manager = acmeManager({ baseUrl: server.origin, options: { clock: clock.now } });
    const waits: number[] = [];
    manager.on('cooldown', ({ until, at }) => waits.push(Math.round((until - at) / 1_000)));
    for (let incident = 0; incident < 3; incident++) {
      expect(await statusOf(manager.fetch('acme', '/x'))).toBe(200);
      clock.advance(60_000);
    }
    expect(waits).toEqual([1, 2, 4]);
  });

  it.each([
    ['bucket', { keys: true, scope: 'bucket' }],
    ['provider', { keys: false, scope: 'egress' }],
  ])('is every key of a %s that is refused as a whole', async (_name, { keys, scope }) => {
    const clock = createFakeClock();
    const server = await serveProvider((_, response) => void response.writeHead(429).end());
    const bucket = { bucket: 'acct' };
    const manager = acmeManager({
      baseUrl: server.origin,
      provider: {
        errors: [{ status: 429, outcome: 'rate-limited', scope }],
        retry: { maxWaitMs: 0 },
        ...(keys && {
          keys: [
            { id: 'main', value: 'env:ACME_API_KEY', ...bucket },
            { id: '2', value: 'env:ACME_API_KEY_2', ...bucket },
          ],
        }),
      },
      options: { clock: clock.now },
    });
    const waits: number[] = [];
    manager.on('cooldown', ({ until, at }) => waits.push(Math.round((until - at) / 1_000)));
    for (let incident = 0; incident < 3; incident++) {
      await statusOf(manager.fetch('acme', '/x'));
      clock.advance(1_010);
    }
    expect(server.seen).toHaveLength(3);
    expect(waits).toEqual([1, 1, 1]);
  });
});
