import { statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { KeymuxError } from '../core/errors.js';
import { type Environment, isFromEnvFile } from './environment.js';

export const CONFIGURATION_FILE_NAMES = [
  'keymux.config.yaml',
  'keymux.config.yml',
  'keymux.config.json',
  'keymux.config.jsonc',
] as const;

export interface FileSearch {
  readonly cwd: string;
  /** The search ends here, or at the root of the file system. */
  readonly home: string;
  /** `KEYMUX_CONFIG`: the file to use; nothing is searched. Relative to `cwd`. */
  readonly stated?: string | undefined;
}

export interface FoundFile {
  /** Absolute. */
  readonly path?: string;
  readonly notes: readonly string[];
}

export interface LocatedFile extends FoundFile {
  /** The user named the file, so that it may do anything. One that was found, or that `.env` names, may not. */
  readonly isTrusted: boolean;
}

/** The configuration file of an environment: the one of `KEYMUX_CONFIG`, else the nearest. Throws as the search does. */
export function locateConfigurationFile(environment: Environment, cwd: string, home: string): LocatedFile {
  const stated = environment.variables.get('KEYMUX_CONFIG')?.value;
  const found = findConfigurationFile({ cwd, home, stated });
  const isNamed = stated !== undefined && stated !== '' && !isFromEnvFile(environment, 'KEYMUX_CONFIG');
  return { ...found, isTrusted: isNamed && environment.variables.get(FOUND_VARIABLE)?.value !== found.path };
}

/** `keymux run` names the file that it found to the program that it starts; that makes it no more trusted. */
export const FOUND_VARIABLE = 'KEYMUX_CONFIG_FOUND';

/**
 * Finds the configuration file: the stated one, or the nearest upward from `cwd`. A file in a folder above that
 * belongs to a stranger is passed over with a note: anybody can put one into `/tmp`, and it says where keys go.
 * @throws `KEYMUX_CONFIG_UNREADABLE` if the stated file does not exist, `KEYMUX_CONFIG_INVALID` if one folder has two
 */
export function findConfigurationFile(search: FileSearch): FoundFile {
  const start = resolve(search.cwd);
  if (search.stated !== undefined && search.stated !== '')
    return { path: statedFile(start, search.stated), notes: [] };
  const notes: string[] = [];
  const home = resolve(search.home);
  for (let folder = start; ; folder = dirname(folder)) {
    const path = fileIn(folder);
    if (path !== undefined && (folder === start || isTrusted(path, start))) return { path, notes };
    if (path !== undefined)
      notes.push(`ignored ${path}: it belongs to another user (KEYMUX_CONFIG can name it)`);
    if (folder === home || dirname(folder) === folder) return { notes };
  }
}

function statedFile(cwd: string, stated: string): string {
  const path = resolve(cwd, stated);
  if (isFile(path)) return path;
  throw new KeymuxError(
    'KEYMUX_CONFIG_UNREADABLE',
    `KEYMUX_CONFIG names ${path}, which is no file that can be reached.`,
    {
      fix: 'Correct KEYMUX_CONFIG, or unset it to search upward from the working directory.',
    },
  );
}

function fileIn(folder: string): string | undefined {
  const [path, second] = CONFIGURATION_FILE_NAMES.map((name) => join(folder, name)).filter(isFile);
  if (path === undefined || second === undefined) return path;
  throw new KeymuxError(
    'KEYMUX_CONFIG_INVALID',
    `Two configuration files stand side by side: ${path} and ${second}.`,
    {
      fix: 'Keep one of them, or name the one to use in KEYMUX_CONFIG.',
    },
  );
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function isTrusted(path: string, cwd: string): boolean {
  const owner = statSync(path).uid;
  return owner === 0 || owner === process.getuid?.() || owner === statSync(cwd).uid;
}
