/** The files of an audit folder. */
import { closeSync, fstatSync, openSync, readFileSync, readSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { KeymuxError } from '../core/errors.js';
import type { AuditRecord, FoundRecord } from '../manager/audit-view.js';
import { readLine } from './audit-record.js';

const NAME = /^\d{8}T\d{9}Z-[\w-]+\.jsonl$/;
/** The end of a file that is read for its newest records; more than any record has. Bytes. */
const END_BYTES = 262_144;
const NEW_LINE = 10;

/** Names sort by the time of their beginning. */
export function nameFor(at: number, unique: string): string {
  return `${new Date(at).toISOString().replaceAll(/[-:.]/g, '')}-${unique}.jsonl`;
}

/** Oldest first; none where there is no such folder. */
export function auditFiles(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => NAME.test(entry.name) && !entry.isDirectory())
      .map(({ name }) => name)
      .toSorted();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/**
 * The same for somebody who only looks.
 * @throws `KEYMUX_AUDIT_UNAVAILABLE` where the folder cannot be read
 */
export function filesToRead(folder: string): string[] {
  try {
    return auditFiles(folder);
  } catch (error) {
    throw unreadable(folder, error);
  }
}

function unreadable(path: string, cause: unknown): KeymuxError {
  const { code } = cause as NodeJS.ErrnoException;
  return new KeymuxError('KEYMUX_AUDIT_UNAVAILABLE', `${path} of the audit trail cannot be read: ${code}.`, {
    fix: 'Give the folder of a trail, as a user who may read it.',
    cause,
  });
}

/** The lines of a text without their ends; `rest` is what no line end follows. */
export function linesOf(content: Buffer): { lines: Buffer[]; rest: Buffer } {
  const lines: Buffer[] = [];
  let begin = 0;
  for (let end = content.indexOf(NEW_LINE); end !== -1; end = content.indexOf(NEW_LINE, begin)) {
    lines.push(content.subarray(begin, end));
    begin = end + 1;
  }
  return { lines, rest: content.subarray(begin) };
}

/** The newest whole records of a file, oldest first; broken ones are left out, and all of a file that cannot be read. */
export function endOf(folder: string, file: string): AuditRecord[] {
  try {
    return linesOf(endBytesOf(join(folder, file)))
      .lines.map(readLine)
      .filter(isRecord);
  } catch {
    return [];
  }
}

function endBytesOf(path: string): Buffer {
  const descriptor = openSync(path, 'r');
  try {
    const { size } = fstatSync(descriptor);
    const content = Buffer.alloc(Math.min(size, END_BYTES));
    const length = readSync(descriptor, content, 0, content.length, size - content.length);
    return content.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * All whole records of all files, oldest file first.
 * @throws `KEYMUX_AUDIT_UNAVAILABLE` where a file cannot be read
 */
export function* allRecords(folder: string): Generator<FoundRecord> {
  for (const file of filesToRead(folder)) {
    for (const line of linesOf(contentOf(join(folder, file))).lines) {
      const record = readLine(line);
      if (isRecord(record)) yield { file, ...record };
    }
  }
}

function contentOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    // Its program took it away while we looked, and noted that.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw unreadable(path, error);
  }
}

/** A file of long ago may end with newer records than the next ones; of more than these, the oldest are not looked at. */
const MOST_LOOKED_AT = 20;

/**
 * The newest records of a folder but checkpoints, oldest first; those of one file stay in their order.
 * @throws `KEYMUX_AUDIT_UNAVAILABLE` where the folder cannot be read
 */
export function lastRecords(folder: string, count: number): FoundRecord[] {
  const found: { readonly writtenAt: number; readonly record: FoundRecord }[] = [];
  for (const file of filesToRead(folder).slice(-MOST_LOOKED_AT)) {
    let writtenAt = 0;
    for (const record of endOf(folder, file)) {
      writtenAt = Math.max(writtenAt, record.at);
      if (record.type !== 'checkpoint') found.push({ writtenAt, record: { file, ...record } });
    }
  }
  return found
    .toSorted((a, b) => a.writtenAt - b.writtenAt)
    .slice(-count)
    .map(({ record }) => record);
}

function isRecord(read: AuditRecord | string): read is AuditRecord {
  return typeof read !== 'string';
}
