import { fallSince } from '../core/fair-share.js';
import type { Farewell, LastAnswer, Place } from '../core/fair-share.js';
import { REUNION_MS } from '../core/fleet.js';
import { KeymuxError } from '../core/errors.js';
import { batchTtlMs, leaseSize, mostAhead, nextAhead } from '../core/lease-size.js';
import { HOLD_MS, arrivalSlackMs } from '../core/quota.js';
import type { QuotaWindow } from '../core/quota.js';
import type { LeaseGrant, MaybePromise, Store } from '../core/ports.js';
import { AlonePermits } from './alone-permits.js';
import { heldPermit } from './held-permit.js';
import type { LocalPermits } from './local-permits.js';
import type { Bucket, Permit, PermitSource, Shortage } from './permits.js';
import { UNLIMITED, isShortage } from './permits.js';
import { Settlements } from './settlements.js';
import { LONGEST_RETRY_MS } from './store-link.js';
import type { StoreLink } from './store-link.js';
import { Untold } from './untold.js';

export interface LeasedPermitsContext {
  readonly store: Store;
  readonly own: LocalPermits;
  readonly link: Pick<StoreLink, 'ask' | 'isLost' | 'lostAt'>;
  readonly fleet: {
    readonly memberId: string;
    readonly place: Place;
    /** Until when each member keeps to its share though the store answers. */
    readonly reunionUntil: number;
    noteCaution(until: number): void;
  };
  /** `stop`: nothing is spent without a lease. */
  readonly whenLost: 'share' | 'stop';
  readonly onTrouble: (error: unknown) => void;
  /** How long a request may be under way to its sending. Milliseconds. Default: `HOLD_MS`. */
  readonly holdMs?: number;
}

interface Account {
  bucket: Bucket;
  readonly slackMs: number;
  readonly shortestMs: number;
  /** Whether this process counts along what it is given. */
  countsAlong: boolean;
  batch: Batch | undefined;
  ahead: number;
  left: { readonly permits: number; readonly knownUntil: number } | undefined;
  /** Requests that wait for the answer to the next question; present while one is asked. */
  waiting: Waiting[] | undefined;
  answer: LastAnswer | undefined;
  /** The table's position at that answer, and what of its grant was not given back. */
  positionThen: number;
  heldThen: number;
  /** What was granted, in ascending order, where the process does not count along. */
  granted: readonly Granted[];
  /** Present while this process keeps to its share. */
  farewell: Farewell | undefined;
  cautiousUntil: number;
}

interface Granted {
  readonly permits: number;
  readonly countedAt: number;
}

interface Batch {
  readonly leaseId: string;
  readonly validUntil: number;
  readonly sendBefore: number;
  readonly expiry: NodeJS.Timeout;
  unspent: number;
}

interface Waiting {
  resolve(answer: MaybePromise<Permit | Shortage>): void;
  reject(error: unknown): void;
}

/** Larger limits are kept in groups by the table, more carefully than the store keeps them; see `StateTable.settle`. */
const LARGEST_EXACT_LIMIT = 65_536;

/**
 * Permits that this thread leases from a store that others spend from too. What was spent is counted along in the
 * table of the process, so that it knows its own part where the store is lost: then, and until all have told what they
 * spent meanwhile, it keeps to its share.
 */
export class LeasedPermits implements PermitSource {
  readonly #context: LeasedPermitsContext;
  readonly #holdMs: number;
  readonly #accounts = new Map<string, Account>();
  readonly #settlements: Settlements;
  readonly #untold: Untold;
  readonly #alone: AlonePermits;
  /** Buckets of which nothing was to be had without the store. */
  readonly #short = new Set<string>();
  #memoryTurn = 0;

  constructor(context: LeasedPermitsContext) {
    const { store, own, link, fleet, onTrouble, holdMs = HOLD_MS } = context;
    this.#context = context;
    this.#holdMs = holdMs;
    this.#settlements = new Settlements(store, link, onTrouble);
    this.#untold = new Untold(fleet.memberId, this.#settlements);
    this.#alone = new AlonePermits(own, this.#untold);
  }

  take(bucket: Bucket, now: number): MaybePromise<Permit | Shortage> {
    if (bucket.windows.length === 0) return UNLIMITED;
    const account = this.#accountOf(bucket);
    const { batch } = account;
    if (batch !== undefined && now < batch.validUntil) return this.#spend(account, batch, now);
    const { link, fleet } = this.#context;
    if (link.isLost) return this.#takeAlone(account, now);
    if (now < account.cautiousUntil || now < fleet.reunionUntil) return this.#takeCharged(account, now);
    return this.#lease(account);
  }

