import { HOLD_MS, arrivalSlackMs } from '../core/quota.js';
import type { QuotaWindow } from '../core/quota.js';
import type { LeaseGrant, MaybePromise, Settlement, Store } from '../core/ports.js';
import type { LocalPermits } from './local-permits.js';
import type { Bucket, Permit, PermitSource, Shortage } from './permits.js';
import { UNLIMITED, isShortage } from './permits.js';

interface Account {
  windows: readonly QuotaWindow[];
  readonly slackMs: number;
  readonly shortestMs: number;
  readonly largestBatch: number;
  readonly batchTtlMs: number;
  /** Whether this process counts along what it is given. */
  countsAlong: boolean;
  batch: Batch | undefined;
  nextBatch: number;
  left: { readonly permits: number; readonly knownUntil: number } | undefined;
  asking: Promise<Permit | Shortage> | undefined;
}

interface Batch {
  readonly leaseId: string;
  readonly validUntil: number;
  readonly expiry: NodeJS.Timeout;
  unspent: number;
}

/** Limits up to this are leased one permit at a time: nothing lies idle in one process while another waits. */
const SINGLE_PERMIT_LIMIT = 128;
const LARGEST_BATCH = 256;
const BATCH_TTL_MS = 1_000;
/** Reports of spent permits are gathered this long; it delays the return of a slot, never the other way round. */
const SETTLE_DELAY_MS = 20;
/** How long a store that let its deadline pass is not asked: each question would hold up a request for as long again. */
const REST_MS = 1_000;
/** Larger limits are kept in groups by the table, more carefully than the store keeps them; see `StateTable.settle`. */
const LARGEST_EXACT_LIMIT = 65_536;

/**
 * Permits that this thread leases from a store that others spend from too. What was spent is counted along in the
 * table of the process, which decides alone while the store cannot be asked, and knows what was spent before.
 */
export class LeasedPermits implements PermitSource {
  readonly #store: Store;
  readonly #own: LocalPermits;
  readonly #onTrouble: (error: unknown) => void;
  readonly #accounts = new Map<string, Account>();
  #settlements: Settlement[] = [];
  #timer: NodeJS.Timeout | undefined;
  #restsUntil = 0;
  #isClosed = false;

  constructor(store: Store, own: LocalPermits, onTrouble: (error: unknown) => void) {
    this.#store = store;
    this.#own = own;
    this.#onTrouble = onTrouble;
  }

  take(bucket: Bucket, now: number): MaybePromise<Permit | Shortage> {
    if (bucket.windows.length === 0) return UNLIMITED;
    const account = this.#accountOf(bucket);
    const own = this.#takeOwn(bucket, account, now);
    if (own !== undefined && isShortage(own)) return own;
    if (now < this.#restsUntil) return own ?? this.#own.take(bucket, now);
    const alone = (error: unknown): Permit | Shortage => {
      this.#onTrouble(error);
      return own ?? this.#own.take(bucket, this.#store.now());
    };
    try {
      const leased = this.#lease(bucket, account, now);
      if (!(leased instanceof Promise)) return together(own, leased);
      return leased.then(
        (taken) => together(own, taken),
        (error: unknown) => {
          this.#restsUntil = this.#store.now() + REST_MS;
          return alone(error);
        },
      );
    } catch (error) {
      return alone(error);
    }
  }

  left(bucket: Bucket, now: number): number | undefined {
    const left = this.#accounts.get(bucket.name)?.left;
    return left === undefined || now >= left.knownUntil ? undefined : left.permits;
  }

  adjust(bucket: Bucket, stated: number, perMs: number, now: number): void {
    if (this.#accounts.get(bucket.name)?.countsAlong === true) this.#own.adjust(bucket, stated, perMs, now);
  }

  hold(bucket: Bucket, now: number): void {
    this.#own.hold(bucket, now);
  }

  limits(bucket: Bucket): readonly number[] {
    return this.#own.limits(bucket);
  }

  async carryOver(
    from: Bucket,
    to: Bucket,
    now: number,
    { table, store }: { table: boolean; store: boolean },
  ): Promise<void> {
    try {
      this.#own.carryOver(from, to, now, { table });
      if (store) await this.#chargeStore(to, await this.#spentInStore(from));
    } catch (error) {
      this.#onTrouble(error);
    }
  }

  async close(): Promise<void> {
    for (const [name, account] of this.#accounts) this.#returnUnspent(name, account);
    await this.flush();
    this.#isClosed = true;
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

  /** The most that any window of the bucket holds; asking for no permits spends none. */
  async #spentInStore(bucket: Bucket): Promise<number> {
    let most = 0;
    for (const window of bucket.windows) {
      const request = { bucket: bucket.name, windows: [window], want: 0, ttlMs: 0, slackMs: 0 };
      most = Math.max(most, window.requests - (await this.#store.lease(request)).left);
    }
    return most;
  }

  async #chargeStore({ name, windows }: Bucket, spent: number): Promise<void> {
    if (spent === 0 || windows.length === 0) return;
    const request = { bucket: name, windows, want: spent, ttlMs: BATCH_TTL_MS, slackMs: 0 };
    const { leaseId, granted } = await this.#store.lease(request);
    if (granted === 0) return;
    const countedAt = this.#store.now();
    await this.#store.settle([{ bucket: name, leaseId, spent: granted, countedAt, returned: 0 }]);
  }

  #takeOwn(bucket: Bucket, account: Account, now: number): Permit | Shortage | undefined {
    if (!account.countsAlong) return undefined;
    try {
      return this.#own.take(bucket, now);
    } catch {
      // The table has no room for it; that only matters while the store cannot be asked, and is told then.
      account.countsAlong = false;
      return undefined;
    }
  }

  #lease(bucket: Bucket, account: Account, now: number): MaybePromise<Permit | Shortage> {
    const { batch } = account;
    if (batch !== undefined && now < batch.validUntil) return this.#spend(bucket, account, batch);
    if (account.asking !== undefined) {
      // A shortage or a failure is news for all who wait; after a grant each takes a permit of its own.
      return account.asking.then((answer) =>
        isShortage(answer) ? answer : this.#lease(bucket, account, this.#store.now()),
      );
    }
    this.#returnUnspent(bucket.name, account);
    return this.#ask(bucket, account);
  }

  #ask(bucket: Bucket, account: Account): MaybePromise<Permit | Shortage> {
    const single = account.largestBatch === 1;
    const grant = this.#store.lease({
      bucket: bucket.name,
      windows: this.#windowsInForce(bucket),
      want: account.nextBatch,
      ttlMs: single ? HOLD_MS : account.batchTtlMs,
      // A permit of a batch may be spent at the batch's very end, by a request that is then still under way.
      slackMs: single ? account.slackMs : HOLD_MS,
    });
    if (!(grant instanceof Promise)) return this.#receive(bucket, account, grant);
    const received = grant.then((granted) => this.#receive(bucket, account, granted));
    if (!single) {
      const answered = (): void => void (account.asking = undefined);
      account.asking = received;
      received.then(answered, answered);
    }
    return received;
  }

