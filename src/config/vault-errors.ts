import { KeymuxError } from '../core/errors.js';

const MEND = 'Put back a backup of the vault, then run `keymux vault accept`. Nothing was overwritten.';

/** The vault opens, or would, and is not what keymux wrote. */
export function damagedVault(path: string, why: string, fix = MEND): KeymuxError {
  return new KeymuxError('KEYMUX_VAULT_DAMAGED', `The vault ${path} is refused: ${why}.`, { fix });
}

/** The vault cannot be opened with what is there. */
export function lockedVault(path: string, why: string, fix: string): KeymuxError {
  return new KeymuxError('KEYMUX_VAULT_LOCKED', `The vault ${path} stays locked: ${why}.`, { fix });
}

/** What was asked for cannot be done with this vault; nothing was changed. */
export function vaultUsage(message: string, fix: string): KeymuxError {
  return new KeymuxError('KEYMUX_USAGE', message, { fix });
}
