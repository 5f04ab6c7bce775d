import { SUCCESS } from '#keymux/core/outcome.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { METRICS, prometheusName } from '#keymux/observe/metric-definitions.js';
import { createMetrics } from '#keymux/observe/metrics.js';
import { createObservation } from '#keymux/observe/observation.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import type { KeyScript } from '#keymux/testing/script-key.js';
import { ok, refuse, reset } from '#keymux/testing/script.js';
import type { Simulator } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeManager, memoryStore } from '../manager/acme.js';
import type { AcmeOptions } from '../manager/acme.js';
import { Exposition } from './exposition.js';

const AUTH = { in: 'header', name: 'x-api-key' } as const;

interface Measured {
  readonly simulator: Simulator;
  readonly manager: KeyManager;
  scrape(): Promise<Exposition>;
}

function measured(acme: AcmeOptions): Omit<Measured, 'simulator'> {
  const manager = acmeManager(acme);
  const metrics = createMetrics(manager);
  onTestFinished(() => metrics.close());
  return { manager, scrape: async () => new Exposition(await metrics.text()) };
}

/** A manager over a simulator whose keys are called `acme/main`, `acme/2` … in the order of the scripts. */
async function simulated(scripts: readonly KeyScript[], acme: AcmeOptions = {}): Promise<Measured> {
  const texts = scripts.map((_, index) => `key-text-${index}`);
  const keys = Object.fromEntries(
    scripts.map((script, index) => [texts[index], { name: nameOf(index), ...script }]),
  ) as Record<string, KeyScript>;
  const simulator = await startSimulator({ auth: AUTH, keys });
  onTestFinished(() => simulator.close());
  return { simulator, ...measured({ keys: texts, baseUrl: simulator.origin, ...acme }) };
}

function nameOf(index: number): string {
  return index === 0 ? 'acme/main' : `acme/${index + 1}`;
}

async function get(manager: KeyManager, service = 'acme'): Promise<number> {
  const response = await manager.fetch(service, '/quote');
  await response.text();
  return response.status;
}

async function answer(manager: KeyManager): Promise<void> {
  await using lease = await manager.acquire('acme', { timeoutMs: 0 });
  lease.report(SUCCESS);
}

