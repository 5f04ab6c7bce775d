import { HOLD_MS, arrivalSlackMs } from '../core/quota.js';
import type { StateTable } from '../state/table.js';
import type { Bucket, Permit, PermitSource, Shortage } from './permits.js';
import { UNLIMITED } from './permits.js';

/** Permits of this process alone, taken from the table that its threads share. */
export class LocalPermits implements PermitSource {
  readonly #table: StateTable;
  readonly #indexes = new WeakMap<Bucket, { index: number; slackMs: number }>();

  constructor(table: StateTable) {
    this.#table = table;
  }

  /** `limits`: lower ones, in the order of the windows, for this permit alone; see `StateTable.take`. */
  take(bucket: Bucket, now: number, limits?: readonly number[]): Permit | Shortage {
    if (bucket.windows.length === 0) return UNLIMITED;
    const { index, slackMs } = this.#indexOf(bucket);
    const table = this.#table;
    const position = table.take(index, now, limits);
    if (position < 0) return { retryAt: table.nextAt(index, now, limits) };
    return {
      sendBefore: now + HOLD_MS - slackMs,
      sent: (at) => table.settle(index, position, at + slackMs),
      settle: (at) => table.settle(index, position, at),
      giveBack: () => table.giveBack(index, position),
    };
  }

  /** When a permit may be had under these limits; Infinity where one of them is 0. */
  nextAt(bucket: Bucket, now: number, limits: readonly number[]): number {
    return this.#table.nextAt(this.#indexOf(bucket).index, now, limits);
  }

  /** The store granted so many, and left so many in the tightest window; the number of the next permit. */
  noteAnswer(bucket: Bucket, left: number, granted: number): number {
    return this.#table.noteAnswer(this.#indexOf(bucket).index, left, granted);
  }

  /** Of the latest answer to any thread: what was left, and the number of the permit after those that it granted. */
  lastAnswer(bucket: Bucket): { readonly position: number; readonly left: number } | undefined {
    return this.#table.lastAnswer(this.#indexOf(bucket).index);
  }

  usedBefore(bucket: Bucket, position: number, now: number): readonly number[] {
    return this.#table.usedBefore(this.#indexOf(bucket).index, position, now);
  }

  /** When each permit is charged that still counts, ascending. */
  charges(bucket: Bucket, now: number): readonly number[] {
    return this.#table.charges(this.#indexOf(bucket).index, now);
  }

  claimRetelling(bucket: Bucket, now: number, restMs: number): boolean {
    return this.#table.claimRetelling(this.#indexOf(bucket).index, now, restMs);
  }

  claimInDoubt(bucket: Bucket, most: number, now: number, restMs: number): boolean {
    return this.#table.claimInDoubt(this.#indexOf(bucket).index, most, now, restMs);
  }

  unclaimInDoubt(bucket: Bucket): void {
    this.#table.unclaimInDoubt(this.#indexOf(bucket).index);
  }

  left(bucket: Bucket, now: number): number | undefined {
    if (bucket.windows.length === 0) return undefined;
    try {
      return this.#table.left(this.#indexOf(bucket).index, now);
    } catch {
      // The table has no room for it; whoever takes a permit is told.
      return undefined;
    }
  }

  leftInWindows(bucket: Bucket, now: number): readonly number[] {
    if (bucket.windows.length === 0) return [];
    try {
      return this.#table.leftInWindows(this.#indexOf(bucket).index, now);
    } catch {
      return [];
    }
  }

  adjust(bucket: Bucket, stated: number, perMs: number, now: number): void {
    if (!bucket.windows.some((window) => window.perMs === perMs)) return;
    this.#table.adjustLimit(this.#indexOf(bucket).index, stated, perMs, now);
  }

  hold(bucket: Bucket, now: number): void {
    if (this.#indexes.has(bucket)) this.#table.holdLimits(this.#indexOf(bucket).index, now);
  }

  limits(bucket: Bucket): readonly number[] {
    const known = this.#indexes.get(bucket);
    return known === undefined
      ? bucket.windows.map(({ requests }) => requests)
      : this.#table.limits(known.index);
  }

  carryOver(from: Bucket, to: Bucket, now: number, { table }: { table: boolean }): void {
    if (!table || to.windows.length === 0 || from.windows.length === 0) return;
    this.#table.carryCharges(this.#indexOf(to).index, this.#indexOf(from).index, now);
  }

  close(): void {}

  #indexOf(bucket: Bucket): { index: number; slackMs: number } {
    let known = this.#indexes.get(bucket);
    if (known === undefined) {
      known = {
        index: this.#table.bucket(bucket.name, bucket.windows),
        slackMs: arrivalSlackMs(bucket.windows),
      };
      this.#indexes.set(bucket, known);
    }
    return known;
  }
}
