import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { CONFIGURATION_FILE_NAMES } from '../config/file-search.js';
import { KeymuxError } from '../core/errors.js';
import { allowOwnText } from './configuration-write.js';
import { findProviders, starterFile } from './starter-file.js';
import { note, print } from './terminal.js';

const [FILE_NAME] = CONFIGURATION_FILE_NAMES;

interface InitOptions {
  readonly print?: true;
}

export function registerInit(program: Command): void {
  program
    .command('init')
    .summary('write a configuration for the keys that are there')
    .description(
      `Looks for keys in the environment, .env and .env.example, and writes ${FILE_NAME}. It never holds a key.`,
    )
    .option('--print', 'print it on stdout, write nothing')
    .option('-y, --yes', 'ask nothing; init never does')
    .action((options: InitOptions) => {
      writeStarter(options.print === true);
    });
}

function writeStarter(printOnly: boolean): void {
  const folder = process.cwd();
  const found = findProviders(process.env, folder);
  const text = starterFile(found);
  if (printOnly) {
    print(text.trimEnd());
    return;
  }
  const existing = CONFIGURATION_FILE_NAMES.find((name) => existsSync(join(folder, name)));
  if (existing !== undefined) throw alreadyThere(existing);
  try {
    writeFileSync(join(folder, FILE_NAME), text, { flag: 'wx' });
  } catch (error) {
    if (isCode(error, 'EEXIST')) throw alreadyThere(FILE_NAME);
    throw new KeymuxError('KEYMUX_USAGE', `${FILE_NAME} cannot be written into ${folder}.`, {
      fix: 'Go to a folder that you may write to, or use `keymux init --print`.',
      cause: error,
    });
  }
  allowOwnText(join(folder, FILE_NAME), text);
  const keys = found.reduce((sum, { keyNames }) => sum + keyNames.length, 0);
  note(`wrote ${FILE_NAME} (keys found: ${keys}). Next: npx keymux run -- node agent.js`);
}

function alreadyThere(name: string): KeymuxError {
  return new KeymuxError('KEYMUX_USAGE', `${name} is already there, and is left as it is.`, {
    fix: 'Edit it, or see with `keymux init --print` what a new one would say.',
  });
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
