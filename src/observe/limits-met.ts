/** Limits that requests met (429 and alike), and limits that were known before anybody met them. */

/** Requests whose end is not heard of are forgotten one day. */
const MOST_OPEN_REQUESTS = 10_000;
const MOST_BUCKETS = 10_000;

const NONE: ReadonlyMap<string, number> = new Map();

export class Limits {
  /** By request, then by provider. Only of requests that were refused for a limit and have not ended yet. */
  readonly #refusals = new Map<string, Map<string, number>>();
  /** Until when a bucket is known to be spent. Epoch milliseconds. */
  readonly #spentUntil = new Map<string, number>();

  /** An attempt was refused for a limit. */
  refused(requestId: string, provider: string): void {
    const known = this.#refusals.get(requestId);
    const refusals = known ?? new Map<string, number>();
    if (known === undefined) {
      forgetOldest(this.#refusals, MOST_OPEN_REQUESTS);
      this.#refusals.set(requestId, refusals);
    }
    refusals.set(provider, (refusals.get(provider) ?? 0) + 1);
  }

  /** How often attempts of the request, which is over, were refused for a limit, by provider. */
  ended(requestId: string): ReadonlyMap<string, number> {
    const refusals = this.#refusals.get(requestId) ?? NONE;
    this.#refusals.delete(requestId);
    return refusals;
  }

  /** A bucket is spent until then. Whether that is news: it is looked at again and again while it lasts. */
  reached(bucket: string, retryAt: number, at: number): boolean {
    const until = this.#spentUntil.get(bucket);
    if (until === undefined) forgetOldest(this.#spentUntil, MOST_BUCKETS);
    this.#spentUntil.set(bucket, Math.max(retryAt, until ?? 0));
    return until === undefined || at >= until;
  }
}

function forgetOldest(entries: Map<string, unknown>, most: number): void {
  if (entries.size < most) return;
  for (const [key] of entries) {
    entries.delete(key);
    return;
  }
}
