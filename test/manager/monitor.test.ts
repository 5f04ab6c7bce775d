import { KeymuxError } from '#keymux/core/errors.js';
import type { KnownProvider } from '#keymux/core/provider.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import { refuse, reply } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import type { Simulator, SimulatorOptions } from '#keymux/testing/simulator-api.js';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { memoryStore } from './acme.js';
import { monitored } from './monitored.js';

const soon = { timeout: 10_000, interval: 10 };
const auth = { in: 'header', name: 'x-api-key' } as const;
const probe = { path: '/ping', everyMs: 50, dailyBudget: 100, costsQuota: 'no' } as const;
const DAY_MS = 86_400_000;

async function simulate(options: SimulatorOptions = {}): Promise<Simulator> {
  const keys = { 'key-one': { name: 'one' }, 'key-two': { name: 'two' } };
  const simulator = await startSimulator({ auth, keys, ...options });
  onTestFinished(() => simulator.close());
  return simulator;
}

describe('the elected monitor', () => {
  it('brings a key back whose refusal is over, and no request has to find out', async () => {
    const simulator = await simulate();
    const one = simulator.key('one');
    one.revoke();
    const acme = await monitored({ provider: { baseUrl: simulator.origin, auth, probe } });
    acme.rest('rejected');
    await acme.lead();
    await expect.poll(() => acme.health(), soon).toMatchObject({ status: 'resting', version: 2, level: 2 });
    expect(one.seen).toBe(1);
    one.restore();
    await expect.poll(() => acme.health(), soon).toMatchObject({ status: 'recovering', version: 3 });
    expect(acme.told.probe).toMatchObject([
      { subject: 'acme/main', outcome: 'rejected', status: 401 },
      { subject: 'acme/main', outcome: 'success', status: 200 },
    ]);
    expect(acme.told.rejected).toHaveLength(1);
    expect(acme.told.recovered).toMatchObject([{ subject: 'acme/main' }]);
    expect(acme.told.leader).toMatchObject([{ change: 'began' }]);
    expect(simulator.requests.map(({ path, method }) => `${method} ${path}`)).toEqual([
      'GET /ping',
      'GET /ping',
    ]);
    expect(JSON.stringify(acme.told)).not.toContain('key-one');
  });

  it('leaves alone what is well, what returns, and what a person disabled', async () => {
    const simulator = await simulate({ keys: { a: {}, b: {}, c: {}, d: {} } });
    const acme = await monitored({
      keys: ['a', 'b', 'c', 'd'],
      provider: { baseUrl: simulator.origin, auth, probe },
    });
    for (const index of [1, 2, 3]) acme.rest('rejected', { index });
    acme.table.setDisabled(acme.members[1]?.rows.key ?? -1, true);
    const back = acme.members[2]?.rows.key ?? -1;
    acme.table.restore(back, { status: 'recovering', version: 2, level: 1, since: acme.now() });
    await acme.lead();
    await expect.poll(() => acme.health('key', 3), soon).toMatchObject({ status: 'recovering' });
    expect(
      simulator.requests.map(({ headers }) => headers['x-simulator-key'] ?? headers['x-api-key']),
    ).toHaveLength(1);
    expect(acme.told.probe).toMatchObject([{ subject: 'acme/4' }]);
  });

  it('does nothing before it is elected, nor when it is not any more', async () => {
    const simulator = await simulate();
    simulator.key('one').revoke();
    const acme = await monitored({ provider: { baseUrl: simulator.origin, auth, probe } });
    acme.rest('rejected');
    expect(acme.monitor.isLeading).toBe(false);
    const fence = await acme.lead();
    await simulator.waitFor(({ requests }) => requests.length === 1);
    acme.election.elect(undefined);
    expect(acme.monitor.isLeading).toBe(false);
    acme.election.elect(fence);
    expect(acme.told.leader).toMatchObject([{ change: 'began' }, { change: 'ceased' }, { change: 'began' }]);
    await acme.monitor.stop();
    const seen = simulator.requests.length;
    acme.election.elect(fence);
    await acme.store.publish([]);
    expect(acme.monitor.isLeading).toBe(false);
    expect(simulator.requests).toHaveLength(seen);
  });

  it('stands for election among those that hold the same keys', async () => {
    const provider = { baseUrl: 'http://127.0.0.1:9', auth, probe };
    const one = await monitored({ keys: ['a', 'b'], provider });
    const two = await monitored({ keys: ['b', 'a'], provider });
    const three = await monitored({ keys: ['a'], provider });
    expect(one.election.group).toMatch(/^[0-9a-f]{32}$/);
    expect(two.election.group).toBe(one.election.group);
    expect(three.election.group).not.toBe(one.election.group);
    const without = await monitored({ keys: ['a'], provider: { baseUrl: 'http://127.0.0.1:9', auth } });
    expect(without.election.group).toBeUndefined();
    await without.lead();
    without.rest('rejected');
    expect(without.monitor.isLeading).toBe(true);
  });
});

