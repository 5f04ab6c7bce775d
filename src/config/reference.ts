import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { KeymuxError } from '../core/errors.js';
import { Secret } from '../core/secret.js';
import type { VaultDefinition } from './configuration.js';
import { type Environment, systemCodeOf } from './environment.js';
import { keyFault } from './key-text.js';
import { openVault } from './lazy-vault.js';
import { nameText } from './problems.js';
import { runCommand, runCommandLater, splitWords } from './secret-command.js';
import { defaultVault, vaultVariable } from './vault-definition.js';
import { isVirtualKey } from './virtual-key.js';

export { splitWords } from './secret-command.js';

const LARGEST_ANSWER_BYTES = 65_536;

export interface ReferencePlace {
  readonly environment: Environment;
  /** `file:` paths and `exec:` commands start from here: the folder of the configuration file. */
  readonly folder: string;
  /** The vault of `vault:` references. Default: `keymux.vault` in `folder`. */
  readonly vault?: VaultDefinition | undefined;
  /** Variables that commands do not get. */
  readonly withheld?: ReadonlySet<string>;
  /** Default: 10,000. Milliseconds. */
  readonly commandTimeoutMs?: number;
}

export interface ReferenceContext extends ReferencePlace {
  /** `provider/id`, for messages. */
  readonly keyId: string;
  readonly isTemplateValue: (value: string) => boolean;
}

export interface SettingContext extends ReferencePlace {
  /** The option whose value is wanted, for messages: `store.url`. */
  readonly option: string;
}

/** How the failure to read a reference is told. `cause`: what opening the vault said, which has a code and a fix. */
export interface Reading extends ReferencePlace {
  readonly unreadable: (reference: string, reason: string, cause?: KeymuxError) => KeymuxError;
}

export interface ReadKey {
  readonly secret: Secret;
  readonly notes: readonly string[];
  /** From then on it is to be read anew. Epoch milliseconds; absent where nothing says so. */
  readonly expiresAt?: number;
}

export interface Answer {
  readonly text: string;
  readonly notes?: readonly string[];
  readonly expiresAt?: number;
}

/**
 * Reads the key that a reference names: `env:NAME`, `file:PATH`, `vault:NAME` or `exec:COMMAND`. A command is split
 * into words as a shell would (quotes and backslashes) and run without one; it has 10 s, and what it prints is never
 * repeated. It prints the key, or JSON: `{ "value": …, "expiresAt": … }`, or `ttlMs` in place of `expiresAt`.
 * @throws `KEYMUX_SECRET_UNREADABLE`, `KEYMUX_VAULT_LOCKED`, `KEYMUX_VAULT_DAMAGED`
 */
export function readReference(reference: string, context: ReferenceContext): ReadKey {
  const reading = readingOf(context);
  if (reference === `env:${vaultVariable(context.vault) ?? ''}`)
    throw reading.unreadable(reference, 'the variable holds the key of the vault');
  return keyOf(readText(reference, reading), reference, context);
}

/** As `readReference`, without holding the program up while a command runs. */
export async function readReferenceLater(reference: string, context: ReferenceContext): Promise<ReadKey> {
  if (!reference.startsWith('exec:')) return readReference(reference, context);
  const answer = await runCommandLater(reference.slice('exec:'.length), readingOf(context));
  return keyOf(answer, reference, context);
}

/** What a source answered, as a key. @throws `KEYMUX_SECRET_UNREADABLE` */
export function keyOf(answer: Answer, reference: string, context: ReferenceContext): ReadKey {
  const { unreadable } = readingOf(context);
  const text = answer.text.trim();
  const fault = faultOf(text, context);
  if (fault !== undefined) throw unreadable(reference, fault);
  const { notes = [], expiresAt } = answer;
  return { secret: new Secret(text), notes, ...(expiresAt === undefined ? {} : { expiresAt }) };
}

function faultOf(text: string, { isTemplateValue }: ReferenceContext): string | undefined {
  if (text === '') return 'it is empty';
  if (isTemplateValue(text)) return 'it holds a template value, not a key';
  if (isVirtualKey(text)) return 'it is a virtual key, which stands for a real one';
  return keyFault(text);
}

function readingOf(context: ReferenceContext): Reading {
  return {
    ...context,
    unreadable: (stated, reason, cause) => unreadableKey(stated, context.keyId, reason, cause),
  };
}

