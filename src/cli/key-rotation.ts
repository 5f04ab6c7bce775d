/** `keymux keys rotate`: a key gets a new value, and no request is lost. */
import { basename, dirname } from 'node:path';
import type { Command } from 'commander';
import type { Configuration } from '../config/configuration.js';
import type { FileKey } from '../config/file-content.js';
import type { Credential } from '../core/credential.js';
import { keyIdOf } from '../core/credential.js';
import { KeymuxError } from '../core/errors.js';
import { Secret } from '../core/secret.js';
import { readConfiguration } from '../manager/discovery.js';
import { credentialOf } from '../manager/new-key.js';
import { withKeyValue } from './configuration-edit.js';
import { editableFile, replaceConfiguration } from './configuration-write.js';
import type { EditableFile } from './configuration-write.js';
import { findGateway } from './gateway-client.js';
import { DRAIN_MS, drained } from './key-drain.js';
import { findKey } from './key-name.js';
import { proveKey } from './key-proof.js';
import { isWritable, writeValue } from './key-value.js';
import { note, printJson, warn } from './terminal.js';
import { readValue } from './vault-value.js';

interface RotateOptions {
  readonly value?: string;
  readonly check: boolean;
  readonly json?: true;
}

/** Where the configuration file states a key. */
interface StatedKey {
  readonly file: EditableFile;
  readonly provider: string;
  readonly index: number;
  readonly key: FileKey;
}

/** The value itself, or a reference to it. */
type NewValue = { readonly text: string } | { readonly value: string };

export function registerRotation(keys: Command): void {
  keys
    .command('rotate')
    .description(
      'Replaces the value of a key: proves the new one, takes it up, and lets requests under way with the old one finish.',
    )
    .argument('<key>', 'provider/id, or the id alone where only one key has it')
    .option('--value <reference>', 'where the new value is; absent, it is asked for or read from stdin')
    .option('--no-check', 'do not ask the provider whether it takes the new value')
    .option('--json', 'one JSON document')
    .action(async (key: string, options: RotateOptions) => rotateKey(key, options));
}

async function rotateKey(wanted: string, options: RotateOptions): Promise<void> {
  const before = readConfiguration({});
  const id = findKey(wanted, before.credentials.map(keyIdOf));
  const stated = statedKey(id, before);
  const { value } = options;
  if (value === undefined && !isWritable(stated.key.value)) throw notWritable(id);
  const given: NewValue = value === undefined ? { text: (await readValue(id, undefined)).trim() } : { value };
  const next = newCredential(id, stated, before, given);
  const isProven = options.check && (await proveKey(next, demandProvider(next, before)));
  const gateway = await findGateway(before, process.env);
  const backup = await write(stated, given);
  if (gateway !== undefined) {
    await gateway.ask('POST', '/reload');
    await drained(gateway, id, DRAIN_MS);
  }
  if (options.check && !isProven) {
    warn(`${next.provider} has no probe that proves a key`, 'Watch `keymux status` for a moment.');
  }
  if (options.json === true) {
    const url = gateway?.url;
    printJson({ id, proven: isProven, drained: url !== undefined, ...(url && { gateway: url }), ...backup });
    return;
  }
  const where = backup.backup === undefined ? '' : ` (as it was: ${basename(backup.backup)})`;
  note(`${id} has its new value${where}; ${gateway === undefined ? PROGRAMS : GATEWAY}`);
}

const GATEWAY = 'no request is under way with the old one any more: revoke it at the provider';
const PROGRAMS = 'programs that run take it up within seconds: revoke the old one after that';

function statedKey(id: string, { credentials }: Configuration): StatedKey {
  const file = editableFile();
  const slash = id.indexOf('/');
  const [provider, short] = [id.slice(0, slash), id.slice(slash + 1)];
  const keys = file?.content.providers?.[provider]?.keys ?? [];
  const index = keys.findIndex((key) => key.id === short);
  const key = keys[index];
  if (file !== undefined && key !== undefined) return { file, provider, index, key };
  const origin = credentials.find((credential) => keyIdOf(credential) === id)?.origin ?? 'another place';
  throw new KeymuxError('KEYMUX_USAGE', `${id} does not stand in the configuration file.`, {
    fix: `It was found in ${origin}: put the new value there; programs that run take up files within seconds.`,
  });
}

function notWritable(id: string): KeymuxError {
  return new KeymuxError('KEYMUX_USAGE', `The value of ${id} is not where keymux can write it.`, {
    fix: 'Put the new value somewhere, and name it: `--value env:NAME`, `file:PATH`, `vault:NAME` or `exec:COMMAND`.',
  });
}

/** Throws `KEYMUX_USAGE` where it is the old one, or another key of the provider. */
function newCredential(
  id: string,
  { file, provider, key }: StatedKey,
  before: Configuration,
  given: NewValue,
): Credential {
  const value = 'text' in given ? { secret: new Secret(given.text) } : given;
  const next = credentialOf({ provider, id: key.id, ...value }, before, { cwd: dirname(file.foundPath) });
  const twin = before.credentials.find(
    (other) => other.provider === provider && other.secret.equals(next.secret),
  );
  if (twin === undefined) return next;
  const isSame = keyIdOf(twin) === id;
  throw new KeymuxError(
    'KEYMUX_USAGE',
    isSame ? `This is the value that ${id} has already.` : `This is the value of ${keyIdOf(twin)}.`,
    { fix: 'Make a new key at the provider, and give that one.' },
  );
}

function demandProvider({ provider }: Credential, { providers }: Configuration) {
  const definition = providers.get(provider);
  if (definition !== undefined) return definition;
  throw new KeymuxError('KEYMUX_USAGE', `${provider} is not in use here.`, {
    fix: 'See `keymux keys list`.',
  });
}

/** The reference stays and its target changes, or the reference changes. */
async function write(
  { file, provider, index, key }: StatedKey,
  given: NewValue,
): Promise<{ readonly backup?: string }> {
  if ('value' in given) {
    const { text, format } = file;
    return {
      backup: replaceConfiguration(file, withKeyValue(text, format, { provider, index }, given.value)),
    };
  }
  await writeValue(key.value, given.text, dirname(file.foundPath));
  return {};
}
