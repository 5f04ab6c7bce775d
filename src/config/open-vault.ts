import { KeymuxError } from '../core/errors.js';
import type { VaultDefinition } from './configuration.js';
import type { Environment } from './environment.js';

/** A vault that was decrypted. Its values stay in memory as long as this is held. */
export interface OpenVault {
  readonly path: string;
  /** Names of the entries, sorted. */
  names(): readonly string[];
  /** The value under a name; undefined where there is none. */
  get(name: string): string | undefined;
  /** 32 bytes for another purpose, such as sealing the store: the same for everybody who can open this vault. */
  deriveKey(purpose: string): Uint8Array;
}

/**
 * Opens a vault without waiting for anything, as reading a configuration does. What was opened is kept by the process
 * and opened anew where the file changed.
 * @throws `KEYMUX_VAULT_LOCKED`, `KEYMUX_VAULT_DAMAGED`
 */
export function openVault(definition: VaultDefinition, _environment: Environment): OpenVault {
  throw new KeymuxError('KEYMUX_VAULT_LOCKED', `${definition.path} cannot be opened yet.`, {
    fix: 'Use `env:`, `file:` or `exec:` meanwhile.',
  });
}
