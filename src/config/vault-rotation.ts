/** A new key at the place where the old one is: no configuration has to change with it. */
import { readFileSync } from 'node:fs';
import { makeIdentity } from './vault-cipher.js';
import { previousOf, realPathOf, replaceVaultFile } from './vault-file.js';
import type { KeychainLoader } from './vault-key.js';
import { keychainNameOf, keyFileOf, writeKeychain } from './vault-key.js';
import { vaultUsage } from './vault-errors.js';
import type { OpenedVault, VaultAccess } from './vault-opened.js';
import type { VaultWriting } from './vault-write.js';
import { rotateVault } from './vault-write.js';

/**
 * Makes a new identity and stores it where the old one is: in the key file or the keychain. While the vault changes,
 * both stand there, so that a crash at any point leaves a key that opens it.
 * @throws `KEYMUX_USAGE` where the key is elsewhere, or is a passphrase
 */
export async function rotateInPlace(
  access: VaultAccess,
  writing: VaultWriting = {},
  keychain?: KeychainLoader,
): Promise<OpenedVault> {
  const { definition, key } = access;
  const store = keyStoreOf(access, keychain);
  if (store === undefined || key.kind === 'passphrase')
    throw vaultUsage(
      `A new key cannot be put where this one is (${definition.key.split(':', 1)[0] ?? ''}).`,
      'Say where the new one is: `keymux vault rotate --new-key file:PATH`, and state it as `vault.key` afterwards.',
    );
  const identity = await makeIdentity();
  writing.onStep?.('add-key');
  store.write([identity, ...key.identities]);
  let vault: OpenedVault;
  try {
    const next = { ...access, key: { kind: 'identities', identities: [identity] } } as const;
    vault = await rotateVault(access, next, writing);
  } catch (error) {
    store.write(key.identities);
    throw error;
  }
  writing.onStep?.('drop-key');
  store.write([identity]);
  return vault;
}

interface KeyStore {
  write(identities: readonly string[]): void;
}

function keyStoreOf({ definition }: VaultAccess, keychain: KeychainLoader | undefined): KeyStore | undefined {
  const file = keyFileOf(definition);
  if (file !== undefined) return keyFileStore(realPathOf(file));
  if (keychainNameOf(definition) === undefined) return undefined;
  return { write: (identities) => writeKeychain(definition, `${identities.join('\n')}\n`, keychain) };
}

function keyFileStore(path: string): KeyStore {
  let isKept = false;
  return {
    write: (identities) => {
      // The vault as it was needs the key as it was, until the new one has opened the vault.
      if (!isKept) replaceVaultFile(previousOf(path), readFileSync(path, 'utf8'));
      isKept = true;
      replaceVaultFile(path, keyFileText(identities));
    },
  };
}

/** The text of a key file, as `age-keygen` would write it. */
export function keyFileText(identities: readonly string[]): string {
  return `# The key of a keymux vault. Whoever has it can open the vault.\n${identities.join('\n')}\n`;
}