describe('what is counted', () => {
  it('agrees with what the provider counted on its own side', async () => {
    const { simulator, manager, scrape } = await simulated([
      { first: [ok(), ok()], then: refuse(429, { retryAfterSeconds: 60 }) },
      { first: [ok()], then: refuse(401) },
      { first: [ok(), refuse(400), refuse(503)], then: ok() },
    ]);
    const statuses: number[] = [];
    for (let i = 0; i < 12; i++) statuses.push(await get(manager));
    const metrics = await scrape();

    const seen = (key: string, ...wanted: readonly number[]): number =>
      simulator.requests.filter((request) => request.key === key && wanted.includes(request.status ?? 0))
        .length;
    const outcomes = {
      success: [200],
      'rate-limited': [429],
      rejected: [401],
      'bad-request': [400],
      overloaded: [503],
    };
    for (const key of ['acme/main', 'acme/2', 'acme/3']) {
      for (const [outcome, wanted] of Object.entries(outcomes)) {
        const counted = metrics.sum('keymux_attempts_total', {
          service: 'acme',
          provider: 'acme',
          key,
          outcome,
        });
        expect([key, outcome, counted]).toEqual([key, outcome, seen(key, ...wanted)]);
      }
    }
    // The bad keys were really hit.
    expect([seen('acme/main', 429), seen('acme/2', 401), seen('acme/3', 503)]).toEqual([1, 1, 1]);
    expect(metrics.sum('keymux_attempts_total')).toBe(simulator.requests.length);
    expect(metrics.sum('keymux_attempt_duration_seconds_count')).toBe(simulator.requests.length);
    expect(statuses.filter((status) => status === 400)).toHaveLength(1);
    expect(metrics.value('keymux_requests_total', { service: 'acme', end: 'answered' })).toBe(12);
    expect(metrics.sum('keymux_requests_total')).toBe(12);
    expect(metrics.value('keymux_request_duration_seconds_count', { end: 'answered' })).toBe(12);
    const reasons = metrics.all('keymux_failovers_total').map(({ labels, value }) => [labels.reason, value]);
    expect(Object.fromEntries(reasons)).toEqual({ 'rate-limited': 1, rejected: 1, overloaded: 1 });
    expect(metrics.sum('keymux_failovers_total', { from_provider: 'acme', to_provider: 'acme' })).toBe(3);
    expect(metrics.value('keymux_rescue_duration_seconds_count', { service: 'acme' })).toBe(3);
    expect(metrics.value('keymux_rescue_duration_seconds_sum')).toBeGreaterThan(0);
    expect(metrics.value('keymux_cooldowns_total', { reason: 'rate-limited', source: 'stated' })).toBe(1);
    expect(metrics.value('keymux_cooldowns_total', { reason: 'rejected', source: 'guessed' })).toBe(1);
  });

  it('tells a 429 that was absorbed from one that the caller got', async () => {
    const { simulator, manager, scrape } = await simulated([
      { always: refuse(429, { retryAfterSeconds: 60 }) },
      { first: [ok()], then: refuse(429, { retryAfterSeconds: 60 }) },
    ]);
    expect(await get(manager)).toBe(200);
    expect(await get(manager)).toBe(429);
    expect(simulator.requests.map(({ status }) => status)).toEqual([429, 200, 429]);
    const metrics = await scrape();
    expect(metrics.value('keymux_rate_limits_absorbed_total', { service: 'acme', provider: 'acme' })).toBe(1);
    expect(metrics.sum('keymux_attempts_total', { outcome: 'rate-limited' })).toBe(2);
    expect(metrics.value('keymux_requests_total', { end: 'failed' })).toBe(1);
    expect(metrics.sum('keymux_rate_limits_avoided_total')).toBe(0);
    expect(await get(manager)).toBe(429);
    expect(simulator.requests).toHaveLength(3);
    expect((await scrape()).value('keymux_requests_total', { end: 'refused' })).toBe(1);
  });

  it('tells limits that were avoided: the provider never had to refuse', async () => {
    const limits = [{ requests: 2, perMs: 60_000 }];
    const { simulator, manager, scrape } = await simulated([{ limits }, { limits }], {
      provider: { limits },
    });
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) statuses.push(await get(manager));
    expect(statuses).toEqual([200, 200, 200, 200, 429]);
    expect(simulator.overshoots).toEqual([]);
    expect(simulator.requests.map(({ key, status }) => [key, status])).toEqual([
      ['acme/main', 200],
      ['acme/main', 200],
      ['acme/2', 200],
      ['acme/2', 200],
    ]);
    const metrics = await scrape();
    for (const bucket of ['acme/main', 'acme/2']) {
      expect(metrics.value('keymux_rate_limits_avoided_total', { provider: 'acme', bucket })).toBe(1);
    }
    expect(metrics.sum('keymux_rate_limits_absorbed_total')).toBe(0);
    expect(metrics.value('keymux_keys', { state: 'out-of-permits' })).toBe(2);
    expect(metrics.all('keymux_wait_duration_seconds_count')).toEqual([]);
  });

  it('tells how long requests waited for a key', async () => {
    const limits = [{ requests: 1, perMs: 3_000 }];
    const { simulator, manager, scrape } = await simulated([{ limits }], {
      provider: { limits, retry: { maxWaitMs: 20_000 } },
    });
    expect(await Promise.all([get(manager), get(manager)])).toEqual([200, 200]);
    expect(simulator.overshoots).toEqual([]);
    const metrics = await scrape();
    expect(metrics.value('keymux_wait_duration_seconds_count', { service: 'acme' })).toBe(1);
    const waited = metrics.value('keymux_wait_duration_seconds_sum');
    expect(waited).toBeGreaterThan(1);
    expect(metrics.value('keymux_request_duration_seconds_sum')).toBeGreaterThanOrEqual(waited);
  });

  it('counts a limit once while it lasts, however often it is looked at', async () => {
    const clock = createFakeClock();
    const { manager, scrape } = measured({
      keys: ['key-one'],
      provider: { limits: [{ requests: 1, per: 'minute' }] },
      options: { clock: clock.now },
    });
    const avoided = async (): Promise<number> => (await scrape()).sum('keymux_rate_limits_avoided_total');
    await answer(manager);
    expect(await avoided()).toBe(0);
    for (let i = 0; i < 5; i++) {
      await expect(answer(manager)).rejects.toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY' });
      clock.advance(5_000);
    }
    expect(await avoided()).toBe(1);
    clock.advance(60_000);
    await answer(manager);
    await expect(answer(manager)).rejects.toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY' });
    expect(await avoided()).toBe(2);
  });

  it('tells of failover to another provider, recovery, and refusals that were not the keys', async () => {
    const down = await startSimulator({ auth: AUTH, keys: { 'key-text-a': { name: 'a', always: reset() } } });
    onTestFinished(() => down.close());
    const good = await startSimulator({ auth: AUTH, keys: { 'key-text-b': { name: 'b' } } });
    onTestFinished(() => good.close());
    const provider = (baseUrl: string, env: string) => ({ baseUrl, auth: AUTH, env: [env] });
    const { manager, scrape } = measured({
      options: {
        env: { A_API_KEY: 'key-text-a', B_API_KEY: 'key-text-b' },
        config: {
          services: { both: { providers: ['alpha', 'beta'] } },
          providers: { alpha: provider(down.origin, 'A_API_KEY'), beta: provider(good.origin, 'B_API_KEY') },
        },
      },
    });
    expect(await get(manager, 'both')).toBe(200);
    expect(down.requests).toHaveLength(1);
    manager.report('alpha/main', 'rejected');
    manager.reset('alpha/main');
    manager.events.emit('recovered', { subject: 'alpha/main', at: manager.now() });
    manager.events.emit('probe', { subject: 'alpha/main', outcome: 'success', at: manager.now() });
    manager.events.emit('refused-alike', {
      requestId: 'r',
      service: 'both',
      provider: 'alpha',
      keys: ['alpha/main'],
      reason: 'rejected',
      at: manager.now(),
    });
    const metrics = await scrape();
    const providers = { service: 'both', from_provider: 'alpha', to_provider: 'beta', reason: 'network' };
    expect(metrics.value('keymux_failovers_total', providers)).toBe(1);
    expect(metrics.sum('keymux_recoveries_total', { provider: 'alpha' })).toBeGreaterThanOrEqual(1);
    expect(metrics.value('keymux_probes_total', { provider: 'alpha', outcome: 'success' })).toBe(1);
    expect(metrics.value('keymux_retractions_total', { provider: 'alpha', reason: 'rejected' })).toBe(1);
  });

  it('begins at 0, so that the first request that is lost is seen as growth', async () => {
    const { manager, scrape } = measured({ services: { quotes: { providers: ['acme'] } } });
    const before = await scrape();
    for (const service of ['acme', 'quotes']) {
      for (const end of ['answered', 'failed', 'refused', 'aborted']) {
        expect(before.value('keymux_requests_total', { service, end })).toBe(0);
      }
      expect(before.value('keymux_rate_limits_absorbed_total', { service, provider: 'acme' })).toBe(0);
    }
    await manager.run('quotes', () => Promise.resolve());
    manager.events.emit('reloaded', { keys: 2, at: manager.now() });
    expect((await scrape()).value('keymux_requests_total', { service: 'quotes', end: 'answered' })).toBe(1);
  });

  it('names no more than a thousand keys', async () => {
    const { manager, scrape } = measured({});
    for (let i = 0; i < 1_200; i++) {
      const key = `acme/key-${i}`;
      manager.events.emit('attempt', {
        service: 'acme',
        provider: 'acme',
        key,
        outcome: 'success',
        latencyMs: 1,
        at: manager.now(),
      });
    }
    const metrics = await scrape();
    expect(metrics.all('keymux_attempts_total')).toHaveLength(1_001);
    expect(metrics.value('keymux_attempts_total', { key: 'other' })).toBe(200);
  });
});

