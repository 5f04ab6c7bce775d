import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { isHolderStarved } from '#keymux/stores/sqlite/lock-holder.js';
import { isSilence } from '#keymux/core/silence.js';
import { FOR_REQUESTS } from '#keymux/stores/sqlite/patience.js';
import { connectTo, dailyRequest, openStore, startMember, temporaryDirectory } from './sqlite-fixture.js';
import type { Watched } from './sqlite-fixture.js';

describe.skipIf(!existsSync('/proc/locks'))('a lock whose holder waits for the processor', () => {
  async function openWithSpinner(): Promise<Watched & { path: string; signal: string; pid: number }> {
    const directory = temporaryDirectory();
    const path = join(directory, 'state.db');
    const signal = join(directory, 'signal');
    const watched = await openStore({ path });
    const { child, next } = startMember('spinner', [path, signal]);
    expect(await next()).toBe('held');
    return { ...watched, path, signal, pid: child.pid ?? 0 };
  }

  it('is told from one whose holder was stopped', async () => {
    const { path, pid } = await openWithSpinner();
    await expect.poll(() => isHolderStarved(path)).toBe(true);
    process.kill(pid, 'SIGSTOP');
    await expect.poll(() => isHolderStarved(path)).toBe(false);
    expect(() => connectTo(path).exec('BEGIN IMMEDIATE')).toThrow(/locked/);
    process.kill(pid, 'SIGCONT');
    await expect.poll(() => isHolderStarved(path)).toBe(true);
  });

  it('is waited for longer than one that hangs', async () => {
    const { store, notices, signal } = await openWithSpinner();
    const lease = store.lease(dailyRequest(5, 2));
    await delay(2 * FOR_REQUESTS.quietMs);
    writeFileSync(signal, '');
    expect(await lease).toMatchObject({ granted: 2 });
    expect(notices).toEqual([]);
  });

  it('is not waited for without end', async () => {
    const { store, notices } = await openWithSpinner();
    const error = await Promise.resolve(store.lease(dailyRequest(5, 2))).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'KEYMUX_STORE_UNAVAILABLE' });
    // Silence alone is no trouble yet.
    expect(isSilence(error)).toBe(true);
    expect(notices).toEqual([]);
  });
});

describe('a lock about which nothing is known', () => {
  it('is not taken for one whose holder waits for the processor', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    expect(isHolderStarved(path)).toBe(false);
    await openStore({ path });
    expect(isHolderStarved(path)).toBe(false);
    // Held by this process, which is running while it asks.
    connectTo(path).exec('BEGIN IMMEDIATE');
    expect(isHolderStarved(path)).toBe(false);
  });
});