describe('a leader that is none any more', () => {
  it('changes nothing, and stops, when the store refuses what it found', async () => {
    const simulator = await simulate();
    const acme = await monitored({ provider: { baseUrl: simulator.origin, auth, probe } });
    acme.rest('rejected');
    const before = acme.health();
    const fence = { group: acme.election.group ?? '', token: 0 };
    await acme.store.beat({
      memberId: 'other',
      host: 'here',
      pid: 2,
      startedAt: 0,
      ttlMs: 60_000,
      group: fence.group,
      isReturning: false,
      remembered: 0,
    });
    acme.election.elect(fence);
    await simulator.waitFor(({ requests }) => requests.length === 1);
    await expect.poll(() => acme.monitor.isLeading, soon).toBe(false);
    expect(acme.health()).toEqual(before);
    expect(acme.told.recovered).toEqual([]);
    expect(acme.told.leader).toMatchObject([{ change: 'began' }, { change: 'ceased' }]);
    acme.election.elect(fence);
    expect(acme.monitor.isLeading).toBe(false);
    acme.election.elect(undefined);
    expect(acme.onTrouble).not.toHaveBeenCalled();
  });

  it('notices by itself that its time is over', async () => {
    const acme = await monitored({ provider: { baseUrl: 'http://127.0.0.1:9', auth, probe } });
    await acme.lead();
    acme.election.lapse();
    await expect.poll(() => acme.monitor.isLeading, soon).toBe(false);
  });

  it('breaks off the probe that is under way, which tells nothing', async () => {
    const simulator = await simulate();
    const acme = await monitored({ provider: { baseUrl: simulator.origin, auth, probe } });
    simulator.outage('silence');
    acme.rest('rejected');
    acme.rest('rejected', { who: 'bucket' });
    const before = acme.health();
    await acme.lead();
    await simulator.waitFor(({ requests }) => requests.length === 1);
    await acme.monitor.stop();
    expect(simulator.requests).toHaveLength(1);
    expect(acme.told.probe).toMatchObject([{ outcome: 'aborted' }]);
    expect(acme.health()).toEqual(before);
  });
});

