/** What can still be read of a file that is given up, and how it gets into the next one. */
import { asBytes, textOf } from './driver.js';
import type { Database, Row } from './driver.js';

type TableName = 'health' | 'bucket' | 'lease' | 'charge' | 'told' | 'usage' | 'member';

export interface Salvage {
  readonly rows: ReadonlyMap<TableName, readonly Row[]>;
  /** The file, and those that it had taken over; empty where anything about its permits could not be read. */
  readonly lineage: readonly string[];
}

/**
 * How a row is taken over. Several members may bring the same rows, or older ones, so what is there already stands,
 * and of permits the larger figure: nothing is charged less than it was.
 */
const TAKE_OVER: Readonly<
  Record<TableName, { texts: readonly string[]; numbers: readonly string[]; insert: string }>
> = {
  health: {
    texts: ['subject', 'health', 'writer'],
    numbers: ['disabled', 'disabled_version'],
    insert: `INSERT OR IGNORE INTO health (subject, health, writer, disabled, disabled_version, seq)
             VALUES (?, ?, ?, ?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM health))`,
  },
  bucket: {
    texts: ['bucket'],
    numbers: ['horizon_ms', 'cautious_until'],
    insert: `INSERT INTO bucket (bucket, horizon_ms, cautious_until) VALUES (?, ?, ?)
             ON CONFLICT DO UPDATE SET horizon_ms = max(horizon_ms, excluded.horizon_ms),
               cautious_until = max(cautious_until, excluded.cautious_until)`,
  },
  lease: {
    texts: ['bucket', 'lease_id', 'member'],
    numbers: ['permits', 'counted_at', 'granted_at'],
    insert: 'INSERT OR IGNORE INTO lease VALUES (?, ?, ?, ?, ?, ?)',
  },
  charge: {
    texts: ['bucket'],
    numbers: ['counted_at', 'permits'],
    insert: `INSERT INTO charge VALUES (?, ?, ?)
             ON CONFLICT DO UPDATE SET permits = max(permits, excluded.permits)`,
  },
  told: {
    texts: ['bucket', 'lease_id'],
    numbers: ['until'],
    insert: 'INSERT OR IGNORE INTO told VALUES (?, ?, ?)',
  },
  usage: {
    texts: ['subject'],
    numbers: ['requests', 'failures', 'cost_usd', 'last_used_at'],
    insert: 'INSERT OR IGNORE INTO usage VALUES (?, ?, ?, ?, ?)',
  },
  member: {
    texts: ['member_id', 'host', 'member_group', 'writer'],
    numbers: ['pid', 'started_at', 'ttl_ms', 'joined', 'seen_at'],
    insert: `INSERT OR IGNORE INTO member
               (member_id, host, member_group, writer, pid, started_at, ttl_ms, joined, seen_at, heard_seq)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)`,
  },
};

const TABLES = Object.keys(TAKE_OVER) as TableName[];
/** Without these, a member may know of permits that the next file does not know of. */
const PERMITS: readonly TableName[] = ['bucket', 'lease', 'charge'];
/** Columns that may be empty; elsewhere that is damage. */
const OPTIONAL = 'member_group';

/** What the statements name besides; see `requireTables`. */
const ALSO_REQUIRED = [
  'SELECT seq FROM health',
  'SELECT id, boot, offset_ms, suspended_ms, monotonic_ms FROM clock',
  'SELECT member_group, member_id, token FROM leader',
  'SELECT id, last_token, silence_ended_at, reunion_until, remembered FROM fleet',
  'SELECT heard_seq FROM member',
  'SELECT file_id, is_own FROM lineage',
];

/** Throws if a table or column of the newest version is missing. */
export function requireTables(db: Database): void {
  for (const sql of [...TABLES.map(selectAll), ...ALSO_REQUIRED]) db.prepare(sql);
}

export function salvage(db: Database): Salvage {
  const tables = TABLES.map((table) => [table, readableRows(db, table)] as const);
  const isComplete = tables.every(([table, { isWhole }]) => isWhole || !PERMITS.includes(table));
  return {
    rows: new Map(tables.map(([table, { rows }]) => [table, rows])),
    lineage: isComplete ? readLineage(db) : [],
  };
}

/** Damage may have turned a number into a text, too, which the driver must not see. */
function selectAll(table: TableName): string {
  const { texts, numbers } = TAKE_OVER[table];
  const columns = [
    ...texts.map(asBytes),
    ...numbers.map((column) => `CASE WHEN typeof(${column}) IN ('integer', 'real') THEN ${column} END`),
  ];
  return `SELECT ${columns.join(', ')} FROM ${table}`;
}

function readableRows(
  db: Database,
  table: TableName,
): { readonly rows: readonly Row[]; readonly isWhole: boolean } {
  try {
    const found = db.prepare(selectAll(table)).raw().all();
    const optional = TAKE_OVER[table].texts.indexOf(OPTIONAL);
    const rows = found.flatMap((row) => {
      const values = row.map((value) => (value instanceof Uint8Array ? textOf(value) : value));
      const isDamaged = values.some(
        (value, column) => value === undefined || (value === null && column !== optional),
      );
      return isDamaged ? [] : [values as Row];
    });
    return { rows, isWhole: rows.length === found.length };
  } catch {
    return { rows: [], isWhole: false };
  }
}

function readLineage(db: Database): string[] {
  try {
    const rows = db
      .prepare(`SELECT ${asBytes('file_id')} FROM lineage`)
      .raw()
      .all();
    return rows.flatMap(([fileId]) => textOf(fileId) ?? []);
  } catch {
    return [];
  }
}

/** Call it within a transaction. */
export function takeOver(db: Database, { rows, lineage }: Salvage): void {
  let isComplete = true;
  for (const [table, ofTable] of rows) {
    const insert = db.prepare(TAKE_OVER[table].insert);
    for (const row of ofTable) {
      try {
        insert.run(...row);
      } catch {
        // A damaged row; the tables are strict, and the others may be sound.
        isComplete = false;
      }
    }
  }
  if (!isComplete) return;
  const insert = db.prepare('INSERT OR IGNORE INTO lineage VALUES (?, 0)');
  for (const fileId of lineage) insert.run(fileId);
}
