import { describe, expect, it } from 'vitest';
import { maxInAnyWindow } from '#keymux/testing/rolling-window.js';
import { ok, reply } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { bearer } from './http-client.js';

async function statusOf(origin: string, key: string): Promise<number> {
  const response = await fetch(origin, { headers: bearer(key) });
  await response.arrayBuffer();
  return response.status;
}

async function statuses(origin: string, ...keys: string[]): Promise<number[]> {
  const all: number[] = [];
  for (const key of keys) all.push(await statusOf(origin, key));
  return all;
}

describe('a rate limit', () => {
  it('refuses what exceeds it, and records the overshoot', async () => {
    await using simulator = await startSimulator({
      keys: { 'sk-one': { name: 'one', limits: [{ requests: 2, perMs: 60_000 }] } },
    });
    const told: number[] = [];
    simulator.on('overshoot', ({ count }) => told.push(count));
    expect(await statuses(simulator.origin, 'sk-one', 'sk-one', 'sk-one')).toEqual([200, 200, 429]);
    expect(simulator.overshoots).toEqual([
      {
        at: simulator.requests[2]?.at,
        key: 'one',
        meter: 'key one',
        limit: { requests: 2, perMs: 60_000 },
        count: 3,
        request: simulator.requests[2],
      },
    ]);
    expect(simulator.requests.map(({ overshoot }) => overshoot)).toEqual([false, false, true]);
    expect(simulator.key('one')).toMatchObject({ seen: 3, executed: 2, overshoots: 1 });
    expect(told).toEqual([3]);
  });

  it('holds in any window: a full allowance at each side of a round second is too much', async () => {
    await using simulator = await startSimulator({
      keys: { 'sk-one': { limits: [{ requests: 3, perMs: 250 }] } },
    });
    while (simulator.keys[0]!.executed < 8) await statusOf(simulator.origin, 'sk-one');
    const admitted = simulator.requests.filter(({ overshoot }) => !overshoot).map(({ at }) => at);
    expect(maxInAnyWindow(admitted, 250)).toBe(3);
    expect(simulator.overshoots.length).toBeGreaterThan(0);
    for (const { at, count } of simulator.overshoots) {
      expect(maxInAnyWindow([...admitted.filter((time) => time < at), at], 250)).toBe(count);
    }
  });

  it('states truly when to come back', async () => {
    await using simulator = await startSimulator({
      flavour: 'openai',
      keys: { 'sk-one': { limits: [{ requests: 1, perMs: 150 }] } },
    });
    await statusOf(simulator.origin, 'sk-one');
    const refused = await fetch(simulator.origin, { headers: bearer('sk-one') });
    const waitMs = Number(refused.headers.get('retry-after-ms'));
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(waitMs).toBeGreaterThan(0);
    expect(waitMs).toBeLessThanOrEqual(150);
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    expect(await statusOf(simulator.origin, 'sk-one')).toBe(200);
  });

  it('does not state it where it was told not to', async () => {
    await using simulator = await startSimulator({
      statesRetryAfter: false,
      keys: { 'sk-one': { limits: [{ requests: 0, perMs: 1_000 }] } },
    });
    const refused = await fetch(simulator.origin, { headers: bearer('sk-one') });
    expect(refused.status).toBe(429);
    expect(refused.headers.has('retry-after')).toBe(false);
  });

  it('is refused for the window that takes longest', async () => {
    await using simulator = await startSimulator({
      keys: {
        'sk-one': {
          limits: [
            { requests: 1, perMs: 1_000 },
            { requests: 1, perMs: 90_000 },
          ],
        },
      },
    });
    await statusOf(simulator.origin, 'sk-one');
    const refused = await fetch(simulator.origin, { headers: bearer('sk-one') });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(60);
    expect(simulator.overshoots[0]?.limit.perMs).toBe(90_000);
  });

  it('tells on each answer what is left of the tightest window', async () => {
    await using simulator = await startSimulator({
      buckets: { account: { limits: [{ requests: 9, perMs: 60_000 }] } },
      keys: { 'sk-one': { bucket: 'account', limits: [{ requests: 10, perMs: 1_000 }] } },
    });
    const response = await fetch(simulator.origin, { headers: bearer('sk-one') });
    expect(response.headers.get('x-ratelimit-limit')).toBe('9');
    expect(response.headers.get('x-ratelimit-remaining')).toBe('8');
    expect(Number(response.headers.get('x-ratelimit-reset'))).toBeGreaterThan(30);
  });

  it('of a bucket is shared by its keys', async () => {
    await using simulator = await startSimulator({
      buckets: { account: { limits: [{ requests: 2, perMs: 60_000 }] } },
      keys: { a: { name: 'a', bucket: 'account' }, b: { name: 'b', bucket: 'account' }, c: { name: 'c' } },
    });
    expect(await statuses(simulator.origin, 'a', 'b', 'a', 'c')).toEqual([200, 200, 429, 200]);
    expect(simulator.overshoots).toMatchObject([{ key: 'a', meter: 'bucket account', count: 3 }]);
    expect(simulator.key('a').bucket).toBe('account');
  });

  it('is not charged for a request that its bucket refuses', async () => {
    await using simulator = await startSimulator({
      buckets: { account: { limits: [{ requests: 0, perMs: 60_000 }] } },
      keys: { a: { bucket: 'account', limits: [{ requests: 1, perMs: 60_000 }] } },
    });
    expect(await statuses(simulator.origin, 'a', 'a')).toEqual([429, 429]);
    expect(simulator.overshoots.map(({ meter }) => meter)).toEqual(['bucket account', 'bucket account']);
  });

  it('can be set later, and what was done before counts', async () => {
    await using simulator = await startSimulator({ keys: { a: { name: 'a' } } });
    expect(await statuses(simulator.origin, 'a', 'a')).toEqual([200, 200]);
    simulator.key('a').limit([{ requests: 2, perMs: 60_000 }]);
    expect(await statuses(simulator.origin, 'a')).toEqual([429]);
    simulator.key('a').limit([]);
    expect(await statuses(simulator.origin, 'a')).toEqual([200]);
  });

  it('is not charged while the provider is out', async () => {
    await using simulator = await startSimulator({
      keys: { a: { limits: [{ requests: 1, perMs: 60_000 }] } },
    });
    simulator.outage(503);
    await statuses(simulator.origin, 'a', 'a');
    simulator.recover();
    expect(await statuses(simulator.origin, 'a')).toEqual([200]);
    expect(simulator.overshoots).toEqual([]);
  });
});

describe('a quota', () => {
  it('is refused when it is used up, which is no overshoot', async () => {
    await using simulator = await startSimulator({ keys: { a: { name: 'a', quota: { requests: 2 } } } });
    expect(await statuses(simulator.origin, 'a', 'a', 'a')).toEqual([200, 200, 402]);
    expect(simulator.overshoots).toEqual([]);
    expect(simulator.key('a').refusals['quota-exhausted']).toBe(1);
  });

  it('ends as the script says', async () => {
    await using simulator = await startSimulator({
      keys: { a: { quota: { requests: 0, then: reply(418) } } },
    });
    expect(await statuses(simulator.origin, 'a')).toEqual([418]);
  });

  it('starts anew with each of its periods', async () => {
    await using simulator = await startSimulator({
      answer: ok(),
      keys: { a: { quota: { requests: 1, perMs: 200 } } },
    });
    const key = simulator.keys[0]!;
    while (key.executed < 3) await statusOf(simulator.origin, 'a');
    const admitted = simulator.requests.filter(({ executed }) => executed).map(({ at }) => at);
    expect(admitted[2]! - admitted[0]!).toBeGreaterThan(200);
    expect(key.refusals['quota-exhausted']).toBeGreaterThan(0);
  });
});
