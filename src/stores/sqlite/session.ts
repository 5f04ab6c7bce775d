import { statSync } from 'node:fs';
import type { Database, Query } from './driver.js';
import { isStorageTrouble } from './driver.js';
import { Ledger } from './ledger.js';
import { Lineage } from './lineage.js';
import { RecordTable, UsageTable } from './records.js';
import { RollTable } from './roll-table.js';
import { SharedClock } from './shared-clock.js';
import type { TimeSources } from './shared-clock.js';

/** An open database with its statements, from one opening to the next. */
export class Session {
  readonly db: Database;
  readonly clock: SharedClock;
  readonly ledger: Ledger;
  readonly records: RecordTable;
  readonly usage: UsageTable;
  readonly roll: RollTable;
  readonly lineage: Lineage;
  readonly #path: string;
  readonly #inode: string | undefined;
  readonly #dataVersion: Query;

  constructor(db: Database, path: string, member: string, time: TimeSources) {
    this.db = db;
    this.clock = new SharedClock(db, time);
    this.ledger = new Ledger(db, member);
    this.records = new RecordTable(db, member);
    this.usage = new UsageTable(db);
    this.roll = new RollTable(db, member);
    this.lineage = new Lineage(db);
    this.#path = path;
    this.#inode = inodeOf(path);
    this.#dataVersion = db.prepare('PRAGMA data_version').raw();
  }

  /** Whether the file that is open here is no longer the one that others open. SQLite would not notice. */
  hasMoved(): boolean {
    return inodeOf(this.#path) !== this.#inode;
  }

  transaction<T>(work: () => T): T {
    this.db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.db.exec('COMMIT');
      return result;
    } catch (error) {
      if (this.db.inTransaction) this.db.exec('ROLLBACK');
      throw error;
    }
  }

  /** Within a transaction: where `work` fails, what it wrote is undone, and nothing else. */
  apart<T>(work: () => T): T {
    this.db.exec('SAVEPOINT apart');
    try {
      const result = work();
      this.db.exec('RELEASE apart');
      return result;
    } catch (error) {
      if (this.db.inTransaction) this.db.exec('ROLLBACK TO apart; RELEASE apart');
      throw error;
    }
  }

  /** Grows when another member has committed something. */
  dataVersion(): number {
    return Number(this.#dataVersion.get()?.[0]);
  }

  close(): void {
    try {
      if (!this.hasMoved()) this.db.exec('PRAGMA wal_checkpoint(PASSIVE)');
    } catch (error) {
      // The next opener reads the journal instead; nothing is lost.
      if (!isStorageTrouble(error)) throw error;
    } finally {
      this.db.close();
    }
  }
}

function inodeOf(path: string): string | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? undefined : `${String(stats.dev)}:${String(stats.ino)}`;
}
