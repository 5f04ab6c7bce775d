/** Writing to a vault: read, changed, encrypted beside it, and put in its place, under its lock. */
import { existsSync, rmSync } from 'node:fs';
import { checkAnchor, forget, remember } from './vault-anchor.js';
import type { Sealing } from './vault-cipher.js';
import { decryptArmour, encryptArmour, isRecipient, recipientsOf } from './vault-cipher.js';
import type { VaultContent, VaultEntry } from './vault-content.js';
import { checkName, checkValue, emptyContent, headOf, writeContent } from './vault-content.js';
import { damagedVault, lockedVault, vaultUsage } from './vault-errors.js';
import { putVaultInPlace, readVaultFile, realPathOf, writeVaultBeside } from './vault-file.js';
import type { VaultLock } from './vault-lock.js';
import { lockVault } from './vault-lock.js';
import { confirmKey, contentFrom, opened, OpenedVault } from './vault-opened.js';
import type { VaultAccess } from './vault-opened.js';

export interface VaultWriting {
  /** Base-2 logarithm; for tests, since the default takes seconds. */
  readonly workFactor?: number | undefined;
  /** Called before each step that changes something on disk; for tests of crashes. */
  readonly onStep?: ((step: string) => void) | undefined;
}

/** A change under way; all of it is written, or nothing. */
export interface VaultDraft {
  names(): readonly string[];
  get(name: string): string | undefined;
  /** A value that is there already changes nothing. @throws `KEYMUX_USAGE` */
  set(name: string, value: string): void;
  /** False where there was none. */
  remove(name: string): boolean;
}

/**
 * Makes an empty vault. With `recipients`, for these public keys and not for the key of `access`.
 * @throws `KEYMUX_USAGE` where something is there already
 */
export async function createVault(
  access: VaultAccess,
  { recipients, ...writing }: VaultWriting & { readonly recipients?: readonly string[] } = {},
): Promise<OpenedVault> {
  const content = emptyContent(await checkRecipients(recipients ?? (await ownRecipients(access))));
  const armour = await encryptArmour(writeContent(content), sealingOf(content, access, writing));
  return withLock(access, async () => {
    const { path } = access;
    if (existsSync(path))
      throw vaultUsage(
        `${path} is already there, and is left as it is.`,
        'Choose another path with --vault.',
      );
    putVaultInPlace(writeVaultBeside(path, armour), path);
    const place = { ...access, path: realPathOf(path) };
    forget(place.anchors, place.path);
    remember(place.anchors, place.path, content);
    return Promise.resolve(new OpenedVault(place.path, content));
  });
}

/**
 * Opens a vault without standing still.
 * @throws `KEYMUX_VAULT_LOCKED`, `KEYMUX_VAULT_DAMAGED`
 */
export async function readVault(access: VaultAccess): Promise<OpenedVault> {
  return opened(access, await decrypted(access));
}

async function decrypted(access: VaultAccess, file = access.path): Promise<VaultContent> {
  return contentFrom(await decryptArmour(readVaultFile(file).armour, access.key), access);
}

/**
 * Changes entries. Where nothing differs, nothing is written.
 * @throws `KEYMUX_VAULT_LOCKED`, `KEYMUX_VAULT_DAMAGED`, `KEYMUX_TIMEOUT`, `KEYMUX_USAGE`
 */
export async function changeVault(
  access: VaultAccess,
  change: (draft: VaultDraft) => void,
  writing: VaultWriting = {},
): Promise<OpenedVault> {
  return rewrite(access, writing, (content) => {
    const draft = new Draft(content.entries);
    change(draft);
    const next = draft.hasChanged ? { ...content, entries: draft.entries } : content;
    return Promise.resolve({ content: next, key: access.key });
  });
}

class Draft implements VaultDraft {
  readonly entries: Map<string, VaultEntry>;
  hasChanged = false;

  constructor(entries: ReadonlyMap<string, VaultEntry>) {
    this.entries = new Map(entries);
  }

  names(): readonly string[] {
    return [...this.entries.keys()].sort();
  }

  get(name: string): string | undefined {
    return this.entries.get(name)?.value;
  }

  set(name: string, value: string): void {
    checkName(name);
    checkValue(name, value);
    const before = this.entries.get(name);
    if (before?.value === value) return;
    this.entries.set(name, {
      version: (before?.version ?? 0) + 1,
      value,
      changedAt: new Date().toISOString(),
    });
    this.hasChanged = true;
  }

  remove(name: string): boolean {
    const wasThere = this.entries.delete(name);
    this.hasChanged ||= wasThere;
    return wasThere;
  }
}

/**
 * Encrypts for other public keys. Who is taken out keeps what was readable before: replace the keys themselves.
 * @throws `KEYMUX_USAGE` where the key in use would be taken out, or the vault has a passphrase
 */
export async function changeRecipients(
  access: VaultAccess,
  change: { readonly add?: readonly string[]; readonly remove?: readonly string[] },
  writing: VaultWriting = {},
): Promise<OpenedVault> {
  const { add = [], remove = [] } = change;
  return rewrite(access, writing, async (content) => {
    if (content.recipients.length === 0)
      throw vaultUsage(
        'A vault with a passphrase has no recipients.',
        'Give it an identity first: `keymux vault rotate --new-key file:PATH`.',
      );
    const unknown = remove.find((one) => !content.recipients.includes(one));
    if (unknown !== undefined)
      throw vaultUsage('The vault is not encrypted for this recipient.', 'See `keymux vault recipients`.');
    const recipients = await checkRecipients(
      [...new Set([...content.recipients, ...add])].filter((one) => !remove.includes(one)),
    );
    const own = await ownRecipients(access);
    if (!own.some((one) => recipients.includes(one)))
      throw vaultUsage(
        'This would take out the key that opens the vault here.',
        'Rotate to another key first: `keymux vault rotate`.',
      );
    return { content: { ...content, recipients }, key: access.key };
  });
}

