/** The part of the `libsql` driver that is used here, and what its errors mean. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isWritable } from './file-modes.js';

export type SqlValue = string | number | null | Uint8Array;
export type Row = readonly SqlValue[];

/** A statement that writes. Only texts and numbers may be bound: the driver ends the process over a boolean. */
export interface Statement {
  run(...values: SqlValue[]): { readonly changes: number };
}

/** A statement that answers with rows, as arrays. */
export interface Query {
  get(...values: SqlValue[]): Row | undefined;
  all(...values: SqlValue[]): Row[];
}

export interface Database {
  readonly inTransaction: boolean;
  prepare(sql: string): Statement & { raw(): Query };
  exec(sql: string): void;
  /** Lets go of the file; while prepared statements of it are around, only when these have been collected. */
  close(): void;
}

/**
 * A text column is to be read like this and then by `textOf`: over a text that is not valid UTF-8, as damage makes
 * it, the driver ends the process.
 */
export function asBytes(column: string): string {
  return `CAST(${column} AS BLOB)`;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The text of a column that was read `asBytes`; undefined if it is damaged. */
export function textOf(value: SqlValue | undefined): string | undefined {
  if (!(value instanceof Uint8Array)) return undefined;
  try {
    return utf8.decode(value);
  } catch {
    return undefined;
  }
}

export type Driver = new (path: string, options: { readonly timeout: number }) => Database;

/** Loaded only when a store is opened: it takes 25 ms, and there may be none for this platform. */
export function loadDriver(): Driver {
  return createRequire(import.meta.url)('libsql') as Driver;
}

/** Never waits for a lock: waiting would stop the event loop. */
export function connect(driver: Driver, path: string): Database {
  return new driver(path, { timeout: 0 });
}

/** `SQLITE_…` of the driver, `E…` of the file system, or `''`. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  if ('code' in error && typeof error.code === 'string' && error.code !== '') return error.code;
  return error.message.startsWith('ConnectionFailed') ? 'SQLITE_CANTOPEN' : '';
}

/** Somebody else holds a lock; the same call may succeed in a moment. */
export function isBusy(error: unknown): boolean {
  return /^SQLITE_(BUSY|LOCKED|PROTOCOL)/.test(codeOf(error));
}

/** The file is not what it should be, whatever we do. */
export function isDamage(error: unknown): boolean {
  return /^SQLITE_(CORRUPT|NOTADB|ERROR|FORMAT|MISMATCH|CONSTRAINT)/.test(codeOf(error));
}

/** The trouble lies with the store's file or disk, not with the program. */
export function isStorageTrouble(error: unknown): boolean {
  return /^(SQLITE_|E[A-Z]+$)/.test(codeOf(error));
}

/** What went wrong and what to do about it, in words. */
export function explain(error: unknown, path: string): { readonly problem: string; readonly fix: string } {
  const code = codeOf(error);
  if (isBusy(error)) {
    return {
      problem: 'it stays locked by another process',
      fix: `Find the process that holds it (lsof ${path}); one that was stopped keeps its lock until it goes on.`,
    };
  }
  if (/^(SQLITE_FULL|ENOSPC|EDQUOT)/.test(code)) {
    return { problem: 'the disk is full', fix: `Free some space on the disk that holds ${path}.` };
  }
  const isForbidden = code.startsWith('SQLITE_CANTOPEN') && existsSync(path) && !isWritable(path);
  if (isForbidden || /^(SQLITE_READONLY|SQLITE_PERM|EACCES|EPERM|EROFS)/.test(code)) {
    return {
      problem: 'it may not be written',
      fix: `Let this user write to ${path} and its directory, or set KEYMUX_STATE_DIR to a directory that can be written.`,
    };
  }
  if (/^(SQLITE_CANTOPEN|ENOTDIR|EISDIR|EEXIST|ENOENT|ELOOP|ENAMETOOLONG)/.test(code)) {
    return {
      problem: 'it cannot be opened',
      fix: `Check that ${path} is a file in a directory that exists, or set KEYMUX_STATE_DIR to another directory.`,
    };
  }
  return {
    problem: `it cannot be used (${code === '' ? messageOf(error) : code})`,
    fix: `Check the disk that holds ${path}, or set KEYMUX_STATE_DIR to a directory on another one.`,
  };
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
}
