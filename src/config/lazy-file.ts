/** Loads the parsers of configuration files only when there is a file, in one CommonJS bundle that the build makes. */
import { createRequire } from 'node:module';
import type { ConfigurationFileReader } from './file-content.js';

const require = createRequire(import.meta.url);

type FileModule = typeof import('./file.js');

function load(): FileModule {
  return require('#keymux/config/file.cjs') as FileModule;
}

export const readConfigurationFile: ConfigurationFileReader = (path, catalogue, schemes) =>
  load().readConfigurationFile(path, catalogue, schemes);

export const checkContent: FileModule['checkContent'] = (content, context) =>
  load().checkContent(content, context);
