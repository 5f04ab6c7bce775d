import type { Place } from '../core/fair-share.js';
import { batchTtlMs, leaseSize, mostAhead, nextAhead } from '../core/lease-size.js';
import { HOLD_MS, windowStart } from '../core/quota.js';
import type { LeaseGrant, MaybePromise, Store } from '../core/ports.js';
import { countAlong, newAccount, noteAnswer, windowsInForce } from './account.js';
import type { Account, Batch, Waiting } from './account.js';
import { heldPermit } from './held-permit.js';
import type { LocalPermits } from './local-permits.js';
import type { Bucket, Permit, PermitSource, Shortage } from './permits.js';
import { UNLIMITED, isShortage, questionFor } from './permits.js';
import { Retelling } from './retelling.js';
import { Settlements } from './settlements.js';
import { Share } from './share.js';
import { isForgotten } from './store-link.js';
import type { StoreLink } from './store-link.js';
import { Untold } from './untold.js';

export interface LeasedPermitsContext {
  readonly store: Store;
  readonly own: LocalPermits;
  readonly link: Pick<StoreLink, 'ask' | 'isInDoubt' | 'isLost' | 'lostAt'>;
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
  readonly #share: Share;
  readonly #retelling: Retelling;

  constructor(context: LeasedPermitsContext) {
    const { store, link, fleet, onTrouble, holdMs = HOLD_MS } = context;
    this.#context = context;
    this.#holdMs = holdMs;
    this.#settlements = new Settlements(store, link, onTrouble);
    const untold = new Untold(fleet.memberId, this.#settlements);
    this.#share = new Share({ ...context, untold });
    this.#retelling = new Retelling({
      ...context,
      untold,
      share: this.#share,
      returnUnspent: (account) => this.#returnUnspent(account),
    });
  }

  take(bucket: Bucket, now: number): MaybePromise<Permit | Shortage> {
    if (bucket.windows.length === 0) return UNLIMITED;
    const account = this.#accountOf(bucket);
    const { batch } = account;
    if (batch !== undefined && now < batch.validUntil) return this.#spend(account, batch, now);
    const { link, fleet, store } = this.#context;
    if (link.isLost || !store.shared) return this.#share.take(account, now);
    if (now < account.cautiousUntil || now < fleet.reunionUntil) return this.#share.takeCharged(account, now);
    return this.#lease(account);
  }

  left(bucket: Bucket, now: number): number | undefined {
    const left = this.#accounts.get(bucket.name)?.left;
    return left === undefined || now >= left.knownUntil ? undefined : left.permits;
  }

  /** What the store said last, for as long as the window may still be the one it spoke of. */
  leftInWindows(bucket: Bucket, now: number): readonly (number | undefined)[] {
    const { answer, countsAlong } = this.#accounts.get(bucket.name) ?? {};
    if (answer === undefined) return [];
    // What a provider stated lowers the own count; the store goes by the configuration.
    const own = countsAlong === true ? this.#context.own.leftInWindows(bucket, now) : [];
    return bucket.windows.map((window, index) => {
      const left = windowStart(window, now) < answer.at ? answer.left[index] : undefined;
      return left === undefined ? undefined : Math.min(left, own[index] ?? left);
    });
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
  rejoin(): Promise<void> {
    return this.#retelling.rejoin([...this.#accounts.values()]);
  }

  /** Looks, one bucket at a time, whether the store still knows what it should. */
  checkMemory(): Promise<void> {
    return this.#retelling.checkMemory([...this.#accounts.values()]);
  }

  /** Requests that wait because of the share may go on: the store answers again. */
  endShortages(unblock: (bucketName: string) => void): void {
    this.#share.endShortages(unblock);
  }

  async close(): Promise<void> {
    for (const account of this.#accounts.values()) this.#returnUnspent(account);
    await this.#settlements.close();
  }

  /** Writes the gathered settlements. */
  flush(): Promise<void> {
    return this.#settlements.flush();
  }

  #lease(account: Account): MaybePromise<Permit | Shortage> {
    if (account.waiting !== undefined) {
      const { waiting } = account;
      return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
    }
    this.#returnUnspent(account);
    const shortage = this.#share.guardedShortage(account, this.#context.store.now());
    if (shortage !== undefined) return shortage;
    let grant: MaybePromise<LeaseGrant>;
    try {
      grant = this.#ask(account, 1);
    } catch (error) {
      return this.#withoutLease(account, error);
    }
    if (!(grant instanceof Promise)) {
      if (this.#heedCaution(account, grant))
        return this.#share.takeCharged(account, this.#context.store.now());
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
          answerWith(waiter, () => this.#share.takeCharged(account, this.#context.store.now()));
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
    const windows = windowsInForce(bucket, this.#context.own);
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
    const now = store.now();
    if (cautiousUntil <= now) return false;
    this.#share.beginCaution(account, now);
    account.cautiousUntil = cautiousUntil;
    fleet.noteCaution(cautiousUntil);
    return true;
  }

  #receive(account: Account, grant: LeaseGrant): Permit | Shortage {
    const now = this.#context.store.now();
    noteAnswer(account, grant, this.#context.own, now);
    if (grant.granted === 0) return { retryAt: grant.retryAt };
    const ttlMs = Math.max(1, grant.validUntil - now);
    const isAhead = ttlMs < this.#holdMs;
    const batch: Batch = {
      leaseId: grant.leaseId,
      validUntil: grant.validUntil,
      sendBefore: isAhead ? grant.validUntil + this.#holdMs - account.slackMs : grant.validUntil,
      granted: grant.granted,
      unspent: grant.granted,
      // What lies idle goes back while the store still knows the lease, also if nobody asks again.
      expiry: setTimeout(() => this.#giveBackBatch(account, batch), ttlMs).unref(),
    };
    account.batch = batch;
    return this.#spend(account, batch, now);
  }

  #spend(account: Account, batch: Batch, now: number): Permit | Shortage {
    const limits = this.#share.guardLimits(account, now);
    const own = countAlong(account, this.#context.own, (table) => table.take(account.bucket, now, limits));
    if (own !== undefined && isShortage(own)) {
      if (limits === undefined) return own;
      this.#returnUnspent(account);
      return { retryAt: Math.min(own.retryAt, account.guardedUntil) };
    }
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
        if (spent > 0 && countedAt > sendBefore + slackMs)
          this.#retelling.tellLate(account.bucket, countedAt);
        const settlement = { bucket: account.bucket.name, leaseId, spent, countedAt, returned: 1 - spent };
        this.#settlements.add(settlement, { isWhole: batch.granted === 1 });
      },
    });
  }

  /** A question failed. */
  #withoutLease(account: Account, error: unknown): MaybePromise<Permit | Shortage> {
    const { link, store } = this.#context;
    if (isForgotten(error)) {
      return this.#retelling.retell(account).then(() => this.#share.takeCharged(account, store.now()));
    }
    if (!link.isLost) throw error;
    return this.#share.take(account, store.now());
  }

  /** The most that any window of the bucket holds. */
  async #spentInStore(bucket: Bucket): Promise<number> {
    const { link, store } = this.#context;
    let most = 0;
    for (const window of bucket.windows) {
      const question = questionFor({ name: bucket.name, windows: [window] });
      most = Math.max(most, window.requests - (await link.ask(() => store.lease(question))).left);
    }
    return most;
  }

  async #chargeStore({ name, windows }: Bucket, spent: number): Promise<void> {
    if (spent === 0 || windows.length === 0) return;
    const { link, store } = this.#context;
    const request = { bucket: name, windows, want: spent, ttlMs: batchTtlMs(2_000), slackMs: 0 };
    const { leaseId, granted } = await link.ask(() => store.lease(request));
    if (granted === 0) return;
    const settlement = { bucket: name, leaseId, spent: granted, countedAt: store.now(), returned: 0 };
    this.#settlements.add(settlement, { isWhole: true });
    await this.#settlements.flush();
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
    const settlement = { bucket: account.bucket.name, leaseId, spent: 0, countedAt: 0, returned: unspent };
    this.#settlements.add(settlement, { isWhole: unspent === batch.granted });
  }
}

function answerWith(waiter: Waiting, make: () => MaybePromise<Permit | Shortage>): void {
  try {
    waiter.resolve(make());
  } catch (error) {
    waiter.reject(error);
  }
}
