/** What a member spends while it cannot ask the store, and until all have told what they spent meanwhile. */
import { aloneLimits, doubtfulPermits } from '../core/fair-share.js';
import type { Farewell, Place } from '../core/fair-share.js';
import { REUNION_MS } from '../core/fleet.js';
import type { MaybePromise, Store } from '../core/ports.js';
import { SILENCE_MS } from '../core/silence.js';
import { countAlong, noteShortage, windowsInForce } from './account.js';
import type { Account } from './account.js';
import { AlonePermits } from './alone-permits.js';
import type { AlonePermit } from './alone-permits.js';
import type { LocalPermits } from './local-permits.js';
import type { Permit, Shortage } from './permits.js';
import { isShortage } from './permits.js';
import { LONGEST_RETRY_MS } from './store-link.js';
import type { StoreLink } from './store-link.js';
import type { Untold } from './untold.js';

export interface ShareContext {
  readonly store: Store;
  readonly own: LocalPermits;
  readonly link: Pick<StoreLink, 'ask' | 'isInDoubt' | 'lostAt'>;
  readonly fleet: { readonly place: Place; readonly reunionUntil: number };
  readonly whenLost: 'share' | 'stop';
  readonly untold: Untold;
}

/** How far apart members come back that were lost together, beside the time that they were lost. Milliseconds. */
const RETURN_SPREAD_MS = 150;

export class Share {
  readonly #context: ShareContext;
  readonly #alone: AlonePermits;
  /** Buckets of which nothing was to be had without the store. */
  readonly #short = new Set<string>();

  constructor(context: ShareContext) {
    this.#context = context;
    this.#alone = new AlonePermits(context.own, context.untold);
  }

  /** The store cannot be asked. */
  take(account: Account, now: number): Permit | Shortage {
    const taken = this.#context.link.isInDoubt
      ? this.#takeInDoubt(account, now)
      : this.#takeAlone(account, now);
    if (isShortage(taken)) this.#short.add(account.bucket.name);
    return taken;
  }

