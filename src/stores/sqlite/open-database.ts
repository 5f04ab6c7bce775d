/** From a path to a sound database of ours, whatever is there. */
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { randomBytes } from 'node:crypto';
import type { StoreNotice } from '../../core/ports.js';
import { codeOf, connect, isDamage } from './driver.js';
import type { Database, Driver } from './driver.js';
import { createPrivateFile, isWritable, preparePrivateDirectory, tightenFile } from './file-modes.js';
import { whileLocked } from './opening-lock.js';
import { requireTables, salvage } from './salvage.js';
import type { Salvage } from './salvage.js';
import { APPLICATION_ID, migrate } from './schema.js';
import { PARTS, setAside } from './set-aside.js';
import type { SetAsideReason } from './set-aside.js';

export interface OpenOptions {
  readonly path: string;
  readonly driver: Driver;
  readonly migrations: readonly string[];
  readonly onNotice: (notice: StoreNotice) => void;
}

export interface OpenedDatabase {
  readonly db: Database;
  /** What could be read of a damaged predecessor. */
  readonly salvaged?: Salvage;
}

/**
 * A checkpoint stops its process for two flushes to the disk, and the next writer holds the lock for one more; what is
 * copied is little. Four times fewer of them than by default, for a journal of 16 MB.
 */
const PAGES_PER_CHECKPOINT = 4_000;
const BYTES_PER_PAGE = 4_096;

type Verdict =
  | { readonly sound: true; readonly version: number }
  | { readonly sound: false; readonly reason: SetAsideReason };

/**
 * Opens the database, migrates an older one, sets aside what is not a sound one of ours and makes a fresh one.
 * Throws the error of the driver or of the file system; one that `isBusy` leaves everything as it was. Only one
 * process does this at a time, so that none can take the half-done work of another for damage.
 */
export function openDatabase(options: OpenOptions): OpenedDatabase {
  preparePrivateDirectory(dirname(options.path));
  return whileLocked(options.driver, `${options.path}.lock`, () => openLocked(options));
}

function openLocked(options: OpenOptions): OpenedDatabase {
  const { path } = options;
  removeUnfinished(path);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) {
    if (existsSync(`${path}-wal`)) replace(options, 'orphan');
  } else if (stats.isFile() && stats.size === 0) {
    replace(options, 'empty');
  }
  if (!existsSync(path)) createDatabase(options);
  for (const part of PARTS) tightenFile(path + part);
  const db = connect(options.driver, path);
  try {
    return openSound(options, db);
  } catch (error) {
    db.close();
    throw error;
  }
}

function openSound(options: OpenOptions, db: Database): OpenedDatabase {
  const verdict = inspect(db, options);
  if (verdict.sound) {
    if (verdict.version < options.migrations.length) upgrade(options, db, verdict.version);
    return { db: configure(db) };
  }
  const salvaged = verdict.reason === 'corrupt' ? salvage(db) : undefined;
  // Windows cannot rename an open file; elsewhere closing afterwards leaves the file as it was found.
  if (process.platform === 'win32') db.close();
  replace(options, verdict.reason);
  if (process.platform !== 'win32') db.close();
  createDatabase(options);
  const fresh = configure(connect(options.driver, options.path));
  return salvaged === undefined ? { db: fresh } : { db: fresh, salvaged };
}

