/**
 * Permits to send one request each. A permit is charged at the latest moment at which the provider may count the
 * request, and the charge is lowered as evidence arrives: sent, answered, never sent.
 */
import { HOLD_MS, arrivalSlackMs } from '../core/quota.js';
import type { QuotaWindow } from '../core/quota.js';
import type { LeaseGrant, MaybePromise, Settlement, Store } from '../core/ports.js';
import type { StateTable } from '../state/table.js';

export interface Permit {
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
  /** Reports what is pending and gives back what is unspent. */
  close(): MaybePromise<void>;
}

export const UNLIMITED: Permit = { sent: () => {}, settle: () => {}, giveBack: () => {} };

export function isShortage(value: Permit | Shortage): value is Shortage {
  return 'retryAt' in value;
}

/** Permits of this process alone, taken from the table that its threads share. */
export class LocalPermits implements PermitSource {
  readonly #table: StateTable;
  readonly #indexes = new Map<Bucket, { index: number; slackMs: number }>();

  constructor(table: StateTable) {
    this.#table = table;
  }

  take(bucket: Bucket, now: number): Permit | Shortage {
    if (bucket.windows.length === 0) return UNLIMITED;
    const { index, slackMs } = this.#indexOf(bucket);
    const table = this.#table;
    const position = table.take(index, now);
    if (position < 0) return { retryAt: table.nextAt(index, now) };
    return {
      sent: (at) => table.settle(index, position, at + slackMs),
      settle: (at) => table.settle(index, position, at),
      giveBack: () => table.giveBack(index, position),
    };
  }