describe('what is read', () => {
  it('tells keys by state, when they return, and what is under way', async () => {
    const clock = createFakeClock();
    const { manager, scrape } = measured({
      keys: ['key-one', 'key-two', 'key-three', 'key-four'],
      options: { clock: clock.now },
    });
    const until = clock.now() + 30_000;
    manager.report('acme/2', { kind: 'rate-limited', scope: 'key', executed: 'no', retryAt: until });
    manager.report('acme/3', 'rejected');
    manager.disable('acme/4');
    await using lease = await manager.acquire('acme');
    expect(lease.keyId).toBe('acme/main');
    const metrics = await scrape();
    const states = metrics.all('keymux_keys').map(({ labels, value }) => [labels.state, value]);
    expect(Object.fromEntries(states)).toEqual({
      ready: 0,
      unproven: 1,
      returning: 0,
      resting: 1,
      rejected: 1,
      'out-of-permits': 0,
      disabled: 1,
      expired: 0,
    });
    const ofKeys = (name: string): number[] =>
      ['acme/main', 'acme/2', 'acme/3', 'acme/4'].map((key) => metrics.value(name, { key }));
    expect(ofKeys('keymux_key_usable')).toEqual([1, 0, 0, 0]);
    expect(ofKeys('keymux_key_requests_in_flight')).toEqual([1, 0, 0, 0]);
    const rests = ofKeys('keymux_key_cooldown_until_timestamp_seconds');
    expect(rests[0]).toBe(0);
    expect(rests[1]).toBeCloseTo(until / 1_000, 1);
    expect(rests[2]).toBeGreaterThan(clock.now() / 1_000);
  });

  it('tells what is left of each allowance', async () => {
    const { manager, scrape } = measured({
      keys: ['key-one'],
      provider: {
        limits: [
          { requests: 4, per: 'minute' },
          { requests: 100, per: 'day' },
        ],
      },
    });
    await answer(manager);
    const metrics = await scrape();
    const labels = { provider: 'acme', bucket: 'acme/main' };
    expect(metrics.value('keymux_bucket_permits_left', labels)).toBe(3);
    expect(metrics.value('keymux_bucket_limit', { ...labels, window: '60s' })).toBe(4);
    expect(metrics.value('keymux_bucket_limit', { ...labels, window: '86400s' })).toBe(100);
    expect(metrics.value('keymux_bucket_utilisation_ratio', labels)).toBe(0.25);
  });

  it('tells the health of providers', async () => {
    const { manager, scrape } = measured({});
    const phases = async (): Promise<unknown> =>
      (await scrape())
        .all('keymux_provider_circuit')
        .flatMap(({ labels, value }) => (value === 1 ? labels.phase : []));
    expect(await phases()).toEqual(['closed']);
    for (let i = 0; i < 5; i++) manager.report('acme/main', 'overloaded');
    expect(await phases()).toEqual(['open']);
    expect((await scrape()).value('keymux_provider_health_ratio', { provider: 'acme' })).toBeLessThan(0.6);
  });

  it('tells what was spent, as the store knows it', async () => {
    const { manager, scrape } = measured({});
    manager.report('acme/main', 'success', { costUsd: 0.25 });
    manager.report('acme/main', 'success', { costUsd: 0.5 });
    await manager.ready;
    await expect
      .poll(async () => (await scrape()).sum('keymux_key_cost_usd_total', { key: 'acme/main' }), {
        timeout: 20_000,
      })
      .toBe(0.75);
  });

  it('tells that the store is lost, and goes on without what it knows', async () => {
    const store = faultyStore(memoryStore(), { shared: true });
    const { manager, scrape } = measured({ options: { store, logger: { warn: () => {}, info: () => {} } } });
    await manager.ready;
    const before = await scrape();
    expect(before.value('keymux_store_degraded', { store: store.kind })).toBe(0);
    expect(before.value('keymux_fleet_members')).toBe(1);
    store.fail({ operation: ['publish', 'beat', 'usage', 'addUsage'], from: 'onwards' });
    manager.report('acme/main', 'rejected');
    await expect
      .poll(async () => (await scrape()).value('keymux_store_degraded', { store: store.kind }), {
        timeout: 20_000,
      })
      .toBe(1);
    const metrics = await scrape();
    expect(metrics.value('keymux_store_losses_total')).toBe(1);
    expect(metrics.all('keymux_key_cost_usd_total')).toEqual([]);
  });

  it.each(['fails', 'does not answer'])('leaves out what the store %s to tell', async (how) => {
    const store = faultyStore(memoryStore());
    const { manager, scrape } = measured({ options: { store } });
    await manager.ready;
    await answer(manager);
    if (how === 'fails') store.fail({ operation: 'usage', from: 'onwards', how: 'rejects' });
    else onTestFinished(store.hold('usage'));
    const metrics = await scrape();
    expect(metrics.all('keymux_key_cost_usd_total')).toEqual([]);
    expect(metrics.sum('keymux_attempts_total')).toBe(1);
  });

  it('tells who waits, and of the process', async () => {
    const { manager, scrape } = measured({
      keys: ['key-one'],
      provider: { limits: [{ requests: 1, per: 'minute' }] },
    });
    await answer(manager);
    const giveUp = new AbortController();
    const waiting = manager.acquire('acme', { signal: giveUp.signal, timeoutMs: 120_000 });
    await expect
      .poll(async () => (await scrape()).value('keymux_waiting_requests', { service: 'acme' }))
      .toBe(1);
    giveUp.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'KEYMUX_ABORTED' });
    const other = measured({});
    await expect.poll(async () => (await scrape()).all('keymux_event_loop_delay_seconds').length).toBe(3);
    const metrics = await scrape();
    expect(metrics.value('keymux_managers')).toBe(2);
    expect(other.manager.name).toBe('default');
    const created = metrics.value('keymux_manager_created_timestamp_seconds', { manager: 'default' });
    expect(Math.abs(created - Date.now() / 1_000)).toBeLessThan(120);
    expect(metrics.value('keymux_state_table_size_bytes')).toBe(manager.table.buffer.byteLength);
    expect(metrics.value('keymux_process_memory_bytes', { kind: 'resident' })).toBeGreaterThan(1e7);
    expect(metrics.value('keymux_fleet_members')).toBe(1);
    expect(metrics.value('keymux_key_resolution_duration_seconds', { service: 'acme' })).toBeGreaterThan(0);
  });

  it('takes no turn from the keys', async () => {
    const { manager, scrape } = measured({
      keys: ['key-one', 'key-two', 'key-three'],
      services: { turns: { providers: ['acme'], strategy: 'round-robin' } },
    });
    const picks: string[] = [];
    for (let i = 0; i < 6; i++) {
      picks.push(manager.getApiKey('turns'));
      await scrape();
    }
    expect(picks).toEqual(['key-one', 'key-two', 'key-three', 'key-one', 'key-two', 'key-three']);
  });
});

