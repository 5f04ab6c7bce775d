/** A SQLite file on a small disk of its own, and what befalls it. */
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { FaultKind } from './scenarios.js';
import { command, Started } from './processes.js';
import type { Cleanup } from './processes.js';
import { AT_ONCE_OVER } from './store-actor.js';
import type { StoreActor } from './store-actor.js';

const DISK_MIB = 16;

export interface SqliteActor extends StoreActor {
  readonly folder: string;
  /** Arguments before those of a program that is to see the disk without being able to write to it. */
  readonly readOnlyPrefix: readonly string[];
}

export interface SqliteActorOptions {
  readonly folder: string;
  readonly lockerProgram: string;
  readonly members: number;
  readonly cleanup: Cleanup;
  /** Whether the file gets a disk of its own, which can be full; needs the right to mount. */
  readonly hasOwnDisk: boolean;
}

/** Why there can be no disk that is full here; undefined where there can. */
export function whyNoDisk(): string | undefined {
  return process.getuid?.() === 0 && process.platform === 'linux'
    ? undefined
    : 'only root on Linux can make a disk of its own';
}

export function createSqliteActor(options: SqliteActorOptions): SqliteActor {
  const { cleanup, lockerProgram } = options;
  const folder = join(options.folder, 'disk');
  mkdirSync(folder, { mode: 0o700 });
  if (options.hasOwnDisk) {
    command('mount', '-t', 'tmpfs', '-o', `size=${DISK_MIB}m,mode=700`, 'keymux-chaos', folder);
    cleanup.add(() => void command('umount', '-l', folder));
  }
  const path = join(folder, 'state.db');
  const ballast = join(folder, 'ballast');

  const lock = async (isStopped: boolean): Promise<() => Promise<void>> => {
    const locker = new Started({ program: process.execPath, args: [lockerProgram, path] });
    cleanup.add(
      () => locker.kill(),
      () => locker.signal('SIGKILL'),
    );
    await Promise.race([once(locker.child.stdout ?? locker.child, 'data'), locker.ended]);
    if (!locker.isRunning) throw new Error(`The file could not be locked: ${locker.stderr}`);
    if (isStopped) locker.signal('SIGSTOP');
    return () => locker.kill();
  };

  const begin = (kind: FaultKind): Promise<() => Promise<void>> | undefined => {
    switch (kind) {
      case 'store-locked':
        return lock(false);
      case 'store-locked-by-stopped':
        return lock(true);
      case 'store-deleted':
        for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
        return Promise.resolve(AT_ONCE_OVER);
      case 'disk-full':
        if (!options.hasOwnDisk) throw new Error('Only a disk of its own may be filled.');
        fill(ballast);
        return Promise.resolve(async () => rmSync(ballast));
      default:
        return undefined;
    }
  };
  const remount = `mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"`;
  return {
    folder,
    configuration: { type: 'sqlite', path, members: options.members },
    readOnlyPrefix: ['unshare', '--mount', 'sh', '-c', remount, folder],
    begin,
  };
}

const BLOCK = Buffer.alloc(4_096);

/** Takes all space that is left, to the last block, whatever others write meanwhile. */
function fill(ballast: string): void {
  const file = openSync(ballast, 'w');
  try {
    for (;;) writeSync(file, BLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}
