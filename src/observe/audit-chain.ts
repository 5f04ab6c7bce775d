/** What the bytes of one audit file say, and the first place where they are not as they were written. */
import type { KeyObject } from 'node:crypto';
import type { AuditFault, AuditRecord } from '../manager/audit-view.js';
import { linesOf } from './audit-folder.js';
import { NO_HASH, readLine, signedText } from './audit-record.js';
import type { Link } from './audit-record.js';
import { isSigned } from './audit-signing.js';

/** A file, and the hash of one of its records. */
export interface Head {
  readonly file: string;
  readonly head: string;
}

export interface AuditChain {
  readonly file: string;
  /** Fingerprint of the key that it says signed it. */
  readonly key: string | undefined;
  readonly fault: AuditFault | undefined;
  /** Nothing is wrong but that what stands at its end is not signed yet. */
  readonly isUnsigned: boolean;
  /** Line by hash; up to the fault. */
  readonly lines: ReadonlyMap<string, number>;
  readonly last: Link;
  /** What it hangs on. */
  readonly previous: Head | undefined;
  /** What other files had come to when it was begun. */
  readonly others: readonly Head[];
  /** Files that its program took away. */
  readonly removed: readonly Head[];
}

/** @param publicKey the one of a fingerprint; undefined where there is none, or it is another one */
export function readChain(
  file: string,
  content: Buffer,
  publicKey: (fingerprint: string) => KeyObject | undefined,
): AuditChain {
  const { lines: texts, rest } = linesOf(content);
  const reader = new ChainReader(file, publicKey);
  for (const text of texts) {
    const why = reader.read(text);
    if (why !== undefined) return reader.chain({ line: reader.line, why });
  }
  if (rest.length === 0 && reader.isSigned) return reader.chain();
  const why =
    'what stands from here on is signed by nobody: its program was killed while it wrote, or somebody added it';
  return reader.chain({ line: reader.signedLines + 1, why }, true);
}

/** For a file that cannot be read at all. */
export function noChain(file: string, why: string): AuditChain {
  return { ...new ChainReader(file, () => undefined).chain(), fault: { file, why } };
}

class ChainReader {
  readonly #file: string;
  readonly #publicKeyOf: (fingerprint: string) => KeyObject | undefined;
  readonly #lines = new Map<string, number>();
  readonly #removed: Head[] = [];
  #opened: AuditRecord['data'] = {};
  #publicKey: KeyObject | undefined;
  #last: Link = { seq: 0, hash: NO_HASH };
  #hasClosed = false;
  /** The one that is read, or was read last. */
  line = 0;
  signedLines = 0;

  constructor(file: string, publicKeyOf: (fingerprint: string) => KeyObject | undefined) {
    this.#file = file;
    this.#publicKeyOf = publicKeyOf;
  }

  /** Whether the last line signs all before it. */
  get isSigned(): boolean {
    return this.line > 0 && this.signedLines === this.line;
  }

  /** Why the next line is not as it was written; undefined where nothing is wrong. */
  read(text: Buffer): string | undefined {
    this.line += 1;
    const record = readLine(text);
    if (typeof record === 'string') return record;
    if (this.line === 1) this.#open(record);
    const why = this.#whyOutOfPlace(record) ?? this.#whyUnsigned(record);
    if (why !== undefined) return why;
    if (record.type === 'checkpoint') this.signedLines = this.line;
    if (record.type === 'closed') this.#hasClosed = true;
    if (record.type === 'removed') this.#removed.push(...headsIn([record.data]));
    this.#last = { seq: record.seq, hash: record.hash };
    this.#lines.set(record.hash, this.line);
    return undefined;
  }

  chain(fault?: Omit<AuditFault, 'file'>, isUnsigned = false): AuditChain {
    const { key, previous, others } = this.#opened;
    return {
      file: this.#file,
      key: typeof key === 'string' ? key : undefined,
      fault: fault && { file: this.#file, ...fault },
      isUnsigned,
      lines: this.#lines,
      last: this.#last,
      previous: headsIn([previous])[0],
      others: Array.isArray(others) ? headsIn(others) : [],
      removed: this.#removed,
    };
  }

  #open({ data }: AuditRecord): void {
    this.#opened = data;
    const { key, previous } = this.chain();
    this.#publicKey = key === undefined ? undefined : this.#publicKeyOf(key);
    this.#last = { seq: 0, hash: previous?.head ?? NO_HASH };
  }

  #whyOutOfPlace({ type, seq, prev, data }: AuditRecord): string | undefined {
    const { seq: before, hash } = this.#last;
    if (this.line === 1 && type !== 'opened') return 'the file does not begin with its beginning';
    if (this.line === 1 && data['file'] !== this.#file) return 'these are the records of another file';
    if (this.line > 1 && type === 'opened') return 'a file begins only once';
    if (seq !== before + 1) return `record ${seq} stands where ${before + 1} belongs`;
    if (prev !== hash) return 'it does not hang on the record before it';
    if (this.#hasClosed && type !== 'checkpoint')
      return 'something follows on the record that closes the file';
    return undefined;
  }

  #whyUnsigned({ type, data }: AuditRecord): string | undefined {
    const key = this.#publicKey;
    if (key === undefined) return 'the public key that it names is not beside it, or was changed';
    if (type !== 'checkpoint' || isSigned(signedText(this.#file, this.#last), data['signature'], key))
      return undefined;
    return 'the signature of this checkpoint is not right';
  }
}

/** Those of the values that are heads: whoever holds a signing key may have written anything. */
function headsIn(values: readonly unknown[]): Head[] {
  return values.flatMap((value) => {
    if (typeof value !== 'object' || value === null) return [];
    const { file, head } = value as Readonly<Record<string, unknown>>;
    return typeof file === 'string' && typeof head === 'string' ? [{ file, head }] : [];
  });
}