  left(bucket: Bucket, now: number): number | undefined {
    return bucket.windows.length === 0 ? undefined : this.#table.left(this.#indexOf(bucket).index, now);
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

interface Account {
  readonly slackMs: number;
  readonly largestBatch: number;
  readonly batchTtlMs: number;
  lease: { id: string; unspent: number; validUntil: number } | undefined;
  nextBatch: number;
  left: number | undefined;
  asking: Promise<undefined> | undefined;
}

/** Limits up to this are leased one permit at a time: nothing lies idle in one process while another waits. */
const SINGLE_PERMIT_LIMIT = 128;
const LARGEST_BATCH = 256;
const BATCH_TTL_MS = 1_000;
/** Reports of spent permits are gathered this long; it delays the return of a slot, never the other way round. */
const SETTLE_DELAY_MS = 20;

/** Permits that this thread leases from a store that others spend from too. */
export class LeasedPermits implements PermitSource {
  readonly #store: Store;
  /** Where permits come from while the store cannot be asked. */
  readonly #fallback: PermitSource;
  readonly #onTrouble: (error: unknown) => void;
  readonly #accounts = new Map<Bucket, Account>();
  #settlements: Settlement[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(store: Store, fallback: PermitSource, onTrouble: (error: unknown) => void) {
    this.#store = store;
    this.#fallback = fallback;
    this.#onTrouble = onTrouble;
  }

  take(bucket: Bucket, now: number): MaybePromise<Permit | Shortage> {
    if (bucket.windows.length === 0) return UNLIMITED;
    const account = this.#accountOf(bucket);
    const { lease } = account;
    if (lease !== undefined && lease.unspent > 0 && now < lease.validUntil)
      return this.#spend(bucket, account);
    this.#returnUnspent(bucket, account);
    if (account.asking !== undefined) return account.asking.then(() => this.take(bucket, this.#store.now()));
    try {
      const grant = this.#ask(bucket, account);
      return grant instanceof Promise
        ? grant.catch((error: unknown) => this.#fallBack(bucket, error))
        : grant;
    } catch (error) {
      return this.#fallBack(bucket, error);
    }
  }

  #ask(bucket: Bucket, account: Account): MaybePromise<Permit | Shortage> {
    const single = account.largestBatch === 1;
    const grant = this.#store.lease({
      bucket: bucket.name,
      windows: bucket.windows,
      want: account.nextBatch,
      ttlMs: single ? HOLD_MS : account.batchTtlMs,
      // A permit of a batch may be spent at the batch's very end, by a request that is then still under way.
      slackMs: single ? account.slackMs : HOLD_MS,
    });
    if (!(grant instanceof Promise)) return this.#receive(bucket, account, grant);
    const received = grant.then((granted) => this.#receive(bucket, account, granted));
    if (!single) {
      account.asking = received.then(
        () => (account.asking = undefined),
        () => (account.asking = undefined),
      );
    }
    return received;
  }

  #fallBack(bucket: Bucket, error: unknown): MaybePromise<Permit | Shortage> {
    this.#onTrouble(error);
    return this.#fallback.take(bucket, this.#store.now());
  }

  left(bucket: Bucket): number | undefined {
    return this.#accounts.get(bucket)?.left;
  }

  async close(): Promise<void> {
    for (const [bucket, account] of this.#accounts) this.#returnUnspent(bucket, account);
    await this.flush();
  }

  /** Writes the gathered settlements; what cannot be written stays charged, which is the careful side. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#settlements.length === 0) return;
    const settlements = this.#settlements;
    this.#settlements = [];
    try {
      await this.#store.settle(settlements);
    } catch (error) {
      this.#onTrouble(error);
    }
  }

  #accountOf(bucket: Bucket): Account {
    let account = this.#accounts.get(bucket);
    if (account === undefined) {
      const tightest = Math.min(...bucket.windows.map((window) => window.requests));
      const shortestMs = Math.min(...bucket.windows.map((window) => window.perMs));
      account = {
        slackMs: arrivalSlackMs(bucket.windows),
        largestBatch:
          tightest <= SINGLE_PERMIT_LIMIT ? 1 : Math.min(LARGEST_BATCH, Math.floor(tightest / 64)),
        batchTtlMs: Math.min(BATCH_TTL_MS, shortestMs / 2),
        lease: undefined,
        nextBatch: 1,
        left: undefined,
        asking: undefined,
      };
      this.#accounts.set(bucket, account);
    }
    return account;
  }

  #receive(bucket: Bucket, account: Account, grant: LeaseGrant): Permit | Shortage {
    account.left = grant.left;
    if (grant.granted === 0) return { retryAt: grant.retryAt };
    this.#returnUnspent(bucket, account);
    account.lease = { id: grant.leaseId, unspent: grant.granted, validUntil: grant.validUntil };
    return this.#spend(bucket, account);
  }

  #spend(bucket: Bucket, account: Account): Permit {
    const lease = account.lease;
    if (lease === undefined) return UNLIMITED;
    lease.unspent -= 1;
    // A batch that was used up in time may be twice as large next time.
    if (lease.unspent === 0) account.nextBatch = Math.min(account.largestBatch, account.nextBatch * 2);
    const { slackMs } = account;
    const leaseId = lease.id;
    let open = true;
    let arrival: NodeJS.Timeout | undefined;
    const end = (spent: number, countedAt: number): void => {
      if (!open) return;
      open = false;
      clearTimeout(arrival);
      this.#settleLater({ bucket: bucket.name, leaseId, spent, countedAt, returned: 1 - spent });
    };
    return {
      sent: (at) => {
        if (open) arrival ??= setTimeout(() => end(1, at + slackMs), slackMs).unref();
      },
      settle: (at) => end(1, at),
      giveBack: () => end(0, 0),
    };
  }

  #returnUnspent(bucket: Bucket, account: Account): void {
    const { lease } = account;
    account.lease = undefined;
    if (lease === undefined || lease.unspent === 0) return;
    account.nextBatch = Math.max(1, Math.floor(account.nextBatch / 2));
    this.#settleLater({
      bucket: bucket.name,
      leaseId: lease.id,
      spent: 0,
      countedAt: 0,
      returned: lease.unspent,
    });
  }

  #settleLater(settlement: Settlement): void {
    this.#settlements.push(settlement);
    this.#timer ??= setTimeout(() => void this.flush(), SETTLE_DELAY_MS).unref();
  }
}
