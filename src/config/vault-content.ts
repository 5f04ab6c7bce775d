/** What stands inside a vault, and the seals that show when a part of it was moved, replaced or put back. */
import { createHmac, hkdfSync, randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { damagedVault, vaultUsage } from './vault-errors.js';

const FORMAT = 1;
const SECRET_BYTES = 32;
const LONGEST_VALUE = 65_536;
const NAME = /^[A-Za-z0-9][A-Za-z0-9_./-]{0,127}$/;
const PARTS = ['keymux-vault', 'id', 'secret', 'generation', 'recipients', 'entries', 'seal'];
const ENTRY_PARTS = ['version', 'value', 'changedAt', 'seal'];

export interface VaultEntry {
  /** 1 at first; grows with each change of the value. */
  readonly version: number;
  readonly value: string;
  /** ISO 8601, UTC. */
  readonly changedAt: string;
}

export interface VaultContent {
  readonly id: string;
  /** 32 bytes that stay the same for the life of the vault, whatever its key is. */
  readonly secret: Uint8Array;
  /** Grows with each writing. */
  readonly generation: number;
  /** Public keys of age; empty for a vault with a passphrase. */
  readonly recipients: readonly string[];
  readonly entries: ReadonlyMap<string, VaultEntry>;
}

export function emptyContent(recipients: readonly string[]): VaultContent {
  const id = randomUUID();
  return { id, secret: randomBytes(SECRET_BYTES), generation: 1, recipients, entries: new Map() };
}

/** 32 bytes for one purpose, which tell nothing about those for another. */
export function deriveVaultKey({ id, secret }: VaultContent, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, id, `keymux vault ${purpose}`, 32));
}

/** Stands for all that the content says: two contents with one head are the same. */
export function headOf(content: VaultContent): string {
  const { id, generation, recipients, entries } = content;
  const sealed = [...entries].map(([name, entry]) => [name, sealOf(content, name, entry)]).sort(byFirst);
  return mac(content, 'seal', [FORMAT, id, generation, [...recipients], sealed]);
}

/** Tells whether two values are the same without telling them. 16 hex digits. */
export function valueFingerprint(content: VaultContent, value: string): string {
  return mac(content, 'fingerprint', [value]).slice(0, 16);
}

/** Over a list as JSON, which cannot be read in two ways. */
export function mac(content: VaultContent, purpose: string, parts: readonly unknown[]): string {
  return createHmac('sha256', deriveVaultKey(content, purpose)).update(JSON.stringify(parts)).digest('hex');
}

export function isSameMac(a: string, b: string): boolean {
  const [first, second] = [Buffer.from(a), Buffer.from(b)];
  return first.length === second.length && timingSafeEqual(first, second);
}

function sealOf(content: VaultContent, name: string, { version, value, changedAt }: VaultEntry): string {
  return mac(content, 'entry', [name, version, value, changedAt]);
}

function byFirst([a]: readonly string[], [b]: readonly string[]): number {
  return String(a) < String(b) ? -1 : 1;
}

/** The text that is encrypted. */
export function writeContent(content: VaultContent): string {
  const { id, secret, generation, recipients } = content;
  const entries = [...content.entries]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, entry]) => [name, { ...entry, seal: sealOf(content, name, entry) }]);
  const written = {
    'keymux-vault': FORMAT,
    id,
    secret: Buffer.from(secret).toString('base64'),
    generation,
    recipients,
    entries: Object.fromEntries(entries) as unknown,
    seal: headOf(content),
  };
  return `${JSON.stringify(written, null, 2)}\n`;
}

/**
 * Reads what was decrypted. `path` is for messages.
 * @throws `KEYMUX_VAULT_DAMAGED`
 */
export function readContent(text: string, path: string): VaultContent {
  const stated = objectOf(parse(text));
  if (stated === undefined || !('keymux-vault' in stated))
    throw damagedVault(path, 'it is an age file, but no vault');
  if (stated['keymux-vault'] !== FORMAT)
    throw damagedVault(
      path,
      'it is of a version that this keymux does not know',
      'Use the newer keymux that wrote it.',
    );
  const content = contentOf(stated);
  if (content === undefined) throw damagedVault(path, 'what stands in it has not the shape of a vault');
  const entries = readEntries(content, stated['entries'], path);
  const whole = { ...content, entries };
  if (!isSameMac(headOf(whole), String(stated['seal'])))
    throw damagedVault(
      path,
      'its entries, recipients or generation were changed by something else than keymux',
    );
  return whole;
}

function contentOf(stated: Readonly<Record<string, unknown>>): VaultContent | undefined {
  const { id, secret, generation, recipients } = stated;
  if (Object.keys(stated).some((part) => !PARTS.includes(part))) return undefined;
  if (typeof id !== 'string' || typeof secret !== 'string' || !isCount(generation)) return undefined;
  if (!Array.isArray(recipients) || !recipients.every((one) => typeof one === 'string')) return undefined;
  const bytes = Buffer.from(secret, 'base64');
  // There are several ways to write the same bytes, and one in which they were written.
  if (bytes.length !== SECRET_BYTES || bytes.toString('base64') !== secret) return undefined;
  return { id, secret: bytes, generation, recipients, entries: new Map() };
}

function readEntries(content: VaultContent, stated: unknown, path: string): Map<string, VaultEntry> {
  const entries = new Map<string, VaultEntry>();
  const listed = objectOf(stated);
  if (listed === undefined) throw damagedVault(path, 'it has no list of entries');
  for (const [name, value] of Object.entries(listed)) {
    // A name that keymux would not write may be anything, so it is not repeated.
    if (!NAME.test(name)) throw damagedVault(path, 'an entry has a name that keymux does not write');
    const { entry, seal } = entryOf(value) ?? {};
    if (entry === undefined || seal === undefined)
      throw damagedVault(path, `its entry ${name} is of a version that this keymux does not know`);
    if (!isSameMac(sealOf(content, name, entry), seal))
      throw damagedVault(path, `the value of its entry ${name} does not belong to this name and version`);
    entries.set(name, entry);
  }
  return entries;
}

function entryOf(stated: unknown): { readonly entry: VaultEntry; readonly seal: string } | undefined {
  const parts = objectOf(stated);
  if (parts === undefined || Object.keys(parts).some((part) => !ENTRY_PARTS.includes(part))) return undefined;
  const { version, value, changedAt, seal } = parts;
  if (!isCount(version) || typeof value !== 'string') return undefined;
  if (typeof changedAt !== 'string' || typeof seal !== 'string') return undefined;
  return { entry: { version, value, changedAt }, seal };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

/** @throws `KEYMUX_USAGE`; what was given is not repeated, since somebody may have pasted a key. */
export function checkName(name: string): void {
  if (NAME.test(name)) return;
  throw vaultUsage(
    'This cannot be the name of an entry (not shown, it may be a key).',
    'Use up to 128 letters, digits, `_`, `.`, `/` and `-`, with a letter or digit at the start: acme/main.',
  );
}

/** @throws `KEYMUX_USAGE` */
export function checkValue(name: string, value: string): void {
  const fault =
    value === '' ? 'empty' : value.length > LONGEST_VALUE ? 'longer than 65536 characters' : undefined;
  if (fault !== undefined) throw vaultUsage(`The value for ${name} is ${fault}.`, 'Give the key itself.');
  if (/\p{Surrogate}/u.test(value))
    throw vaultUsage(`The value for ${name} is no text.`, 'Encode it, such as with base64.');
}
