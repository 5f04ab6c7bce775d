/** Tells a store what this process spent without a lease, and all that it spent where the store forgot it. */
import { REUNION_MS } from '../core/fleet.js';
import type { MaybePromise, Store } from '../core/ports.js';
import type { Account } from './account.js';
import type { LocalPermits } from './local-permits.js';
import { questionFor } from './permits.js';
import type { Bucket } from './permits.js';
import type { Share } from './share.js';
import { isForgotten } from './store-link.js';
import type { StoreLink } from './store-link.js';
import type { Untold } from './untold.js';

export interface RetellingContext {
  readonly store: Store;
  readonly own: LocalPermits;
  readonly link: Pick<StoreLink, 'ask' | 'isInDoubt' | 'isLost'>;
  readonly fleet: { readonly reunionUntil: number; noteCaution(until: number): void };
  readonly untold: Untold;
  readonly share: Share;
  readonly returnUnspent: (account: Account) => void;
  readonly onTrouble: (error: unknown) => void;
}

export class Retelling {
  readonly #context: RetellingContext;
  #turn = 0;

  constructor(context: RetellingContext) {
    this.#context = context;
  }

  /** The store answers again, and is told what was spent without it. Fails where it cannot be told. */
  async rejoin(accounts: readonly Account[]): Promise<void> {
    const { fleet, link, share, store, untold } = this.#context;
    const now = (): number => store.now();
    // Nothing that forgets is only silent for so short a time; a lease would tell of it.
    const forgotten = link.isInDoubt ? [] : await this.#forgottenOf(accounts);
    for (const account of forgotten) this.#begin(account);
    if (forgotten.length > 0) await this.#makeAnew(forgotten);
    await untold.tell((charges) => {
      const cautionMs = forgotten.length > 0 || now() < fleet.reunionUntil ? REUNION_MS : 0;
      return store.charge(charges, { cautionMs });
    }, now);
    share.guard(accounts, now());
  }

  /**
   * Looks whether the store still knows what it should: one bucket at a time, and all the others where it forgot that
   * one. A member that has nothing to ask for would not notice otherwise, and others would be granted what it spent.
   */
  async checkMemory(accounts: readonly Account[]): Promise<void> {
    const { link, store, onTrouble } = this.#context;
    const used = accounts.filter(({ answer }) => answer !== undefined);
    const account = used[this.#turn++ % Math.max(1, used.length)];
    if (account === undefined || link.isLost || store.now() < account.cautiousUntil) return;
    try {
      if (await link.ask(() => this.#isRemembered(account))) return;
      await this.retell(account);
      for (const other of used)
        if (!(await link.ask(() => this.#isRemembered(other)))) await this.retell(other);
    } catch (error) {
      onTrouble(error);
    }
  }

  /** The store lost what it knew of a bucket, and is told anew. */
  async retell(account: Account): Promise<void> {
    const { link, share, store } = this.#context;
    share.beginCaution(account, store.now());
    this.#begin(account);
    await link.ask(() => this.#makeAnew([account]));
    await this.#tell(REUNION_MS);
  }

  /** The store knows these buckets again, and that it does not know all yet, also where nothing of them was spent. */
  #makeAnew(accounts: readonly Account[]): MaybePromise<void> {
    const { store } = this.#context;
    const charges = accounts.map(({ bucket: { name, windows } }) => {
      return { bucket: name, windows, leaseId: 'none', permits: 0, countedAt: store.now() };
    });
    return store.charge(charges, { cautionMs: REUNION_MS });
  }

  /** A permit was spent after all when the lease that it was counted under had ended. */
  tellLate(bucket: Bucket, countedAt: number): void {
    const { link, untold, onTrouble } = this.#context;
    untold.addOver(bucket, 1, countedAt);
    if (!link.isLost) void this.#tell(0).catch(onTrouble);
  }

  #tell(cautionMs: number): Promise<void> {
    const { store, link, untold } = this.#context;
    return untold.tell(
      (charges) => link.ask(() => store.charge(charges, { cautionMs })),
      () => store.now(),
    );
  }

  async #forgottenOf(accounts: readonly Account[]): Promise<readonly Account[]> {
    const forgotten: Account[] = [];
    for (const account of accounts) {
      if (account.answer !== undefined && !(await this.#isRemembered(account))) forgotten.push(account);
    }
    return forgotten;
  }

  async #isRemembered({ bucket }: Account): Promise<boolean> {
    try {
      await this.#context.store.lease(questionFor(bucket));
      return true;
    } catch (error) {
      if (isForgotten(error)) return false;
      throw error;
    }
  }

  /** Until all had time to tell what they spent, each keeps to its share. One thread tells it for the process. */
  #begin(account: Account): void {
    const { own, share, store, fleet, untold, returnUnspent } = this.#context;
    const now = store.now();
    const { bucket } = account;
    account.cautiousUntil = Math.max(account.cautiousUntil, now + REUNION_MS);
    fleet.noteCaution(account.cautiousUntil);
    returnUnspent(account);
    share.begin(account, now);
    if (!account.countsAlong) {
      for (const { permits, countedAt } of account.granted) untold.addOver(bucket, permits, countedAt);
      account.granted = [];
    } else if (own.claimRetelling(bucket, now, REUNION_MS)) {
      // The table counts what was not told yet, too.
      untold.forget(bucket);
      for (const countedAt of own.charges(bucket, now)) untold.addOver(bucket, 1, countedAt);
    }
  }
}
