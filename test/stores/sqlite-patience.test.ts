import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { StoreNotice } from '#keymux/core/ports.js';
import type { Database } from '#keymux/stores/sqlite/driver.js';
import { FOR_REQUESTS, Wait } from '#keymux/stores/sqlite/patience.js';
import {
  connectTo,
  dailyRequest,
  openStore,
  resting,
  startMember,
  temporaryDirectory,
} from './sqlite-fixture.js';
import type { Member } from './sqlite-fixture.js';

interface Outcome {
  readonly outcome: string;
  readonly notices: readonly StoreNotice[];
}

const UNAVAILABLE = { code: 'KEYMUX_STORE_UNAVAILABLE' };
/** Far more than the patience of a request, far less than the second that reports wait. */
const SOON_MS = 500;

describe('the patience for a request', () => {
  const { quietMs, longestMs } = FOR_REQUESTS;
  const never = (): boolean => false;

  it('ends when nobody wrote anything for so long', () => {
    const wait = new Wait(FOR_REQUESTS, 1_000);
    for (let now = 1_004; now < 1_000 + quietMs; now += 4) expect(wait.goesOn(now, false, never)).toBe(true);
    expect(wait.goesOn(1_000 + quietMs, false, never)).toBe(false);
  });

  it('begins anew whenever somebody wrote, but does not last for ever', () => {
    const wait = new Wait(FOR_REQUESTS, 0);
    for (let now = 10; now < longestMs; now += 10) expect(wait.goesOn(now, now % 30 === 0, never)).toBe(true);
    expect(wait.goesOn(longestMs, true, never)).toBe(false);
  });

  it('does not take it for silence that this process had stopped itself', () => {
    const wait = new Wait(FOR_REQUESTS, 0);
    expect(wait.goesOn(900, false, never)).toBe(true);
    expect(wait.goesOn(902, false, never)).toBe(true);
    expect(wait.goesOn(1_800, false, never)).toBe(true);
  });
});

describe('the silence of a holder who only waits for the processor', () => {
  it('is excused for a while, and not for ever', () => {
    const wait = new Wait(FOR_REQUESTS, 0);
    let asked = 0;
    const always = (): boolean => (asked += 1) > 0;
    let now = 0;
    do now += FOR_REQUESTS.pauseMs;
    while (wait.goesOn(now, false, always));
    expect(now).toBeGreaterThan(4 * FOR_REQUESTS.quietMs);
    expect(now).toBeLessThan(10 * FOR_REQUESTS.quietMs);
    expect(asked).toBeGreaterThan(3);
    expect(asked).toBeLessThan(now / FOR_REQUESTS.quietMs + 1);
  });

  it('matters only where patience would end', () => {
    const wait = new Wait(FOR_REQUESTS, 0);
    const unexpected = (): boolean => expect.unreachable();
    for (let now = 4; now < FOR_REQUESTS.quietMs; now += 4) {
      expect(wait.goesOn(now, false, unexpected)).toBe(true);
    }
  });
});

describe('a lease while another holds the lock', () => {
  /** Holds the lock for some turns; `betweenTurns` is all that happens before it is taken again. */
  function holdInTurns(db: Database, turns: number, betweenTurns: 'COMMIT' | 'ROLLBACK'): Promise<void> {
    db.exec('BEGIN IMMEDIATE');
    return new Promise((resolve) => {
      let turn = 0;
      const timer = setInterval(() => {
        turn += 1;
        db.exec(`UPDATE clock SET id = 1; ${betweenTurns}`);
        if (turn < turns) return db.exec('BEGIN IMMEDIATE');
        clearInterval(timer);
        resolve();
      }, 20);
    });
  }

  it('waits for as long as others get on', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store, notices } = await openStore({ path });
    const held = holdInTurns(connectTo(path), 15, 'COMMIT');
    let isHeld = true;
    void held.then(() => (isHeld = false));
    expect(await store.lease(dailyRequest(5, 2))).toMatchObject({ granted: 2 });
    expect(isHeld).toBe(false);
    expect(notices).toEqual([]);
  });

  it('gives up when nobody gets on', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store, notices } = await openStore({ path });
    const held = holdInTurns(connectTo(path), 15, 'ROLLBACK');
    let isHeld = true;
    void held.then(() => (isHeld = false));
    await expect(store.lease(dailyRequest(5, 2))).rejects.toMatchObject(UNAVAILABLE);
    expect(isHeld).toBe(true);
    await held;
    expect(await store.lease(dailyRequest(5, 2))).toMatchObject({ granted: 2 });
    expect(notices).toEqual([]);
  });
});

