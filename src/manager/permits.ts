/**
 * Permits to send one request each. A permit is charged at the latest moment at which the provider may count the
 * request, and the charge is lowered as evidence arrives: sent, answered, never sent.
 */
import type { QuotaWindow } from '../core/quota.js';
import type { LeaseRequest, MaybePromise } from '../core/ports.js';

export interface Permit {
  /** A request that has not left by then must not leave with this permit: it would be counted too late. */
  readonly sendBefore?: number;
  /** The request left for the provider at this moment. */
  sent(at: number): void;
  /** The provider answered; it counted the request no later than this. */
  settle(at: number): void;
  /** The request never left. */
  giveBack(): void;
}

export interface Shortage {
  /** The soonest moment at which a permit may be had. */
  readonly retryAt: number;
}

/** Who owns an allowance, and its limits. */
export interface Bucket {
  /** `<provider>/<bucket>`. */
  readonly name: string;
  readonly windows: readonly QuotaWindow[];
}

export interface PermitSource {
  take(bucket: Bucket, now: number): MaybePromise<Permit | Shortage>;
  /** Permits left in the tightest window, as far as is known here; undefined where nothing is known. */
  left(bucket: Bucket, now: number): number | undefined;
  /** The same for each window by itself, in their order; undefined for those of which nothing is known. */
  leftInWindows(bucket: Bucket, now: number): readonly (number | undefined)[];
  /**
   * The provider states a limit over windows of this length. Where a higher one is configured, the limit in force is
   * lowered at once, and raised again little by little.
   */
  adjust(bucket: Bucket, stated: number, perMs: number, now: number): void;
  /** The provider refused a request: limits that were lowered do not rise for another window. */
  hold(bucket: Bucket, now: number): void;
  /** The limits in force, in the order of the bucket's windows. */
  limits(bucket: Bucket): readonly number[];
  /**
   * The keys of one bucket turned out to spend another one, which is charged, as of now, with all that was spent.
   * `table`: in the table of this process; `store`: in the store, for all processes.
   */
  carryOver(
    from: Bucket,
    to: Bucket,
    now: number,
    where: { table: boolean; store: boolean },
  ): MaybePromise<void>;
  /** The store is there again: tells it what was spent without it. Fails where that cannot be told. */
  rejoin?(): MaybePromise<void>;
  /** Reports what is pending and gives back what is unspent. */
  close(): MaybePromise<void>;
}

export const UNLIMITED: Permit = {
  sent: () => {},
  settle: () => {},
  giveBack: () => {},
};

/** A question for what is left of a bucket: asking for no permits spends none. */
export function questionFor({ name, windows }: Bucket): LeaseRequest {
  return { bucket: name, windows, want: 0, ttlMs: 0, slackMs: 0 };
}

export function isShortage(value: Permit | Shortage): value is Shortage {
  return 'retryAt' in value;
}
