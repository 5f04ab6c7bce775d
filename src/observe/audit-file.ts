/** Writes one audit folder: files that hang together, each a chain of records with signed checkpoints. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { replaceFile, syncFolder } from '../config/replaced-file.js';
import { Anchors } from './audit-anchor.js';
import type { Anchor } from './audit-anchor.js';
import type { Head } from './audit-chain.js';
import { auditFiles, endOf, nameFor } from './audit-folder.js';
import { NO_HASH, lineAfter, signedText } from './audit-record.js';
import type { Link, NewRecord } from './audit-record.js';
import type { AuditSigner } from './audit-signing.js';

/** The newest other files whose heads an opening record names; those name the ones before them. */
const NAMED_FILES = 32;

export interface AuditFilesOptions {
  readonly folder: string;
  readonly stateFolder: string;
  readonly signer: AuditSigner;
  readonly maxFileBytes: number;
  readonly maxFileAgeMs: number;
  /** Files that are kept. */
  readonly keep: number;
  /** What an opening record says of the program. */
  readonly about: Readonly<Record<string, unknown>>;
}

interface OpenFile {
  readonly name: string;
  readonly path: string;
  readonly descriptor: number;
  readonly openedAt: number;
  bytes: number;
  link: Link;
}

/** Synchronous, and throws what the file system throws; nothing of a batch that failed stays in the file. */
export class AuditFiles {
  readonly #options: AuditFilesOptions;
  readonly #anchors: Anchors;
  #open: OpenFile | undefined;
  /** What the next file hangs on. */
  #previous: Head | undefined;
  #begun = 0;
  #isSyncing = false;

  constructor(options: AuditFilesOptions) {
    this.#options = options;
    this.#anchors = new Anchors(options.stateFolder, options.folder);
  }

  /** Appends the records and a signed checkpoint, in a new file where the present one is full, old, or gone. */
  append(records: readonly NewRecord[], now: number): void {
    const open = this.#fileFor(now);
    this.#write(open, records, now);
    this.#anchorSoon(open);
  }

  /** Appends the records, and that nothing follows. */
  close(records: readonly NewRecord[], now: number): void {
    const open = this.#open;
    const last = open === undefined || !isInPlace(open) ? this.#fileFor(now) : open;
    this.#write(last, [...records, { at: now, type: 'closed', data: {} }], now);
    this.#finish(last);
  }

