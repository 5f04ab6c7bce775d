import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { StoreNotice } from '#keymux/core/ports.js';
import { machineTime } from '#keymux/stores/sqlite/shared-clock.js';
import {
  connectTo,
  dailyRequest,
  makeStore,
  openStore,
  readValue,
  resting,
  startMember,
  temporaryDirectory,
} from './sqlite-fixture.js';

interface Report {
  readonly notices: readonly StoreNotice[];
  readonly granted?: number;
  readonly codes: readonly string[];
}

const NOBODY = '65534';
const isRoot = process.getuid?.() === 0;

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

function giveTo(user: string, path: string): void {
  if (isRoot) chownSync(path, Number(user), Number(user));
}

async function openRestricted(directory: string, rounds = 0): Promise<Report> {
  const member = startMember('restricted', [directory, NOBODY, String(rounds)]);
  const report = (await member.next()) as Report;
  await member.exited;
  return report;
}

describe('files of the store', () => {
  it('are for their user alone, whatever the umask', async () => {
    const parent = temporaryDirectory();
    giveTo(NOBODY, parent);
    const directory = join(parent, 'made', 'here');
    const { notices } = await openRestricted(directory, 1);
    expect(notices).toEqual([]);
    expect(modeOf(directory)).toBe('700');
    expect(modeOf(join(parent, 'made'))).toBe('700');
    for (const name of ['state.db', 'state.db.lock']) expect(modeOf(join(directory, name))).toBe('600');
    const store = connectTo(join(directory, 'state.db'));
    store.exec('BEGIN; SELECT 1; COMMIT');
    for (const part of ['-wal', '-shm']) {
      store.exec('UPDATE clock SET id = 1');
      expect(modeOf(join(directory, `state.db${part}`))).toBe('600');
    }
  });

  it('are tightened where they are wider, and so is a directory of the name of keymux', async () => {
    const directory = join(temporaryDirectory(), 'keymux');
    const keeper = await openStore({ directory });
    await keeper.store.publish([resting('key:a')]);
    const names = ['state.db', 'state.db-wal', 'state.db-shm', 'state.db.lock'];
    for (const name of names) chmodSync(join(directory, name), 0o666);
    chmodSync(directory, 0o755);
    await openStore({ directory });
    for (const name of names) expect(modeOf(join(directory, name))).toBe('600');
    expect(modeOf(directory)).toBe('700');
  });

  it('leave the mode of a directory alone that is not theirs', async () => {
    const directory = join(temporaryDirectory(), 'project');
    mkdirSync(directory);
    chmodSync(directory, 0o755);
    await openStore({ path: join(directory, 'keys.db') });
    expect(modeOf(directory)).toBe('755');
    expect(modeOf(join(directory, 'keys.db'))).toBe('600');
  });
});

