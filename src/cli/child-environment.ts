import { basename } from 'node:path';
import type { Configuration } from '../config/configuration.js';
import { readEnvironment } from '../config/environment.js';
import { CONFIGURATION_FILE_NAMES, FOUND_VARIABLE } from '../config/file-search.js';
import { readConfigurationFile } from '../config/lazy-file.js';
import { VirtualVariables } from '../interceptors/virtual-variables.js';
import type { KeyManager } from '../manager/key-manager.js';
import { virtualKeysOf } from '../manager/virtual-keys.js';
import { catalogue } from '../providers/catalogue.js';
import type { Trouble } from './opened-manager.js';
import { withManager } from './opened-manager.js';
import { warn } from './terminal.js';

type Environment = NodeJS.ProcessEnv;

/**
 * The environment of the program that `run` starts. What is set stays as it is. What is added never changes which
 * keys the program discovers by itself, nor under which ids: its limits, buckets and priorities hang on them.
 *
 * - Managed names of `.env` that are not set, with their values there.
 * - The conventional name of a provider whose keys come from the configuration file, with the best key of the moment.
 * - `KEYMUX_CONFIG`, so that programs which run elsewhere read the same file, and whether it was found or named.
 *
 * Variables of a provider with `mode: virtual` hold its virtual key, whatever they hold here.
 */
export async function childEnvironment(configuration: Configuration, env: Environment): Promise<Environment> {
  const added: Environment = { ...fromEnvFile(configuration, env) };
  const file = configuration.sources.find((source) => !isEnvFile(source));
  if (file === undefined) return { ...env, ...added };
  if ((env['KEYMUX_CONFIG'] ?? '') === '') added[FOUND_VARIABLE] = file;
  added['KEYMUX_CONFIG'] = file;
  const unset = providersWithoutName(configuration, file, { ...env, ...added });
  if (unset.size > 0) Object.assign(added, await bestKeys(configuration, unset));
  const result = { ...env, ...added };
  if (virtualProviders(configuration).length > 0) await holdVirtualKeys(configuration, result);
  return result;
}

export function virtualProviders({ providers }: Configuration): string[] {
  return [...providers.values()].filter(({ mode }) => mode === 'virtual').map(({ id }) => id);
}

async function holdVirtualKeys(configuration: Configuration, env: Environment): Promise<void> {
  await withKeys(configuration, (manager) => {
    const onRealKey = (message: string): void =>
      warn(
        message,
        'Take the real key out of the environment: programs that are started otherwise can read it.',
      );
    new VirtualVariables(env, virtualKeysOf(manager), onRealKey).adopt(configuration, NONE);
  });
}

const NONE: ReadonlySet<string> = new Set();

function isEnvFile(path: string): boolean {
  return basename(path) === '.env' && !CONFIGURATION_FILE_NAMES.some((name) => name === basename(path));
}

function fromEnvFile({ credentials }: Configuration, env: Environment): Environment {
  const { variables } = readEnvironment(env, process.cwd());
  const names = credentials
    .filter(({ origin }) => origin.startsWith('.env:'))
    .map(({ origin }) => origin.slice('.env:'.length));
  return Object.fromEntries(names.map((name) => [name, variables.get(name)?.value]));
}

/** Providers, by the name to set, that no variable of any kind gives a key to. */
function providersWithoutName(
  { credentials, providers }: Configuration,
  file: string,
  env: Environment,
): Map<string, string> {
  const referenced = referencedNames(file);
  const names = new Map<string, string>();
  for (const { id, env: own, signed, mode } of providers.values()) {
    if (mode === 'virtual') continue;
    const [name] = own;
    const keys = credentials.filter(({ provider }) => provider === id);
    if (name === undefined || signed || keys.length === 0 || own.some((each) => each in env)) continue;
    // A variable that the file refers to, or a key that is discovered as another id, would then be another key.
    if (referenced.has(name) || keys.some(({ origin }) => /^\.?env:/.test(origin))) continue;
    names.set(name, id);
  }
  return names;
}

/** The variables that keys of the file refer to. */
function referencedNames(file: string): Set<string> {
  const { content } = readConfigurationFile(file, catalogue);
  const references = Object.values(content.providers ?? {}).flatMap(({ keys = [] }) =>
    keys.map(({ value }) => value),
  );
  return new Set(references.filter((value) => value.startsWith('env:')).map((value) => value.slice(4)));
}

async function bestKeys(
  configuration: Configuration,
  names: ReadonlyMap<string, string>,
): Promise<Environment> {
  return withKeys(configuration, (manager) =>
    Object.fromEntries(
      [...names].map(([name, provider]) => {
        const pool = manager.poolOfProvider(provider);
        return [name, (pool?.best() ?? pool?.leastBad())?.credential.secret.reveal()];
      }),
    ),
  );
}

function withKeys<T>(configuration: Configuration, work: (manager: KeyManager) => T): Promise<T> {
  const onTrouble = ({ message, fix }: Trouble): void => warn(message, fix);
  return withManager(({ manager }) => work(manager), { configuration, onTrouble });
}
