/** Files that appear whole or not at all, also after a loss of power. Throws what the file system throws. */
import { closeSync, fsyncSync, linkSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

const PRIVATE = 0o600;

/** A file beside `path`, on disk when this returns. The caller renames or removes it. */
export function writeBeside(path: string, content: string | Uint8Array, mode = PRIVATE): string {
  const { randomBytes } = process.getBuiltinModule('node:crypto');
  const unfinished = `${path}.${process.pid}-${randomBytes(6).toString('hex')}.tmp`;
  try {
    writeFileSync(unfinished, content, { mode, flag: 'wx', flush: true });
    return unfinished;
  } catch (error) {
    remove(unfinished);
    throw error;
  }
}

/** From here on `path` is the other file. */
export function putInPlace(unfinished: string, path: string): void {
  try {
    renameSync(unfinished, path);
    syncFolder(dirname(path));
  } catch (error) {
    remove(unfinished);
    throw error;
  }
}

export function replaceFile(path: string, content: string | Uint8Array, mode?: number): void {
  putInPlace(writeBeside(path, content, mode), path);
}

/** False where there is one already: of several processes that start at once, one makes the file. */
export function createFile(path: string, content: string | Uint8Array): boolean {
  const whole = writeBeside(path, content);
  try {
    linkSync(whole, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  } finally {
    remove(whole);
  }
}

/** Brings the names of the files in it to the disk. */
export function syncFolder(folder: string): void {
  // Windows opens no folders.
  if (process.platform === 'win32') return;
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function remove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Where nothing could be written, nothing is left behind.
  }
}
