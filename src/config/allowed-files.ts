/** Which configuration files a person has allowed to name addresses and commands: one small record for each. */
import { mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { KeymuxError } from '../core/errors.js';
import { systemCodeOf } from './environment.js';
import { replaceFile } from './replaced-file.js';

export interface AllowedFile {
  /** Absolute, with the links of its folder followed. */
  readonly path: string;
  /** SHA-256 of its content, in hexadecimal. */
  readonly digest: string;
  /** Epoch milliseconds. */
  readonly allowedAt: number;
}

const FOLDER = 'allowed';
const ENDING = '.json';
/** A path takes no more than that. */
const LARGEST_RECORD_BYTES = 16_384;

export class AllowedFiles {
  readonly #folder: string;

  /** `stateFolder`: the user's state directory. */
  constructor(stateFolder: string) {
    this.#folder = join(stateFolder, FOLDER);
  }

  /** Whether this content was allowed at this path. A record that is damaged, or that others may write, allows nothing. */
  has(path: string, digest: string): boolean {
    const place = placeOf(path);
    const record = this.#read(this.#recordOf(place));
    return record?.path === place && record.digest === digest;
  }

  /** By path. */
  list(): AllowedFile[] {
    return this.#names()
      .flatMap((name) => this.#read(join(this.#folder, name)) ?? [])
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** @throws `KEYMUX_USAGE` where the state directory cannot be written */
  allow(path: string, digest: string, allowedAt: number): AllowedFile {
    const allowed = { path: placeOf(path), digest, allowedAt };
    const record = this.#recordOf(allowed.path);
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      replaceFile(record, `${JSON.stringify(allowed)}\n`);
    } catch (error) {
      throw new KeymuxError('KEYMUX_USAGE', `${this.#folder} cannot be written (${systemCodeOf(error)}).`, {
        fix: 'Make it writable for this user alone, or name another place in KEYMUX_STATE_DIR.',
      });
    }
    return allowed;
  }

  /** Returns whether it was allowed before. */
  revoke(path: string): boolean {
    const record = this.#recordOf(placeOf(path));
    const wasThere = statSync(record, { throwIfNoEntry: false }) !== undefined;
    rmSync(record, { force: true });
    return wasThere;
  }

  #names(): string[] {
    try {
      return readdirSync(this.#folder).filter((name) => name.endsWith(ENDING));
    } catch {
      return [];
    }
  }

  #recordOf(place: string): string {
    const { createHash } = process.getBuiltinModule('node:crypto');
    return join(this.#folder, createHash('sha256').update(place).digest('hex') + ENDING);
  }

  #read(record: string): AllowedFile | undefined {
    try {
      const stat = statSync(record);
      if (!stat.isFile() || stat.size > LARGEST_RECORD_BYTES || !isOwn(stat)) return undefined;
      const found: unknown = JSON.parse(readFileSync(record, 'utf8'));
      return isAllowedFile(found) && this.#recordOf(found.path) === record ? found : undefined;
    } catch {
      return undefined;
    }
  }
}

/** The file by its own name, also where that is a link: what is relative in it starts from the folder of the link. */
function placeOf(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path;
  }
}

function isOwn({ uid, mode }: { readonly uid: number; readonly mode: number }): boolean {
  if (process.platform === 'win32') return true;
  return (mode & 0o022) === 0 && (uid === process.getuid?.() || uid === 0);
}

function isAllowedFile(value: unknown): value is AllowedFile {
  if (typeof value !== 'object' || value === null) return false;
  const { path, digest, allowedAt } = value as Partial<Record<keyof AllowedFile, unknown>>;
  return typeof path === 'string' && typeof digest === 'string' && typeof allowedAt === 'number';
}