  left(bucket: Bucket, now: number): number | undefined {
    const left = this.#accounts.get(bucket.name)?.left;
    return left === undefined || now >= left.knownUntil ? undefined : left.permits;
  }

  adjust(bucket: Bucket, stated: number, perMs: number, now: number): void {
    if (this.#accounts.get(bucket.name)?.countsAlong === true)
      this.#context.own.adjust(bucket, stated, perMs, now);
  }

  hold(bucket: Bucket, now: number): void {
    this.#context.own.hold(bucket, now);
  }

  limits(bucket: Bucket): readonly number[] {
    return this.#context.own.limits(bucket);
  }

  async carryOver(
    from: Bucket,
    to: Bucket,
    now: number,
    { table, store }: { table: boolean; store: boolean },
  ): Promise<void> {
    try {
      this.#context.own.carryOver(from, to, now, { table });
      if (store && !this.#context.link.isLost) await this.#chargeStore(to, await this.#spentInStore(from));
    } catch (error) {
      this.#context.onTrouble(error);
    }
  }

  /** The store answers again: it is told what was spent without it, and then what became of its leases. */
  async rejoin(): Promise<void> {
    const { store, fleet } = this.#context;
    const now = (): number => store.now();
    let hasForgotten = false;
    for (const account of this.#accounts.values()) {
      if (account.answer !== undefined && !(await this.#isRemembered(account))) {
        hasForgotten = true;
        this.#beginRetelling(account);
      }
    }
    await this.#untold.tell((charges) => {
      const cautionMs = hasForgotten || now() < fleet.reunionUntil ? REUNION_MS : 0;
      return store.charge(charges, { cautionMs });
    }, now);
  }

  /**
   * Looks whether the store still knows what it should: one bucket at a time, and all the others where it forgot that
   * one. A member that has nothing to ask for would not notice otherwise, and others would be granted what it spent.
   */
  async checkMemory(): Promise<void> {
    const { link, store, onTrouble } = this.#context;
    const used = [...this.#accounts.values()].filter(({ answer }) => answer !== undefined);
    const account = used[this.#memoryTurn++ % Math.max(1, used.length)];
    if (account === undefined || link.isLost || store.now() < account.cautiousUntil) return;
    try {
      if (await link.ask(() => this.#isRemembered(account))) return;
      for (const each of used) await this.#retell(each);
    } catch (error) {
      onTrouble(error);
    }
  }

  /** Requests that wait because of the share may go on: the store answers again. */
  endShortages(unblock: (bucketName: string) => void): void {
    for (const name of this.#short) unblock(name);
    this.#short.clear();
  }

  async close(): Promise<void> {
    for (const account of this.#accounts.values()) this.#returnUnspent(account);
    await this.#settlements.close();
  }

  /** Writes the gathered settlements. */
  flush(): Promise<void> {
    return this.#settlements.flush();
  }

  // --- from the store -----------------------------------------------------------------------------------------

  #lease(account: Account): MaybePromise<Permit | Shortage> {
    if (account.waiting !== undefined) {
      const { waiting } = account;
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    }
    this.#returnUnspent(account);
    let grant: MaybePromise<LeaseGrant>;
    try {
      grant = this.#ask(account, 1);
    } catch (error) {
      return this.#withoutLease(account, error);
    }
    if (!(grant instanceof Promise)) {
      if (this.#heedCaution(account, grant)) return this.#takeCharged(account, this.#context.store.now());
      return this.#receive(account, grant);
    }
    const first = new Promise<Permit | Shortage>((resolve, reject) => {
      account.waiting = [];
      void this.#serve(account, grant, [{ resolve, reject }]);
    });
    return first;
  }

  /** Serves those that wait, in their order, and asks again for those that came meanwhile or got nothing yet. */
  async #serve(account: Account, asked: Promise<LeaseGrant>, first: Waiting[]): Promise<void> {
    let serving = first;
    let grant = asked;
    for (;;) {
      const answer = await grant.then(
        (granted) => ({ granted }),
        (error: unknown) => ({ error }),
      );
      serving = [...serving, ...(account.waiting ?? [])];
      account.waiting = [];
      if ('error' in answer) {
        account.waiting = undefined;
        for (const waiter of serving) answerWith(waiter, () => this.#withoutLease(account, answer.error));
        return;
      }
      const { granted } = answer;
      if (this.#heedCaution(account, granted)) {
        account.waiting = undefined;
        for (const waiter of serving)
          answerWith(waiter, () => this.#takeCharged(account, this.#context.store.now()));
        return;
      }
      const received = this.#receive(account, granted);
      serving.shift()?.resolve(received);
      if (isShortage(received)) {
        account.waiting = undefined;
        for (const waiter of serving) waiter.resolve(received);
        return;
      }
      for (let { batch } = account; batch !== undefined && serving.length > 0; batch = account.batch) {
        const held = batch;
        const waiter = serving.shift();
        if (waiter !== undefined)
          answerWith(waiter, () => this.#spend(account, held, this.#context.store.now()));
      }
      if (serving.length === 0) {
        account.waiting = undefined;
        return;
      }
      const still = serving.length;
      grant = Promise.resolve().then(() => this.#ask(account, still));
    }
  }

  #ask(account: Account, waiting: number): MaybePromise<LeaseGrant> {
    const { link, store, fleet } = this.#context;
    const { bucket, slackMs, shortestMs, ahead } = account;
    const windows = this.#windowsInForce(bucket);
    const limit = Math.min(...windows.map(({ requests }) => requests));
    const { size: members } = fleet.place;
    const isAhead = mostAhead(limit, members) > 0;
    return link.ask(() =>
      store.lease({
        bucket: bucket.name,
        windows,
        want: leaseSize({ limit, members, waiting, ahead }),
        ttlMs: isAhead ? batchTtlMs(shortestMs) : this.#holdMs,
        // A permit of a batch may be spent at the batch's very end, by a request that is then still under way.
        slackMs: isAhead ? this.#holdMs : slackMs,
      }),
    );
  }

  /** Whether others have yet to tell what they spent, so that nothing was granted. */
  #heedCaution(account: Account, { cautiousUntil }: LeaseGrant): boolean {
    const { store, fleet } = this.#context;
    if (cautiousUntil <= store.now()) return false;
    account.cautiousUntil = cautiousUntil;
    fleet.noteCaution(cautiousUntil);
    return true;
  }

  #receive(account: Account, grant: LeaseGrant): Permit | Shortage {
    const now = this.#context.store.now();
    account.left = { permits: grant.left, knownUntil: now + account.shortestMs };
    this.#noteAnswer(account, grant, now);
    if (grant.granted === 0) return { retryAt: grant.retryAt };
    const ttlMs = Math.max(1, grant.validUntil - now);
    const isAhead = ttlMs < this.#holdMs;
    const batch: Batch = {
      leaseId: grant.leaseId,
      validUntil: grant.validUntil,
      sendBefore: isAhead ? grant.validUntil + this.#holdMs - account.slackMs : grant.validUntil,
      unspent: grant.granted,
      // What lies idle goes back while the store still knows the lease, also if nobody asks again.
      expiry: setTimeout(() => this.#giveBackBatch(account, batch), ttlMs).unref(),
    };
    account.batch = batch;
    if (!account.countsAlong) account.granted = withGrant(account.granted, grant);
    return this.#spend(account, batch, now);
  }

  #noteAnswer(account: Account, { granted, leftInWindows }: LeaseGrant, at: number): void {
    account.answer = {
      at,
      left: leftInWindows,
      fallPerMs: fallSince(account.answer, { at, left: leftInWindows }, granted),
    };
    account.farewell = undefined;
    account.heldThen = granted;
    account.positionThen = this.#counted(account, (own) => own.position(account.bucket)) ?? 0;
  }

  #spend(account: Account, batch: Batch, now: number): Permit | Shortage {
    const own = this.#counted(account, (table) => table.take(account.bucket, now));
    if (own !== undefined && isShortage(own)) return own;
    batch.unspent -= 1;
    if (batch.unspent === 0) {
      clearTimeout(batch.expiry);
      account.batch = undefined;
      account.ahead = nextAhead(account.ahead, true);
    }
    const { slackMs } = account;
    const { leaseId, sendBefore } = batch;
    return heldPermit({
      own,
      slackMs,
      sendBefore,
      onEnd: (spent, countedAt) => {
        if (spent === 0) account.heldThen = Math.max(0, account.heldThen - 1);
        else if (countedAt > sendBefore + slackMs) this.#chargeLate(account.bucket, countedAt);
        this.#settlements.add({
          bucket: account.bucket.name,
          leaseId,
          spent,
          countedAt,
          returned: 1 - spent,
        });
      },
    });
  }

  /** It was sent after all, when the lease that it was counted under had ended: what happened is told. */
  #chargeLate(bucket: Bucket, countedAt: number): void {
    const { link, onTrouble } = this.#context;
    this.#untold.addOver(bucket, 1, countedAt);
    if (!link.isLost) void this.#tell(0).catch(onTrouble);
  }

  /** Undefined where the process does not count along. */
  #counted<T>(account: Account, work: (own: LocalPermits) => T): T | undefined {
    if (!account.countsAlong) return undefined;
    try {
      return work(this.#context.own);
    } catch {
      // The table has no room for it; that only matters while the store cannot be asked, and is told then.
      account.countsAlong = false;
      return undefined;
    }
  }

  // --- without it ---------------------------------------------------------------------------------------------

  /** A question failed. */
  #withoutLease(account: Account, error: unknown): MaybePromise<Permit | Shortage> {
    if (isForgotten(error)) {
      return this.#retell(account).then(() => this.#takeCharged(account, this.#context.store.now()));
    }
    if (!this.#context.link.isLost) throw error;
    return this.#takeAlone(account, this.#context.store.now());
  }

  #takeAlone(account: Account, now: number): Permit | Shortage {
    const { bucket, slackMs } = account;
    const taken =
      this.#context.whenLost === 'stop'
        ? { retryAt: now + LONGEST_RETRY_MS }
        : this.#alone.take(bucket, this.#windowsInForce(bucket), this.#farewell(account, now), slackMs, now);
    if (!('retryAt' in taken)) return taken.permit;
    this.#short.add(bucket.name);
    return taken;
  }

  /** The store answers, but does not know all yet: it is told of a permit of the share before that is spent. */
  #takeCharged(account: Account, now: number): MaybePromise<Permit | Shortage> {
    const { fleet, link, store, whenLost } = this.#context;
    const until = Math.max(account.cautiousUntil, fleet.reunionUntil);
    if (whenLost === 'stop') return { retryAt: until };
    const { bucket, slackMs } = account;
    const taken = this.#alone.take(
      bucket,
      this.#windowsInForce(bucket),
      this.#farewell(account, now),
      slackMs,
      now,
    );
    if ('retryAt' in taken) return { retryAt: Math.min(taken.retryAt, Math.max(until, now + 1)) };
    const { permit, spent } = taken;
    const charge = this.#untold.chargeOf(spent);
    spent.isTold = true;
    // Where that fails, it is told when the store is back; the same charge twice counts once.
    const alone = (): Permit => {
      spent.isTold = false;
      return permit;
    };
    try {
      const told = link.ask(() => store.charge([charge], { cautionMs: 0 }));
      return told instanceof Promise ? told.then(() => permit, alone) : permit;
    } catch {
      return alone();
    }
  }

