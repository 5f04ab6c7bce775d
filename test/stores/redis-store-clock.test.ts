import { describe, expect, it } from 'vitest';
import { StoreClock } from '#keymux/stores/redis/store-clock.js';
import { codeOf, command, dailyRequest, openStore, serverOfTest } from './redis-store-fixture.js';
import type { Watched } from './redis-store-fixture.js';

const HOUR_MS = 3_600_000;

/** The time of a server whose clock is off by what stands under a key: there is no other way to set a server's clock. */
const SHIFTED_TIME = `
local function serverTime()
  local time = redis.call('TIME')
  return time[1] * 1000 + time[2] / 1000 + tonumber(redis.call('GET', 'shift') or 0)
end`;

function openShifted(url: string): Promise<Watched> {
  return openStore({ url }, { serverTime: SHIFTED_TIME });
}

function shift(url: string, byMs: number): Promise<unknown> {
  return command(url, 'SET', 'shift', String(byMs));
}

describe('a Redis store whose server has another clock', () => {
  it.for([HOUR_MS, -HOUR_MS, 30_000])('goes on in its own time after a jump by %i ms', async (jumpMs) => {
    const { url } = await serverOfTest();
    const { store: one } = await openShifted(url);
    const { store: other } = await openShifted(url);
    const request = { ...dailyRequest(10, 4), windows: [{ requests: 10, perMs: 20_000 }], ttlMs: 15_000 };
    await one.lease(request);
    const before = one.now();
    await shift(url, jumpMs);
    expect(await other.lease({ ...request, want: 9 })).toMatchObject({ granted: 6 });
    expect(await one.lease(request)).toMatchObject({ granted: 0 });
    for (const { store } of [{ store: one }, { store: other }]) {
      expect(Math.abs(store.now() - before)).toBeLessThan(10_000);
    }
  });

  it('tells newcomers the same time, also of buckets that are new', async () => {
    const { url } = await serverOfTest();
    const { store: one } = await openShifted(url);
    await shift(url, HOUR_MS);
    await one.lease(dailyRequest(10, 1));
    await one.addUsage([{ subject: 'key:a', requests: 1, failures: 0, costUsd: 0 }]);
    const { store: newcomer } = await openShifted(url);
    expect(Math.abs(newcomer.now() - Date.now())).toBeLessThan(10_000);
    await newcomer.lease({ ...dailyRequest(10, 1), bucket: 'p/new' });
    expect(Math.abs(newcomer.now() - one.now())).toBeLessThan(1_000);
  });

  it('takes the time of the server and not of this machine, which may be off by days', async () => {
    const { url } = await serverOfTest();
    const { store } = await openStore({ url, now: () => Date.now() + 40 * 24 * HOUR_MS });
    expect(Math.abs(store.now() - Date.now())).toBeLessThan(10_000);
  });

  it('corrects itself where the first it hears of the time is about a calendar', async () => {
    const server = await serverOfTest();
    await server.kill();
    const { store } = await openStore({ url: server.url, now: () => Date.now() + 40 * 24 * HOUR_MS });
    expect(store.now()).toBeGreaterThan(Date.now() + HOUR_MS);
    await server.restart({ keepData: false });
    const calendar = { unit: 'day', at: '00:00', timeZone: 'UTC' } as const;
    const daily = { ...dailyRequest(10, 3), windows: [{ requests: 10, perMs: 24 * HOUR_MS, calendar }] };
    await expect.poll(() => codeOf(() => store.lease(daily)), { timeout: 10_000 }).toBe(undefined);
    expect(Math.abs(store.now() - Date.now())).toBeLessThan(10_000);
  });

  it('never runs backwards for one state, although nobody knows better', async () => {
    const { url } = await serverOfTest();
    const { store: one } = await openShifted(url);
    await one.addUsage([{ subject: 'key:a', requests: 1, failures: 0, costUsd: 0 }]);
    const [before] = await one.usage();
    await one.close();
    await shift(url, -HOUR_MS);
    const { store: other } = await openShifted(url);
    await other.addUsage([{ subject: 'key:a', requests: 1, failures: 0, costUsd: 0 }]);
    const [after] = await other.usage();
    expect(after?.lastUsedAt).toBeGreaterThanOrEqual(before?.lastUsedAt ?? Number.NaN);
  });

  it('takes no slow answer for a jump', async () => {
    const server = await serverOfTest();
    const { store } = await openStore({ url: server.url });
    server.pause();
    const asked = codeOf(() => store.census());
    setTimeout(() => server.resume(), 500);
    await asked;
    await expect.poll(() => codeOf(() => store.census()), { timeout: 10_000 }).toBe(undefined);
    expect(Math.abs(store.now() - Date.now())).toBeLessThan(1_000);
  });
});

