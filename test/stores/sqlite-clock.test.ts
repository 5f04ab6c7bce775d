import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { machineTime } from '#keymux/stores/sqlite/shared-clock.js';
import type { TimeSources } from '#keymux/stores/sqlite/shared-clock.js';
import { connectTo, dailyRequest, openStore, readValue, temporaryDirectory } from './sqlite-fixture.js';

interface Machine extends TimeSources {
  wall: number;
  monotonic: number;
  suspended: number;
  boot: string;
}

const WALL = Date.UTC(2026, 0, 1);

function machine(boot = 'boot-1'): Machine {
  return {
    wall: WALL,
    monotonic: 5_000,
    suspended: 0,
    boot,
    wallMs() {
      return this.wall;
    },
    monotonicMs() {
      return this.monotonic;
    },
    suspendedMs() {
      return this.suspended;
    },
  };
}

async function memberOf(
  directory: string,
  time: Machine,
): Promise<Awaited<ReturnType<typeof openStore>>['store']> {
  return (await openStore({ directory }, { time })).store;
}

describe('the shared clock', () => {
  it('starts with the wall clock and does not follow its jumps', async () => {
    const directory = temporaryDirectory();
    const time = machine();
    const store = await memberOf(directory, time);
    expect(store.now()).toBe(WALL);
    time.wall += 3_600_000;
    time.monotonic += 250;
    expect(store.now()).toBe(WALL + 250);
    const late = await memberOf(directory, { ...time, wall: 0 });
    expect(late.now()).toBe(WALL + 250);
  });

  it('is taken anew from the wall clock after the machine was started again', async () => {
    const directory = temporaryDirectory();
    await (await memberOf(directory, machine())).close();
    const rebooted = { ...machine('boot-2'), wall: WALL + 9_000, monotonic: 99_000 };
    expect((await memberOf(directory, rebooted)).now()).toBe(WALL + 9_000);
  });

  it('takes monotonic time that ran backwards for a new start where the platform names none', async () => {
    const directory = temporaryDirectory();
    await memberOf(directory, machine(''));
    const later = { ...machine(''), monotonic: 6_000, wall: 0 };
    expect((await memberOf(directory, later)).now()).toBe(WALL + 1_000);
    const rebooted = { ...machine(''), monotonic: 10, wall: WALL + 70_000 };
    expect((await memberOf(directory, rebooted)).now()).toBe(WALL + 70_000);
  });

  it('goes on for all members by as long as the machine slept', async () => {
    const directory = temporaryDirectory();
    const [one, other] = [machine(), machine()];
    const first = await memberOf(directory, one);
    const second = await memberOf(directory, other);
    for (const time of [one, other]) {
      time.monotonic += 2_000;
      time.suspended += 8 * 3_600_000;
    }
    await first.lease(dailyRequest(5, 1));
    expect(first.now()).toBe(WALL + 2_000 + 8 * 3_600_000);
    other.monotonic += 1;
    await second.lease(dailyRequest(5, 1));
    expect(second.now()).toBe(WALL + 2_001 + 8 * 3_600_000);
  });

  it('does not take the grain of the counters for sleep', async () => {
    const time = machine();
    const store = await memberOf(temporaryDirectory(), time);
    time.monotonic += 2_000;
    time.suspended += 900;
    await store.lease(dailyRequest(5, 1));
    expect(store.now()).toBe(WALL + 2_000);
  });

  it('keeps its course when its row is gone', async () => {
    const directory = temporaryDirectory();
    const time = machine();
    const store = await memberOf(directory, time);
    await store.lease(dailyRequest(5, 1));
    connectTo(join(directory, 'state.db')).exec('DELETE FROM clock');
    time.monotonic += 10;
    expect(await store.lease(dailyRequest(5, 1))).toMatchObject({ validUntil: WALL + 1_010 });
    expect(await store.lease(dailyRequest(5, 0))).toMatchObject({ validUntil: WALL + 1_010, left: 3 });
  });

  it('does not run backwards for a caller when the file is replaced by one with an earlier clock', async () => {
    const directory = temporaryDirectory();
    const time = machine();
    const store = await memberOf(directory, time);
    const path = join(directory, 'state.db');
    const before = store.now();
    connectTo(path).exec('UPDATE clock SET offset_ms = offset_ms - 1000');
    await store.lease(dailyRequest(5, 1));
    expect(store.now()).toBe(before);
    expect(readValue(path, 'SELECT count(*) FROM clock')).toBe(1);
  });

  it('reads plausible time from this machine', () => {
    const time = machineTime();
    expect(time.monotonicMs()).toBeGreaterThan(0);
    expect(time.suspendedMs()).toBeGreaterThanOrEqual(0);
    expect(Math.abs(time.wallMs() - Date.now())).toBeLessThan(60_000);
  });
});
