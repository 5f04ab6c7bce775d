/**
 * What this user's state directory remembers of each file of an audit folder, outside of it: how far it had come. A file
 * that was shortened or taken away is noticed by that.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Link } from './audit-record.js';

export interface Anchor extends Link {
  readonly file: string;
  /** Fingerprint of the key that signs it. */
  readonly key: string;
  /** Nothing was written to the file after this. */
  readonly closed: boolean;
}

const ENDING = '.json';

export class Anchors {
  readonly #folder: string;

  constructor(stateFolder: string, auditFolder: string) {
    const name = createHash('sha256').update(resolve(auditFolder)).digest('hex').slice(0, 32);
    this.#folder = join(stateFolder, 'audit-anchors', name);
  }

  /** Atomic; the caller has brought the file itself to the disk before. */
  keep(anchor: Anchor): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const path = this.#pathOf(anchor.file);
    const own = `${path}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
    try {
      writeFileSync(own, `${JSON.stringify(anchor)}\n`, { mode: 0o600, flag: 'wx' });
      renameSync(own, path);
    } catch (error) {
      rmSync(own, { force: true });
      throw error;
    }
  }

  forget(file: string): void {
    rmSync(this.#pathOf(file), { force: true });
  }

  /**
   * By name of the file. An unreadable one stands for a file of which anything may be said. An empty one is none: so a loss
   * of power leaves it, and whoever could empty it could take it away.
   */
  all(): ReadonlyMap<string, Anchor | 'damaged'> {
    const found = new Map<string, Anchor | 'damaged'>();
    for (const name of this.#names()) {
      const file = name.slice(0, -ENDING.length);
      try {
        const text = readFileSync(join(this.#folder, name), 'utf8');
        if (text !== '') found.set(file, anchorOf(text, file) ?? 'damaged');
      } catch (error) {
        // Taken away by its program, with its file, while we looked.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') found.set(file, 'damaged');
      }
    }
    return found;
  }

  #names(): string[] {
    try {
      return readdirSync(this.#folder).filter((name) => name.endsWith(ENDING));
    } catch {
      return [];
    }
  }

  #pathOf(file: string): string {
    return join(this.#folder, `${file}${ENDING}`);
  }
}

function anchorOf(text: string, name: string): Anchor | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { file, seq, hash, key, closed } = value as Readonly<Record<string, unknown>>;
  if (file !== name || typeof seq !== 'number' || typeof hash !== 'string') return undefined;
  return typeof key === 'string' && typeof closed === 'boolean'
    ? { file, seq, hash, key, closed }
    : undefined;
}
