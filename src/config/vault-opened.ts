/** A vault that was decrypted and found to be as keymux wrote it. */
import { existsSync, rmSync } from 'node:fs';
import type { VaultDefinition } from './configuration.js';
import type { Environment } from './environment.js';
import { anchorFolder, checkAnchor } from './vault-anchor.js';
import type { Decrypted, Refusal, VaultKey } from './vault-cipher.js';
import type { VaultContent } from './vault-content.js';
import { deriveVaultKey, readContent, valueFingerprint } from './vault-content.js';
import { damagedVault, lockedVault } from './vault-errors.js';
import { previousOf, realPathOf } from './vault-file.js';
import { keyFileOf, kindOf } from './vault-key.js';
import { tryLockVault } from './vault-lock.js';

/** Says everything about an entry but its value. */
export interface EntryNews {
  readonly name: string;
  /** 1 at first; grows with each change of the value. */
  readonly version: number;
  /** ISO 8601, UTC. */
  readonly changedAt: string;
  /** Equal for equal values within one vault; tells nothing about them otherwise. */
  readonly fingerprint: string;
}

/** Its values stay in memory as long as this is held. */
export class OpenedVault {
  readonly path: string;
  readonly #content: VaultContent;

  constructor(path: string, content: VaultContent) {
    this.path = path;
    this.#content = content;
  }

  /** Grows with each writing. */
  get generation(): number {
    return this.#content.generation;
  }

  /** Public keys of age that it is encrypted for; empty for a vault with a passphrase. */
  get recipients(): readonly string[] {
    return this.#content.recipients;
  }

  /** Names of the entries, sorted. */
  names(): readonly string[] {
    return [...this.#content.entries.keys()].sort();
  }

  /** The value under a name; undefined where there is none. */
  get(name: string): string | undefined {
    return this.#content.entries.get(name)?.value;
  }

  /** What may be shown of an entry. */
  entry(name: string): EntryNews | undefined {
    const entry = this.#content.entries.get(name);
    if (entry === undefined) return undefined;
    const { version, changedAt, value } = entry;
    return { name, version, changedAt, fingerprint: valueFingerprint(this.#content, value) };
  }

  /** 32 bytes for another purpose, such as sealing the store: the same for everybody who can open this vault. */
  deriveKey(purpose: string): Uint8Array {
    return deriveVaultKey(this.#content, `for ${purpose}`);
  }
}

/** One vault, and the way into it. */
export interface VaultAccess {
  /** As stated; for messages. */
  readonly definition: VaultDefinition;
  /** Where a link leads to. */
  readonly path: string;
  readonly key: VaultKey;
  /** Where anchors are kept. */
  readonly anchors: string;
}

export function accessWith(
  definition: VaultDefinition,
  environment: Environment,
  key: VaultKey,
): VaultAccess {
  return { definition, path: realPathOf(definition.path), key, anchors: anchorFolder(environment) };
}

/**
 * What was decrypted, checked in itself; whether it is the newest is `checkAnchor`'s to say.
 * @throws `KEYMUX_VAULT_LOCKED`, `KEYMUX_VAULT_DAMAGED`
 */
export function contentFrom(decrypted: Decrypted, { path, definition }: VaultAccess): VaultContent {
  if ('text' in decrypted) return readContent(decrypted.text, path);
  throw refusalError(decrypted.refusal, path, definition);
}

function refusalError(refusal: Refusal, path: string, definition: VaultDefinition): Error {
  switch (refusal) {
    case 'not-age':
      return damagedVault(path, 'it is not a file of age in ASCII armour');
    case 'damaged':
      return damagedVault(path, 'it was changed or cut after it was written');
    case 'bad-key':
      return lockedVault(
        path,
        `${kindOf(definition.key)} holds an identity that cannot be read`,
        'Give a whole AGE-SECRET-KEY-1… or AGE-SECRET-KEY-PQ-1….',
      );
    case 'wrong-key':
      return lockedVault(
        path,
        `${kindOf(definition.key)} holds another key than this vault needs`,
        wrongKeyFix(path),
      );
  }
}

function wrongKeyFix(path: string): string {
  const fix = 'Give the key it was written with; a head that was changed looks the same.';
  const previous = previousOf(path);
  return existsSync(previous)
    ? `${fix} ${previous} is the vault before its key changed, for the old key.`
    : fix;
}

/** What a change of the key kept is no longer needed once the new key has opened the vault. */
export function confirmKey({ path, definition }: VaultAccess): void {
  const keyFile = keyFileOf(definition);
  const kept = [previousOf(path), ...(keyFile === undefined ? [] : [previousOf(keyFile)])];
  if (!kept.some((file) => existsSync(file))) return;
  try {
    // Whoever changes the key at this moment still needs them.
    const lock = tryLockVault(path);
    if (lock === undefined) return;
    for (const file of kept) rmSync(file, { force: true });
    lock.release();
  } catch {
    // The folder may be one that this user only reads; the next one who may write removes them.
  }
}

/** @throws `KEYMUX_VAULT_DAMAGED` */
export function opened(access: VaultAccess, content: VaultContent): OpenedVault {
  checkAnchor(access.anchors, access.path, content);
  confirmKey(access);
  return new OpenedVault(access.path, content);
}
