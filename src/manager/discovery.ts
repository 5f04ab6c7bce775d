import { resolve } from 'node:path';
import type { Configuration } from '../config/configuration.js';
import { checkContent, readConfigurationFile } from '../config/lazy-file.js';
import { resolveConfiguration } from '../config/resolve.js';
import { catalogue } from '../providers/catalogue.js';
import { isTemplateValue } from '../providers/key-shape.js';
import type { KeyManagerOptions } from './options.js';

/** Providers, keys and services, from the environment, `.env`, the configuration file and the catalogue. */
export function readConfiguration(options: KeyManagerOptions): Configuration {
  const cwd = resolve(options.cwd ?? '.');
  return resolveConfiguration({
    env: options.env ?? process.env,
    cwd,
    catalogue,
    isTemplateValue,
    readFile: readConfigurationFile,
    ...fileOf(options.config, cwd),
  });
}

function fileOf(
  config: KeyManagerOptions['config'],
  folder: string,
): Pick<Parameters<typeof resolveConfiguration>[0], 'file'> {
  if (config === undefined) return {};
  if (config === false) return { file: false };
  return { file: checkContent(config, { name: 'the `config` option', folder, catalogue }) };
}
