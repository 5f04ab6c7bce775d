/** The vault, and where secrets come from, for programs of their own. */
import { resolve } from 'node:path';
import { readEnvironment } from './config/environment.js';
import { DEFAULT_VAULT_KEY, readVaultKey } from './config/vault-key.js';
import type { OpenedVault, VaultAccess } from './config/vault-opened.js';
import { accessWith } from './config/vault-opened.js';
import * as writing from './config/vault-write.js';
import type { VaultDraft } from './config/vault-write.js';

export type { OpenVault } from './config/open-vault.js';
export type { EntryNews, OpenedVault } from './config/vault-opened.js';
export type { VaultDraft } from './config/vault-write.js';

/** Which vault is meant. Relative paths start at the working directory. */
export interface VaultOptions {
  /** Default: `keymux.vault`. */
  readonly path?: string;
  /** Where its key is: `env:NAME`, `file:PATH`, `exec:COMMAND` or `keychain:NAME`. Default: `env:KEYMUX_VAULT_KEY`. */
  readonly key?: string;
  /** Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * Makes an empty vault for the key that `key` names, which must be there: an age identity or a passphrase.
 * @throws `KEYMUX_VAULT_LOCKED`; `KEYMUX_USAGE` where something stands at its path
 */
export async function createVault(options: VaultOptions = {}): Promise<OpenedVault> {
  return writing.createVault(accessOf(options));
}

/**
 * Opens a vault. What it returns stays as it was read.
 * @throws `KEYMUX_VAULT_LOCKED`, `KEYMUX_VAULT_DAMAGED`
 */
export async function readVault(options: VaultOptions = {}): Promise<OpenedVault> {
  return writing.readVault(accessOf(options));
}

/**
 * Changes entries under the lock of the vault: all that `change` does is written, or nothing.
 * @throws `KEYMUX_VAULT_LOCKED`, `KEYMUX_VAULT_DAMAGED`, `KEYMUX_USAGE` for a name or value that cannot be kept,
 * `KEYMUX_TIMEOUT` where another process writes for longer than 30 s
 */
export async function changeVault(
  change: (draft: VaultDraft) => void,
  options: VaultOptions = {},
): Promise<OpenedVault> {
  return writing.changeVault(accessOf(options), change);
}

function accessOf({ path = 'keymux.vault', key = DEFAULT_VAULT_KEY, env }: VaultOptions): VaultAccess {
  const folder = process.cwd();
  const definition = { path: resolve(path), key, folder };
  const environment = readEnvironment(env ?? process.env, folder);
  return accessWith(definition, environment, readVaultKey(definition, environment));
}
