import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';

const LARGEST_ENV_FILE_BYTES = 1_048_576;

export interface Variable {
  readonly value: string;
  /** `env:NAME`, or `.env:NAME` where the variable comes from the file. */
  readonly origin: string;
}

/** The variables of the process and, where it has none of that name, those of `.env`. */
export interface Environment {
  readonly variables: ReadonlyMap<string, Variable>;
  readonly sources: readonly string[];
  readonly notes: readonly string[];
  /** What `.env` says of its own, also where the process has a variable of that name. */
  readonly ofFile?: NodeJS.Dict<string>;
}

/**
 * Whether a variable has what `.env` says: a folder that was copied from somewhere may hold such a file, and programs
 * that read it themselves put it into their environment.
 */
export function isFromEnvFile({ variables, ofFile = {} }: Environment, name: string): boolean {
  const value = variables.get(name)?.value;
  return value !== undefined && Object.hasOwn(ofFile, name) && ofFile[name] === value;
}

/** Reads `.env` in `cwd`; one that cannot be read is a note, never an error. */
export function readEnvironment(env: Readonly<Record<string, string | undefined>>, cwd: string): Environment {
  const variables = new Map<string, Variable>();
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined) variables.set(name, { value, origin: `env:${name}` });
  }
  const path = join(cwd, '.env');
  const file = readEnvFile(path);
  for (const [name, value] of Object.entries(file.entries)) {
    if (value !== undefined && !variables.has(name)) variables.set(name, { value, origin: `.env:${name}` });
  }
  return { variables, sources: file.wasRead ? [path] : [], notes: file.notes, ofFile: file.entries };
}

interface EnvFile {
  readonly entries: NodeJS.Dict<string>;
  readonly wasRead: boolean;
  readonly notes: readonly string[];
}

function readEnvFile(path: string): EnvFile {
  const nothing = (...notes: string[]): EnvFile => ({ entries: {}, wasRead: false, notes });
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    // A folder named `.env` is a Python virtual environment, and reading a pipe could wait for ever.
    if (stat === undefined || stat.isDirectory()) return nothing();
    if (!stat.isFile()) return nothing(`ignored ${path}: it is not a regular file`);
    if (stat.size > LARGEST_ENV_FILE_BYTES) return nothing(`ignored ${path}: it is larger than 1 MiB`);
    const text = readFileSync(path, 'utf8').replace(/^\uFEFF/, '');
    return { entries: parseEnv(text), wasRead: true, notes: [] };
  } catch (error) {
    return nothing(`ignored ${path}: it cannot be read (${systemCodeOf(error)})`);
  }
}

/** `EACCES` and the like; says nothing that a file or a command said. */
export function systemCodeOf(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^[A-Z0-9_]{1,40}$/.test(code) ? code : 'unknown reason';
}