describe('a store whose file cannot be used from the start', () => {
  function expectInMemory({ notices, granted }: Report, what: string): void {
    expect(notices.map(({ kind }) => kind)).toEqual(['degraded']);
    expect(notices[0]?.message).toContain(what);
    expect(notices[0]?.message).toContain('in memory');
    expect(notices[0]?.fix).toMatch(/start the program again/);
    expect(granted).toBe(2);
  }

  it('works in memory when the directory may not be written', async () => {
    const directory = temporaryDirectory();
    chmodSync(directory, 0o555);
    expectInMemory(await openRestricted(directory), 'may not be written');
  });

  it('works in memory when the directory may not be made', async () => {
    const directory = temporaryDirectory();
    chmodSync(directory, 0o555);
    expectInMemory(await openRestricted(join(directory, 'below')), 'may not be written');
  });

  it('works in memory when the file may not be written, and leaves it where it is', async () => {
    const directory = temporaryDirectory();
    const { store } = makeStore({ directory });
    await store.open();
    await store.publish([resting('key:a')]);
    await store.close();
    const path = join(directory, 'state.db');
    connectTo(path).exec('PRAGMA wal_checkpoint(TRUNCATE)');
    for (const name of ['state.db', 'state.db.lock']) chmodSync(join(directory, name), 0o444);
    for (const name of ['', '-wal', '-shm', '.lock']) giveTo('1', path + name);
    giveTo(NOBODY, directory);
    expectInMemory(await openRestricted(directory), 'may not be written');
    expect(readValue(path, 'SELECT count(*) FROM health')).toBe(1);
  });

  it('works in memory when a file stands where the directory should be', async () => {
    const file = join(temporaryDirectory(), 'file');
    writeFileSync(file, 'precious');
    const { store, notices } = await openStore({ directory: join(file, 'below') });
    expect(notices).toMatchObject([{ kind: 'degraded' }]);
    expect(await store.lease(dailyRequest(3, 9))).toMatchObject({ granted: 3 });
    expect(readFileSync(file, 'utf8')).toBe('precious');
  });

  it('works in memory when a directory stands where the file should be', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    mkdirSync(path);
    const { store, notices } = await openStore({ path }, {});
    expect(notices).toMatchObject([
      { kind: 'degraded', message: expect.stringContaining('cannot be opened') },
    ]);
    expect(await store.lease(dailyRequest(3, 9))).toMatchObject({ granted: 3 });
  });

  it.each([
    [
      'leads nowhere',
      (path: string) => symlinkSync(join(path, 'nowhere', 'at-all'), `${path}.lock`),
      'state.db',
    ],
    ['has too long a name', () => {}, `${'x'.repeat(252)}.db`],
  ])('works in memory when the file for the lock %s', async (_how, prepare, name) => {
    const path = join(temporaryDirectory(), name);
    prepare(path);
    const { store, notices } = await openStore({ path });
    expect(notices).toMatchObject([
      { kind: 'degraded', message: expect.stringContaining('cannot be opened') },
    ]);
    expect(await store.lease(dailyRequest(3, 9))).toMatchObject({ granted: 3 });
    const unwatch = store.watch(() => expect.unreachable());
    expect(await store.publish([resting('key:a')])).toEqual([resting('key:a')]);
    unwatch();
  });

  it('works in memory when this turns out while it waits to open it', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'state.db');
    const lock = connectTo(`${path}.lock`);
    lock.exec('BEGIN EXCLUSIVE');
    const { store, notices } = makeStore({ path });
    const opening = store.open();
    mkdirSync(path);
    lock.exec('ROLLBACK');
    expect(await opening).toEqual({ records: [], usage: [] });
    expect(notices).toMatchObject([{ kind: 'degraded', message: expect.stringContaining('in memory') }]);
    expect(await store.lease(dailyRequest(3, 9))).toMatchObject({ granted: 3 });
  });

  it('works in memory, by the clock of its options, when there is no driver', async () => {
    const { store, notices } = await openStore(
      { directory: temporaryDirectory(), now: () => 12_345 },
      {
        loadDriver: () => {
          throw new Error('Cannot find module @libsql/plan9-x64\nRequire stack: …');
        },
      },
    );
    expect(notices).toMatchObject([{ kind: 'degraded', fix: expect.stringContaining('npm install') }]);
    expect(notices[0]?.message).toContain('Cannot find module @libsql/plan9-x64.');
    expect(store.now()).toBe(12_345);
    // Others know nothing of it.
    expect(store.shared).toBe(false);
  });
});