  #farewell(account: Account, now: number): Farewell {
    return (account.farewell ??= {
      lostAt: this.#context.link.lostAt ?? now,
      own: this.#ownPart(account, now),
      ...(account.answer === undefined ? {} : { answer: account.answer }),
      place: this.#context.fleet.place,
    });
  }

  /** In each window: what was spent by the last answer, and what that granted; nothing where that is not counted. */
  #ownPart(account: Account, now: number): readonly number[] {
    const { bucket, positionThen, heldThen, countsAlong } = account;
    if (!countsAlong || account.answer === undefined) return [];
    return this.#context.own.usedBefore(bucket, positionThen, now).map((used) => used + heldThen);
  }

  /** Asking for no permits spends none. */
  async #isRemembered({ bucket: { name, windows } }: Account): Promise<boolean> {
    try {
      await this.#context.store.lease({ bucket: name, windows, want: 0, ttlMs: 0, slackMs: 0 });
      return true;
    } catch (error) {
      if (isForgotten(error)) return false;
      throw error;
    }
  }

  /** The store lost what it knew of a bucket, and is told anew. */
  async #retell(account: Account): Promise<void> {
    const { store, link } = this.#context;
    this.#beginRetelling(account);
    const { name, windows } = account.bucket;
    const nothing = { bucket: name, windows, leaseId: 'none', permits: 0, countedAt: store.now() };
    await link.ask(() => store.charge([nothing], { cautionMs: REUNION_MS }));
    await this.#tell(REUNION_MS);
  }

  #tell(cautionMs: number): Promise<void> {
    const { store, link } = this.#context;
    return this.#untold.tell(
      (charges) => link.ask(() => store.charge(charges, { cautionMs })),
      () => store.now(),
    );
  }

  /** Until all had time to tell what they spent, each keeps to its share. One thread tells it for the process. */
  #beginRetelling(account: Account): void {
    const { own, store, fleet } = this.#context;
    const now = store.now();
    const { bucket } = account;
    account.cautiousUntil = Math.max(account.cautiousUntil, now + REUNION_MS);
    fleet.noteCaution(account.cautiousUntil);
    this.#returnUnspent(account);
    this.#farewell(account, now);
    if (!account.countsAlong) {
      for (const { permits, countedAt } of account.granted) this.#untold.addOver(bucket, permits, countedAt);
      account.granted = [];
    } else if (own.claimRetelling(bucket, now, REUNION_MS)) {
      // The table counts what was not told yet, too.
      this.#untold.forget(bucket);
      for (const countedAt of own.charges(bucket, now)) this.#untold.addOver(bucket, 1, countedAt);
    }
  }

  // --- odds and ends ------------------------------------------------------------------------------------------

  /** The most that any window of the bucket holds; asking for no permits spends none. */
  async #spentInStore(bucket: Bucket): Promise<number> {
    const { link, store } = this.#context;
    let most = 0;
    for (const window of bucket.windows) {
      const request = { bucket: bucket.name, windows: [window], want: 0, ttlMs: 0, slackMs: 0 };
      most = Math.max(most, window.requests - (await link.ask(() => store.lease(request))).left);
    }
    return most;
  }

  async #chargeStore({ name, windows }: Bucket, spent: number): Promise<void> {
    if (spent === 0 || windows.length === 0) return;
    const { link, store } = this.#context;
    const request = { bucket: name, windows, want: spent, ttlMs: batchTtlMs(2_000), slackMs: 0 };
    const { leaseId, granted } = await link.ask(() => store.lease(request));
    if (granted === 0) return;
    this.#settlements.add({ bucket: name, leaseId, spent: granted, countedAt: store.now(), returned: 0 });
    await this.#settlements.flush();
  }

  #windowsInForce(bucket: Bucket): readonly QuotaWindow[] {
    const limits = this.#context.own.limits(bucket);
    const isLowered = bucket.windows.some(({ requests }, index) => limits[index] !== requests);
    if (!isLowered) return bucket.windows;
    return bucket.windows.map((window, index) => ({ ...window, requests: limits[index] ?? window.requests }));
  }

  #accountOf(bucket: Bucket): Account {
    const known = this.#accounts.get(bucket.name);
    if (known?.bucket === bucket) return known;
    if (known !== undefined && JSON.stringify(known.bucket.windows) === JSON.stringify(bucket.windows)) {
      known.bucket = bucket;
      return known;
    }
    if (known !== undefined) this.#returnUnspent(known);
    const account = newAccount(bucket);
    this.#accounts.set(bucket.name, account);
    return account;
  }

  #returnUnspent(account: Account): void {
    if (account.batch !== undefined) this.#giveBackBatch(account, account.batch);
  }

  #giveBackBatch(account: Account, batch: Batch): void {
    clearTimeout(batch.expiry);
    account.batch = undefined;
    account.ahead = nextAhead(account.ahead, false);
    const { leaseId, unspent } = batch;
    account.heldThen = Math.max(0, account.heldThen - unspent);
    this.#settlements.add({
      bucket: account.bucket.name,
      leaseId,
      spent: 0,
      countedAt: 0,
      returned: unspent,
    });
  }
}

