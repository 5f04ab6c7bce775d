/** Which file this is, and what it took over: whether a bucket's permits may have been lost since somebody asked. */
import { KeymuxError } from '../../core/errors.js';
import { asBytes, textOf } from './driver.js';
import type { Database, Query } from './driver.js';

export class Lineage {
  readonly #db: Database;
  readonly #own: Query;
  readonly #find: Query;
  #fileId = '';

  constructor(db: Database) {
    this.#db = db;
    this.#own = db.prepare(`SELECT ${asBytes('file_id')} FROM lineage WHERE is_own = 1`).raw();
    this.#find = db.prepare('SELECT 1 FROM lineage WHERE file_id = ?').raw();
  }

  /** Call it within a transaction. */
  start(): void {
    if (this.#own.get() === undefined) {
      this.#db.exec('INSERT INTO lineage VALUES (lower(hex(randomblob(16))), 1)');
    }
    this.#fileId = textOf(this.#own.get()?.[0]) ?? '';
  }

  get fileId(): string {
    return this.#fileId;
  }

  /** Whether everything about permits that was in that file is in this one. */
  includes(fileId: string): boolean {
    return fileId === this.#fileId || this.#find.get(fileId) !== undefined;
  }
}

/** The buckets that a member asked for, each with the file that knew of it. It outlives the files. */
export class KnownBuckets {
  readonly #path: string;
  readonly #files = new Map<string, string>();

  constructor(path: string) {
    this.#path = path;
  }

  /** Throws `KEYMUX_STORE_FORGOT` where the file does not know what this member knows, until `learn` is called. */
  check(bucket: string, lineage: Lineage): void {
    const fileId = this.#files.get(bucket);
    if (fileId === lineage.fileId) return;
    if (fileId !== undefined && !lineage.includes(fileId)) throw this.#forgotten(bucket);
    this.learn(bucket, lineage);
  }

  learn(bucket: string, lineage: Lineage): void {
    this.#files.set(bucket, lineage.fileId);
  }

  #forgotten(bucket: string): KeymuxError {
    return new KeymuxError(
      'KEYMUX_STORE_FORGOT',
      `The state file ${this.#path} is another one than before, and what was spent of "${bucket}" is not in it.`,
      {
        fix: 'Nothing needs doing: it is told anew. Stop the programs that use keymux before deleting its state.',
      },
    );
  }
}
