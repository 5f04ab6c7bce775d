/** Changes the configuration file on disk: checked first, replaced at once, the file as it was kept beside it. */
import { copyFileSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname } from 'node:path';
import { AllowedFiles } from '../config/allowed-files.js';
import { readEnvironment, systemCodeOf } from '../config/environment.js';
import { checkText, digestOf, formatOf, readConfigurationFile } from '../config/file.js';
import type { ConfigurationFile } from '../config/file-content.js';
import { locateConfigurationFile } from '../config/file-search.js';
import { notAllowed } from '../config/not-allowed.js';
import { replaceFile } from '../config/replaced-file.js';
import type { SourceFormat } from '../config/source-text.js';
import { KeymuxError } from '../core/errors.js';
import { catalogue } from '../providers/catalogue.js';
import { stateDirectory } from '../stores/sqlite/state-directory.js';

export interface EditableFile {
  /** Absolute; where a link to it leads. */
  readonly path: string;
  /** Absolute; as it was found, which is the name that it is allowed by. */
  readonly foundPath: string;
  readonly format: SourceFormat;
  readonly text: string;
  readonly content: ConfigurationFile['content'];
}

/**
 * The configuration file of the working directory; undefined where there is none. One that is not allowed is not
 * edited: what is written by a command counts as allowed. Throws `KEYMUX_CONFIG_NOT_ALLOWED`.
 */
export function editableFile(): EditableFile | undefined {
  const environment = readEnvironment(process.env, process.cwd());
  const { path: foundPath, isTrusted } = locateConfigurationFile(environment, process.cwd(), homedir());
  if (foundPath === undefined) return undefined;
  const file = readConfigurationFile(foundPath, catalogue);
  const { content, demands = [], digest = '' } = file;
  if (!isTrusted && demands.length > 0 && !allowedFiles().has(foundPath, digest)) throw notAllowed(file);
  const path = realpathSync(foundPath);
  return { path, foundPath, format: formatOf(foundPath), text: readFileSync(path, 'utf8'), content };
}

/** A file that a command of keymux wrote is as its user wants it. */
export function allowOwnText(path: string, text: string): void {
  const { demands = [] } = checkText(text, path, catalogue);
  if (demands.length > 0) allowedFiles().allow(path, digestOf(text), Date.now());
}

function allowedFiles(): AllowedFiles {
  return new AllowedFiles(stateDirectory(process.env));
}

/** Returns the path of the backup. Throws `KEYMUX_CONFIG_INVALID` where the new text would not do, and writes nothing. */
export function replaceConfiguration({ path, foundPath }: EditableFile, text: string): string {
  checkText(text, foundPath, catalogue);
  const backup = `${path}.bak`;
  try {
    copyFileSync(path, backup);
    replaceFile(path, text, statSync(path).mode & 0o777);
  } catch (error) {
    throw new KeymuxError('KEYMUX_USAGE', `${basename(path)} cannot be written (${systemCodeOf(error)}).`, {
      fix: `Make ${dirname(path)} writable for this user, or edit the file yourself.`,
      cause: error,
    });
  }
  allowOwnText(foundPath, text);
  return backup;
}