function newAccount(bucket: Bucket): Account {
  const { windows } = bucket;
  return {
    bucket,
    slackMs: arrivalSlackMs(windows),
    shortestMs: Math.min(...windows.map((window) => window.perMs)),
    countsAlong: Math.max(...windows.map((window) => window.requests)) <= LARGEST_EXACT_LIMIT,
    batch: undefined,
    ahead: 1,
    left: undefined,
    waiting: undefined,
    answer: undefined,
    positionThen: 0,
    heldThen: 0,
    granted: [],
    farewell: undefined,
    cautiousUntil: 0,
  };
}

const MOST_GRANTS = 128;

/** Of many, neighbours become one, dated to the later. */
function withGrant(
  granted: readonly Granted[],
  { granted: permits, validUntil }: LeaseGrant,
): readonly Granted[] {
  const all = [...granted, { permits, countedAt: validUntil }];
  if (all.length <= MOST_GRANTS) return all;
  return all.flatMap((grant, index) => {
    if (index % 2 === 0) return [];
    return [{ permits: grant.permits + (all[index - 1]?.permits ?? 0), countedAt: grant.countedAt }];
  });
}

function isForgotten(error: unknown): boolean {
  return error instanceof KeymuxError && error.code === 'KEYMUX_STORE_FORGOT';
}

function answerWith(waiter: Waiting, make: () => MaybePromise<Permit | Shortage>): void {
  try {
    waiter.resolve(make());
  } catch (error) {
    waiter.reject(error);
  }
}
