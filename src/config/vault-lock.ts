/** One writer at a time: a file with the writer's process id, taken over where that process is gone. */
import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { KeymuxError } from '../core/errors.js';
import { systemCodeOf } from './environment.js';
import { unwritable } from './vault-file.js';

const WAIT_MS = 30_000;
const POLL_MS = 25;
/** No writing takes as long; of a process on another machine nothing else can be known. */
const LONGEST_HOLD_MS = 600_000;

export interface VaultLock {
  /** False where somebody took it over: what was read under it may be old. */
  isHeld(): boolean;
  release(): void;
}

/**
 * Waits until nobody else writes to the vault at `path`.
 * @throws `KEYMUX_TIMEOUT` after `waitMs` (default 30,000)
 */
export async function lockVault(path: string, waitMs = WAIT_MS): Promise<VaultLock> {
  const endsAt = performance.now() + waitMs;
  for (;;) {
    const lock = tryLockVault(path);
    if (lock !== undefined) return lock;
    if (performance.now() >= endsAt) throw busy(path);
    await delay(POLL_MS);
  }
}

/** Undefined where somebody else holds it. */
export function tryLockVault(path: string): VaultLock | undefined {
  const file = `${path}.lock`;
  const owner = JSON.stringify([process.pid, hostname(), randomBytes(12).toString('hex')]);
  try {
    writeFileSync(file, owner, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (systemCodeOf(error) !== 'EEXIST') throw unwritable(path, error);
    removeIfLeft(file);
    return undefined;
  }
  const isHeld = (): boolean => ownerIn(file) === owner;
  const release = (): void => {
    if (isHeld()) rmSync(file, { force: true });
  };
  return { isHeld, release };
}

/** Two that find the same lock left behind must not remove a third one's: it is moved away first, and looked at. */
function removeIfLeft(file: string): void {
  const owner = ownerIn(file);
  if (owner === undefined || !isLeft(file, owner)) return;
  const aside = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    renameSync(file, aside);
    if (ownerIn(aside) !== owner) linkSync(aside, file);
  } catch {
    // Somebody else was faster; a writer that lost its lock notices before it replaces anything.
  }
  rmSync(aside, { force: true });
}

function isLeft(file: string, owner: string): boolean {
  const [, pid = '', host = ''] = /^\[(\d+),("[^"]*")/.exec(owner) ?? [];
  if (host === JSON.stringify(hostname())) return !isAlive(Number(pid));
  const writtenAt = statSync(file, { throwIfNoEntry: false })?.mtimeMs;
  return writtenAt !== undefined && Date.now() - writtenAt > LONGEST_HOLD_MS;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCodeOf(error) !== 'ESRCH';
  }
}

function ownerIn(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function busy(path: string): KeymuxError {
  return new KeymuxError('KEYMUX_TIMEOUT', `Another process has been writing to ${path} for a long time.`, {
    fix: `Let it end. If no keymux writes to it, remove ${path}.lock.`,
  });
}