  /** The store answers, but does not know all yet: it is told of a permit of the share before that is spent. */
  takeCharged(account: Account, now: number): MaybePromise<Permit | Shortage> {
    const { fleet, link, store, untold, whenLost } = this.#context;
    const until = Math.max(account.cautiousUntil, fleet.reunionUntil);
    if (whenLost === 'stop') return { retryAt: until };
    const taken = this.#spendOfShare(account, now);
    if ('retryAt' in taken) return { retryAt: Math.min(taken.retryAt, Math.max(until, now + 1)) };
    const { permit, spent } = taken;
    const charge = untold.chargeOf(spent);
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

  /** How things stood when the store was lost; from then on this process keeps to its share of that bucket. */
  begin(account: Account, now: number): Farewell {
    const { link } = this.#context;
    const { farewell, answer } = account;
    const lostAt = link.lostAt ?? now;
    // Lost once more: what was heard since the last time counts.
    const isOver = farewell !== undefined && link.lostAt !== undefined && lostAt > farewell.lostAt;
    if (isOver && answer !== undefined && answer.at > farewell.lostAt) account.farewell = undefined;
    return (account.farewell ??= this.#farewell(account, lostAt, now));
  }

  /**
   * The store is not lost, but others have yet to tell what they spent. Where all leased as they liked until now,
   * nobody may rely on its share for what is spent already.
   */
  beginCaution(account: Account, now: number): void {
    const { fleet } = this.#context;
    if (now < Math.max(account.cautiousUntil, fleet.reunionUntil)) return;
    account.farewell = this.#farewell(account, now, now);
  }

  #farewell(account: Account, lostAt: number, now: number): Farewell {
    const { hearsay } = account;
    const scarcity = hearsay === undefined ? {} : { scarceUntil: hearsay.scarceUntil };
    return { lostAt, ...this.#known(account, now), ...scarcity, place: this.#context.fleet.place };
  }

  /**
   * The store is back. Others that were away come back within about the time that this member was; until then what it
   * leases keeps to its share of what was left, too, for the others may have spent the rest and not told it yet. Where
   * only this member was away, nobody else waits for that.
   */
  guard(accounts: Iterable<Account>, now: number): void {
    const { fleet, link } = this.#context;
    if (fleet.place.size === 1 || link.lostAt === undefined) return;
    const guardMs = Math.min(REUNION_MS, now - link.lostAt + RETURN_SPREAD_MS);
    for (const account of accounts) {
      this.begin(account, now);
      account.guardedUntil = now + guardMs;
    }
  }

  /** For each window, what a lease must keep to while others may not have told what they spent; undefined otherwise. */
  guardLimits(account: Account, now: number): readonly number[] | undefined {
    const { bucket, farewell, guardedUntil } = account;
    if (now >= guardedUntil || farewell === undefined) return undefined;
    const windows = windowsInForce(bucket, this.#context.own);
    return aloneLimits(windows, farewell, now).map(({ permits }) => permits);
  }

  /** Whether these limits leave no permit to be leased now. */
  guardedShortage(account: Account, now: number): Shortage | undefined {
    const limits = this.guardLimits(account, now);
    if (limits === undefined) return undefined;
    const { bucket, guardedUntil } = account;
    const freeAt = countAlong(account, this.#context.own, (own) => own.nextAt(bucket, now, limits)) ?? now;
    if (freeAt <= now) return undefined;
    noteShortage(account, now);
    return { retryAt: Math.min(freeAt, guardedUntil) };
  }

  /** Requests that wait because of the share may go on: the store answers again. */
  endShortages(unblock: (bucketName: string) => void): void {
    for (const name of this.#short) unblock(name);
    this.#short.clear();
  }

  #takeAlone(account: Account, now: number): Permit | Shortage {
    if (this.#context.whenLost === 'stop') return { retryAt: now + LONGEST_RETRY_MS };
    const taken = this.#spendOfShare(account, now);
    return 'retryAt' in taken ? taken : taken.permit;
  }

  /** It may be that only this member does not hear of the store, and that all the others go on leasing. */
  #takeInDoubt(account: Account, now: number): Permit | Shortage {
    const { link, own } = this.#context;
    const { bucket, hearsay } = account;
    const decidedAt = (link.lostAt ?? now) + SILENCE_MS;
    const shortage = { retryAt: Math.max(decidedAt, now + 1) };
    if (hearsay === undefined) return shortage;
    const windows = windowsInForce(bucket, own);
    const most = doubtfulPermits(windows, this.begin(account, now), hearsay, now);
    if (most === 0 || !own.claimInDoubt(bucket, most, now, 2 * SILENCE_MS)) {
      noteShortage(account, now);
      return shortage;
    }
    const taken = this.#takeAlone(account, now);
    if (!isShortage(taken)) return taken;
    own.unclaimInDoubt(bucket);
    return { retryAt: Math.min(taken.retryAt, shortage.retryAt) };
  }

  #spendOfShare(account: Account, now: number): AlonePermit | Shortage {
    const { bucket, slackMs } = account;
    const windows = windowsInForce(bucket, this.#context.own);
    return this.#alone.take(bucket, windows, this.begin(account, now), slackMs, now);
  }

  /**
   * What the store last said, and in each window what this process had spent by then, or was granted with that;
   * nothing of it where the process does not count along.
   */
  #known(account: Account, now: number): Pick<Farewell, 'own' | 'answer'> {
    const { bucket, answer, batch, positionThen } = account;
    if (answer === undefined) return this.#knownByOthers(account, now);
    const used = countAlong(account, this.#context.own, (own) => own.usedBefore(bucket, positionThen, now));
    return { own: (used ?? []).map((permits) => permits + (batch?.unspent ?? 0)), answer };
  }

  /** Another thread of this process may have asked. */
  #knownByOthers(account: Account, now: number): Pick<Farewell, 'own' | 'answer'> {
    const { bucket } = account;
    return (
      countAlong(account, this.#context.own, (own) => {
        const last = own.lastAnswer(bucket);
        if (last === undefined) return { own: [] };
        const left = bucket.windows.map(() => last.left);
        return {
          own: own.usedBefore(bucket, last.position, now),
          answer: { at: now, left, fallPerMs: left.map(() => 0) },
        };
      }) ?? { own: [] }
    );
  }
}
