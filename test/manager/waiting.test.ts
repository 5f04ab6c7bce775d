import { getEventListeners } from 'node:events';
import { Lease } from '#keymux/manager/lease.js';
import type { Shut } from '#keymux/manager/pool.js';
import { WaitingRoom } from '#keymux/manager/waiting-room.js';
import { SUCCESS } from '#keymux/core/outcome.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { acmeConfig, acmeManager, memoryStore } from './acme.js';
import type { AcmeOptions } from './acme.js';

const RATE_LIMITED = { kind: 'rate-limited', scope: 'key', executed: 'no' } as const;

async function turn(): Promise<void> {
  await new Promise(setImmediate);
}

describe('a waiting room', () => {
  beforeEach(() => void vi.useFakeTimers({ now: 1_000_000 }));
  afterEach(() => void vi.useRealTimers());

  function roomOf() {
    const room = new WaitingRoom(() => Date.now());
    const order: string[] = [];
    const wait = (
      name: string,
      tryInMs: number,
      deadlineInMs: number,
      rest: { takesAny?: boolean; signal?: AbortSignal; ticket?: number } = {},
    ) => {
      const { takesAny = true, signal, ticket = room.ticket() } = rest;
      const visit = { ticket, takesAny, tryAt: Date.now() + tryInMs, deadline: Date.now() + deadlineInMs };
      void room.wait(visit, signal).then(() => order.push(`${name} ${Date.now() - 1_000_000}`));
      return ticket;
    };
    return { room, order, wait };
  }

  it('wakes the first when it is time to try, and everybody at the deadline', async () => {
    const { room, order, wait } = roomOf();
    wait('a', 500, 2_000);
    wait('b', 100, 1_000);
    wait('c', 100, 300);
    await vi.advanceTimersByTimeAsync(5_000);
    // Once `a` was woken, `b` is the first, and its time to try has come.
    expect(order).toEqual(['c 300', 'a 500', 'b 501']);
    expect(room.size).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('lets one in the middle leave, and keeps the times of the others', async () => {
    const { order, wait, room } = roomOf();
    const controller = new AbortController();
    wait('a', 5_000, 9_000, { signal: controller.signal });
    wait('b', 4_400, 4_500);
    wait('c', 100, 9_000);
    await vi.advanceTimersByTimeAsync(4_000);
    controller.abort();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(order).toEqual(['a 4000', 'b 4400', 'c 4401']);
    expect(room.nextTryAt).toBe(Number.POSITIVE_INFINITY);
  });

  it('listens once to a signal that many wait with, until the last of them is served', async () => {
    const { room, order, wait } = roomOf();
    const controller = new AbortController();
    const { signal } = controller;
    for (const name of ['a', 'b', 'c', 'd']) wait(name, 5_000, 9_000, { signal });
    wait('e', 5_000, 9_000);
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    room.wakeOne();
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    controller.abort();
    await vi.advanceTimersByTimeAsync(0);
    expect(order).toEqual(['a 0', 'b 0', 'c 0', 'd 0']);
    expect(room.size).toBe(1);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);

    const other = new AbortController();
    wait('f', 100, 200, { signal: other.signal });
    room.wakeAll();
    expect(getEventListeners(other.signal, 'abort')).toHaveLength(0);
  });

  it('does not let in whoever has left already', async () => {
    const { room, order, wait } = roomOf();
    wait('a', 100, 200, { signal: AbortSignal.abort() });
    await vi.advanceTimersByTimeAsync(0);
    expect(order).toEqual(['a 0']);
    expect(room.size).toBe(0);
  });

  it('gives back the place to one that was woken in vain', async () => {
    const { room, order, wait } = roomOf();
    const ticket = wait('a', 1_000, 9_000);
    wait('b', 1_000, 9_000);
    room.wakeOne();
    wait('a again', 1_000, 9_000, { ticket });
    room.wakeOne();
    room.wakeOne();
    await vi.advanceTimersByTimeAsync(0);
    expect(order).toEqual(['a 0', 'a again 0', 'b 0']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('wakes the next one too behind one that cannot take every key', async () => {
    const { room, order, wait } = roomOf();
    wait('picky', 5_000, 9_000, { takesAny: false });
    wait('b', 200, 9_000);
    wait('c', 100, 9_000);
    expect(room.nextTryAt).toBe(1_000_200);
    await vi.advanceTimersByTimeAsync(200);
    expect(order).toEqual(['b 200']);
    room.wakeOne();
    await vi.advanceTimersByTimeAsync(0);
    expect(order).toEqual(['b 200', 'picky 200', 'c 200']);
  });

  it('waits for longer than a timer can', async () => {
    const { order, wait, room } = roomOf();
    const fortyDaysMs = 40 * 86_400_000;
    wait('a', fortyDaysMs, Number.POSITIVE_INFINITY);
    await vi.advanceTimersByTimeAsync(fortyDaysMs - 1);
    expect(order).toEqual([]);
    await vi.advanceTimersByTimeAsync(2);
    expect(order).toEqual([`a ${fortyDaysMs}`]);
    wait('b', Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
    expect(vi.getTimerCount()).toBe(0);
    room.wakeOne();
    await vi.advanceTimersByTimeAsync(0);
    expect(order).toHaveLength(2);
    room.wakeOne();
  });
});

function managed(acme: AcmeOptions = {}) {
  const manager = acmeManager({ keys: ['key-one'], ...acme });
  const pool = manager.findPool('acme')!;
  const rest = (keyId: string, forMs = 20_000): void =>
    manager.report(keyId, { ...RATE_LIMITED, retryAt: manager.now() + forMs });
  return { manager, pool, rest };
}

function keyOf(result: Lease | Shut): string {
  if (!(result instanceof Lease)) return 'shut';
  result.report(SUCCESS);
  result.end();
  return result.keyId;
}

describe('those that wait for a key', () => {
  it('are all served in order when it returns, except who left', async () => {
    const { manager, rest } = managed();
    rest('acme/main');
    const order: string[] = [];
    const controller = new AbortController();
    const waiting = ['a', 'b', 'c'].map((name) =>
      manager
        .acquire('acme', { timeoutMs: 25_000, ...(name === 'b' ? { signal: controller.signal } : {}) })
        .then(
          (lease) => void (order.push(name), lease.end()),
          ({ code }: { code: string }) => void order.push(`${name} ${code}`),
        ),
    );
    await turn();
    controller.abort();
    await turn();
    expect(order).toEqual(['b KEYMUX_ABORTED']);
    manager.reset('acme/main');
    await Promise.all(waiting);
    expect(order).toEqual(['b KEYMUX_ABORTED', 'a', 'c']);
  });

  it('leave nobody behind when the only one goes away, and the next one is served as ever', async () => {
    const { manager, pool, rest } = managed();
    rest('acme/main');
    const controller = new AbortController();
    const waiting = manager.acquire('acme', { timeoutMs: 25_000, signal: controller.signal });
    await turn();
    expect(pool.room.size).toBe(1);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'KEYMUX_ABORTED' });
    expect(pool.room.size).toBe(0);
    expect(pool.room.nextTryAt).toBe(Infinity);
    const next = manager.acquire('acme', { timeoutMs: 25_000 });
    await turn();
    manager.reset('acme/main');
    expect((await next).keyId).toBe('acme/main');
  });

  it('do not hold up others that can take a key which they cannot', async () => {
    const { manager, pool, rest } = managed({ keys: ['key-one', 'key-two'] });
    rest('acme/main');
    rest('acme/2');
    const waitUntil = manager.now() + 25_000;
    const controller = new AbortController();
    const [main] = pool.contenders;
    const picky = pool.acquire({ excluded: new Set([main!.member]), waitUntil, caller: controller });
    const any = pool.acquire({ excluded: new Set(), waitUntil });
    await turn();
    manager.reset('acme/main');
    expect(keyOf(await any)).toBe('acme/main');
    controller.abort();
    expect(keyOf(await picky)).toBe('shut');
  });

  it('go on waiting over a reload, for the keys that are there then', async () => {
    const env: Record<string, string> = { ACME_API_KEY: 'key-one' };
    const { manager, rest } = managed({ options: { env } });
    rest('acme/main');
    const waiting = manager.acquire('acme', { timeoutMs: 25_000 });
    await turn();
    env['ACME_API_KEY_2'] = 'key-two';
    manager.reload();
    await using lease = await waiting;
    expect(lease.keyId).toBe('acme/2');
  });

  it('are refused when their service is taken out of the configuration', async () => {
    const config: { services: object } = { ...acmeConfig(), services: { quotes: { providers: ['acme'] } } };
    const { manager, rest } = managed({ options: { config: config as ReturnType<typeof acmeConfig> } });
    rest('acme/main');
    const waiting = manager.acquire('quotes', { timeoutMs: 25_000 });
    await turn();
    config.services = {};
    manager.reload();
    await expect(waiting).rejects.toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY' });
    expect(() => manager.poolOf('quotes')).toThrow(
      expect.objectContaining({ code: 'KEYMUX_UNKNOWN_SERVICE' }),
    );
  });

  it('come after those that waited before, and before none that cannot be served in time', async () => {
    const { manager, pool, rest } = managed();
    rest('acme/main');
    const early = pool.acquire({ excluded: new Set(), waitUntil: manager.now() + 25_000 });
    await turn();
    const hasty = await pool.acquire({ excluded: new Set(), waitUntil: manager.now() + 10 });
    expect(hasty).toMatchObject({ busy: false, retryAt: expect.any(Number) as number });
    manager.reset('acme/main');
    expect(keyOf(await early)).toBe('acme/main');
  });

  it('reject where the table has no room for their permits, and leave their place', async () => {
    const { StateTable } = await import('#keymux/state/table.js');
    const table = StateTable.create({ arenaBytes: 64 });
    const { manager } = managed({
      seams: { table },
      provider: { limits: [{ requests: 5_000, per: 'minute' }] },
    });
    await expect(manager.acquire('acme')).rejects.toMatchObject({ code: 'KEYMUX_TABLE_FULL' });
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, uses: 0 });
    await expect(manager.acquire('acme')).rejects.toMatchObject({ code: 'KEYMUX_TABLE_FULL' });
  });
});

describe('permits that come from a store', () => {
  const limited = { limits: [{ requests: 1, per: 'minute' }] };

  function shared(acme: AcmeOptions = {}) {
    const store = faultyStore(memoryStore(), { shared: true });
    return { store, ...managed({ provider: limited, ...acme, options: { store, ...acme.options } }) };
  }

  const sharedBucket = {
    provider: {
      ...limited,
      keys: [
        { id: 'a', value: 'env:K1', bucket: 'both' },
        { id: 'b', value: 'env:K2', bucket: 'both' },
      ],
    },
    options: { env: { K1: 'key-one', K2: 'key-two' } },
  };

  it('are asked for once where two keys share a bucket, and the shortage is told', async () => {
    for (const holds of [false, true]) {
      const { store, manager } = shared({ ...sharedBucket, options: { ...sharedBucket.options } });
      await manager.ready;
      const bucket = manager.poolOf('acme').contenders[0]!.member.bucket;
      expect(bucket.name).toBe('acme/both');
      await store.lease({ bucket: bucket.name, windows: bucket.windows, want: 1, ttlMs: 30_000, slackMs: 0 });
      const askedBefore = store.asked.lease.length;
      const shortages: unknown[] = [];
      manager.on('quota', (event) => shortages.push(event.bucket));
      const go = holds ? store.hold('lease') : () => {};
      const refused = manager.acquire('acme', { timeoutMs: 0 }).catch((error: unknown) => error);
      await turn();
      go();
      expect(await refused).toMatchObject({
        code: 'KEYMUX_NO_USABLE_KEY',
        retryAt: expect.any(Number) as number,
      });
      expect(store.asked.lease.slice(askedBefore)).toHaveLength(1);
      expect(shortages).toEqual(['acme/both']);
    }
  });

  it('go back where the key was disabled, or went to rest, while they were under way', async () => {
    for (const takeOut of ['disable', 'rest'] as const) {
      const { store, manager, rest } = shared({ keys: ['key-one', 'key-two'] });
      const go = store.hold('lease');
      const acquired = manager.acquire('acme');
      await turn();
      if (takeOut === 'disable') manager.disable('acme/main');
      else rest('acme/main');
      go();
      await using lease = await acquired;
      expect(lease.keyId).toBe('acme/2');
      expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0 });
    }
  });

  it('serve the last resort, or refuse it', async () => {
    for (const isShort of [false, true]) {
      const { store, manager } = shared();
      await manager.ready;
      const { bucket } = manager.poolOf('acme').contenders[0]!.member;
      if (isShort) {
        await store.lease({
          bucket: bucket.name,
          windows: bucket.windows,
          want: 1,
          ttlMs: 30_000,
          slackMs: 0,
        });
      }
      manager.report('acme/main', 'rejected');
      const go = store.hold('lease');
      const acquired = manager.acquire('acme', { timeoutMs: 0 });
      await turn();
      go();
      if (isShort) await expect(acquired).rejects.toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY' });
      else (await acquired).end();
      expect(manager.inspect().keys[0]?.inFlight).toBe(0);
    }
  });

  it('go back where the manager was shut down meanwhile', async () => {
    const { store, manager } = shared();
    const go = store.hold('lease');
    const acquired = manager.acquire('acme').catch((error: unknown) => error);
    await turn();
    const down = manager.shutdown();
    go();
    expect(await acquired).toMatchObject({ code: 'KEYMUX_CLOSED' });
    await down;
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });
});

describe('places of requests that nobody answers any more', () => {
  it('are let go after a minute, one at a time', async () => {
    let now = 1_800_000_000_000;
    const { manager, rest } = managed({ options: { clock: () => now, drainMs: 1 } });
    const atOnce = () => manager.acquire('acme', { timeoutMs: 0 });
    for (let i = 0; i < 4; i++) await atOnce();
    now += 59_000;
    await expect(atOnce()).rejects.toMatchObject({ code: 'KEYMUX_TIMEOUT' });
    now += 2_000;
    const trial = await atOnce();
    await expect(atOnce()).rejects.toMatchObject({ code: 'KEYMUX_TIMEOUT' });
    trial.end();
    rest('acme/main', 3_600_000);
    now += 120_000;
    await expect(atOnce()).rejects.toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY' });
  });
});
