/** Checks an audit folder: every byte of every file, what the files say of each other, and what this machine remembers. */
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import type { AuditFault, AuditVerdict } from '../manager/audit-view.js';
import { stateDirectory } from '../stores/sqlite/state-directory.js';
import { Anchors } from './audit-anchor.js';
import type { Anchor } from './audit-anchor.js';
import { noChain, readChain } from './audit-chain.js';
import type { AuditChain } from './audit-chain.js';
import { filesToRead } from './audit-folder.js';
import { publicKeyOf } from './audit-signing.js';

/** Against what a trail is checked. */
export interface VerifyOptions {
  /** Where the anchors are. Default: the user's state directory. */
  readonly stateFolder?: string;
  /** Fingerprints of the keys that may sign. Default: those that the anchors name; any, where there is no anchor. */
  readonly signedBy?: readonly string[];
}

/** A file that is written to just now is looked at so many times. */
const LOOKS = 5;
const LOOK_AGAIN_MS = 50;

/**
 * Checks a folder of audit files: hashes, numbers, signatures and the anchor. Changes nothing.
 * @throws `KEYMUX_AUDIT_UNAVAILABLE` where the folder cannot be read
 */
export async function verifyAudit(folder: string, options: VerifyOptions = {}): Promise<AuditVerdict> {
  for (let look = 1; ; look += 1) {
    const before = filesToRead(folder).join();
    const verdict = await verifyOnce(folder, options);
    // A file may have been removed, which one is told of that was begun meanwhile.
    if (verdict.ok || look === LOOKS || filesToRead(folder).join() === before) return verdict;
  }
}

async function verifyOnce(folder: string, options: VerifyOptions): Promise<AuditVerdict> {
  const { stateFolder = stateDirectory(process.env), signedBy } = options;
  // Before the files: what is written meanwhile is newer than they say.
  const anchors = new Anchors(stateFolder, folder).all();
  const read: AuditChain[] = [];
  for (const file of filesToRead(folder)) {
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
    records: read.reduce((sum, { lines }) => sum + lines.size, 0),
    faults,
    unproven: unproven(read, anchors, trusted, signedBy !== undefined),
  };
}

async function readSettled(folder: string, file: string): Promise<AuditChain | undefined> {
  for (let look = 1; ; look += 1) {
    let content: Buffer;
    try {
      content = readFileSync(join(folder, file));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // Its program took it away while we looked, and noted that.
      return code === 'ENOENT' ? undefined : noChain(file, `it cannot be read (${code})`);
    }
    const read = readChain(file, content, (fingerprint) => publicKeyBeside(folder, fingerprint));
    if (!read.isUnsigned || look === LOOKS) return read;
    await pause(LOOK_AGAIN_MS);
  }
}

function faultsOf(
  { file, fault, key = 'none', last, lines }: AuditChain,
  anchor: Anchor | 'damaged' | undefined,
  trusted: ReadonlySet<string>,
): AuditFault[] {
  if (fault !== undefined) return [fault];
  if (trusted.size > 0 && !trusted.has(key))
    return [{ file, line: 1, why: `it is signed with a key that is not known here (${key})` }];
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
function missing(
  read: readonly AuditChain[],
  anchors: ReadonlyMap<string, Anchor | 'damaged'>,
): AuditFault[] {
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
  read: readonly AuditChain[],
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

function publicKeyBeside(folder: string, fingerprint: string): KeyObject | undefined {
  if (!/^[0-9a-f]{32}$/.test(fingerprint)) return undefined;
  try {
    return publicKeyOf(readFileSync(join(folder, `${fingerprint}.pem`), 'utf8'), fingerprint);
  } catch {
    return undefined;
  }
}
