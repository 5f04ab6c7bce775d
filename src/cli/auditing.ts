/** The commands of `keymux audit` at work. */
import { resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { KeymuxError } from '../core/errors.js';
import type { FoundRecord } from '../manager/audit-view.js';
import { readConfiguration } from '../manager/discovery.js';
import { allRecords, lastRecords } from '../observe/audit-folder.js';
import { verifyAudit } from '../observe/audit-verify.js';
import type { AuditFolderOptions, ExportOptions, TailOptions, VerifyCommandOptions } from './audit.js';
import { EXIT } from './exit-codes.js';
import { note, print, printJson, warn } from './terminal.js';

const LOOK_EVERY_MS = 300;
/** Between two looks no more is expected. */
const MOST_FOLLOWED = 5_000;

/** `signal` ends `--follow`. */
export async function tail(
  { follow, last, json, ...place }: TailOptions,
  signal?: AbortSignal,
): Promise<void> {
  const folder = folderOf(place);
  let shown = new Set<string>();
  const show = (records: readonly FoundRecord[]): void => {
    for (const record of records) {
      if (!shown.has(record.hash)) print(json === true ? JSON.stringify(record) : lineOf(record));
    }
  };
  const first = lastRecords(folder, MOST_FOLLOWED);
  if (first.length === 0) note(`there is no record in ${folder} yet`);
  show(first.slice(-last));
  shown = new Set(first.map(({ hash }) => hash));
  while (follow === true && signal?.aborted !== true) {
    await pause(LOOK_EVERY_MS, undefined, signal === undefined ? {} : { signal }).catch(() => {});
    const records = lastRecords(folder, MOST_FOLLOWED);
    show(records);
    shown = new Set(records.map(({ hash }) => hash));
  }
}

/** Resolves with the exit code. */
export async function verify({ signedBy, json, ...place }: VerifyCommandOptions): Promise<number> {
  const folder = folderOf(place);
  const verdict = await verifyAudit(folder, signedBy.length === 0 ? {} : { signedBy });
  const [first, ...others] = verdict.faults;
  if (json === true) printJson(verdict);
  else {
    for (const remark of verdict.unproven) note(`not proven: ${remark}`);
    const size = `${verdict.files} files with ${verdict.records} records in ${folder}`;
    if (first === undefined) print(`intact: ${size}`);
    else {
      const spot = first.line === undefined ? first.file : `${first.file}, line ${first.line}`;
      print(`broken: ${spot}: ${first.why}`);
      if (others.length > 0) note(`and ${others.length} more; \`--json\` shows all`);
      warn(
        'The trail is not as it was written. (KEYMUX_AUDIT_BROKEN)',
        `Keep a copy of ${folder}, and find out who wrote there.`,
      );
    }
  }
  return first === undefined ? EXIT.ok : EXIT.audit;
}

export function exportAll({ format, ...place }: ExportOptions): void {
  if (format === 'csv') print(CSV_COLUMNS.join(','));
  for (const record of allRecords(folderOf(place)))
    print(format === 'csv' ? csvOf(record) : JSON.stringify(record));
}

function folderOf({ path }: AuditFolderOptions): string {
  const { audit } = path === undefined ? readConfiguration({}) : { audit: { path: resolve(path) } };
  if (audit !== undefined) return audit.path;
  throw new KeymuxError('KEYMUX_USAGE', 'No audit trail is configured.', {
    fix: 'Add `audit: {}` to the configuration, or say where one is: `--path FOLDER`.',
  });
}

function lineOf({ at, type, data }: FoundRecord): string {
  const facts = Object.entries(data).map(([name, value]) => `${name}=${plain(value)}`);
  return [new Date(at).toISOString(), type, ...facts].join(' ');
}

/** Without anything that a terminal would obey. */
function plain(value: unknown): string {
  if (typeof value === 'string' && /^[\w./:@-]+$/.test(value)) return value;
  return JSON.stringify(value).replaceAll(UNSEEN, '');
}

/** JSON escapes the other control characters; these are of C1, and of those that turn the direction of writing. */
const UNSEEN = /[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

const CSV_COLUMNS = ['file', 'seq', 'at', 'type', 'subject', 'by', 'data', 'hash'];

function csvOf({ file, seq, at, type, data, hash }: FoundRecord): string {
  const subject = data['key'] ?? data['subject'] ?? data['bucket'] ?? data['service'] ?? '';
  const cells = [
    file,
    seq,
    new Date(at).toISOString(),
    type,
    subject,
    data['by'] ?? '',
    JSON.stringify(data),
    hash,
  ];
  return cells.map(cellOf).join(',');
}

/** RFC 4180; and nothing that a spreadsheet takes for a formula. */
function cellOf(value: unknown): string {
  const text = String(value);
  const harmless = /^[=+\-@\t]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
