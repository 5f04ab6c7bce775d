/** Changes the configuration file on disk: checked first, replaced at once, the file as it was kept beside it. */
import {
  copyFileSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname } from 'node:path';
import { readEnvironment, systemCodeOf } from '../config/environment.js';
import { checkContent, formatOf, readConfigurationFile } from '../config/file.js';
import type { ConfigurationFile } from '../config/file-content.js';
import { findConfigurationFile } from '../config/file-search.js';
import type { SourceFormat } from '../config/source-text.js';
import { parseSource } from '../config/source-text.js';
import { KeymuxError } from '../core/errors.js';
import { catalogue } from '../providers/catalogue.js';

export interface EditableFile {
  /** Absolute; where a link to it leads. */
  readonly path: string;
  readonly format: SourceFormat;
  readonly text: string;
  readonly content: ConfigurationFile['content'];
}

/** The configuration file of the working directory; undefined where there is none. */
export function editableFile(): EditableFile | undefined {
  const { variables } = readEnvironment(process.env, process.cwd());
  const stated = variables.get('KEYMUX_CONFIG')?.value;
  const found = findConfigurationFile({ cwd: process.cwd(), home: homedir(), stated });
  if (found.path === undefined) return undefined;
  const { content } = readConfigurationFile(found.path, catalogue);
  const path = realpathSync(found.path);
  return { path, format: formatOf(found.path), text: readFileSync(path, 'utf8'), content };
}

/** Returns the path of the backup. Throws `KEYMUX_CONFIG_INVALID` where the new text would not do, and writes nothing. */
export function replaceFile({ path, format }: EditableFile, text: string): string {
  const { value, positionOf } = parseSource(text, format);
  checkContent(value, { name: path, folder: dirname(path), catalogue, positionOf });
  const backup = `${path}.bak`;
  const unfinished = `${path}.${process.pid}.tmp`;
  try {
    copyFileSync(path, backup);
    writeFileSync(unfinished, text, { mode: statSync(path).mode & 0o777, flush: true });
    renameSync(unfinished, path);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw new KeymuxError('KEYMUX_USAGE', `${basename(path)} cannot be written (${systemCodeOf(error)}).`, {
      fix: `Make ${dirname(path)} writable for this user, or edit the file yourself.`,
      cause: error,
    });
  }
  return backup;
}
