/** `keymux keys add` and `keymux keys retire`. */
import { basename } from 'node:path';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { Configuration } from '../config/configuration.js';
import { keyIdOf } from '../core/credential.js';
import { KeymuxError } from '../core/errors.js';
import { readConfiguration } from '../manager/discovery.js';
import type { Snapshot } from '../manager/inspection.js';
import type { RetiringKey } from '../manager/key-desk.js';
import { withKeyAdded, withKeyRemoved } from './configuration-edit.js';
import type { KeyEntry } from './configuration-edit.js';
import { editableFile, replaceConfiguration } from './configuration-write.js';
import type { EditableFile } from './configuration-write.js';
import { findGateway } from './gateway-client.js';
import type { GatewayClient } from './gateway-client.js';
import { drained } from './key-drain.js';
import { findKey, pathOfKey } from './key-name.js';
import { note, printJson, typed, warn } from './terminal.js';

interface AddOptions {
  readonly value: string;
  readonly priority?: number;
  readonly weight?: number;
  readonly bucket?: string;
  readonly untilRestart?: true;
  readonly json?: true;
}

interface RetireOptions {
  readonly drain?: true;
  readonly untilRestart?: true;
  readonly json?: true;
}

const UNTIL_RESTART = 'only in the running gateway, and until it ends; nothing is written';

/** What was done, and where. */
interface Done {
  readonly id: string;
  readonly file?: string;
  readonly backup?: string;
  /** The gateway that knows of it already. */
  readonly gateway?: string;
}

export function registerKeyChanges(keys: Command): void {
  keys
    .command('add')
    .description('Adds a key to the configuration file, by where it is; running programs take it up.')
    .argument('<key>', 'provider/id: what the key is called, never the key itself')
    .requiredOption(
      '--value <reference>',
      'where the key is: env:NAME, file:PATH, vault:NAME or exec:COMMAND',
    )
    .option('--priority <number>', 'lower goes first', wholeNumber)
    .option('--weight <number>', 'share in weighted strategies', positiveNumber)
    .option('--bucket <name>', 'who owns its allowance; keys of one bucket share limits')
    .option('--until-restart', UNTIL_RESTART)
    .option('--json', 'one JSON document')
    .action(async (key: string, options: AddOptions) => addKey(key, options));
  keys
    .command('retire')
    .description('Takes a key out of the configuration file; requests under way with it finish.')
    .argument('<key>', 'provider/id, or the id alone where only one key has it')
    .option('--until-restart', UNTIL_RESTART)
    .option('--drain', 'wait, for 30 s at most, until no request is under way with it in the gateway')
    .option('--json', 'one JSON document')
    .action(async (key: string, options: RetireOptions) => retireKey(key, options));
}

async function addKey(wanted: string, options: AddOptions): Promise<void> {
  const { provider, entry } = entryOf(wanted, options);
  const id = `${provider}/${entry.id}`;
  const before = readConfiguration({});
  const gateway = await findGateway(before, process.env);
  if (options.untilRestart === true) {
    await demand(gateway).ask('POST', '/keys', { provider, ...entry });
    return tell({ id, gateway: demand(gateway).url }, 'is in use until the gateway ends', options);
  }
  const file = demandFile();
  const known = file.content.providers?.[provider]?.keys ?? [];
  if (known.some((key) => key.id === entry.id)) {
    throw new KeymuxError('KEYMUX_USAGE', `${basename(file.path)} has a key ${id} already.`, {
      fix: `Choose another id, or \`keymux keys retire ${id}\` first.`,
    });
  }
  const text = withKeyAdded(file.text, file.format, { provider, keys: known.length }, entry);
  const done = await write(file, text, id, gateway);
  const after = readConfiguration({});
  if (after.credentials.every((credential) => keyIdOf(credential) !== id)) {
    const why = after.notes.find((text_) => !before.notes.includes(text_));
    warn(
      `${id} is written, but cannot be used yet${why === undefined ? '' : `: ${why}`}`,
      `Make ${referenceKind(entry.value)} give the key.`,
    );
  }
  tell(done, 'is added', options);
}