/**
 * Reads the same references where another setting is secret too.
 * @throws `KEYMUX_SECRET_UNREADABLE`, `KEYMUX_VAULT_LOCKED`, `KEYMUX_VAULT_DAMAGED`
 */
export function readSetting(reference: string, context: SettingContext): ReadKey {
  const unreadable: Reading['unreadable'] = (stated, reason, cause) =>
    unreadableSetting(stated, context.option, reason, cause);
  const answer = readText(reference, { ...context, unreadable });
  const text = answer.text.trim();
  if (text === '') throw unreadable(reference, 'it is empty');
  return { secret: new Secret(text), notes: answer.notes ?? [] };
}

function readText(reference: string, context: Reading): Answer {
  const colon = reference.indexOf(':');
  const rest = reference.slice(colon + 1);
  switch (reference.slice(0, colon)) {
    case 'env':
      return readVariable(rest, context);
    case 'file':
      return readKeyFile(rest, context);
    case 'vault':
      return readVault(rest.trim(), context);
    case 'exec':
      return runCommand(rest, context);
    default:
      throw context.unreadable(reference, 'this kind of reference is not known');
  }
}

function readVault(name: string, context: Reading): Answer {
  const reference = `vault:${name}`;
  let text: string | undefined;
  try {
    text = openVault(context.vault ?? defaultVault(context.folder), context.environment).get(name);
  } catch (error) {
    if (error instanceof KeymuxError) throw context.unreadable(reference, error.message, error);
    throw error;
  }
  if (text === undefined) throw context.unreadable(reference, 'the vault has no such entry');
  return { text };
}

function readVariable(name: string, context: Reading): Answer {
  const variable = context.environment.variables.get(name);
  if (variable === undefined) throw context.unreadable(`env:${name}`, 'the variable is not set');
  return { text: variable.value };
}

function readKeyFile(stated: string, context: Reading): Answer {
  const reference = `file:${stated}`;
  const path = resolve(context.folder, stated);
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw context.unreadable(reference, 'it is not a regular file');
    if (stat.size > LARGEST_ANSWER_BYTES) throw context.unreadable(reference, 'it is larger than 64 KiB');
    const text = readFileSync(path, 'utf8').replace(/^\uFEFF/, '');
    const isOpen = process.platform !== 'win32' && (stat.mode & 0o077) !== 0;
    return {
      text,
      notes: isOpen ? [`${path} can be read by other users; chmod 600 would keep the key private`] : [],
    };
  } catch (error) {
    if (error instanceof KeymuxError) throw error;
    throw context.unreadable(reference, `the file cannot be read (${systemCodeOf(error)})`);
  }
}

/** A reference as a message may repeat it: without what may be a key in the wrong place, or a command's token. */
function shownReference(reference: string): string {
  const colon = reference.indexOf(':');
  const [kind, rest] = [reference.slice(0, colon), reference.slice(colon + 1)];
  if (kind === 'file') return reference;
  if (kind === 'exec') return `exec:${splitWords(rest)?.[0] ?? ''}`;
  if (kind !== 'env' && kind !== 'vault') return 'its reference';
  return `${kind}:${rest.split('/').map(nameText).join('/')}`;
}

export function unreadableKey(
  stated: string,
  keyId: string,
  reason: string,
  cause?: KeymuxError,
): KeymuxError {
  const reference = shownReference(stated);
  return new KeymuxError(
    cause?.code ?? 'KEYMUX_SECRET_UNREADABLE',
    `The key ${keyId} (${reference}) is left out: ${sentence(reason)}`,
    { fix: cause?.fix ?? `Make ${reference} give the key, or remove the entry.` },
  );
}

function unreadableSetting(stated: string, option: string, reason: string, cause?: KeymuxError): KeymuxError {
  const reference = shownReference(stated);
  return new KeymuxError(
    cause?.code ?? 'KEYMUX_SECRET_UNREADABLE',
    `${option} (${reference}) cannot be read: ${sentence(reason)}`,
    { fix: cause?.fix ?? `Make ${reference} give the value of ${option}.` },
  );
}

function sentence(reason: string): string {
  return reason.endsWith('.') ? reason : `${reason}.`;
}