  #fileFor(now: number): OpenFile {
    const { maxFileBytes, maxFileAgeMs } = this.#options;
    const open = this.#open;
    if (open !== undefined) {
      if (!isInPlace(open)) {
        this.#abandon(open);
      } else if (open.bytes < maxFileBytes && now - open.openedAt < maxFileAgeMs) {
        return open;
      } else {
        this.#write(open, [{ at: now, type: 'closed', data: { because: 'rotation' } }], now);
        this.#finish(open);
      }
    }
    const begun = this.#begin(now);
    this.#open = begun;
    this.#removeOld(begun, now);
    return begun;
  }

  #begin(now: number): OpenFile {
    const { folder, signer, about } = this.#options;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const pem = join(folder, `${signer.fingerprint}.pem`);
    if (!existsSync(pem)) replaceFile(pem, signer.publicKey);
    const others = this.#headsOfOthers();
    this.#begun += 1;
    // Files that are begun within one millisecond are in order too.
    const turn = String(this.#begun).padStart(6, '0');
    const name = nameFor(now, `${process.pid}-${threadId}-${turn}-${randomBytes(4).toString('hex')}`);
    const path = join(folder, name);
    const descriptor = openSync(path, 'wx', 0o600);
    const previous = this.#previous;
    const hash = previous?.head ?? NO_HASH;
    const open = { name, path, descriptor, openedAt: now, bytes: 0, link: { seq: 0, hash } };
    const data = { file: name, key: signer.fingerprint, ...about, ...(previous ? { previous } : {}), others };
    try {
      this.#write(open, [{ at: now, type: 'opened', data }], now);
      syncFolder(folder);
      return open;
    } catch (error) {
      closeSync(descriptor);
      rmSync(path, { force: true });
      throw error;
    }
  }

  /** Checkpoints: what is written after the last one is taken back where it cannot be written whole. */
  #headsOfOthers(): Head[] {
    const { folder } = this.#options;
    return auditFiles(folder)
      .slice(-NAMED_FILES)
      .flatMap((file) => {
        const head = endOf(folder, file).findLast(({ type }) => type === 'checkpoint')?.hash;
        return head === undefined ? [] : [{ file, head }];
      });
  }

  /** The oldest ones beyond `keep` go, if nobody writes to them any more; each is noted first. */
  #removeOld(open: OpenFile, now: number): void {
    const { folder, keep } = this.#options;
    const files = auditFiles(folder);
    for (const file of files.slice(0, Math.max(0, files.length - keep))) {
      const head = this.#endOfIdle(file, now);
      if (head === undefined) return;
      this.#write(open, [{ at: now, type: 'removed', data: { file, head } }], now);
      rmSync(join(folder, file), { force: true });
      this.#anchors.forget(file);
    }
  }

  /** Its last hash; undefined where a program may still write to it. */
  #endOfIdle(file: string, now: number): string | undefined {
    const { folder, maxFileAgeMs } = this.#options;
    const end = endOf(folder, file);
    const hash = end.at(-1)?.hash ?? NO_HASH;
    if (end.at(-2)?.type === 'closed') return hash;
    const stat = statSync(join(folder, file), { throwIfNoEntry: false });
    // Whoever writes to it would have begun another one since.
    return stat !== undefined && now - stat.mtimeMs > 2 * maxFileAgeMs ? hash : undefined;
  }

  #write(open: OpenFile, records: readonly NewRecord[], now: number): void {
    let { link } = open;
    let text = '';
    for (const record of records) {
      const next = lineAfter(link, record);
      text += `${next.line}\n`;
      link = next.link;
    }
    const signature = this.#options.signer.sign(signedText(open.name, link));
    const checkpoint = lineAfter(link, { at: now, type: 'checkpoint', data: { signature } });
    const bytes = Buffer.from(`${text}${checkpoint.line}\n`);
    try {
      writeWhole(open.descriptor, bytes, open.bytes);
    } catch (error) {
      ftruncateSync(open.descriptor, open.bytes);
      throw error;
    }
    open.bytes += bytes.length;
    open.link = checkpoint.link;
  }

  #finish(open: OpenFile): void {
    this.#open = undefined;
    this.#previous = { file: open.name, head: open.link.hash };
    try {
      fsyncSync(open.descriptor);
      this.#anchors.keep(this.#anchorOf(open, true));
    } finally {
      closeSync(open.descriptor);
    }
  }

  /** Somebody took the file away, or put another one in its place; what follows says what it hung on. */
  #abandon(open: OpenFile): void {
    this.#open = undefined;
    this.#previous = { file: open.name, head: open.link.hash };
    closeSync(open.descriptor);
  }

  /** Once the disk has it. Nobody waits for that. */
  #anchorSoon(open: OpenFile): void {
    if (this.#isSyncing) return;
    this.#isSyncing = true;
    const anchor = this.#anchorOf(open, false);
    fdatasync(open.descriptor, (error) => {
      this.#isSyncing = false;
      if (error !== null || this.#open !== open) return;
      try {
        this.#anchors.keep(anchor);
      } catch {
        // The anchor before this one guards what it knows.
      }
    });
  }

  #anchorOf({ name, link }: OpenFile, closed: boolean): Anchor {
    return { file: name, ...link, key: this.#options.signer.fingerprint, closed };
  }
}

function isInPlace({ path, descriptor }: OpenFile): boolean {
  const there = statSync(path, { throwIfNoEntry: false });
  const own = fstatSync(descriptor);
  return there !== undefined && there.ino === own.ino && there.dev === own.dev;
}

function writeWhole(descriptor: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length;)
    done += writeSync(descriptor, bytes, done, bytes.length - done, position + done);
}
