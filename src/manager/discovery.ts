import { resolve } from 'node:path';
import { AllowedFiles } from '../config/allowed-files.js';
import type { Configuration } from '../config/configuration.js';
import { checkContent, readConfigurationFile } from '../config/lazy-file.js';
import { resolveConfiguration } from '../config/resolve.js';
import type { SecretReader } from '../config/secure-config-manager.js';
import { catalogue } from '../providers/catalogue.js';
import { isTemplateValue } from '../providers/key-shape.js';
import { stateDirectory } from '../stores/sqlite/state-directory.js';
import type { KeyManagerOptions } from './options.js';

/**
 * Providers, keys and services, from the environment, `.env`, the configuration file and the catalogue. Without
 * `secrets` every key is read anew, and there are no registered sources.
 */
export function readConfiguration(options: KeyManagerOptions, secrets?: SecretReader): Configuration {
  const cwd = resolve(options.cwd ?? '.');
  return resolveConfiguration({
    env: options.env ?? process.env,
    cwd,
    catalogue,
    isTemplateValue,
    readFile: readConfigurationFile,
    stateFolder: stateDirectory(process.env),
    isAllowed: (path, digest) => new AllowedFiles(stateDirectory(process.env)).has(path, digest),
    ...(secrets === undefined ? {} : { secrets }),
    ...fileOf(options.config, cwd, secrets?.schemes),
  });
}

function fileOf(
  config: KeyManagerOptions['config'],
  folder: string,
  schemes: readonly string[] = [],
): Pick<Parameters<typeof resolveConfiguration>[0], 'file'> {
  if (config === undefined) return {};
  if (config === false) return { file: false };
  return { file: checkContent(config, { name: 'the `config` option', folder, catalogue, schemes }) };
}
