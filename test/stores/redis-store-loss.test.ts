import { describe, expect, it } from 'vitest';
import type { Presence } from '#keymux/core/fleet.js';
import type { HealthRecord } from '#keymux/core/ports.js';
import { hrtimeMs } from '#keymux/stores/redis/client.js';
import type { RedisServer } from './redis-server.js';
import {
  chargeOf,
  codeOf,
  command,
  dailyRequest,
  openStore,
  resting,
  serverOfTest,
} from './redis-store-fixture.js';

const LOSSES: Readonly<Record<string, (server: RedisServer) => Promise<unknown>>> = {
  'was flushed': ({ url }) => command(url, 'FLUSHALL'),
  'was restarted without its data': (server) => server.restart({ keepData: false }),
  'evicted the bucket': ({ url }) => command(url, 'DEL', 'keymux:{keymux/p/b}:permits'),
};

function member(memberId: string, remembered: number): Presence {
  return { memberId, host: 'h', pid: 1, startedAt: 0, ttlMs: 3_000, isReturning: false, remembered };
}

describe('a Redis store whose server lost its data', () => {
  it.for(Object.entries(LOSSES))('says so after it %s, until it is told anew', async ([, lose]) => {
    const server = await serverOfTest();
    const { store, notices } = await openStore({ url: server.url });
    await store.lease(dailyRequest(10, 3));
    await lose(server);
    for (let call = 0; call < 2; call += 1) {
      await expect.poll(() => codeOf(() => store.lease(dailyRequest(10, 1)))).toBe('KEYMUX_STORE_FORGOT');
    }
    await store.charge(chargeOf(store, 3), { cautionMs: 0 });
    expect(await store.lease(dailyRequest(10, 9))).toMatchObject({ granted: 7 });
    for (const { message } of notices) expect(message).toContain(server.url);
  });

  it('says so to each member that had permits of the bucket, and to no newcomer', async () => {
    const { url } = await serverOfTest();
    const { store: one } = await openStore({ url });
    const { store: other } = await openStore({ url });
    await one.lease(dailyRequest(10, 1));
    await other.lease(dailyRequest(10, 2));
    await command(url, 'FLUSHALL');
    expect(await codeOf(() => one.lease(dailyRequest(10, 1)))).toBe('KEYMUX_STORE_FORGOT');
    await one.charge(chargeOf(one, 1), { cautionMs: 0 });
    const { store: newcomer } = await openStore({ url });
    expect(await newcomer.lease(dailyRequest(10, 0))).toMatchObject({ left: 9 });
    expect(await codeOf(() => other.lease(dailyRequest(10, 1)))).toBe('KEYMUX_STORE_FORGOT');
    await other.charge(chargeOf(other, 2), { cautionMs: 0 });
    expect(await other.lease(dailyRequest(10, 9))).toMatchObject({ granted: 7 });
  });

  it('grants nothing of a bucket that others may have spent from before the loss', async () => {
    const { url } = await serverOfTest();
    const { store: spender } = await openStore({ url });
    const { store: bystander } = await openStore({ url });
    await spender.lease(dailyRequest(10, 10));
    await command(url, 'FLUSHALL');
    expect(await codeOf(() => bystander.lease(dailyRequest(10, 5)))).toBe('KEYMUX_STORE_FORGOT');
    await bystander.charge(chargeOf(bystander, 0), { cautionMs: 60_000 });
    expect(await bystander.lease(dailyRequest(10, 5))).toMatchObject({ granted: 0, left: 10 });
    const { cautiousUntil } = await bystander.lease(dailyRequest(10, 5));
    expect(cautiousUntil).toBeGreaterThan(bystander.now());
  });

  it('forgets without a word what has run out', async () => {
    const { url } = await serverOfTest();
    let skippedMs = 0;
    const time = { monotonicMs: () => hrtimeMs() + skippedMs, wallMs: () => Date.now() + skippedMs };
    const { store } = await openStore({ url }, { time });
    await store.lease(dailyRequest(10, 3));
    await command(url, 'DEL', 'keymux:{keymux/p/b}:permits');
    skippedMs = 2 * 86_400_000;
    expect(await store.lease(dailyRequest(10, 9))).toMatchObject({ granted: 9 });
  });

  it('gives the server back what is known of each subject', async () => {
    const { url } = await serverOfTest();
    const { store } = await openStore({ url });
    const { store: reader } = await openStore({ url });
    const seen: HealthRecord[] = [];
    reader.watch((records) => seen.push(...records));
    await store.publish([resting('key:own')]);
    await expect.poll(() => seen.length).toBe(1);
    await store.close();
    await command(url, 'FLUSHALL');
    await reader.beat(member('reader', 1));
    const { store: newcomer } = await openStore({ url });
    await expect
      .poll(async () => (await newcomer.open()).records.map(({ subject }) => subject))
      .toEqual(['key:own']);
  });

  it('holds a reunion with those that remember, although nobody had been away', async () => {
    const { url } = await serverOfTest();
    const { store } = await openStore({ url });
    expect(await store.beat(member('a', 0))).toMatchObject({ size: 1, reunionUntil: 0 });
    await command(url, 'FLUSHALL');
    const fleet = await store.beat(member('a', 3));
    expect(fleet.size).toBe(3);
    expect(fleet.reunionUntil).toBeGreaterThan(store.now());
  });

  it('goes on where the server kept its data and forgot only the scripts', async () => {
    const server = await serverOfTest();
    const { store } = await openStore({ url: server.url });
    await store.lease(dailyRequest(10, 3));
    await store.publish([resting('key:a')]);
    await server.restart({ keepData: true });
    await expect
      .poll(async () => (await store.lease(dailyRequest(10, 9))).granted, { timeout: 10_000 })
      .toBe(7);
    expect((await store.open()).records).toEqual([resting('key:a')]);
  });
});
