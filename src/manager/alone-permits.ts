/** What this process spends while the store cannot be asked: its fair share, counted in the table of the process. */
import { aloneLimits } from '../core/fair-share.js';
import type { Farewell } from '../core/fair-share.js';
import { HOLD_MS } from '../core/quota.js';
import type { QuotaWindow } from '../core/quota.js';
import { heldPermit } from './held-permit.js';
import type { LocalPermits } from './local-permits.js';
import type { Bucket, Permit, Shortage } from './permits.js';
import { isShortage } from './permits.js';
import { LONGEST_RETRY_MS } from './store-link.js';
import type { Spent, Untold } from './untold.js';

export interface AlonePermit {
  readonly permit: Permit;
  readonly spent: Spent;
}

export class AlonePermits {
  readonly #own: LocalPermits;
  readonly #untold: Untold;

  constructor(own: LocalPermits, untold: Untold) {
    this.#own = own;
    this.#untold = untold;
  }

  /** `windows`: with the limits in force. Fails where the table has no room for the bucket. */
  take(
    bucket: Bucket,
    windows: readonly QuotaWindow[],
    farewell: Farewell,
    slackMs: number,
    now: number,
  ): AlonePermit | Shortage {
    const limits = aloneLimits(windows, farewell, now);
    const permits = limits.map((limit) => limit.permits);
    const own = this.#own.take(bucket, now, permits);
    if (isShortage(own)) return { retryAt: this.#retryAt(bucket, windows, farewell, own.retryAt, now) };
    const spent = this.#untold.add(bucket, now + HOLD_MS);
    const permit = heldPermit({
      own,
      slackMs,
      sendBefore: now + HOLD_MS - slackMs,
      onEnd: (permitsSpent, countedAt) => this.#untold.end(spent, permitsSpent, countedAt),
    });
    return { permit, spent };
  }

  /** The store may be back sooner than the share has anything left: it is looked for so often. */
  #retryAt(
    bucket: Bucket,
    windows: readonly QuotaWindow[],
    farewell: Farewell,
    retryAt: number,
    now: number,
  ): number {
    const until = Math.max(now, ...aloneLimits(windows, farewell, now).map((limit) => limit.until));
    const shares = aloneLimits(windows, farewell, until).map((limit) => limit.permits);
    const soonest = Math.min(retryAt, Math.max(until, this.#own.nextAt(bucket, now, shares)));
    return Math.min(soonest, now + LONGEST_RETRY_MS);
  }
}
