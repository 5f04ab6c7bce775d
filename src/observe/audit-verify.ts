/** Checks an audit folder: every byte of every file, what the files say of each other, and what this machine remembers. */
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import type { AuditFault, AuditRecord, AuditVerdict } from '../manager/audit-view.js';
import { stateDirectory } from '../stores/sqlite/state-directory.js';
import { Anchors } from './audit-anchor.js';
import type { Anchor } from './audit-anchor.js';
import { auditFiles, linesOf } from './audit-folder.js';
import { NO_HASH, readLine, signedText } from './audit-record.js';
import { isSigned, publicKeyOf } from './audit-signing.js';

export interface VerifyOptions {
  /** Where the anchors are. Default: the user's state directory. */
  readonly stateFolder?: string;
  /** Fingerprints of the keys that may sign. Default: those that the anchors name; any, where there is no anchor. */
  readonly signedBy?: readonly string[];
}

/** A file that is written to just now is looked at so many times. */
const LOOKS = 5;
const LOOK_AGAIN_MS = 50;

interface ReadFile {
  readonly file: string;
  readonly records: number;
  readonly key: string | undefined;
  readonly fault: AuditFault | undefined;
  /** Nothing is wrong but that what stands at its end is not signed yet. */
  readonly isUnsigned: boolean;
  /** Line by hash. */
  readonly lines: ReadonlyMap<string, number>;
  readonly last: { readonly seq: number; readonly hash: string };
  readonly previous: Head | undefined;
  readonly others: readonly Head[];
  readonly removed: readonly Head[];
}

interface Head {
  readonly file: string;
  readonly head: string;
}

export async function verifyAudit(folder: string, options: VerifyOptions = {}): Promise<AuditVerdict> {
  for (let look = 1; ; look += 1) {
    const before = auditFiles(folder).join();
    const verdict = await verifyOnce(folder, options);
    // A file may have been removed, which one is told of that was begun meanwhile.
    if (verdict.ok || look === LOOKS || auditFiles(folder).join() === before) return verdict;
  }
}

async function verifyOnce(folder: string, options: VerifyOptions): Promise<AuditVerdict> {
  const { stateFolder = stateDirectory(process.env), signedBy } = options;
  // Before the files: what is written meanwhile is newer than they say.
  const anchors = new Anchors(stateFolder, folder).all();
  const read: ReadFile[] = [];
  for (const file of auditFiles(folder)) {
    const one = await readSettled(folder, file);
    // Others want their turn: a file may be large.
    await turn();
    if (one !== undefined) read.push(one);
  }
  const trusted = new Set(
    signedBy ?? [...anchors.values()].flatMap((one) => (one === 'damaged' ? [] : [one.key])),
  );
  const faults = [
    ...read.flatMap((one) => faultsOf(one, anchors.get(one.file), trusted)),
    ...missing(read, anchors),
  ];
  return {
    ok: faults.length === 0,
    folder,
    files: read.length,
    records: read.reduce((sum, { records }) => sum + records, 0),
    faults,
    unproven: unproven(read, anchors, trusted, signedBy !== undefined),
  };
}

async function readSettled(folder: string, file: string): Promise<ReadFile | undefined> {
  for (let look = 1; ; look += 1) {
    let content: Buffer;
    try {
      content = readFileSync(join(folder, file));
    } catch (error) {
      const { code = 'unknown' } = error as NodeJS.ErrnoException;
      // Its program took it away while we looked, and noted that.
      return code === 'ENOENT' ? undefined : unreadable(file, code);
    }
    const read = readFile(folder, file, content);
    if (!read.isUnsigned || look === LOOKS) return read;
    await pause(LOOK_AGAIN_MS);
  }
}

function unreadable(file: string, code: string): ReadFile {
  return {
    file,
    records: 0,
    key: undefined,
    fault: { file, why: `it cannot be read (${code})` },
    isUnsigned: false,
    lines: new Map(),
    last: { seq: 0, hash: NO_HASH },
    previous: undefined,
    others: [],
    removed: [],
  };
}

function readFile(folder: string, file: string, content: Buffer): ReadFile {
  const { lines: texts, rest } = linesOf(content);
  const lines = new Map<string, number>();
  const removed: Head[] = [];
  let opened: AuditRecord['data'] = {};
  let publicKey: KeyObject | undefined;
  let last = { seq: 0, hash: NO_HASH };
  let lastSigned = 0;
  let hasClosed = false;
  const result = (fault: AuditFault | undefined, isUnsigned = false): ReadFile => ({
    file,
    records: lines.size,
    key: textOf(opened['key']),
    fault,
    isUnsigned,
    lines,
    last,
    previous: headOf(opened['previous']),
    others: Array.isArray(opened['others']) ? opened['others'].flatMap((one) => headOf(one) ?? []) : [],
    removed,
  });
  for (const [index, text] of texts.entries()) {
    const line = index + 1;
    const record = readLine(text);
    if (typeof record === 'string') return result({ file, line, why: record });
    if (line === 1) {
      opened = record.data;
      publicKey = readPublicKey(folder, textOf(opened['key']));
      last = { seq: 0, hash: headOf(opened['previous'])?.head ?? NO_HASH };
    }
    const why =
      whyOutOfPlace(record, line, file, last) ??
      (publicKey === undefined
        ? 'the public key that it names is not beside it, or was changed'
        : undefined) ??
      (hasClosed && record.type !== 'checkpoint'
        ? 'something follows on the record that closes the file'
        : undefined);
    if (why !== undefined) return result({ file, line, why });
    if (record.type === 'checkpoint') {
      if (publicKey === undefined || !isSigned(signedText(file, last), record.data['signature'], publicKey))
        return result({ file, line, why: 'the signature of this checkpoint is not right' });
      lastSigned = line;
    }
    hasClosed ||= record.type === 'closed';
    if (record.type === 'removed') removed.push(...[headOf(record.data) ?? []].flat());
    last = { seq: record.seq, hash: record.hash };
    lines.set(record.hash, line);
  }
  if (rest.length === 0 && lastSigned === texts.length && lastSigned > 0) return result(undefined);
  const why =
    'what stands from here on is signed by nobody: its program was killed while it wrote, or somebody added it';
  return result({ file, line: lastSigned + 1, why }, true);
}