describe('a store whose disk fills up', () => {
  it('says so once, fails each call plainly, and loses nothing that was written', async () => {
    const directory = temporaryDirectory();
    // The shell's unit is 512 or 1,024 bytes; either leaves room for the first writes only.
    const member = fileURLToPath(new URL('./members/restricted.mjs', import.meta.url));
    const command = `ulimit -f 400; exec "${process.execPath}" "${member}" "${directory}" "" 300`;
    const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    const report = await new Promise<Report>((resolve, reject) => {
      child.once('message', (message) => resolve(message as Report));
      child.once('exit', (code) => reject(new Error(`it ended early: ${String(code)}`)));
    });
    expect(report.codes).toEqual(['KEYMUX_STORE_UNAVAILABLE']);
    expect(report.notices[0]).toMatchObject({ kind: 'degraded' });
    expectTransitions(report.notices);
    const { store, notices } = await openStore({ directory });
    expect(notices).toEqual([]);
    expect((await store.usage()).length).toBeGreaterThan(20);
    expect(readValue(join(directory, 'state.db'), 'PRAGMA integrity_check')).toBe('ok');
  });

  const disk = canMount() ? it : it.skip;
  disk('names the disk, and recovers when there is space again', async () => {
    const directory = join(temporaryDirectory(), 'disk');
    mountSmallDisk(directory, '600k');
    const { store, notices } = await openStore({ directory });
    await store.publish([resting('key:before')]);
    const ballast = join(directory, 'ballast');
    fillUp(ballast);
    const big = Array.from({ length: 40 }, (_, index) => resting(`key:${String(index)}${'x'.repeat(9_000)}`));
    const failure = { code: 'KEYMUX_STORE_UNAVAILABLE', message: expect.stringContaining('disk is full') };
    expect(await outcomeOf(() => store.publish(big))).toMatchObject(failure);
    expect(await outcomeOf(() => store.publish(big))).toMatchObject({ code: 'KEYMUX_STORE_UNAVAILABLE' });
    expect(notices).toMatchObject([{ kind: 'degraded', fix: expect.stringContaining('Free some space') }]);
    rmSync(ballast);
    await expect
      .poll(() => outcomeOf(() => store.publish([resting('key:after')])), { interval: 5 })
      .toEqual([resting('key:after')]);
    expect(notices.map(({ kind }) => kind)).toEqual(['degraded', 'recovered']);
    expect((await store.open()).records.map(({ subject }) => subject).sort()).toEqual([
      'key:after',
      'key:before',
    ]);
    await store.close();
  });

  disk('starts in memory when it was full before', async () => {
    const directory = join(temporaryDirectory(), 'disk');
    mountSmallDisk(directory, '100k');
    fillUp(join(directory, 'ballast'));
    const { store, notices } = await openStore({ directory });
    expect(notices).toMatchObject([{ kind: 'degraded', message: expect.stringContaining('full') }]);
    expect(await store.lease(dailyRequest(3, 9))).toMatchObject({ granted: 3 });
  });
});

describe('a store whose file is taken away', () => {
  it.each(['deleted', 'moved'])(
    'fails once, and brings what it knew into the next file (%s)',
    async (how) => {
      const directory = temporaryDirectory();
      const path = join(directory, 'state.db');
      const members = [await openStore({ path }), await openStore({ path })];
      const [one, other] = members.map(({ store }) => store);
      await one?.publish([resting('key:a')]);
      await one?.addUsage([{ subject: 'key:a', requests: 4, failures: 0, costUsd: 0 }]);
      await one?.lease(dailyRequest(10, 3));
      const lease = await one?.lease(dailyRequest(10, 2));
      await one?.settle([
        { bucket: 'p/b', leaseId: lease?.leaseId ?? '', spent: 2, countedAt: one.now(), returned: 0 },
      ]);
      if (how === 'moved') renameSync(path, join(directory, 'elsewhere'));
      else for (const part of ['', '-wal', '-shm']) rmSync(path + part);
      for (const store of [one, other]) {
        expect(await outcomeOf(() => store?.lease(dailyRequest(10, 1)))).toMatchObject({
          code: 'KEYMUX_STORE_UNAVAILABLE',
          message: expect.stringContaining(path),
        });
      }
      expect(await one?.lease(dailyRequest(10, 1))).toMatchObject({ granted: 1, left: 4 });
      expect(await other?.lease(dailyRequest(10, 9))).toMatchObject({ granted: 4 });
      expect((await one?.open())?.records).toEqual([resting('key:a')]);
      expect(await other?.usage()).toMatchObject([{ requests: 4 }]);
      for (const { notices } of members) expectTransitions(notices);
    },
  );

  it('is noticed by a watcher, who then hears of others again', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store, notices } = await openStore({ path });
    const seen: string[] = [];
    store.watch((records) => seen.push(...records.map(({ subject }) => subject)));
    for (const part of ['', '-wal', '-shm']) rmSync(path + part);
    await expect.poll(() => notices[0]?.kind).toBe('degraded');
    const other = await openStore({ path });
    await other.store.publish([resting('key:other')]);
    await expect.poll(() => seen).toEqual(['key:other']);
    await store.publish([]);
    await store.usage();
    expect(notices.at(-1)?.kind).toBe('recovered');
  });

  it('backs off while it cannot come back', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'state.db');
    const { store, notices } = await openStore({ path });
    for (const part of ['', '-wal', '-shm']) rmSync(path + part);
    mkdirSync(path);
    for (let call = 0; call < 50; call += 1) {
      expect(await outcomeOf(() => store.usage())).toMatchObject({ code: 'KEYMUX_STORE_UNAVAILABLE' });
    }
    expect(notices.map(({ kind }) => kind)).toEqual(['degraded']);
    rmSync(path, { recursive: true });
    await expect.poll(() => outcomeOf(() => store.usage()), { interval: 5 }).toEqual([]);
    expect(notices.map(({ kind }) => kind)).toEqual(['degraded', 'recovered']);
  });
});

