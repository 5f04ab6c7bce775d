/** Where the key of a vault is, and what it is. */
import { statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { KeymuxError } from '../core/errors.js';
import type { VaultDefinition } from './configuration.js';
import type { Environment } from './environment.js';
import { readSetting } from './reference.js';
import type { VaultKey } from './vault-cipher.js';
import { lockedVault } from './vault-errors.js';

export const DEFAULT_VAULT_KEY = 'env:KEYMUX_VAULT_KEY';
const KEYCHAIN_SERVICE = 'keymux';
const KEYCHAIN_PACKAGE = '@napi-rs/keyring';
const OTHERS = 0o077;

/** The part of `@napi-rs/keyring` that is used. */
export interface Keychain {
  readonly Entry: new (
    service: string,
    name: string,
  ) => { getPassword(): string | null; setPassword(text: string): void };
}

export type KeychainLoader = () => Keychain;

const require = createRequire(import.meta.url);

/** Optional: most vaults have their key elsewhere, and the package is a native addon. */
export const loadKeychain: KeychainLoader = () => require(KEYCHAIN_PACKAGE) as Keychain;

/**
 * Reads the key that `definition.key` names.
 * @throws `KEYMUX_VAULT_LOCKED`
 */
export function readVaultKey(
  definition: VaultDefinition,
  environment: Environment,
  keychain: KeychainLoader = loadKeychain,
): VaultKey {
  return parseVaultKey(textOfKey(definition, environment, keychain), definition);
}

function textOfKey(definition: VaultDefinition, environment: Environment, keychain: KeychainLoader): string {
  const { path, key, folder } = definition;
  if (key.startsWith('keychain:')) return readKeychain(definition, keychain);
  refuseOpenKeyFile(definition);
  try {
    return readSetting(key, { option: 'vault.key', environment, folder }).secret.reveal();
  } catch (error) {
    if (!(error instanceof KeymuxError)) throw error;
    const why = error.message.replace(/\.$/, '');
    throw lockedVault(
      path,
      why,
      `Make ${kindOf(key)} give the key of the vault, or state another \`vault.key\`.`,
    );
  }
}

/** Absolute; undefined where the key is in no file. */
export function keyFileOf({ key, folder }: Pick<VaultDefinition, 'key' | 'folder'>): string | undefined {
  return key.startsWith('file:') ? resolve(folder, key.slice('file:'.length)) : undefined;
}

export function keychainNameOf({ key }: Pick<VaultDefinition, 'key'>): string | undefined {
  return key.startsWith('keychain:') ? key.slice('keychain:'.length).trim() : undefined;
}

function refuseOpenKeyFile(definition: VaultDefinition): void {
  const file = keyFileOf(definition);
  if (file === undefined || process.platform === 'win32') return;
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined || (stat.mode & OTHERS) === 0) return;
  throw lockedVault(
    definition.path,
    `other users may read or change its key file ${file}`,
    `chmod 600 ${file}; if others were able to read it, \`keymux vault rotate\` afterwards.`,
  );
}

function readKeychain(definition: VaultDefinition, load: KeychainLoader): string {
  const name = keychainNameOf(definition) ?? '';
  const found = openKeychain(definition, load, (keychain) =>
    new keychain.Entry(KEYCHAIN_SERVICE, name).getPassword(),
  );
  if (found !== null && found.trim() !== '') return found;
  throw lockedVault(
    definition.path,
    `the keychain has nothing under keymux/${name}`,
    `\`keymux vault init --key keychain:${name}\` makes one for a new vault.`,
  );
}

/** @throws `KEYMUX_VAULT_LOCKED` */
export function writeKeychain(
  definition: VaultDefinition,
  text: string,
  load: KeychainLoader = loadKeychain,
): void {
  const name = keychainNameOf(definition) ?? '';
  openKeychain(definition, load, (keychain) => {
    new keychain.Entry(KEYCHAIN_SERVICE, name).setPassword(text);
  });
}

/** Whether there is something under the name already. */
export function isInKeychain(definition: VaultDefinition, load: KeychainLoader = loadKeychain): boolean {
  const name = keychainNameOf(definition) ?? '';
  return (
    openKeychain(definition, load, (keychain) => new keychain.Entry(KEYCHAIN_SERVICE, name).getPassword()) !==
    null
  );
}

function openKeychain<T>({ path }: VaultDefinition, load: KeychainLoader, use: (keychain: Keychain) => T): T {
  let keychain: Keychain;
  try {
    keychain = load();
  } catch {
    throw lockedVault(
      path,
      `the package ${KEYCHAIN_PACKAGE}, which reads keychains, is not installed or has no build for this system`,
      `npm install ${KEYCHAIN_PACKAGE}, or keep the key in a file: \`vault.key: file:PATH\`.`,
    );
  }
  try {
    return use(keychain);
  } catch {
    // What the system says may repeat what was to be stored.
    throw lockedVault(
      path,
      'the keychain of this system cannot be used (locked, or no session of a desktop)',
      'Unlock it, or keep the key in a file: `vault.key: file:PATH`.',
    );
  }
}

/** An age identity a line (comments are skipped), or a passphrase of one line. */
export function parseVaultKey(text: string, definition: Pick<VaultDefinition, 'path' | 'key'>): VaultKey {
  const lines = text.trim().split('\n');
  const [first = ''] = lines;
  if (lines.length === 1 && first !== '' && !/^(?:AGE-|-----)/i.test(first))
    return { kind: 'passphrase', passphrase: first };
  const identities = lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
  if (identities.length > 0 && identities.every((line) => line.startsWith('AGE-SECRET-KEY-')))
    return { kind: 'identities', identities };
  throw lockedVault(
    definition.path,
    `${kindOf(definition.key)} gives neither age identities (AGE-SECRET-KEY-1…) nor a passphrase of one line`,
    '`age-keygen` and `keymux vault init --key file:PATH` make identities.',
  );
}

/** A command may hold a token. */
export function kindOf(key: string): string {
  return key.startsWith('exec:') ? 'the command' : key;
}
