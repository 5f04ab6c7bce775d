/** `keymux vault import`: moves keys out of a `.env` file. */
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { KeyFinder } from '../config/discovery.js';
import type { Environment } from '../config/environment.js';
import { systemCodeOf } from '../config/environment.js';
import { withoutVariables } from '../config/vault-env-text.js';
import { vaultUsage } from '../config/vault-errors.js';
import { realPathOf, replaceVaultFile } from '../config/vault-file.js';
import type { VaultAccess } from '../config/vault-opened.js';
import { changeVault, readVault } from '../config/vault-write.js';
import { catalogue } from '../providers/catalogue.js';
import { isTemplateValue } from '../providers/key-shape.js';
import { auditChange } from './audited-change.js';
import { editableFile } from './configuration-write.js';
import { note, print, printJson, warn } from './terminal.js';
import { shownPath } from './vault-place.js';

export interface ImportOptions {
  readonly remove?: true;
  readonly replace?: true;
  readonly json?: true;
}

interface FoundKey {
  readonly provider: string;
  readonly id: string;
  /** Of the variable. */
  readonly variable: string;
  readonly value: string;
}

interface FoundKeys {
  readonly keys: readonly FoundKey[];
  readonly notes: readonly string[];
}

/** Writes the vault first, reads it again, and only then touches the file. */
export async function importKeys(access: VaultAccess, stated: string, options: ImportOptions): Promise<void> {
  const path = realPathOf(resolve(stated));
  const text = readEnvText(path);
  const { keys, notes } = findKeys(text);
  for (const one of notes) note(one);
  if (keys.length === 0)
    throw vaultUsage(
      `${path} holds no key of a known provider.`,
      '`keymux vault set NAME` stores any other secret.',
    );
  await changeVault(access, (draft) => {
    const taken = keys.filter((key) => isOther(draft.get(entryName(key)), key.value)).map(entryName);
    if (taken.length > 0 && options.replace !== true)
      throw vaultUsage(
        `The vault has other values under ${taken.join(', ')}; nothing was imported.`,
        'Import with --replace, if those of the file are the right ones.',
      );
    for (const key of keys) draft.set(entryName(key), key.value);
  });
  const names = keys.map(entryName).join(' ');
  auditChange({ type: 'vault', data: { action: 'import', path: access.path, names } });
  const vault = await readVault(access);
  if (keys.some((key) => vault.get(entryName(key)) !== key.value))
    throw vaultUsage('The vault changed meanwhile; the file is as it was.', 'Run it again.');
  const removed = options.remove === true ? removeFrom(path, text, keys) : [];
  tell(keys, removed, path, options);
}

function isOther(there: string | undefined, value: string): boolean {
  return there !== undefined && there !== value;
}

function entryName({ provider, id }: FoundKey): string {
  return `${provider}/${id}`;
}

function readEnvText(path: string): string {
  try {
    if (!statSync(path).isFile())
      throw vaultUsage(`${path} is not a regular file.`, 'Name a file of variables.');
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'fix' in error) throw error;
    throw vaultUsage(
      `${path} cannot be read (${systemCodeOf(error)}).`,
      'Name a file of variables, such as .env.',
    );
  }
}

/** By the names that the catalogue and the configuration know; template values are left where they are. */
function findKeys(text: string): FoundKeys {
  const variables = new Map(
    Object.entries(parseEnv(text.replace(/^\uFEFF/, ''))).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, { value, origin: `.env:${name}` }] as const],
    ),
  );
  const environment: Environment = { variables, sources: [], notes: [] };
  const providers = knownProviders();
  const finder = new KeyFinder(environment, providers);
  const notes: string[] = [];
  const keys = providers.flatMap((provider) => {
    const found = finder.keysOf(provider, (value) => isTemplateValue(value, provider.demoKeys));
    notes.push(...found.notes);
    return found.keys.map(({ id, secret, origin }) => ({
      provider: provider.id,
      id,
      variable: origin.slice('.env:'.length),
      value: secret.reveal(),
    }));
  });
  return { keys, notes };
}

type Known = Parameters<KeyFinder['keysOf']>[0] & {
  readonly demoKeys?: readonly string[] | undefined;
};

function knownProviders(): Known[] {
  const configured = editableFile()?.content.providers ?? {};
  const own = Object.entries(configured).flatMap(([id, { env }]) =>
    env === undefined ? [] : [{ id, env, demoKeys: catalogue.get(id)?.demoKeys }],
  );
  const rest = [...catalogue.values()].filter(({ id }) => own.every((provider) => provider.id !== id));
  return [...own, ...rest];
}

function removeFrom(path: string, text: string, keys: readonly FoundKey[]): string[] {
  const names = new Set(keys.map(({ variable }) => variable));
  const rest = readEnvText(path) === text ? withoutVariables(text, names) : undefined;
  if (rest === undefined) {
    warn(
      `The keys are in the vault, but ${path} is as it was: its lines could not be told apart, or it changed meanwhile.`,
      `Remove ${[...names].join(', ')} by hand.`,
    );
    return [];
  }
  replaceVaultFile(path, rest, statSync(path).mode & 0o777);
  return [...names];
}

function tell(
  keys: readonly FoundKey[],
  removed: readonly string[],
  path: string,
  { json }: ImportOptions,
): void {
  const imported = keys.map((key) => ({ name: entryName(key), variable: key.variable }));
  if (json === true) return printJson({ imported, removed });
  for (const { name, variable } of imported) note(`${variable} is in the vault as ${name}`);
  if (removed.length > 0) note(`${path} no longer has ${removed.join(', ')}`);
  note('write into the configuration, beside what it says of these providers:');
  print(suggestion(keys));
}

function suggestion(keys: readonly FoundKey[]): string {
  const providers = [...new Set(keys.map(({ provider }) => provider))];
  return [
    'providers:',
    ...providers.flatMap((provider) => [
      `  ${provider}:`,
      '    keys:',
      ...keys
        .filter((key) => key.provider === provider)
        .map(
          (key) =>
            `      - { id: ${JSON.stringify(key.id)}, value: ${JSON.stringify(`vault:${entryName(key)}`)} }`,
        ),
    ]),
  ].join('\n');
}

/** What names a vault in a configuration file. */
export function vaultLine(path: string, key: string): string {
  return `vault: { path: ${JSON.stringify(shownPath(path))}, key: ${JSON.stringify(key)} }`;
}
