import { resolve } from 'node:path';
import { KeymuxError } from '../core/errors.js';
import { looksLikeRedisAddress, parseRedisAddress } from '../core/redis-address.js';
import type { RedisAddress } from '../core/redis-address.js';
import { Secret } from '../core/secret.js';
import { invalidVariable, type ManagedSettings } from './api-management.js';
import type { RedisDefinition, RedisTls, StoreDefinition, VaultDefinition } from './configuration.js';
import { type Environment, isFromEnvFile } from './environment.js';
import type { ConfigurationFile, FileRedis, FileStore } from './file-content.js';
import { invalidFile } from './problems.js';
import { readSetting } from './reference.js';

const VARIABLE = 'KEYMUX_STORE';
const DEFAULT_PREFIX = 'keymux';
const REFERENCE = /^(?:env|file|exec|vault):/;
/** Anything shorter could be found by trying. */
const SHORTEST_SECRET = 16;

export interface StoreInput {
  readonly file: ConfigurationFile | undefined;
  readonly managed: ManagedSettings;
  readonly environment: Environment;
  /** Relative paths in the environment start here. */
  readonly cwd: string;
  /** Variables that commands do not get. */
  readonly withheld: ReadonlySet<string>;
  readonly vault: VaultDefinition | undefined;
}

interface DefinedStore {
  readonly store: StoreDefinition;
  readonly notes: readonly string[];
}

/**
 * The store that the environment, the file or nobody names. An address that cannot be read is an error and never
 * another store: hosts that do not share would spend the limits once each.
 * @throws `KEYMUX_CONFIG_INVALID`, `KEYMUX_SECRET_UNREADABLE`
 */
export function defineStore(input: StoreInput): DefinedStore {
  const inFile = input.file?.content.store ?? input.managed.store;
  const notes: string[] = [];
  const stated = storeOfVariable(input, inFile) ?? { store: inFile ?? { type: 'sqlite' } };
  if (stated.isFromVariable === true && input.file?.content.store !== undefined)
    notes.push(`${VARIABLE} replaces the store that the file states`);
  return { store: complete(stated, input, notes), notes };
}

interface StatedStore {
  readonly store: FileStore;
  readonly isFromVariable?: true;
}

function storeOfVariable(
  { environment }: StoreInput,
  inFile: FileStore | undefined,
): StatedStore | undefined {
  const text = environment.variables.get(VARIABLE)?.value.trim() ?? '';
  if (text === '') return undefined;
  const isFromVariable = true;
  if (text === 'memory') return { store: { type: 'memory' }, isFromVariable };
  if (text === 'sqlite')
    return { store: inFile?.type === 'sqlite' ? inFile : { type: 'sqlite' }, isFromVariable };
  if (!looksLikeRedisAddress(text) && !REFERENCE.test(text))
    throw invalidStoreVariable('is neither `memory`, `sqlite` nor an address of Redis');
  if (text.startsWith('exec:') && isFromEnvFile(environment, VARIABLE)) throw commandInEnvFile();
  return { store: { ...(inFile?.type === 'redis' ? inFile : {}), type: 'redis', url: text }, isFromVariable };
}

function invalidStoreVariable(fault: string): KeymuxError {
  const fix = `Set ${VARIABLE} to memory, sqlite, an address such as redis://host:6379, or unset it.`;
  return invalidVariable(VARIABLE, fault, fix);
}

/** A folder that was copied from somewhere may hold a `.env`, which must not run anything. */
function commandInEnvFile(): KeymuxError {
  return new KeymuxError('KEYMUX_CONFIG_NOT_ALLOWED', `${VARIABLE} in .env would run a command.`, {
    fix: `Set ${VARIABLE} in the environment itself, or state \`store:\` in the configuration file.`,
  });
}

