/** Hands the table to worker threads, also to those that other code starts, without touching `Worker`. */
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads';
import { KeymuxError } from '../core/errors.js';
import { StateTable } from './table.js';

const ENVIRONMENT_KEY = 'keymux';

export interface SharedTable {
  readonly table: StateTable;
  readonly payload: unknown;
}

/** One `StateTable` per buffer and thread, so that what it has learned about the buffer is kept. */
const tables = new WeakMap<SharedArrayBuffer, StateTable>();

/**
 * Every worker thread that this one starts from now on, and those that they start, find the table. The payload is
 * copied into each (structured clone), where any code can read it. Throws `KEYMUX_USAGE` if it cannot be copied.
 */
export function shareTable(table: StateTable, payload?: unknown): void {
  // A payload that cannot be copied would otherwise make the application's own `new Worker` fail.
  const copy = copyOf(payload);
  tables.set(table.buffer, table);
  setEnvironmentData(ENVIRONMENT_KEY, { buffer: table.buffer, payload: copy });
}

/** Workers started from now on find nothing; those that run keep what they have. */
export function unshareTable(): void {
  setEnvironmentData(ENVIRONMENT_KEY, undefined);
}

/**
 * What this thread was given, or has itself shared; `undefined` if nothing. Throws `KEYMUX_TABLE_MISMATCH` if it comes
 * from an incompatible copy of keymux.
 */
export function sharedTable(): SharedTable | undefined {
  const data = getEnvironmentData(ENVIRONMENT_KEY) as { buffer?: unknown; payload?: unknown } | undefined;
  const buffer = data?.buffer;
  if (!(buffer instanceof SharedArrayBuffer)) return undefined;
  let table = tables.get(buffer);
  if (table === undefined) {
    table = StateTable.attach(buffer);
    tables.set(buffer, table);
  }
  return { table, payload: data?.payload };
}

function copyOf(payload: unknown): unknown {
  try {
    return structuredClone(payload);
  } catch (cause) {
    throw new KeymuxError('KEYMUX_USAGE', 'The payload for worker threads cannot be copied.', {
      fix: 'Pass plain data only: no functions, no class instances with private state, no open handles.',
      cause,
    });
  }
}
