/** The file of a vault on disk: read with its modes checked, replaced at once or not at all. */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { systemCodeOf } from './environment.js';
import { putInPlace, replaceFile, writeBeside } from './replaced-file.js';
import { damagedVault, lockedVault, vaultUsage } from './vault-errors.js';

const LARGEST_VAULT_BYTES = 16_777_216;
const OTHERS = 0o077;

export interface VaultFile {
  /** Latin-1: one character a byte. */
  readonly armour: string;
  /** Differs where the file was replaced or written to. */
  readonly stamp: string;
}

/** The vault as it was before its key changed, until the new key has opened it once. */
export function previousOf(path: string): string {
  return `${path}.previous`;
}

/** Where a link leads to; a path with nothing there is left as it is. */
export function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** Undefined where there is no file. */
export function stampOf(path: string): string | undefined {
  try {
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    return [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(' ');
  } catch (error) {
    throw unreadable(path, error);
  }
}

/** @throws `KEYMUX_VAULT_LOCKED` where there is none to read, `KEYMUX_VAULT_DAMAGED` where it is not as it must be */
export function readVaultFile(path: string): VaultFile {
  const stamp = stampOf(path);
  if (stamp === undefined)
    throw lockedVault(
      path,
      'there is no such file',
      '`keymux vault init` makes one; or correct `vault.path`.',
    );
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw damagedVault(path, 'it is not a regular file', 'Correct `vault.path`.');
    if (stat.size > LARGEST_VAULT_BYTES)
      throw damagedVault(path, 'it is larger than 16 MiB, which no vault is');
    if (process.platform !== 'win32' && (stat.mode & OTHERS) !== 0)
      throw damagedVault(path, 'other users may read or change it', `chmod 600 ${path}`);
    return { armour: readFileSync(path, 'latin1'), stamp };
  } catch (error) {
    if (error instanceof Error && 'fix' in error) throw error;
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): Error {
  const why = `it cannot be read (${systemCodeOf(error)})`;
  return lockedVault(path, why, 'Make the file and its folder readable for this user.');
}

/** A file beside `path`, on disk when this returns. The caller renames or removes it. */
export function writeVaultBeside(path: string, text: string): string {
  return writing(path, () => writeBeside(path, text));
}

/** From here on `path` is the other file, also after a loss of power. */
export function putVaultInPlace(unfinished: string, path: string): void {
  writing(path, () => putInPlace(unfinished, path));
}

export function replaceVaultFile(path: string, text: string, mode?: number): void {
  writing(path, () => replaceFile(path, text, mode));
}

function writing<T>(path: string, write: () => T): T {
  try {
    return write();
  } catch (error) {
    throw unwritable(path, error);
  }
}

export function unwritable(path: string, error: unknown): Error {
  return vaultUsage(
    `${path} cannot be written (${systemCodeOf(error)}); it is as it was.`,
    `Make ${dirname(path)} writable for this user, and see that its disk has room.`,
  );
}
