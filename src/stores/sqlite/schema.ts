import type { Database } from './driver.js';

/** Tells our files from those of other programs: "kmux" as a number. */
export const APPLICATION_ID = 0x6b6d7578;

/**
 * The n-th entry leads from version n to version n + 1. Entries are only ever added. All times are milliseconds on
 * the shared clock. Constraints are what an integrity check can find damage by.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    boot TEXT NOT NULL,            -- which start of the machine the other columns belong to
    offset_ms REAL NOT NULL,       -- shared time minus monotonic time
    suspended_ms REAL NOT NULL,    -- how long the machine had slept when offset_ms was set
    monotonic_ms REAL NOT NULL     -- when the store was last opened, in monotonic time
  ) STRICT;
  CREATE TABLE health (
    subject TEXT PRIMARY KEY,
    health TEXT NOT NULL,          -- JSON
    disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    disabled_version INTEGER NOT NULL,
    seq INTEGER NOT NULL,          -- grows with every change of any row
    writer TEXT NOT NULL           -- the member that made the last change
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX health_by_seq ON health (seq);
  CREATE TABLE bucket (
    bucket TEXT PRIMARY KEY,
    horizon_ms REAL NOT NULL CHECK (horizon_ms >= 0) -- the longest that any request needed to look back
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE lease (
    bucket TEXT NOT NULL,
    lease_id TEXT NOT NULL,
    member TEXT NOT NULL,
    permits INTEGER NOT NULL CHECK (permits > 0), -- not yet settled
    counted_at REAL NOT NULL,
    granted_at REAL NOT NULL,
    PRIMARY KEY (bucket, lease_id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE charge (
    bucket TEXT NOT NULL,
    counted_at REAL NOT NULL,
    permits INTEGER NOT NULL CHECK (permits > 0),
    PRIMARY KEY (bucket, counted_at)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE usage (
    subject TEXT PRIMARY KEY,
    requests INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    cost_usd REAL NOT NULL,
    last_used_at REAL NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  ALTER TABLE bucket ADD COLUMN cautious_until REAL NOT NULL DEFAULT 0; -- nothing is granted before
  CREATE TABLE told (              -- charges without a lease that are in the ledger, so that none is taken twice
    bucket TEXT NOT NULL,
    lease_id TEXT NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (bucket, lease_id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE member (
    member_id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    member_group TEXT,
    writer TEXT NOT NULL,          -- what it is called in health.writer
    pid INTEGER NOT NULL,
    started_at REAL NOT NULL,
    ttl_ms REAL NOT NULL,
    joined INTEGER NOT NULL,       -- grows with each member that joins
    seen_at REAL NOT NULL,
    heard_seq INTEGER NOT NULL     -- up to which health.seq it has taken up changes
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE leader (
    member_group TEXT PRIMARY KEY,
    member_id TEXT NOT NULL,
    token INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE fleet (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last_token INTEGER NOT NULL,   -- of any group
    silence_ended_at REAL NOT NULL,
    reunion_until REAL NOT NULL,
    remembered INTEGER NOT NULL    -- the most members that anybody remembered since then
  ) STRICT;
  CREATE TABLE lineage (           -- this file, and those whose permits were all taken over into it
    file_id TEXT PRIMARY KEY,
    is_own INTEGER NOT NULL CHECK (is_own IN (0, 1))
  ) STRICT, WITHOUT ROWID;
  INSERT INTO lineage VALUES (lower(hex(randomblob(16))), 1);
  `,
];

/** Brings a database from `version` to the newest one, in one transaction. */
export function migrate(db: Database, version: number, migrations: readonly string[]): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    for (const sql of migrations.slice(version)) db.exec(sql);
    db.exec(`PRAGMA application_id = ${String(APPLICATION_ID)}`);
    db.exec(`PRAGMA user_version = ${String(migrations.length)}`);
    db.exec('COMMIT');
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK');
    throw error;
  }
}
