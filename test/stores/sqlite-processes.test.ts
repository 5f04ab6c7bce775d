import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { maxInAnyWindow } from '#keymux/testing/rolling-window.js';
import { dailyRequest, openStore, readValue, startMember, temporaryDirectory } from './sqlite-fixture.js';
import type { Member } from './sqlite-fixture.js';

interface Opened {
  readonly granted: number;
  readonly notices: readonly { kind: string; message: string }[];
  readonly now: number;
}

async function contend(requests: number, perMs: number, durationMs: number): Promise<number[]> {
  const directory = temporaryDirectory();
  const args = [directory, ...[requests, perMs, durationMs].map(String)];
  const members = Array.from({ length: 4 }, () => startMember('contender', args));
  await Promise.all(members.map((member) => expect(member.next()).resolves.toBe('ready')));
  for (const { child } of members) child.send('go');
  const reports = await Promise.all(members.map((member) => member.next()));
  await Promise.all(members.map(({ exited }) => exited));
  expect(reports.filter((report) => Array.isArray((report as { spentAt?: unknown }).spentAt))).toHaveLength(
    4,
  );
  return reports.flatMap((report) => (report as { spentAt: number[] }).spentAt);
}

describe('four processes on one bucket', () => {
  it('spend exactly the limit together', async () => {
    expect(await contend(60, 86_400_000, 800)).toHaveLength(60);
  });

  it('never exceed the limit in any rolling window, and use it up', async () => {
    const spentAt = await contend(40, 300, 1_600);
    const most = maxInAnyWindow(spentAt, 300);
    expect(most).toBeLessThanOrEqual(40);
    expect(most).toBeGreaterThanOrEqual(36);
    expect(spentAt.length).toBeGreaterThan(40 * 3);
  });
});

describe('eleven processes that open one store at once', () => {
  async function openTogether(directory: string): Promise<readonly Opened[]> {
    const members = Array.from({ length: 11 }, (_, index) =>
      startMember('opener', [directory, String(index)]),
    );
    await tell(members);
    const reports = await Promise.all(members.map((member) => member.next() as Promise<Opened>));
    for (const { child } of members) child.send('bye');
    for (const { code } of await Promise.all(members.map(({ exited }) => exited))) expect(code).toBe(0);
    return reports;
  }

  async function tell(members: readonly Member[]): Promise<void> {
    await Promise.all(members.map((member) => member.next()));
    for (const { child } of members) child.send('go');
  }

  async function expectOneState(directory: string, reports: readonly Opened[]): Promise<void> {
    expect(reports.reduce((sum, { granted }) => sum + granted, 0)).toBe(15);
    const { store } = await openStore({ directory });
    expect((await store.open()).records).toHaveLength(11);
    for (const { now } of reports) expect(Math.abs(now - store.now())).toBeLessThan(60_000);
    expect(readValue(join(directory, 'state.db'), 'PRAGMA integrity_check')).toBe('ok');
  }

  it('make it once where there is none', async () => {
    const directory = join(temporaryDirectory(), 'not', 'there', 'yet');
    const reports = await openTogether(directory);
    expect(reports.flatMap(({ notices }) => notices)).toEqual([]);
    await expectOneState(directory, reports);
    expect(readdirSync(directory).filter((name) => name.includes('.new-'))).toEqual([]);
  });

  it.each([
    ['corrupt', 'x'],
    ['foreign', 'no database at all\n'.repeat(1_000)],
    ['empty', ''],
  ])('set a bad one aside once (%s)', async (reason, content) => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'state.db'), content);
    const reports = await openTogether(directory);
    expect(reports.flatMap(({ notices }) => notices.map(({ kind }) => kind))).toEqual(['set-aside']);
    const aside = readdirSync(directory).filter((name) => name.startsWith(`state.db.${reason}-`));
    expect(aside).toHaveLength(1);
    expect(readFileSync(join(directory, aside[0] ?? ''), 'utf8')).toBe(content);
    await expectOneState(directory, reports);
  });
});

describe('a process that is killed while it writes', () => {
  it('leaves a sound file, and nothing charged less than it was granted', { timeout: 60_000 }, async () => {
    const directory = temporaryDirectory();
    const log = join(directory, 'log');
    for (let kill = 0; kill < 20; kill += 1) {
      const victim = startMember('victim', [directory, log]);
      await victim.next();
      victim.child.kill('SIGKILL');
      expect((await victim.exited).signal).toBe('SIGKILL');
      expect(readValue(join(directory, 'state.db'), 'PRAGMA integrity_check')).toBe('ok');
    }
    const counts = readFileSync(log, 'utf8');
    const begun = counts.split('L').length - 1;
    const granted = counts.split('G').length - 1;
    const { store, notices } = await openStore({ directory });
    const { left } = await store.lease({ ...dailyRequest(1_000_000, 0) });
    const charged = 1_000_000 - left;
    expect(charged).toBeGreaterThanOrEqual(granted);
    expect(charged).toBeLessThanOrEqual(begun);
    expect(begun - granted).toBeLessThanOrEqual(20);
    expect(notices).toEqual([]);
  });
});

describe('a process that used a store', () => {
  it.each(['close', 'leave open'])('ends by itself when it has nothing else to do (%s)', async (how) => {
    const directory = temporaryDirectory();
    const { exited } = startMember('quitter', [directory, how]);
    expect(await exited).toEqual({ code: 0, signal: null });
    expect(existsSync(join(directory, 'state.db'))).toBe(true);
    const { store } = await openStore({ directory });
    expect(await store.usage()).toMatchObject([{ requests: 1 }]);
  });
});