describe('StoreClock', () => {
  function clockAt(): { clock: StoreClock; advance: (ms: number, wallMs?: number) => void } {
    let monotonicMs = 1_000;
    let wallMs = 500_000;
    return {
      clock: new StoreClock({ monotonicMs: () => monotonicMs, wallMs: () => wallMs }),
      advance: (ms, onWallMs = ms) => {
        monotonicMs += ms;
        wallMs += onWallMs;
      },
    };
  }

  it('knows nothing before the first answer', () => {
    const { clock } = clockAt();
    expect([clock.now(), clock.estimate(0), clock.at(0)]).toEqual([undefined, undefined, undefined]);
    expect(clock.judge(5, 0, 1, 2)).toBe('unsure');
  });

  it('tells the latest that it may be, by the quickest answer lately', () => {
    const { clock } = clockAt();
    clock.learn(100_010, 0, 990, 1_000);
    expect(clock.now()).toBe(100_020);
    clock.learn(100_500, 0, 800, 1_000);
    expect(clock.now()).toBe(100_020);
    expect(clock.at(1_000)).toBe(100_015);
  });

  it('stands still rather than to run backwards', () => {
    const { clock, advance } = clockAt();
    clock.learn(100_010, 0, 990, 1_000);
    const before = clock.now() ?? Number.NaN;
    advance(1);
    clock.learn(100_000, 0, 1_001, 1_001);
    expect(clock.now()).toBe(before);
    advance(100);
    expect(clock.now()).toBeCloseTo(100_100.01, 6);
  });

  it('follows a better answer as old ones lose their worth', () => {
    const { clock, advance } = clockAt();
    clock.learn(100_000, 0, 1_000, 1_000);
    advance(600_000);
    clock.learn(700_050, 0, 600_990, 601_000);
    expect(clock.now()).toBeCloseTo(700_060, 6);
  });

  it('is not certain after long silence, nor when the machine slept or its clock was set', () => {
    const silent = clockAt();
    silent.clock.learn(100_000, 0, 1_000, 1_000);
    expect(silent.clock.estimate(1_000)).toBe(100_000);
    silent.advance(600_001);
    expect(silent.clock.estimate(601_001)).toBe(undefined);
    const asleep = clockAt();
    asleep.clock.learn(100_000, 0, 1_000, 1_000);
    asleep.advance(1, 60_000);
    expect(asleep.clock.estimate(1_001)).toBe(undefined);
    expect(asleep.clock.judge(4e12, 0, 1_001, 1_002)).toBe('unsure');
    asleep.clock.learn(160_000, 0, 1_001, 1_001);
    expect(asleep.clock.estimate(1_001)).toBe(160_000);
    expect(asleep.clock.now()).toBe(160_000);
  });

  it('tells a jump from a question that was on its way for long', () => {
    const { clock } = clockAt();
    clock.learn(100_000, 0, 1_000, 1_000);
    expect(clock.judge(103_000, 0, 1_000, 4_000)).toBe('slow');
    expect(clock.adjustmentMs).toBe(0);
    expect(clock.judge(3_700_010, 0, 1_000, 1_020)).toBe('jumped');
    expect(clock.adjustmentMs).toBe(-3_600_000);
    expect(clock.judge(50_010, 7, 1_000, 1_020)).toBe('jumped');
    expect(clock.adjustmentMs).toBe(50_007);
  });

  it('steps back after silence, where it was far ahead', () => {
    const { clock, advance } = clockAt();
    clock.learn(100_000, 0, 1_000, 1_000);
    advance(700_000);
    expect(clock.now()).toBe(800_070);
    clock.learn(150_000, 0, 701_000, 701_000);
    expect(clock.now()).toBe(150_000);
  });
});
