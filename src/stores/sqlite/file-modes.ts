/** Directories 0700 and files 0600, whatever the umask. Windows keeps a user's profile private by itself. */
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  mkdirSync,
  openSync,
  statSync,
} from 'node:fs';
import { basename } from 'node:path';

const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;
const OTHERS = 0o077;

/** Makes the directory, or tightens it where it is keymux's own; a directory of another name is left as it is. */
export function preparePrivateDirectory(path: string): void {
  const created = mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE });
  if (created !== undefined || /^\.?keymux$/.test(basename(path))) tighten(path, DIRECTORY_MODE);
}

/** Makes an empty file; fails if there is one. */
export function createPrivateFile(path: string): void {
  const file = openSync(path, 'wx', FILE_MODE);
  try {
    // The umask may have taken bits away, and a file system may have added some.
    if (process.platform !== 'win32') fchmodSync(file, FILE_MODE);
  } finally {
    closeSync(file);
  }
}

/** Takes every right from others, where the file exists and belongs to this user. */
export function tightenFile(path: string): void {
  tighten(path, FILE_MODE);
}

export function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function tighten(path: string, mode: number): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined || stats.uid !== process.getuid?.() || (stats.mode & OTHERS) === 0) return;
  chmodSync(path, mode);
}
