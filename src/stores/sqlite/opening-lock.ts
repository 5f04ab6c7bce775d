import { existsSync, statSync, truncateSync } from 'node:fs';
import { codeOf, connect } from './driver.js';
import type { Driver } from './driver.js';
import { createPrivateFile, tightenFile } from './file-modes.js';

/**
 * Runs `work` while no other process of the machine opens, makes or sets aside the same file. The lock is SQLite's
 * own, on an empty file next to it, so that the kernel takes it back from a process that dies. Throws
 * `SQLITE_BUSY` if somebody else is at it.
 */
export function whileLocked<T>(driver: Driver, path: string, work: () => T): T {
  prepareLockFile(path);
  // Statements are not prepared here: they would keep the handle open after close().
  const lock = connect(driver, path);
  try {
    lock.exec('PRAGMA journal_mode = MEMORY');
    lock.exec('BEGIN EXCLUSIVE');
    try {
      return work();
    } finally {
      lock.exec('ROLLBACK');
    }
  } finally {
    lock.close();
  }
}

function prepareLockFile(path: string): void {
  if (!existsSync(path)) {
    try {
      createPrivateFile(path);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
  }
  tightenFile(path);
  // Only an empty file can be locked without being a database; nothing of ours is ever in it.
  if (statSync(path).size > 0) truncateSync(path);
}
