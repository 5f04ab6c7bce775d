import { RollingLog } from './rolling-window.js';
import type { Allowance, Quota, RateLimit } from './script-key.js';
import type { LimitState } from './simulator-flavour.js';

/** Why a meter lets a request not pass. */
export type MeterRefusal =
  | {
      readonly kind: 'rate-limited';
      readonly meter: string;
      readonly limit: RateLimit;
      /** Requests in the window with the refused one. */
      readonly count: number;
      readonly waitMs: number;
    }
  | { readonly kind: 'quota-exhausted'; readonly meter: string; readonly quota: Quota };

/** Kept for limits that are set later. */
const REMEMBERED_MS = 60_000;

/** The counter of one key or one bucket. Exact: it remembers the moment of every request that it let pass. */
export class Meter {
  readonly name: string;
  readonly #startedAt: number;
  readonly #log = new RollingLog();
  #limits: readonly RateLimit[];
  readonly #quota: Quota | undefined;
  #period = 0;
  #usedInPeriod = 0;

  constructor(name: string, allowance: Allowance, startedAt: number) {
    this.name = name;
    this.#limits = allowance.limits ?? [];
    this.#quota = allowance.quota;
    this.#startedAt = startedAt;
  }

  /** Why a request is refused at this moment; of several limits, the one that takes longest. Charges nothing. */
  refusal(now: number): MeterRefusal | undefined {
    const waits = this.#limits.map((limit) => this.#log.waitMs(now, limit.perMs, limit.requests));
    const longest = Math.max(0, ...waits);
    const limit = this.#limits[waits.indexOf(longest)];
    if (longest > 0 && limit !== undefined) {
      const count = this.#log.countSince(now, limit.perMs) + 1;
      return { kind: 'rate-limited', meter: this.name, limit, count, waitMs: longest };
    }
    this.#turnPeriod(now);
    return this.#quota !== undefined && this.#usedInPeriod >= this.#quota.requests
      ? { kind: 'quota-exhausted', meter: this.name, quota: this.#quota }
      : undefined;
  }

  charge(now: number): void {
    this.#log.add(now);
    this.#usedInPeriod += 1;
    this.#log.forgetBefore(now, Math.max(REMEMBERED_MS, ...this.#limits.map(({ perMs }) => perMs)));
  }

  /** The limit of which the least is left. */
  tightest(now: number): LimitState | undefined {
    const states = this.#limits.map((limit) => ({
      ...limit,
      remaining: Math.max(0, limit.requests - this.#log.countSince(now, limit.perMs)),
      resetMs: this.#log.waitMs(now, limit.perMs, 1),
    }));
    return states.sort((a, b) => a.remaining - b.remaining)[0];
  }

  setLimits(limits: readonly RateLimit[]): void {
    this.#limits = limits;
  }

  refillQuota(): void {
    this.#usedInPeriod = 0;
  }

  #turnPeriod(now: number): void {
    const period = Math.floor((now - this.#startedAt) / (this.#quota?.perMs ?? Number.POSITIVE_INFINITY));
    if (period !== this.#period) this.refillQuota();
    this.#period = period;
  }
}