function whyOutOfPlace(
  record: AuditRecord,
  line: number,
  file: string,
  last: { readonly seq: number; readonly hash: string },
): string | undefined {
  if (line === 1 && record.type !== 'opened') return 'the file does not begin with its beginning';
  if (line === 1 && record.data['file'] !== file) return 'these are the records of another file';
  if (line > 1 && record.type === 'opened') return 'a file begins only once';
  if (record.seq !== last.seq + 1) return `record ${record.seq} stands where ${last.seq + 1} belongs`;
  if (record.prev !== last.hash) return 'it does not hang on the record before it';
  return undefined;
}

function faultsOf(
  { file, fault, key, last, lines }: ReadFile,
  anchor: Anchor | 'damaged' | undefined,
  trusted: ReadonlySet<string>,
): AuditFault[] {
  if (fault !== undefined) return [fault];
  if (trusted.size > 0 && (key === undefined || !trusted.has(key)))
    return [{ file, line: 1, why: `it is signed with a key that is not known here (${key ?? 'none'})` }];
  if (anchor === undefined) return [];
  if (anchor === 'damaged') return [{ file, why: 'what this machine remembers of it was changed' }];
  if (anchor.key !== key)
    return [{ file, line: 1, why: 'it was signed with another key when this machine saw it' }];
  if (last.seq < anchor.seq)
    return [{ file, line: last.seq + 1, why: `it was shortened: it had ${anchor.seq} records` }];
  if (lines.get(anchor.hash) !== anchor.seq)
    return [{ file, line: anchor.seq, why: 'this is not the record that this machine saw there' }];
  if (anchor.closed && last.seq > anchor.seq)
    return [{ file, line: anchor.seq + 1, why: 'something was added after the file was closed' }];
  return [];
}

/** Files, and ends of files, that others know of. */
function missing(read: readonly ReadFile[], anchors: ReadonlyMap<string, Anchor | 'damaged'>): AuditFault[] {
  const files = new Map(read.map((one) => [one.file, one]));
  const removed = new Set(read.flatMap((one) => one.removed.map(({ file }) => file)));
  const faults = new Map<string, AuditFault>();
  for (const file of anchors.keys()) {
    if (!files.has(file) && !removed.has(file))
      faults.set(file, { file, why: 'it is gone: this machine knows of it' });
  }
  for (const { file: witness, previous, others } of read) {
    for (const { file, head } of [...(previous === undefined ? [] : [previous]), ...others]) {
      const named = files.get(file);
      if (removed.has(file) || faults.has(file)) continue;
      if (named === undefined) faults.set(file, { file, why: `it is gone: ${witness} names it` });
      else if (named.fault === undefined && !named.lines.has(head))
        faults.set(file, {
          file,
          line: named.last.seq + 1,
          why: `it lacks a record that ${witness} names: it was shortened, or is another one`,
        });
    }
  }
  return [...faults.values()];
}

function unproven(
  read: readonly ReadFile[],
  anchors: ReadonlyMap<string, Anchor | 'damaged'>,
  trusted: ReadonlySet<string>,
  hasStatedKeys: boolean,
): string[] {
  const without = read.filter(({ file }) => !anchors.has(file)).length;
  return [
    ...(without === 0
      ? []
      : [
          `${without} of ${read.length} files are not known to this machine: that they were not shortened, or newer ones taken away, only later files can say.`,
        ]),
    ...(trusted.size > 0 && hasStatedKeys
      ? []
      : [
          trusted.size === 0
            ? 'Whose keys signed the files: this machine knows none of them. Give those that you trust with `--signed-by`.'
            : 'That nobody who may read this user’s signing key wrote the trail anew, its anchors included.',
        ]),
    'What a program did that was killed: up to its last batch (0.2 s) is missing without a trace.',
  ];
}

function readPublicKey(folder: string, fingerprint: string | undefined): KeyObject | undefined {
  if (fingerprint === undefined || !/^[0-9a-f]{32}$/.test(fingerprint)) return undefined;
  try {
    return publicKeyOf(readFileSync(join(folder, `${fingerprint}.pem`), 'utf8'), fingerprint);
  } catch {
    return undefined;
  }
}

function headOf(value: unknown): Head | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { file, head } = value as Readonly<Record<string, unknown>>;
  return typeof file === 'string' && typeof head === 'string' ? { file, head } : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