describe('the budget of a key', () => {
  it('holds over changes of the leader, and so does the pause between two probes', async () => {
    const simulator = await simulate();
    simulator.key('one').revoke();
    const store = memoryStore();
    const provider = { baseUrl: simulator.origin, auth, probe: { ...probe, everyMs: 200, dailyBudget: 3 } };
    const leases: number[] = [];
    const lease = vi.spyOn(store, 'lease').mockName('lease');
    for (let round = 0; round < 5; round++) {
      const acme = await monitored({ provider, store });
      acme.rest('rejected');
      await acme.lead(`leader-${round}`);
      const asked = lease.mock.calls.length;
      await expect.poll(() => lease.mock.calls.length, soon).toBeGreaterThan(asked);
      await expect
        .poll(() => acme.told.probe?.length === 1 || simulator.requests.length === 3, soon)
        .toBe(true);
      await acme.monitor.stop();
      await store.leave(`leader-${round}`);
      leases.push(simulator.requests.length);
    }
    expect(leases.at(-1)).toBe(3);
    const times = simulator.requests.map(({ at }) => at);
    const pauses = times.slice(1).map((at, index) => at - (times[index] ?? 0));
    for (const pause of pauses) expect(pause).toBeGreaterThanOrEqual(190);
    expect(lease.mock.calls[0]?.[0]).toMatchObject({
      bucket: expect.stringMatching(/^probe:acme\/[0-9a-f]{32}$/) as string,
      want: 1,
      windows: [
        { requests: 3, perMs: DAY_MS },
        { requests: 1, perMs: 200 },
      ],
    });
  });

  it('is told anew to a store that lost it', async () => {
    const simulator = await simulate();
    simulator.key('one').revoke();
    const store = faultyStore(memoryStore());
    const acme = await monitored({ provider: { baseUrl: simulator.origin, auth, probe }, store });
    acme.rest('rejected');
    await acme.lead();
    await expect.poll(() => acme.told.probe, soon).toHaveLength(1);
    const forgot = new KeymuxError('KEYMUX_STORE_FORGOT', 'The store lost it.', { fix: 'Tell it again.' });
    vi.spyOn(store, 'lease').mockImplementationOnce(() => {
      throw forgot;
    });
    await expect.poll(() => store.asked.charge.flat(), soon).toHaveLength(1);
    expect(store.asked.charge.flat()[0]).toMatchObject({ permits: 1, bucket: store.asked.lease[0]?.bucket });
    await expect.poll(() => acme.told.probe?.length ?? 0, soon).toBeGreaterThan(1);
    expect(acme.onTrouble).not.toHaveBeenCalled();
  });

  it('is not spent while the store does not answer', async () => {
    const simulator = await simulate();
    const store = faultyStore(memoryStore());
    const acme = await monitored({ provider: { baseUrl: simulator.origin, auth, probe }, store });
    acme.rest('rejected');
    store.fail({ operation: 'lease', from: 'onwards' });
    await acme.lead();
    await expect.poll(() => acme.onTrouble.mock.calls, soon).toHaveLength(1);
    expect(simulator.requests).toHaveLength(0);
    expect(acme.health()).toMatchObject({ status: 'resting' });
  });

  it('is given back where the allowance of the key has no room, or the leadership ended meanwhile', async () => {
    const simulator = await simulate();
    const store = faultyStore(memoryStore());
    const take = vi.fn(() => ({ retryAt: Number.POSITIVE_INFINITY }));
    const costly = { ...probe, costsQuota: 'unknown' } as const;
    const provider = { baseUrl: simulator.origin, auth, probe: costly };
    const acme = await monitored({ provider, store, context: { permits: { take } } });
    acme.rest('rejected');
    await acme.lead();
    await expect.poll(() => store.asked.settle.flat(), soon).toMatchObject([{ spent: 0, returned: 1 }]);
    expect(take).toHaveBeenCalledTimes(1);
    expect(simulator.requests).toHaveLength(0);
  });
});

