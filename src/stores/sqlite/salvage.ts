/** What can still be read of a file that is given up, and how it gets into the next one. */
import { asBytes, textOf } from './driver.js';
import type { Database, Row } from './driver.js';

type TableName = 'health' | 'bucket' | 'lease' | 'charge' | 'usage';
export type Salvage = ReadonlyMap<TableName, readonly Row[]>;

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
    numbers: ['horizon_ms'],
    insert: `INSERT INTO bucket VALUES (?, ?)
             ON CONFLICT DO UPDATE SET horizon_ms = max(horizon_ms, excluded.horizon_ms)`,
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
  usage: {
    texts: ['subject'],
    numbers: ['requests', 'failures', 'cost_usd', 'last_used_at'],
    insert: 'INSERT OR IGNORE INTO usage VALUES (?, ?, ?, ?, ?)',
  },
};

const TABLES = Object.keys(TAKE_OVER) as TableName[];

/** What the statements name besides; see `requireTables`. */
const ALSO_REQUIRED = [
  'SELECT seq FROM health',
  'SELECT id, boot, offset_ms, suspended_ms, monotonic_ms FROM clock',
];

/** Throws if a table or column of the newest version is missing. */
export function requireTables(db: Database): void {
  for (const sql of [...TABLES.map(selectAll), ...ALSO_REQUIRED]) db.prepare(sql);
}

export function salvage(db: Database): Salvage {
  return new Map(TABLES.map((table) => [table, readableRows(db, table)]));
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

function readableRows(db: Database, table: TableName): Row[] {
  try {
    return db
      .prepare(selectAll(table))
      .raw()
      .all()
      .flatMap((row) => {
        const values = row.map((value) => (value instanceof Uint8Array ? textOf(value) : value));
        return values.includes(undefined) ? [] : [values as Row];
      });
  } catch {
    return [];
  }
}

/** Call it within a transaction. */
export function takeOver(db: Database, salvaged: Salvage): void {
  for (const [table, rows] of salvaged) {
    const insert = db.prepare(TAKE_OVER[table].insert);
    for (const row of rows) {
      try {
        insert.run(...row);
      } catch {
        // A damaged row; the tables are strict, and the others may be sound.
      }
    }
  }
}