function complete(stated: StatedStore, input: StoreInput, notes: string[]): StoreDefinition {
  const { store } = stated;
  if (store.type === 'memory') return store;
  const { whenLost, members, encrypt } = store;
  if (encrypt === true && input.vault === undefined)
    throw invalidOption(input, 'encrypt', 'needs a vault, whose key it is sealed with: add `vault:`');
  const manners = {
    ...(whenLost === undefined ? {} : { whenLost }),
    ...(members === undefined ? {} : { members }),
    ...(encrypt === undefined ? {} : { encrypt }),
  };
  if (store.type === 'redis') return { ...completeRedis(stated, store, input, notes), ...manners };
  const { path } = store;
  return {
    type: 'sqlite',
    ...(path === undefined ? {} : { path: resolve(folderOf(input), path) }),
    ...manners,
  };
}

function completeRedis(
  stated: StatedStore,
  store: FileRedis,
  input: StoreInput,
  notes: string[],
): RedisDefinition {
  const url = urlOf(stated, store, input, notes);
  const address = addressOf(url, stated, store, input, notes);
  const secret = secretOf(store, input, notes);
  if (store.tls !== undefined && !address.isTls && stated.isFromVariable !== true)
    throw invalidOption(input, 'tls', 'has no effect without `rediss://`');
  return {
    type: 'redis',
    url,
    address: address.shown,
    prefix: store.prefix ?? DEFAULT_PREFIX,
    ...(store.tls === undefined || !address.isTls ? {} : { tls: absolute(store.tls, folderOf(input)) }),
    ...(secret === undefined ? {} : { secret }),
  };
}

function urlOf(
  { isFromVariable }: StatedStore,
  { url: stated }: FileRedis,
  input: StoreInput,
  notes: string[],
): Secret {
  const isFromFile = isFromVariable !== true;
  const place = isFromFile
    ? { option: 'store.url', folder: folderOf(input) }
    : { option: VARIABLE, folder: input.cwd };
  return REFERENCE.test(stated) ? read(stated, place, input, notes) : new Secret(stated);
}

function addressOf(
  url: Secret,
  { isFromVariable }: StatedStore,
  { url: stated }: FileRedis,
  input: StoreInput,
  notes: string[],
): RedisAddress {
  const isFromFile = isFromVariable !== true;
  const address = parseRedisAddress(url.reveal());
  if ('fault' in address)
    throw isFromFile ? invalidOption(input, 'url', address.fault) : invalidStoreVariable(address.fault);
  const isStated = !REFERENCE.test(stated);
  if (isFromFile && isStated && input.file?.path !== undefined && address.login.password !== undefined) {
    notes.push(
      'store.url holds a password in the configuration file, which others may see; put the address into a variable and write `url: env:REDIS_URL`',
    );
  }
  return address;
}

function secretOf({ secret: stated }: FileRedis, input: StoreInput, notes: string[]): Secret | undefined {
  if (stated === undefined) return undefined;
  const secret = read(stated, { option: 'store.secret', folder: folderOf(input) }, input, notes);
  if (secret.reveal().length >= SHORTEST_SECRET) return secret;
  throw invalidOption(input, 'secret', `must name a secret of at least ${SHORTEST_SECRET} characters`);
}

function read(
  reference: string,
  place: { readonly option: string; readonly folder: string },
  { environment, withheld, vault }: StoreInput,
  notes: string[],
): Secret {
  const setting = readSetting(reference, { ...place, environment, withheld, vault });
  notes.push(...setting.notes);
  return setting.secret;
}

function folderOf({ file, cwd }: StoreInput): string {
  return file?.folder ?? cwd;
}

function absolute({ ca, cert, key, serverName }: NonNullable<FileRedis['tls']>, folder: string): RedisTls {
  return {
    ...(ca === undefined ? {} : { ca: resolve(folder, ca) }),
    ...(cert === undefined ? {} : { cert: resolve(folder, cert) }),
    ...(key === undefined ? {} : { key: resolve(folder, key) }),
    ...(serverName === undefined ? {} : { serverName }),
  };
}

function invalidOption({ file }: StoreInput, option: string, fault: string): KeymuxError {
  const problems = [{ path: ['store', option], text: fault }];
  return invalidFile(file?.path ?? file?.name ?? 'The configuration', problems, file?.positionOf ?? nowhere);
}

function nowhere(): undefined {
  return undefined;
}