describe('a process that was stopped for a while', () => {
  it.each([
    ['its leave to probe is over', 60_000, undefined],
    ['its permit is', 0, 0],
  ])('sends nothing where %s', async (_, aheadMs, sendBefore) => {
    const simulator = await simulate();
    const store = faultyStore(memoryStore());
    const giveBack = vi.fn();
    let stoppedMs = 0;
    const permit = {
      sent: vi.fn(),
      settle: vi.fn(),
      giveBack,
      ...(sendBefore === undefined ? {} : { sendBefore }),
    };
    const take = vi.fn(() => {
      stoppedMs = take.mock.calls.length === 1 ? aheadMs : 0;
      return take.mock.calls.length === 1 ? permit : { retryAt: Number.POSITIVE_INFINITY };
    });
    const clock = store.now.bind(store);
    vi.spyOn(store, 'now').mockImplementation(() => clock() + stoppedMs);
    const costly = { ...probe, costsQuota: 'unknown' } as const;
    const provider = { baseUrl: simulator.origin, auth, probe: costly };
    const acme = await monitored({ provider, store, context: { permits: { take } } });
    acme.rest('rejected');
    await acme.lead();
    await expect.poll(() => store.asked.settle.flat()[0], soon).toMatchObject({ spent: 0, returned: 1 });
    expect(giveBack).toHaveBeenCalledTimes(1);
    expect(simulator.requests).toHaveLength(0);
  });
});