  #windowsInForce(bucket: Bucket): readonly QuotaWindow[] {
    const limits = this.#own.limits(bucket);
    const isLowered = bucket.windows.some(({ requests }, index) => limits[index] !== requests);
    if (!isLowered) return bucket.windows;
    return bucket.windows.map((window, index) => ({ ...window, requests: limits[index] ?? window.requests }));
  }

  #accountOf(bucket: Bucket): Account {
    const known = this.#accounts.get(bucket.name);
    if (known?.windows === bucket.windows) return known;
    if (known !== undefined && JSON.stringify(known.windows) === JSON.stringify(bucket.windows)) {
      known.windows = bucket.windows;
      return known;
    }
    if (known !== undefined) this.#returnUnspent(bucket.name, known);
    const account = newAccount(bucket.windows);
    this.#accounts.set(bucket.name, account);
    return account;
  }

  #receive(bucket: Bucket, account: Account, grant: LeaseGrant): Permit | Shortage {
    account.left = { permits: grant.left, knownUntil: this.#store.now() + account.shortestMs };
    if (grant.granted === 0) return { retryAt: grant.retryAt };
    const ttlMs = Math.max(1, grant.validUntil - this.#store.now());
    const batch: Batch = {
      leaseId: grant.leaseId,
      validUntil: grant.validUntil,
      unspent: grant.granted,
      // What lies idle goes back while the store still knows the lease, also if nobody asks again.
      expiry: setTimeout(() => this.#giveBackBatch(bucket.name, account, batch), ttlMs).unref(),
    };
    account.batch = batch;
    return this.#spend(bucket, account, batch);
  }

  #spend(bucket: Bucket, account: Account, batch: Batch): Permit {
    batch.unspent -= 1;
    if (batch.unspent === 0) {
      clearTimeout(batch.expiry);
      account.batch = undefined;
      // A batch that was used up in time may be twice as large next time.
      account.nextBatch = Math.min(account.largestBatch, account.nextBatch * 2);
    }
    const { slackMs } = account;
    const { leaseId } = batch;
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

  #returnUnspent(bucketName: string, account: Account): void {
    if (account.batch !== undefined) this.#giveBackBatch(bucketName, account, account.batch);
  }

  #giveBackBatch(bucketName: string, account: Account, batch: Batch): void {
    clearTimeout(batch.expiry);
    account.batch = undefined;
    account.nextBatch = Math.max(1, Math.floor(account.nextBatch / 2));
    const { leaseId, unspent } = batch;
    this.#settleLater({ bucket: bucketName, leaseId, spent: 0, countedAt: 0, returned: unspent });
  }

  /** After the end nothing is written any more: what was under way stays charged. */
  #settleLater(settlement: Settlement): void {
    if (this.#isClosed) return;
    this.#settlements.push(settlement);
    this.#timer ??= setTimeout(() => void this.flush(), SETTLE_DELAY_MS).unref();
  }
}

function newAccount(windows: readonly QuotaWindow[]): Account {
  const limits = windows.map((window) => window.requests);
  const tightest = Math.min(...limits);
  const shortestMs = Math.min(...windows.map((window) => window.perMs));
  return {
    windows,
    slackMs: arrivalSlackMs(windows),
    shortestMs,
    largestBatch: tightest <= SINGLE_PERMIT_LIMIT ? 1 : Math.min(LARGEST_BATCH, Math.floor(tightest / 64)),
    batchTtlMs: Math.min(BATCH_TTL_MS, shortestMs / 2),
    countsAlong: Math.max(...limits) <= LARGEST_EXACT_LIMIT,
    batch: undefined,
    nextBatch: 1,
    left: undefined,
    asking: undefined,
  };
}

/** One permit out of two: the one of this process, where it counts along, and the one that was leased. */
function together(own: Permit | undefined, leased: Permit | Shortage): Permit | Shortage {
  if (own === undefined) return leased;
  if (isShortage(leased)) {
    own.giveBack();
    return leased;
  }
  return {
    sent: (at) => {
      own.sent(at);
      leased.sent(at);
    },
    settle: (at) => {
      own.settle(at);
      leased.settle(at);
    },
    giveBack: () => {
      own.giveBack();
      leased.giveBack();
    },
  };
}
