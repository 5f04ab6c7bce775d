/** How subjects fare, as rows; each method runs within a transaction of its caller, or is one read. */
import type { HealthRecord, UsageDelta, UsageTotal } from '../../core/ports.js';
import { mergeRecords, parseHealth } from '../records.js';
import { asBytes, textOf } from './driver.js';
import type { Database, Query, Row, Statement } from './driver.js';

export interface Changes {
  /** Changed by other members. */
  readonly records: readonly HealthRecord[];
  /** The last change that was looked at. */
  readonly seq: number;
}

export class RecordTable {
  readonly #member: string;
  readonly #one: Query;
  readonly #all: Query;
  readonly #since: Query;
  readonly #lastSeq: Query;
  readonly #write: Statement;

  constructor(db: Database, member: string) {
    const columns = `${asBytes('subject')}, ${asBytes('health')}, disabled, disabled_version, seq`;
    this.#member = member;
    this.#one = db.prepare(`SELECT ${columns} FROM health WHERE subject = ?`).raw();
    this.#all = db.prepare(`SELECT ${columns} FROM health`).raw();
    this.#since = db.prepare(`SELECT ${columns}, writer <> ? FROM health WHERE seq > ?`).raw();
    this.#lastSeq = db.prepare('SELECT coalesce(max(seq), 0) FROM health').raw();
    this.#write = db.prepare(
      `INSERT OR REPLACE INTO health (subject, health, disabled, disabled_version, seq, writer)
       VALUES (?, ?, ?, ?, ?, ?)`,
    );
  }

  all(): HealthRecord[] {
    return toRecords(this.#all.all());
  }

  lastSeq(): number {
    return Number(this.#lastSeq.get()?.[0]);
  }

  publish(records: readonly HealthRecord[]): HealthRecord[] {
    let seq = this.lastSeq();
    return records.map((record) => {
      const [stored] = toRecords(this.#one.all(record.subject));
      const merged = stored === undefined ? record : mergeRecords(stored, record);
      if (merged !== stored) {
        const { subject, health, disabled, disabledVersion } = merged;
        seq += 1;
        this.#write.run(
          subject,
          JSON.stringify(health),
          disabled ? 1 : 0,
          disabledVersion,
          seq,
          this.#member,
        );
      }
      return merged;
    });
  }

  changesSince(seen: number): Changes {
    const rows = this.#since.all(this.#member, seen);
    const seq = rows.reduce((latest, row) => Math.max(latest, Number(row[4])), seen);
    return { records: toRecords(rows.filter((row) => row[5] === 1)), seq };
  }
}

export class UsageTable {
  readonly #all: Query;
  readonly #add: Statement;

  constructor(db: Database) {
    this.#all = db
      .prepare(`SELECT ${asBytes('subject')}, requests, failures, cost_usd, last_used_at FROM usage`)
      .raw();
    this.#add = db.prepare(
      `INSERT INTO usage VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
         requests = requests + excluded.requests, failures = failures + excluded.failures,
         cost_usd = cost_usd + excluded.cost_usd, last_used_at = max(last_used_at, excluded.last_used_at)`,
    );
  }

  all(): UsageTotal[] {
    return this.#all.all().flatMap((row) => {
      const subject = textOf(row[0]);
      if (subject === undefined) return [];
      return [
        {
          subject,
          requests: Number(row[1]),
          failures: Number(row[2]),
          costUsd: Number(row[3]),
          lastUsedAt: Number(row[4]),
        },
      ];
    });
  }

  add(deltas: readonly UsageDelta[], now: number): void {
    for (const { subject, requests, failures, costUsd } of deltas) {
      this.#add.run(subject, requests, failures, costUsd, now);
    }
  }
}

/** A damaged row is left out: the subject starts afresh, as an unknown one would. */
function toRecords(rows: readonly Row[]): HealthRecord[] {
  return rows.flatMap((row) => {
    const subject = textOf(row[0]);
    const health = parseHealth(textOf(row[1]) ?? '');
    if (subject === undefined || health === undefined) return [];
    return [{ subject, health, disabled: row[2] === 1, disabledVersion: Number(row[3]) }];
  });
}