function inspect(db: Database, { path, migrations }: OpenOptions): Verdict {
  const newest = migrations.length;
  try {
    const read = (pragma: string): number => Number(db.prepare(`PRAGMA ${pragma}`).raw().get()?.[0]);
    const isOurs = read('application_id') === APPLICATION_ID;
    const tables = Number(db.prepare('SELECT count(*) FROM sqlite_schema').raw().get()?.[0]);
    // A file cut off within its first page reads as an empty database.
    if (!isOurs) return { sound: false, reason: tables === 0 ? 'corrupt' : 'foreign' };
    const version = read('user_version');
    if (version > newest) return { sound: false, reason: 'newer' };
    const check = db
      // The finding itself may quote damaged text, see `asBytes`.
      .prepare("SELECT integrity_check = 'ok' FROM pragma_integrity_check(1)")
      .raw()
      .get()?.[0];
    if (version === newest) requireTables(db);
    db.exec(`BEGIN IMMEDIATE; PRAGMA user_version = ${String(version)}; ROLLBACK`);
    return check === 1 && version > 0 ? { sound: true, version } : { sound: false, reason: 'corrupt' };
  } catch (error) {
    // A damaged header may also say that nobody is to write.
    const claimsReadOnly =
      codeOf(error) === 'SQLITE_READONLY' && isWritable(path) && isWritable(dirname(path));
    if (!isDamage(error) && !claimsReadOnly) throw error;
    return { sound: false, reason: codeOf(error) === 'SQLITE_NOTADB' ? 'foreign' : 'corrupt' };
  }
}

function configure(db: Database): Database {
  const mode = db.prepare('PRAGMA journal_mode').raw().get()?.[0];
  if (mode !== 'wal') db.exec('PRAGMA journal_mode = WAL');
  db.exec('PRAGMA synchronous = NORMAL');
  db.exec(`PRAGMA wal_autocheckpoint = ${String(PAGES_PER_CHECKPOINT)}`);
  db.exec(`PRAGMA journal_size_limit = ${String(PAGES_PER_CHECKPOINT * BYTES_PER_PAGE)}`);
  return db;
}

/** Made under another name and moved into place when it is complete, so that a crash leaves no half of it. */
function createDatabase({ path, driver, migrations }: OpenOptions): void {
  const unfinished = `${path}.new-${randomBytes(6).toString('hex')}`;
  createPrivateFile(unfinished);
  const db = connect(driver, unfinished);
  try {
    db.exec('PRAGMA journal_mode = WAL');
    migrate(db, 0, migrations);
  } finally {
    db.close();
  }
  renameSync(unfinished, path);
}

function removeUnfinished(path: string): void {
  const prefix = `${basename(path)}.new-`;
  for (const name of readdirSync(dirname(path))) {
    if (name.startsWith(prefix)) rmSync(join(dirname(path), name), { force: true });
  }
}

function upgrade({ path, migrations }: OpenOptions, db: Database, version: number): void {
  let backup = `${path}.v${String(version)}.bak`;
  for (let count = 2; existsSync(backup); count += 1) {
    backup = `${path}.v${String(version)}-${String(count)}.bak`;
  }
  createPrivateFile(backup);
  try {
    db.exec(`VACUUM INTO '${backup.replaceAll("'", "''")}'`);
    migrate(db, version, migrations);
  } catch (error) {
    rmSync(backup, { force: true });
    throw error;
  }
}

const FOUND: Readonly<Record<SetAsideReason, string>> = {
  corrupt: 'was damaged',
  empty: 'was empty',
  foreign: 'was not a database of keymux',
  newer: 'was made by a newer version of keymux',
  orphan: 'was gone, and its journal had been left behind',
};

const FIX: Readonly<Record<SetAsideReason, string>> = {
  corrupt:
    'Nothing needs doing: what could be read was taken over. Check the disk if it happens again; delete the old file when you do not need it.',
  empty: 'Nothing needs doing. Check what truncates the file if it happens again.',
  foreign:
    'If the old file belongs to another program, move it back and point KEYMUX_STATE_DIR to another directory; otherwise delete it when you do not need it.',
  newer:
    'Use one version of keymux for all programs of this machine, or give the older one its own KEYMUX_STATE_DIR.',
  orphan: 'Nothing needs doing. Stop the programs that use keymux before deleting its state.',
};

function replace({ path, onNotice }: OpenOptions, reason: SetAsideReason): void {
  const target = setAside(path, reason, Date.now());
  onNotice({
    kind: 'set-aside',
    message: `The state file ${path} ${FOUND[reason]}; it was set aside as ${target}, and a fresh one was made.`,
    fix: FIX[reason],
  });
}