/**
 * Changes the key that opens the vault; other recipients stay. The vault as it was is kept beside it, as `.previous`,
 * until the new key has opened it once.
 * @throws `KEYMUX_USAGE` where the new key is a passphrase and there are other recipients
 */
export async function rotateVault(
  access: VaultAccess,
  next: VaultAccess,
  writing: VaultWriting = {},
): Promise<OpenedVault> {
  return rewrite(access, { ...writing, keepsPrevious: true }, async (content) => {
    const own = await ownRecipients(access);
    const others = content.recipients.filter((one) => !own.includes(one));
    if (next.key.kind === 'passphrase' && others.length > 0)
      throw vaultUsage(
        'A passphrase cannot stand beside other recipients in one file of age.',
        'Take them out first (`keymux vault recipients remove`), or rotate to an identity.',
      );
    const recipients = [...new Set([...(await ownRecipients(next)), ...others])];
    return { content: { ...content, recipients }, key: next.key };
  });
}

/**
 * Takes the vault as it stands for the newest one, after a person said so.
 * @throws `KEYMUX_VAULT_LOCKED`, `KEYMUX_VAULT_DAMAGED`
 */
export async function acceptVault(access: VaultAccess): Promise<OpenedVault> {
  const content = await decrypted(access);
  forget(access.anchors, access.path);
  remember(access.anchors, access.path, content);
  confirmKey(access);
  return new OpenedVault(access.path, content);
}

/**
 * The same entries as a vault of its own for other people, with a secret of its own.
 * @throws `KEYMUX_USAGE`
 */
export async function exportVault(access: VaultAccess, recipients: readonly string[]): Promise<string> {
  const content = await decrypted(access);
  checkAnchor(access.anchors, access.path, content);
  const copy = { ...emptyContent(await checkRecipients(recipients)), entries: content.entries };
  return encryptArmour(writeContent(copy), { recipients });
}

interface Rewritten {
  readonly content: VaultContent;
  /** What the result must open with. */
  readonly key: VaultAccess['key'];
}

async function rewrite(
  access: VaultAccess,
  writing: VaultWriting & { readonly keepsPrevious?: boolean },
  change: (content: VaultContent) => Promise<Rewritten>,
): Promise<OpenedVault> {
  return withLock(access, async (lock) => {
    const { path, anchors } = access;
    const before = await decrypted(access);
    checkAnchor(anchors, path, before);
    const { content, key } = await change(before);
    if (content === before) return new OpenedVault(path, before);
    const after = { ...content, generation: before.generation + 1 };
    const next = { ...access, key };
    const armour = await encryptArmour(writeContent(after), sealingOf(after, next, writing));
    writing.onStep?.('write');
    const unfinished = writeVaultBeside(path, armour);
    try {
      if (after.recipients !== before.recipients) await verify(next, unfinished, after);
      // A process that stood still for long may have lost the lock, and what it read.
      if (!lock.isHeld()) throw lostLock(path);
      if (writing.keepsPrevious === true) {
        writing.onStep?.('keep');
        keepPrevious(path);
      }
      writing.onStep?.('replace');
      putVaultInPlace(unfinished, path);
    } finally {
      rmSync(unfinished, { force: true });
    }
    writing.onStep?.('remember');
    remember(anchors, path, after);
    writing.onStep?.('end');
    return new OpenedVault(path, after);
  });
}

/** What was written is read again from disk, with the key that is to open it. */
async function verify(next: VaultAccess, unfinished: string, wanted: VaultContent): Promise<void> {
  const found = await decrypted(next, unfinished);
  if (headOf(found) !== headOf(wanted)) throw damagedVault(unfinished, 'it does not hold what was written');
}

function keepPrevious(path: string): void {
  const previous = `${path}.previous`;
  putVaultInPlace(writeVaultBeside(previous, readVaultFile(path).armour), previous);
}

async function withLock<T>({ path }: VaultAccess, work: (lock: VaultLock) => Promise<T>): Promise<T> {
  const lock = await lockVault(path);
  try {
    return await work(lock);
  } finally {
    lock.release();
  }
}

function lostLock(path: string): Error {
  return vaultUsage(`Another process took over the lock of ${path}; nothing was changed.`, 'Try again.');
}

function sealingOf(content: VaultContent, { path, key }: VaultAccess, { workFactor }: VaultWriting): Sealing {
  if (content.recipients.length > 0) return { recipients: content.recipients };
  if (key.kind === 'passphrase') return { passphrase: key.passphrase, workFactor };
  throw damagedVault(path, 'it has no recipients, and was opened with an identity all the same');
}

async function ownRecipients({ path, key }: VaultAccess): Promise<readonly string[]> {
  const recipients = await recipientsOf(key);
  if (recipients !== undefined) return recipients;
  throw lockedVault(path, 'its key holds an identity that cannot be read', 'Give a whole AGE-SECRET-KEY-1….');
}

async function checkRecipients(recipients: readonly string[]): Promise<readonly string[]> {
  const areGood = await Promise.all(recipients.map(isRecipient));
  if (areGood.every(Boolean)) return recipients;
  throw vaultUsage(
    'This is no recipient of age (not shown, it may be a key).',
    'Give a public key, age1…, as `age-keygen -y` prints it.',
  );
}
