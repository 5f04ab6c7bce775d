/** What people may see of an audit trail: read by `observe`, shown by the gateway and the command line. No secrets. */

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

export interface AuditFault {
  /** Its name in the folder. */
  readonly file: string;
  /** From 1; absent where the whole file is concerned. */
  readonly line?: number;
  readonly why: string;
}

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
