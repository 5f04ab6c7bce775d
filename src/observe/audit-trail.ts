/** Gathers records and writes them in batches; says so where that fails, and loses nothing without a note. */
import { KeymuxError } from '../core/errors.js';
import type { Clock } from '../core/ports.js';
import { messageOf } from '../manager/events.js';
import type { AuditFiles } from './audit-file.js';
import type { NewRecord } from './audit-record.js';

/** So many records are written at once, before it is time. */
const BATCH = 1_000;
/** Records that wait for a trail that cannot be written; more are counted only. */
export const MOST_WAITING = 10_000;

export interface AuditTrailOptions {
  /** Opened at the first batch, so that a program that takes no key leaves no file. */
  readonly openFiles: () => AuditFiles;
  readonly folder: string;
  readonly now: Clock;
  /** What is counted rather than told one by one. */
  readonly drain: () => readonly NewRecord[];
  readonly onTrouble: (error: KeymuxError) => void;
  readonly onResumed: () => void;
}

export class AuditTrail {
  readonly #options: AuditTrailOptions;
  #files: AuditFiles | undefined;
  #waiting: NewRecord[] = [];
  #dropped = 0;
  #willFlush = false;
  #trouble: { readonly since: number; readonly error: KeymuxError } | undefined;
  #isClosed = false;

  constructor(options: AuditTrailOptions) {
    this.#options = options;
  }

  /** Why the last batch could not be written. */
  get trouble(): KeymuxError | undefined {
    return this.#trouble?.error;
  }

  add(record: NewRecord): void {
    if (this.#isClosed) return;
    if (this.#waiting.length >= MOST_WAITING) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(record);
    if (this.#waiting.length < BATCH || this.#willFlush || this.#trouble) return;
    this.#willFlush = true;
    setImmediate(() => {
      this.#willFlush = false;
      this.flush();
    });
  }

  /** Writes what waits; `always`: also where nothing does, to see whether it can. Never throws. */
  flush(always = false): void {
    if (this.#isClosed) return;
    // What is counted goes on being counted until there is a place for it: it needs no memory meanwhile.
    if (this.#trouble !== undefined && !this.#append()) return;
    this.#waiting.push(...this.#options.drain());
    if (always || this.#waiting.length > 0 || this.#dropped > 0) this.#append();
  }

  /** Writes what waits, and that nothing follows. Never throws. */
  close(): void {
    if (this.#isClosed) return;
    this.#waiting.push(...this.#options.drain());
    this.#isClosed = true;
    const now = this.#options.now();
    const batch = this.#batch(now);
    if (this.#files === undefined && batch.length === 0) return;
    this.#try((files) => files.close(batch, now));
  }

  #append(): boolean {
    const now = this.#options.now();
    return this.#try((files) => files.append(this.#batch(now), now));
  }

  #batch(now: number): NewRecord[] {
    const since = this.#trouble?.since;
    return [
      ...(since === undefined ? [] : [{ at: now, type: 'resumed', data: { unwrittenSince: since } }]),
      ...(this.#dropped === 0 ? [] : [{ at: now, type: 'dropped', data: { records: this.#dropped } }]),
      ...this.#waiting,
    ];
  }

  #try(write: (files: AuditFiles) => void): boolean {
    try {
      write((this.#files ??= this.#options.openFiles()));
    } catch (error) {
      this.#fail(error);
      return false;
    }
    this.#waiting = [];
    this.#dropped = 0;
    if (this.#trouble !== undefined) {
      this.#trouble = undefined;
      this.#options.onResumed();
    }
    return true;
  }

  #fail(cause: unknown): void {
    if (this.#trouble !== undefined) return;
    const what = `The audit trail in ${this.#options.folder} cannot be written: ${reasonOf(cause)}`;
    const error = new KeymuxError('KEYMUX_AUDIT_UNAVAILABLE', what, { fix: fixOf(cause), cause });
    this.#trouble = { since: this.#options.now(), error };
    this.#options.onTrouble(error);
  }
}

const LATER = 'until it ends, this program keeps for then what happens, as far as it fits into memory.';

function fixOf(error: unknown): string {
  if (error instanceof KeymuxError) return `${error.fix.replace(/\.$/, '')}; ${LATER}`;
  return `See to the folder and the space on its disk; ${LATER}`;
}

function reasonOf(error: unknown): string {
  if (error instanceof KeymuxError) return error.message;
  const { code } = error as NodeJS.ErrnoException;
  return `${code ?? messageOf(error)}.`;
}