describe('a store that is locked by a member that was stopped', () => {
  it('fails a lease soon, a report later, and recovers by itself', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'state.db');
    const { store, notices } = await openStore({ path });
    const stopper = startMember('stopper', [directory]);
    expect(await stopper.next()).toBe('ready');
    stopper.child.send('go');
    await expect.poll(() => processState(stopper)).toMatch(/^T/);
    expect(() => connectTo(path).exec('BEGIN IMMEDIATE')).toThrow(/locked/);

    const startedAt = performance.now();
    const report = outcomeOf(() => store.publish([resting('key:a')]));
    await expect(store.lease(dailyRequest(5, 2))).rejects.toMatchObject({
      ...UNAVAILABLE,
      fix: expect.stringContaining('stopped'),
    });
    expect(performance.now() - startedAt).toBeLessThan(SOON_MS);
    expect(await report).toMatchObject(UNAVAILABLE);
    expect(performance.now() - startedAt).toBeGreaterThan(SOON_MS);
    expect(notices.map(({ kind }) => kind)).toEqual(['degraded']);

    stopper.child.kill('SIGCONT');
    expect(await stopper.next()).toBe('written');
    expect(await store.lease(dailyRequest(5, 2))).toMatchObject({ granted: 2 });
    expect(notices.map(({ kind }) => kind)).toEqual(['degraded', 'recovered']);
  });
});

describe('a process at work', () => {
  const NOBODY = 65_534;

  it('goes on without a file that it may not make again, and comes back when it may', async () => {
    const directory = temporaryDirectory();
    if (process.getuid?.() === 0) chownSync(directory, NOBODY, NOBODY);
    const resident = startMember('resident', [directory, String(NOBODY), '0']);
    expect(await resident.next()).toMatchObject({ outcome: 'granted', notices: [] });
    renameSync(join(directory, 'state.db'), join(temporaryDirectory(), 'elsewhere.db'));
    chmodSync(directory, 0o555);
    await expectDegradedThenBack(resident, () => {
      expect(existsSync(join(directory, 'state.db'))).toBe(false);
      chmodSync(directory, 0o755);
    });
  });

  it.skipIf(process.platform !== 'linux')(
    'goes on when its disk takes no more, and comes back when it does',
    async () => {
      const directory = temporaryDirectory();
      const member = fileURLToPath(new URL('./members/resident.mjs', import.meta.url));
      // A soft limit for the size of files, which is lifted later; the shell's unit is 512 or 1,024 bytes.
      const command = `ulimit -S -f 600; exec "${process.execPath}" "${member}" "${directory}" "" 3000`;
      const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      onTestFinished(() => void child.kill('SIGKILL'));
      const messages: unknown[] = [];
      child.on('message', (message) => messages.push(message));
      const next = async (): Promise<unknown> => {
        await expect.poll(() => messages.length, { timeout: 10_000 }).toBeGreaterThan(0);
        return messages.shift();
      };
      expect(await next()).toMatchObject({ outcome: 'granted', notices: [] });
      await expectDegradedThenBack({ child, next }, () => {
        execFileSync('prlimit', ['--pid', String(child.pid), '--fsize=unlimited']);
      });
    },
  );

  async function expectDegradedThenBack(
    { child, next }: Pick<Member, 'child' | 'next'>,
    mend: () => void,
  ): Promise<void> {
    const first = (await next()) as Outcome;
    expect(first).toMatchObject({ outcome: UNAVAILABLE.code, notices: [{ kind: 'degraded' }] });
    mend();
    let latest = first;
    // Where a disk is full a small write may succeed in between.
    while (latest.outcome !== 'granted' || troubles(latest).at(-1) !== 'recovered') {
      latest = (await next()) as Outcome;
    }
    troubles(latest).forEach((kind, index) => expect(kind).toBe(index % 2 === 0 ? 'degraded' : 'recovered'));
    child.send('bye');
  }
});

function troubles({ notices }: Outcome): string[] {
  return notices.map(({ kind }) => kind).filter((kind) => kind !== 'set-aside');
}

function processState({ child }: Member): string {
  return execFileSync('ps', ['-o', 'state=', '-p', String(child.pid)], { encoding: 'utf8' });
}

async function outcomeOf(call: () => unknown): Promise<unknown> {
  try {
    return await call();
  } catch (error) {
    return error;
  }
}