describe('a store whose file is locked by another process', () => {
  async function hold(path: string): Promise<(ms: number) => void> {
    const holder = startMember('holder', [path]);
    expect(await holder.next()).toBe('held');
    return (ms) => void holder.child.send(ms);
  }

  it('waits for the lock without stopping the event loop', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store, notices } = await openStore({ path });
    const release = await hold(path);
    let turns = 0;
    let isWaiting = true;
    const turn = (): void => {
      turns += 1;
      if (turns === 200) release(300);
      if (isWaiting) setImmediate(turn);
    };
    setImmediate(turn);
    const pending = store.publish([resting('key:a')]);
    expect(pending).toBeInstanceOf(Promise);
    expect(await pending).toEqual([resting('key:a')]);
    isWaiting = false;
    // The lock is only let go after 200 turns, which would never come if a call had blocked.
    expect(turns).toBeGreaterThan(200);
    expect(notices).toEqual([]);
  });

  it('gives up, says who may be to blame, and then goes on', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store, notices } = await openStore({ path });
    const release = await hold(path);
    expect(await outcomeOf(() => store.lease(dailyRequest(5, 2)))).toMatchObject({
      code: 'KEYMUX_STORE_UNAVAILABLE',
      message: expect.stringContaining('locked by another process'),
      fix: expect.stringContaining('lsof'),
    });
    expect(notices).toEqual([]);
    await expect(store.publish([resting('key:a')])).rejects.toMatchObject({
      code: 'KEYMUX_STORE_UNAVAILABLE',
    });
    release(0);
    await expect.poll(() => outcomeOf(() => store.lease(dailyRequest(5, 9)))).toMatchObject({ granted: 5 });
    expect(notices.map(({ kind }) => kind)).toEqual(['degraded', 'recovered']);
  });

  it('writes what is pending before it closes', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const { store } = await openStore({ path });
    const release = await hold(path);
    const pending = store.publish([resting('key:a')]);
    const closed = store.close();
    expect(() => store.usage()).toThrow(expect.objectContaining({ code: 'KEYMUX_CLOSED' }));
    release(50);
    await closed;
    expect(await pending).toEqual([resting('key:a')]);
    expect(store.close()).toBe(closed);
    expect(readValue(path, 'SELECT count(*) FROM health')).toBe(1);
  });

  it('waits for another that is just opening it', async () => {
    const directory = temporaryDirectory();
    await openStore({ directory });
    const release = await hold(join(directory, 'state.db.lock'));
    const { store, notices } = makeStore({ directory });
    const opening = store.open();
    expect(opening).toBeInstanceOf(Promise);
    expect(store.open()).toBeInstanceOf(Promise);
    expect(() => store.usage()).toThrow(expect.objectContaining({ code: 'KEYMUX_USAGE' }));
    release(30);
    expect(await opening).toEqual({ records: [], usage: [] });
    expect(notices).toEqual([]);
  });

  it('starts without it where it stays locked for long, and recovers by itself', async () => {
    const directory = temporaryDirectory();
    const first = await openStore({ directory });
    await first.store.publish([resting('key:a')]);
    const release = await hold(join(directory, 'state.db.lock'));
    const { store, notices } = makeStore({ directory });
    expect(await store.open()).toEqual({ records: [], usage: [] });
    expect(notices).toMatchObject([{ kind: 'degraded' }]);
    const seen: string[] = [];
    store.watch((records) => seen.push(...records.map(({ subject }) => subject)));
    release(0);
    await expect.poll(() => seen).toEqual(['key:a']);
    await expect.poll(() => outcomeOf(() => store.usage())).toEqual([]);
    expect(notices.map(({ kind }) => kind)).toEqual(['degraded', 'recovered']);
  });

  it('closes while it is still waiting to open', async () => {
    const directory = temporaryDirectory();
    const release = await hold(join(directory, 'state.db.lock'));
    const { store } = makeStore({ directory });
    const opening = outcomeOf(() => store.open());
    const closed = store.close();
    release(0);
    await closed;
    expect(await opening).toMatchObject({ code: 'KEYMUX_CLOSED' });
  });

  it('can still be opened when somebody wrote into the lock file', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'state.db.lock'), 'this is not a lock\n'.repeat(300));
    const { notices } = await openStore({ directory });
    expect(notices).toEqual([]);
  });
});

