/** What people may see of an audit trail: read by `observe`, shown by the gateway and the command line. No secrets. */
import type { KeymuxError } from '../core/errors.js';

/** One line of an audit file. */
export interface AuditRecord {
  /** Counts from 1 in each file. */
  readonly seq: number;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** The hash of the record before it. */
  readonly prev: string;
  /** SHA-256 over all that stands before it in its line. */
  readonly hash: string;
}

/** A record and where it stands. */
export interface FoundRecord extends AuditRecord {
  /** Its name in the folder. */
  readonly file: string;
}

/** What is wrong with an audit trail, and where. */
export interface AuditFault {
  /** Its name in the folder. */
  readonly file: string;
  /** From 1; absent where the whole file is concerned. */
  readonly line?: number;
  readonly why: string;
}

/** What a check of an audit trail found. */
export interface AuditVerdict {
  readonly ok: boolean;
  readonly folder: string;
  readonly files: number;
  readonly records: number;
  /** The first one is what to look at. */
  readonly faults: readonly AuditFault[];
  /** What this check cannot say, in words. */
  readonly unproven: readonly string[];
}

export interface AuditView {
  /** The newest records, oldest first. */
  last(count: number): readonly FoundRecord[];
  verify(): Promise<AuditVerdict>;
}

/** An audit trail that is being kept. */
export interface Audit extends AuditView {
  /** Absolute. */
  readonly folder: string;
  /** Why it cannot be written now, as far as that was tried. */
  readonly trouble: KeymuxError | undefined;
  /** Writes what waits now. */
  flush(): void;
  /** Writes what waits, and ends the trail unless others keep it too. May be called twice. */
  stop(): void;
}

/** The one trail of a key manager, for all in its process that ask for one. */
export interface KeptTrail {
  /**
   * `failClosed`: true holds for all from then on.
   * @throws `KEYMUX_USAGE` where `path` is another folder
   */
  share(terms: { readonly path?: string; readonly failClosed?: boolean }): Audit;
}
