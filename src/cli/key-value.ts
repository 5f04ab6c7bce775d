/** The new value of a key: read from where it is, and written to where a reference points. */
import { realpathSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { systemCodeOf } from '../config/environment.js';
import { replaceFile } from '../config/replaced-file.js';
import { changeVault } from '../config/vault-write.js';
import { KeymuxError } from '../core/errors.js';
import { openPlace } from './vault-place.js';

const PRIVATE = 0o600;

/** Whether `writeValue` can write there. */
export function isWritable(reference: string): boolean {
  return reference.startsWith('file:') || reference.startsWith('vault:');
}

/**
 * Puts a new value in the place of the old one, at once or not at all. `folder`: where relative paths start.
 * @throws `KEYMUX_USAGE`, `KEYMUX_VAULT_LOCKED`, `KEYMUX_VAULT_DAMAGED`
 */
export async function writeValue(reference: string, value: string, folder: string): Promise<void> {
  if (reference.startsWith('vault:')) {
    await changeVault(await openPlace({}), (draft) => draft.set(reference.slice('vault:'.length), value));
    return;
  }
  replaceText(resolve(folder, reference.slice('file:'.length)), value);
}

/** Paths that start at the home directory are not expanded by `file:` either, see docs/configuration.md. */
function replaceText(path: string, value: string): void {
  try {
    const place = realpathSync(path);
    replaceFile(place, `${value}\n`, statSync(place).mode & PRIVATE);
  } catch (error) {
    throw new KeymuxError('KEYMUX_USAGE', `${path} cannot be written (${systemCodeOf(error)}).`, {
      fix: 'Nothing was changed: make the file and its folder writable for this user.',
    });
  }
}