describe('a probe', () => {
  const known = (more: Partial<KnownProvider>): KnownProvider => ({
    id: 'acme',
    name: 'Acme',
    baseUrl: 'https://acme.invalid',
    origins: ['https://acme.invalid'],
    auth,
    authAlternatives: [],
    env: ['ACME_API_KEY'],
    signed: false,
    bucketScope: 'account',
    errors: [],
    ...more,
  });

  it.each([
    ['query', { in: 'query', name: 'token' } as const, '/ping?a=1', '/ping?a=1&token='],
    ['path', { in: 'path' } as const, '/v1/{key}/ping', '/v1/'],
  ])('carries the key in the %s, and what every request needs', async (_, placement, path, beginning) => {
    const simulator = await simulate({ auth: placement });
    const acme = await monitored({
      provider: {
        baseUrl: `${simulator.origin}/`,
        auth: placement,
        probe: { ...probe, path, method: 'POST' },
      },
      known: known({ companionHeaders: { 'x-version': '7' } }),
    });
    acme.rest('restricted');
    await acme.lead();
    await expect.poll(() => acme.health(), soon).toMatchObject({ status: 'recovering' });
    const [request] = simulator.requests;
    expect(request).toMatchObject({ method: 'POST', key: 'one', headers: { 'x-version': '7' } });
    expect(request?.path.startsWith(beginning)).toBe(true);
  });

  it('without a key brings the provider back, not the key', async () => {
    const simulator = await simulate({ unknownKey: reply(200, { body: 'pong' }) });
    const open = { ...probe, authenticated: false };
    const acme = await monitored({
      provider: { baseUrl: simulator.origin, auth, signed: true, probe: open },
    });
    acme.rest('rejected');
    acme.rest('network', { who: 'provider', times: 5 });
    expect(acme.health('provider')).toMatchObject({ status: 'resting' });
    await acme.lead();
    await expect.poll(() => acme.health('provider'), soon).toMatchObject({ status: 'recovering' });
    expect(acme.health()).toMatchObject({ status: 'resting' });
    expect(simulator.requests[0]).toMatchObject({ key: undefined, carries: [] });
    expect(acme.told.probe).toMatchObject([{ subject: 'acme', outcome: 'success' }]);
  });

  it('opens the circuit of nobody, keeps an open one open, and blames no key for the network', async () => {
    const simulator = await simulate();
    simulator.outage('reset');
    const acme = await monitored({
      keys: ['key-one', 'key-two'],
      provider: { baseUrl: simulator.origin, auth, probe },
    });
    acme.rest('rejected', { index: 1 });
    await acme.lead();
    await expect.poll(() => acme.told.probe, soon).toMatchObject([{ subject: 'acme/2', outcome: 'network' }]);
    expect(acme.health('provider')).toEqual({ status: 'healthy', version: 0, level: 0, strikes: 0 });
    expect(acme.health('key', 1)).toMatchObject({ version: 1 });
    acme.rest('network', { who: 'provider', times: 5 });
    await expect.poll(() => acme.health('provider'), soon).toMatchObject({ status: 'resting', version: 2 });
    expect(acme.told.cooldown).toMatchObject([{ subject: 'acme', reason: 'network' }]);
    simulator.recover();
    await expect.poll(() => acme.health('provider'), soon).toMatchObject({ status: 'recovering' });
    await expect.poll(() => acme.health('key', 1), soon).toMatchObject({ status: 'recovering' });
  });

  it('tells of an account through the best of its keys', async () => {
    const simulator = await simulate();
    const acme = await monitored({
      keys: ['key-one', 'key-two'],
      bucket: 'shared',
      provider: { baseUrl: simulator.origin, auth, probe },
    });
    acme.rest('rejected', { who: 'bucket' });
    acme.table.setDisabled(acme.members[0]?.rows.key ?? -1, true);
    await acme.lead();
    await expect.poll(() => acme.health('bucket'), soon).toMatchObject({ status: 'recovering' });
    expect(acme.told.probe).toMatchObject([{ subject: 'acme/shared', outcome: 'success' }]);
    expect(simulator.requests.map(({ key }) => key)).toEqual(['two']);
  });

  it('asks for a permit where it costs something, and proves then that an allowance is back', async () => {
    const simulator = await simulate();
    simulator.key('one').behave(refuse('quota-exhausted'));
    const acme = await monitored({
      provider: {
        baseUrl: simulator.origin,
        auth,
        limits: [{ requests: 2, per: 'day' }],
        probe: { ...probe, costsQuota: 'yes' },
      },
    });
    acme.rest('quota-exhausted');
    await acme.lead();
    await expect.poll(() => acme.health(), soon).toMatchObject({ status: 'resting', version: 2 });
    simulator.key('one').restore();
    await expect.poll(() => acme.health(), soon).toMatchObject({ status: 'recovering' });
    const bucket = acme.members[0]?.bucket;
    expect(acme.table.left(acme.table.bucket(bucket?.name ?? '', bucket?.windows ?? []), acme.now())).toBe(0);
  });

  it('follows no redirect, and takes none for a good answer', async () => {
    const simulator = await simulate();
    simulator.key('one').behave(reply(302, { headers: { location: '/elsewhere' } }));
    const acme = await monitored({ provider: { baseUrl: simulator.origin, auth, probe } });
    acme.rest('rejected');
    await acme.lead();
    await expect.poll(() => acme.told.probe, soon).toMatchObject([{ outcome: 'bad-request', status: 302 }]);
    expect(acme.health()).toMatchObject({ status: 'resting', version: 1 });
    expect(simulator.requests.every(({ path }) => path === '/ping')).toBe(true);
  });

  it('is judged by the rules of its provider, by its body too', async () => {
    const simulator = await simulate();
    simulator.key('one').behave(reply(200, { body: `{"Note":"call frequency"}${' '.repeat(100_000)}` }));
    const acme = await monitored({
      provider: {
        baseUrl: simulator.origin,
        auth,
        probe,
        errors: [
          {
            status: 200,
            json: '$.Note',
            match: 'call',
            outcome: 'rejected',
            header: undefined,
            scope: undefined,
            sse: undefined,
            window: undefined,
          },
        ],
      },
    });
    acme.rest('rejected');
    await acme.lead();
    await expect.poll(() => acme.told.probe, soon).toMatchObject([{ outcome: 'rejected', status: 200 }]);
    expect(acme.health()).toMatchObject({ status: 'resting', version: 2 });
  });

  it('goes through the client that the manager was given', async () => {
    const fetch = vi.fn(() => Promise.resolve(new Response(null, { status: 204 })));
    const acme = await monitored({
      provider: { baseUrl: 'http://127.0.0.1:9', auth, probe },
      context: { fetch },
    });
    acme.rest('rejected');
    await acme.lead();
    await expect.poll(() => acme.health(), soon).toMatchObject({ status: 'recovering' });
    expect(fetch).toHaveBeenCalledWith(
      'http://127.0.0.1:9/ping',
      expect.objectContaining({ redirect: 'manual' }),
    );
  });
});
