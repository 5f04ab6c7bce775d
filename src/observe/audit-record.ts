/** One line of the audit trail: what it holds, and how it hangs on the one before it. */
import { createHash } from 'node:crypto';
import type { AuditRecord } from '../manager/audit-view.js';

/** What stands before the first record of a chain. */
export const NO_HASH = '0'.repeat(64);

export interface NewRecord {
  readonly at: number;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface Link {
  readonly seq: number;
  readonly hash: string;
}

/** A line without its end, and the link that the next one hangs on. */
export function lineAfter({ seq, hash }: Link, { at, type, data }: NewRecord): { line: string; link: Link } {
  const body = JSON.stringify({ seq: seq + 1, at, type, data, prev: hash });
  const own = createHash('sha256').update(body).digest('hex');
  return { line: `${body.slice(0, -1)},"hash":"${own}"}`, link: { seq: seq + 1, hash: own } };
}

const TAIL_BYTES = ',"hash":""}'.length + 64;
const TAIL = /^,"hash":"([0-9a-f]{64})"\}$/;

/** The record in a line; or why it is none that was written so. Every byte counts. */
export function readLine(line: Buffer): AuditRecord | string {
  const hash = TAIL.exec(line.subarray(-TAIL_BYTES).toString('latin1'))?.[1];
  if (hash === undefined) return 'this is no whole record';
  const body = Buffer.concat([line.subarray(0, -TAIL_BYTES), Buffer.from('}')]);
  if (createHash('sha256').update(body).digest('hex') !== hash)
    return 'the record was changed: its hash does not fit';
  return recordOf(body, hash) ?? 'this is no record of an audit trail';
}

/** @param body ends with a brace, so that it holds an object or nothing */
function recordOf(body: Buffer, hash: string): AuditRecord | undefined {
  let value: Readonly<Record<string, unknown>>;
  try {
    value = JSON.parse(body.toString('utf8')) as typeof value;
  } catch {
    return undefined;
  }
  const { seq, at, type, data, prev } = value;
  const isWhole =
    typeof seq === 'number' &&
    typeof at === 'number' &&
    typeof type === 'string' &&
    typeof data === 'object' &&
    data !== null &&
    typeof prev === 'string';
  return isWhole ? { seq, at, type, data: data as AuditRecord['data'], prev, hash } : undefined;
}

/** What a checkpoint signs: the file's name, and by its last hash everything before. */
export function signedText(file: string, { seq, hash }: Link): Buffer {
  return Buffer.from(`keymux-audit-1\n${file}\n${seq}\n${hash}`);
}