async function retireKey(wanted: string, options: RetireOptions): Promise<void> {
  const before = readConfiguration({});
  const gateway = await findGateway(before, process.env);
  const state = gateway === undefined ? undefined : ((await gateway.ask('GET', '/state')) as Snapshot);
  const ids = new Set([...before.credentials.map(keyIdOf), ...(state?.keys ?? []).map(({ id }) => id)]);
  const id = findKey(wanted, [...ids]);
  const file = options.untilRestart === true ? undefined : editableFile();
  const [provider = '', short = ''] = [id.slice(0, id.indexOf('/')), id.slice(id.indexOf('/') + 1)];
  const known = file?.content.providers?.[provider]?.keys ?? [];
  const index = known.findIndex((key) => key.id === short);
  if (file !== undefined && index !== -1) {
    const text = withKeyRemoved(file.text, file.format, { provider, keys: known.length }, index);
    if (options.drain === true) demand(gateway);
    const done = await write(file, text, id, gateway);
    warnIfFoundElsewhere(id, before);
    if (options.drain === true) await drained(demand(gateway), id);
    const what =
      options.drain === true ? 'is retired and drained' : 'is retired; requests under way with it finish';
    return tell(done, what, options);
  }
  if (gateway === undefined) throw notInFile(id, before);
  const { inFlight } = (await gateway.ask('DELETE', pathOfKey(id))) as RetiringKey;
  if (options.drain === true) {
    await drained(gateway, id);
    return tell({ id, gateway: gateway.url }, 'is retired until the gateway ends, and drained', options);
  }
  tell(
    { id, gateway: gateway.url },
    `is retired until the gateway ends (requests under way with it: ${inFlight})`,
    options,
  );
}

function entryOf(wanted: string, options: AddOptions): { provider: string; entry: KeyEntry } {
  const [provider, id, ...more] = wanted.split('/');
  if (provider === undefined || provider === '' || id === undefined || id === '' || more.length > 0) {
    throw new KeymuxError('KEYMUX_USAGE', `A new key is called provider/id; ${typed(wanted)} is not.`, {
      fix: 'Such as `keymux keys add openai/spare --value env:OPENAI_SPARE_KEY`.',
    });
  }
  const { value, priority, weight, bucket } = options;
  if (!/^(?:env|file|exec|vault):./.test(value)) {
    throw new KeymuxError('KEYMUX_USAGE', '--value says where the key is, and is never the key itself.', {
      fix: 'Use env:NAME, file:PATH, vault:NAME or exec:COMMAND. If this was a key, replace it: the history of the shell has it.',
    });
  }
  const entry = {
    id,
    value,
    ...(priority === undefined ? {} : { priority }),
    ...(weight === undefined ? {} : { weight }),
    ...(bucket === undefined ? {} : { bucket }),
  };
  return { provider, entry };
}

/** Programs that run look at the file every few seconds; a gateway is told. */
async function write(
  file: EditableFile,
  text: string,
  id: string,
  gateway: GatewayClient | undefined,
): Promise<Done> {
  const backup = replaceConfiguration(file, text);
  const done = { id, file: file.path, backup };
  if (gateway === undefined) return done;
  await gateway.ask('POST', '/reload');
  return { ...done, gateway: gateway.url };
}

function tell(done: Done, what: string, { json }: { readonly json?: true }): void {
  if (json === true) {
    printJson(done);
    return;
  }
  const { id, file, backup } = done;
  const where =
    file === undefined || backup === undefined ? '' : ` (${file}; as it was: ${basename(backup)})`;
  note(`${id} ${what}${where}`);
}

/** What the file no longer says may still stand in a variable. */
function warnIfFoundElsewhere(id: string, before: Configuration): void {
  const secret = before.credentials.find((credential) => keyIdOf(credential) === id)?.secret;
  const still = readConfiguration({}).credentials.find(
    (credential) => secret !== undefined && credential.secret.equals(secret),
  );
  if (still === undefined) return;
  warn(
    `The same key is still found in ${still.origin}, as ${keyIdOf(still)}.`,
    `Unset it there, or set \`discover: false\` for ${still.provider}.`,
  );
}

function notInFile(id: string, configuration: Configuration): KeymuxError {
  const origin = configuration.credentials.find((credential) => keyIdOf(credential) === id)?.origin;
  return new KeymuxError('KEYMUX_USAGE', `${id} does not stand in the configuration file.`, {
    fix: `It was found in ${origin ?? 'another place'}: take it out of there, or \`keymux keys disable ${id}\`.`,
  });
}

function demand(gateway: GatewayClient | undefined): GatewayClient {
  if (gateway !== undefined) return gateway;
  throw new KeymuxError('KEYMUX_USAGE', 'No gateway with this configuration runs here.', {
    fix: 'Start `keymux serve` in this folder, or name one in KEYMUX_GATEWAY_URL.',
  });
}

function demandFile(): EditableFile {
  const file = editableFile();
  if (file !== undefined) return file;
  throw new KeymuxError('KEYMUX_USAGE', 'There is no configuration file to add the key to.', {
    fix: '`keymux init` writes one.',
  });
}

/** A command may hold a token. */
function referenceKind(value: string): string {
  return value.startsWith('exec:') ? 'the command' : value;
}

function wholeNumber(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number, 0 or above.');
}

function positiveNumber(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('It must be a number above 0.');
}