describe('charges that lie in an impossible future', () => {
  it('count from now on, and block their bucket no longer', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const ahead = {
      ...machineTime(),
      boot: 'with a wrong clock',
      wallMs: () => Date.now() + 400 * 86_400_000,
    };
    const { store } = await openStore({ path }, { time: ahead });
    const brief = { ...dailyRequest(4, 2), windows: [{ requests: 4, perMs: 50 }] };
    await store.lease(brief);
    const { leaseId } = await store.lease(brief);
    await store.settle([{ bucket: 'p/b', leaseId, spent: 2, countedAt: store.now(), returned: 0 }]);
    await store.close();
    const after = await openStore({ path });
    expect(await after.store.lease(brief)).toMatchObject({ granted: 0 });
    await expect.poll(() => after.store.lease(brief), { interval: 5 }).toMatchObject({ granted: 2 });
  });
});

function expectTransitions(notices: readonly StoreNotice[]): void {
  const kinds = notices.map(({ kind }) => kind).filter((kind) => kind !== 'set-aside');
  kinds.forEach((kind, index) => expect(kind).toBe(index % 2 === 0 ? 'degraded' : 'recovered'));
  expect(kinds.length).toBeGreaterThan(0);
}

async function outcomeOf(call: () => unknown): Promise<unknown> {
  try {
    return await call();
  } catch (error) {
    return error;
  }
}

function canMount(): boolean {
  if (!isRoot || process.platform !== 'linux') return false;
  const directory = join('/tmp', `keymux-mount-${String(process.pid)}`);
  try {
    mkdirSync(directory);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=100k', 'none', directory], { stdio: 'ignore' });
    execFileSync('umount', [directory], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function mountSmallDisk(directory: string, size: string): void {
  mkdirSync(directory);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'none', directory]);
  // The driver keeps files open until its statements are collected, hence lazily.
  onTestFinished(() => void execFileSync('umount', ['--lazy', directory]));
}

function fillUp(path: string): void {
  try {
    for (let size = 0; ; size += 4_096) writeFileSync(path, Buffer.alloc(4_096), { flag: 'a' });
  } catch (error) {
    expect(error).toMatchObject({ code: 'ENOSPC' });
  }
}