describe('the text', () => {
  it('has every metric, each with the type and the help of its definition', async () => {
    const { scrape } = measured({});
    const { families } = await scrape();
    expect([...families.values()].map(({ name, type, help }) => [name, type, help])).toEqual(
      METRICS.map((definition) => [prometheusName(definition), definition.kind, definition.help]),
    );
  });

  it('is that of an observation, too, and of the version that it says', async () => {
    const manager = acmeManager();
    const observation = createObservation(manager);
    onTestFinished(() => observation.close());
    expect(
      new Exposition(await observation.metricsText()).value('keymux_key_usable', { key: 'acme/main' }),
    ).toBe(1);
    const metrics = createMetrics(manager);
    expect(metrics.contentType).toBe('text/plain; version=0.0.4; charset=utf-8');
    metrics.close();
  });

  it('stands still after the end', async () => {
    const manager = acmeManager();
    const metrics = createMetrics(manager);
    await answer(manager);
    metrics.close();
    await answer(manager);
    expect(new Exposition(await metrics.text()).sum('keymux_attempts_total')).toBe(1);
    expect(manager.events.isHeard('attempt')).toBe(false);
  });

  it('holds no key, and names keys as people do', async () => {
    const canary = 'sk-canary-5up3rs3cr3t';
    const simulator = await startSimulator({
      auth: AUTH,
      keys: { [canary]: { name: 'canary', always: refuse(401) } },
    });
    onTestFinished(() => simulator.close());
    const manager = acmeManager({ keys: [canary], baseUrl: simulator.origin });
    const observation = createObservation(manager);
    onTestFinished(() => observation.close());
    expect(await get(manager)).toBe(401);
    expect(simulator.requests[0]?.key).toBe('canary');
    const text = await observation.metricsText();
    expect(text).toContain('key="acme/main"');
    const everything =
      text + JSON.stringify([observation.series({ subject: 'acme/main' }), observation.events()]);
    expect(everything).not.toContain(canary);
    expect(everything).not.toContain(Buffer.from(canary).toString('base64').slice(0, 12));
  });

  it('follows a key that its provider takes back into favour', async () => {
    const { simulator, manager, scrape } = await simulated([{ always: refuse(401) }, {}]);
    const usable = async (): Promise<number> =>
      (await scrape()).value('keymux_key_usable', { key: 'acme/main' });
    expect(await get(manager)).toBe(200);
    expect(simulator.requests.map(({ status }) => status)).toEqual([401, 200]);
    expect(await usable()).toBe(0);
    simulator.key('acme/main').behave(ok());
    manager.reset('acme/main');
    expect(await get(manager)).toBe(200);
    expect(await usable()).toBe(1);
  });
});
