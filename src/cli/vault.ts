/** `keymux vault`: secrets in one encrypted file. */
import { existsSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { makeIdentity } from '../config/vault-cipher.js';
import type { VaultKey } from '../config/vault-cipher.js';
import { checkName } from '../config/vault-content.js';
import { vaultUsage } from '../config/vault-errors.js';
import { unwritable } from '../config/vault-file.js';
import { isInKeychain, keychainNameOf, keyFileOf, readVaultKey, writeKeychain } from '../config/vault-key.js';
import { accessWith } from '../config/vault-opened.js';
import type { EntryNews, OpenedVault, VaultAccess } from '../config/vault-opened.js';
import { keyFileText, rotateInPlace } from '../config/vault-rotation.js';
import {
  acceptVault,
  changeRecipients,
  changeVault,
  createVault,
  readVault,
  rotateVault,
} from '../config/vault-write.js';
import { auditChange } from './audited-change.js';
import { renderTable } from './table.js';
import { note, print, printJson, stdoutColumns, typed } from './terminal.js';
import { registerExport } from './vault-export.js';
import { importKeys, vaultLine } from './vault-import.js';
import type { ImportOptions } from './vault-import.js';
import { checkReference, findPlace, mayAsk, openPlace, withPlace } from './vault-place.js';
import type { PlaceOptions, VaultPlace } from './vault-place.js';
import { askNewPassphrase, askYes, hasTerminal } from './vault-prompt.js';
import { readValue } from './vault-value.js';

interface JsonOption {
  readonly json?: true;
}

export function registerVault(program: Command): void {
  const vault = program
    .command('vault')
    .summary('keep keys in one encrypted file')
    .description(
      'Keeps keys in one file of age, which `age -d` opens too. A configuration names them by vault:NAME.',
    );
  withPlace(vault.command('init'))
    .description(
      'Makes an empty vault, and its key where --key names a file or keychain entry that is not there.',
    )
    .option(
      '--recipient <recipients...>',
      'encrypt for these public keys (age1…), and not for the key of this machine',
    )
    .action(initVault);
  withPlace(vault.command('set'))
    .description('Stores a value: typed without echo, from stdin, or from a file; never from an argument.')
    .argument('<name>', 'such as openai/main')
    .option('--from-file <path>', 'the value is what stands in this file')
    .action(setValue);
  withPlace(vault.command('get'))
    .description('Shows version and fingerprint of a value; the value itself with --reveal only.')
    .argument('<name>')
    .option('--reveal', 'print the value on stdout')
    .option('--json', 'one JSON document')
    .action(getValue);
  withPlace(vault.command('list'))
    .description('Lists the names, versions and fingerprints; never a value.')
    .option('--json', 'one JSON document')
    .action(listValues);
  withPlace(vault.command('remove')).description('Removes a value.').argument('<name>').action(removeValue);
  withPlace(vault.command('rotate'))
    .description('Changes the key of the vault. The vault as it was is kept until the new key has opened it.')
    .option('--new-key <reference>', 'where the new key is; absent, it takes the place of the old one')
    .action(rotateKey);
  withPlace(vault.command('import'))
    .description('Copies the keys of known providers from a .env file into the vault.')
    .argument('[file]', 'the file of variables', '.env')
    .option('--remove', 'take them out of the file, once the vault has them')
    .option('--replace', 'also where the vault has another value under the name')
    .option('--json', 'one JSON document')
    .action(async (file: string, options: PlaceOptions & ImportOptions) =>
      importKeys(await openPlace(options), file, options),
    );
  registerExport(vault);
  registerRecipients(vault);
  withPlace(vault.command('accept'))
    .description('Takes the vault as it stands for the newest one, such as after a backup was put back.')
    .option('-y, --yes', 'do not ask')
    .action(acceptCopy);
}

function registerRecipients(vault: Command): void {
  const recipients = vault
    .command('recipients')
    .summary('list, add and remove who can open the vault')
    .description('Public keys of age that the vault is encrypted for.');
  withPlace(recipients.command('list'))
    .description('Lists them.')
    .option('--json', 'one JSON document')
    .action(async (options: PlaceOptions & JsonOption) => {
      const { recipients: listed } = await readVault(await openPlace(options));
      if (options.json === true) printJson({ recipients: listed });
      else if (listed.length === 0) note('the vault has a passphrase, and no recipients');
      else print(listed.join('\n'));
    });
  withPlace(recipients.command('add'))
    .description('Encrypts the vault for more public keys.')
    .argument('<recipients...>', 'age1…')
    .action(async (add: string[], options: PlaceOptions) => {
      const access = await openPlace(options);
      const { recipients: now } = await changeRecipients(access, { add });
      auditVault('add-recipients', access.path);
      note(`the vault has ${now.length} recipients`);
    });
  withPlace(recipients.command('remove'))
    .description('Encrypts the vault for fewer public keys. What they could read, they may have kept.')
    .argument('<recipients...>', 'age1…')
    .action(async (remove: string[], options: PlaceOptions) => {
      const access = await openPlace(options);
      const { recipients: now } = await changeRecipients(access, { remove });
      auditVault('remove-recipients', access.path);
      note(`the vault has ${now.length} recipients; replace the keys that the others could read`);
    });
}

/** `name`: of the entry. */
function auditVault(action: string, path: string, name?: string): void {
  auditChange({ type: 'vault', data: { action, path, ...(name === undefined ? {} : { name }) } });
}

async function initVault(options: PlaceOptions & { readonly recipient?: readonly string[] }): Promise<void> {
  const place = findPlace(options);
  const { definition, environment } = place;
  if (existsSync(definition.path))
    throw vaultUsage(
      `${definition.path} is already there, and is left as it is.`,
      'Choose another path with --vault.',
    );
  const { recipient } = options;
  const key = recipient === undefined ? await firstKey(place) : NO_KEY;
  const access = accessWith(definition, environment, key);
  await createVault(access, recipient === undefined ? {} : { recipients: recipient });
  auditVault('init', definition.path);
  note(`made ${definition.path}. Next: keymux vault set NAME`);
  if (place.isConfigured) return;
  note('write into the configuration:');
  print(vaultLine(definition.path, definition.key));
}

/** Public keys suffice to encrypt. */
const NO_KEY: VaultKey = { kind: 'identities', identities: [] };

/** The key that is there, or a new one where it is said to be. */
async function firstKey(place: VaultPlace): Promise<VaultKey> {
  const { definition, environment } = place;
  if (mayAsk(place)) return { kind: 'passphrase', passphrase: await askNewPassphrase() };
  const file = keyFileOf(definition);
  const isNew =
    file === undefined
      ? keychainNameOf(definition) !== undefined && !isInKeychain(definition)
      : !existsSync(file);
  if (!isNew) return readVaultKey(definition, environment);
  const identity = await makeIdentity();
  if (file === undefined) writeKeychain(definition, `${identity}\n`);
  else writeKeyFile(file, identity);
  note(`made its key in ${file ?? definition.key}; keep a copy elsewhere: without it nobody opens the vault`);
  return { kind: 'identities', identities: [identity] };
}

function writeKeyFile(path: string, identity: string): void {
  try {
    writeFileSync(path, keyFileText([identity]), { flag: 'wx', mode: 0o600, flush: true });
  } catch (error) {
    throw unwritable(path, error);
  }
}

async function setValue(name: string, options: PlaceOptions & { readonly fromFile?: string }): Promise<void> {
  checkName(name);
  refuseKeyAsName(name);
  const access = await openPlace(options);
  const value = await readValue(name, options.fromFile);
  const vault = await changeVault(access, (draft) => draft.set(name, value));
  auditVault('set', access.path, name);
  note(`${name} is stored (version ${vault.entry(name)?.version ?? 0})`);
}

/** Names are shown in lists and logs. */
function refuseKeyAsName(name: string): void {
  const isKeyLike = name
    .split(/[/_.-]/)
    .some((part) => part.length >= 16 && /[a-z]/i.test(part) && /\d.*\d/.test(part));
  if (!isKeyLike) return;
  throw vaultUsage(
    'This looks like a key, and the command wants the name of an entry (not shown).',
    'Use a name such as acme/main: the key itself is asked for. What stands in the history of a shell is no secret any more.',
  );
}

async function getValue(
  name: string,
  options: PlaceOptions & JsonOption & { readonly reveal?: true },
): Promise<void> {
  const vault = await readVault(await openPlace(options));
  const news = demandEntry(vault, name);
  const value = options.reveal === true ? { value: vault.get(name) } : {};
  if (options.reveal === true) auditVault('reveal', vault.path, name);
  if (options.json === true) printJson({ ...news, ...value });
  else if (value.value !== undefined) print(value.value);
  else print(`${name}  version ${news.version}  ${news.changedAt}  fingerprint ${news.fingerprint}`);
}

function demandEntry(vault: OpenedVault, name: string): EntryNews {
  const news = vault.entry(name);
  if (news !== undefined) return news;
  throw vaultUsage(`The vault has nothing under ${typed(name)}.`, '`keymux vault list` shows the names.');
}

async function listValues(options: PlaceOptions & JsonOption): Promise<void> {
  const vault = await readVault(await openPlace(options));
  const entries = vault.names().map((name) => demandEntry(vault, name));
  if (options.json === true) printJson({ path: vault.path, entries });
  else if (entries.length === 0) note('the vault is empty; `keymux vault set NAME` stores a key');
  else print(renderTable(COLUMNS, entries.map(cellsOf), stdoutColumns()).join('\n'));
}

const COLUMNS = [
  { title: 'name' },
  { title: 'version', align: 'right' },
  { title: 'changed', dropOrder: 2 },
  { title: 'fingerprint', dropOrder: 1 },
] as const;

function cellsOf({ name, version, changedAt, fingerprint }: EntryNews): { text: string }[] {
  return [name, String(version), changedAt, fingerprint].map((text) => ({ text }));
}

async function removeValue(name: string, options: PlaceOptions): Promise<void> {
  const access = await openPlace(options);
  demandEntry(await readVault(access), name);
  await changeVault(access, (draft) => draft.remove(name));
  auditVault('remove', access.path, name);
  note(`${name} is removed; copies of the vault made before still have it`);
}

async function rotateKey(options: PlaceOptions & { readonly newKey?: string }): Promise<void> {
  const place = findPlace(options);
  const access = await openPlace(options);
  const { newKey } = options;
  if (newKey === undefined && !mayAsk(place)) {
    await rotateInPlace(access);
    auditVault('rotate', access.path);
    note('the vault has a new key, in the place of the old one');
    return;
  }
  const next = newKey === undefined ? await nextPassphrase(access) : await nextKey(place, newKey);
  await rotateVault(access, next);
  auditVault('rotate', access.path);
  note('the vault has a new key');
  if (newKey !== undefined) {
    note('write into the configuration:');
    print(vaultLine(access.definition.path, newKey));
  }
}

async function nextPassphrase(access: VaultAccess): Promise<VaultAccess> {
  await readVault(access);
  return { ...access, key: { kind: 'passphrase', passphrase: await askNewPassphrase() } };
}

async function nextKey({ definition, environment }: VaultPlace, newKey: string): Promise<VaultAccess> {
  checkReference(newKey, '--new-key');
  const stated = { ...definition, key: newKey, folder: process.cwd() };
  const key = await firstKey({ definition: stated, environment, isKeyImplied: false, isConfigured: false });
  return accessWith(stated, environment, key);
}

async function acceptCopy(options: PlaceOptions & { readonly yes?: true }): Promise<void> {
  const access = await openPlace(options);
  if (options.yes !== true) {
    if (!hasTerminal())
      throw vaultUsage(
        'Nobody is there to confirm it.',
        'Run it in a terminal, or with --yes if you are sure.',
      );
    if (!(await askYes(`Take ${access.path} as it stands for the newest copy?`))) {
      note('nothing was changed');
      return;
    }
  }
  const vault = await acceptVault(access);
  auditVault('accept', vault.path);
  note(`${vault.path} is accepted (writing ${vault.generation}, entries: ${vault.names().length})`);
}
