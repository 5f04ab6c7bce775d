import { basename } from 'node:path';
import { CONFIGURATION_FILE_NAMES } from '../config/file-search.js';
import type { Configuration } from '../config/configuration.js';
import { readEnvironment } from '../config/environment.js';
import { readConfigurationFile } from '../config/lazy-file.js';
import { catalogue } from '../providers/catalogue.js';
import { warn } from './terminal.js';
import { withManager } from './opened-manager.js';

type Environment = NodeJS.ProcessEnv;

/**
 * The environment of the program that `run` starts. What is set stays as it is. What is added never changes which
 * keys the program discovers by itself, nor under which ids: its limits, buckets and priorities hang on them.
 *
 * - Managed names of `.env` that are not set, with their values there.
 * - The conventional name of a provider whose keys come from the configuration file, with the best key of the moment.
 * - `KEYMUX_CONFIG`, so that programs which run elsewhere read the same file.
 */
export async function childEnvironment(configuration: Configuration, env: Environment): Promise<Environment> {
  const added: Environment = { ...fromEnvFile(configuration, env) };
  const file = configuration.sources.find((source) => !isEnvFile(source));
  if (file === undefined) return { ...env, ...added };
  added['KEYMUX_CONFIG'] = file;
  const unset = providersWithoutName(configuration, file, { ...env, ...added });
  if (unset.size > 0) Object.assign(added, await bestKeys(configuration, unset));
  return { ...env, ...added };
}

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
  for (const { id, env: own, signed } of providers.values()) {
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
  return withManager(
    ({ manager }) =>
      Object.fromEntries(
        [...names].map(([name, provider]) => {
          const pool = manager.findPool(provider);
          return [name, (pool?.best() ?? pool?.leastBad())?.credential.secret.reveal()];
        }),
      ),
    { configuration, onTrouble: ({ message, fix }) => warn(message, fix) },
  );
}
