import type { Census, Fence, Fleet, Presence } from './fleet.js';
import type { Health } from './health.js';
import type { QuotaWindow } from './quota.js';

/** Epoch milliseconds, with fractions; never runs backwards within a process. */
export type Clock = () => number;
/** A number in [0, 1). */
export type Random = () => number;

/** Where warnings go. What it is handed holds no secret. */
export interface Logger {
  warn(message: string): void;
  info(message: string): void;
}

/** How one subject fares, as it is shared and kept. Holds no key. */
export interface HealthRecord {
  /** `key:<fingerprint>`, `bucket:<provider>/<bucket>` or `provider:<id>`. */
  readonly subject: string;
  readonly health: Health;
  /** Set by a person; survives everything until a person takes it back. */
  readonly disabled: boolean;
  /** Grows with each change of `disabled`; the higher one wins. */
  readonly disabledVersion: number;
}

/** What was spent through one credential, as a difference to what was reported before. */
export interface UsageDelta {
  /** `key:<fingerprint>`. */
  readonly subject: string;
  readonly requests: number;
  readonly failures: number;
  readonly costUsd: number;
}

export interface UsageTotal extends UsageDelta {
  readonly lastUsedAt: number;
}

export interface StoredState {
  readonly records: readonly HealthRecord[];
  readonly usage: readonly UsageTotal[];
}

export interface LeaseRequest {
  /** `<provider>/<bucket>`. */
  readonly bucket: string;
  readonly windows: readonly QuotaWindow[];
  /** Permits wanted; fewer, or none, may be granted. */
  readonly want: number;
  /** How long the permits may be spent. Milliseconds. */
  readonly ttlMs: number;
  /** How long after a permit was spent the provider may count it. Milliseconds. */
  readonly slackMs: number;
}

export interface LeaseGrant {
  readonly leaseId: string;
  readonly granted: number;
  /** Permits may be spent before this moment, in the store's time. */
  readonly validUntil: number;
  /** Permits that are left after this grant, in the tightest window. */
  readonly left: number;
  /** The same for each window of the request. */
  readonly leftInWindows: readonly number[];
  /** Where nothing was granted: the soonest moment at which something may be. */
  readonly retryAt: number;
  /**
   * Later than now: what others spent while they could not ask is not all told yet (`charge` with `cautionMs`).
   * Nothing is granted until then; each member keeps to its fair share, and charges it. Otherwise 0.
   */
  readonly cautiousUntil: number;
}

/** Permits that were spent without a lease, while the store could not be asked. */
export interface Charged {
  readonly bucket: string;
  readonly windows: readonly QuotaWindow[];
  /** Chosen by the member, unique for ever. Told twice it counts once; `settle` takes it as any other lease. */
  readonly leaseId: string;
  readonly permits: number;
  /** The latest moment at which the provider may have counted them. */
  readonly countedAt: number;
}

/** What became of permits of one lease. */
export interface Settlement {
  readonly bucket: string;
  readonly leaseId: string;
  /** Permits that were spent, and the latest moment at which the provider may have counted them. */
  readonly spent: number;
  readonly countedAt: number;
  /** Permits that were never spent and go back. */
  readonly returned: number;
}

/** A store answers at once where it can, so that a request need not wait for a turn of the event loop. */
export type MaybePromise<T> = T | Promise<T>;

/** Something went wrong with the store, and what was done about it; in words, without secrets. */
export interface StoreNotice {
  readonly kind: 'set-aside' | 'degraded' | 'recovered';
  readonly message: string;
  readonly fix: string;
}

/**
 * Where state is shared and kept. Every method may throw or reject with `KEYMUX_STORE_UNAVAILABLE`; the caller
 * goes on with what it has. A store never sees a key.
 */
export interface Store {
  readonly kind: 'memory' | 'sqlite' | 'redis';
  /**
   * Whether other processes may spend from the same buckets, so that permits must be leased. A store that was to be
   * shared, and cannot be, says so once it is open.
   */
  readonly shared: boolean;
  /** Opens, migrates and reads everything. A damaged file is set aside, and `onNotice` is told. */
  open(): MaybePromise<StoredState>;
  /** The time that all members of this store agree on. */
  now(): number;
  /**
   * Stores transitions, merging with what others wrote (`mergeHealth`); returns what then stands. With a fence it
   * fails with `KEYMUX_FENCED`, and stores nothing, unless that leadership stands.
   */
  publish(records: readonly HealthRecord[], fence?: Fence): MaybePromise<readonly HealthRecord[]>;
  /** Calls back with records that other members changed. */
  watch(onChange: (records: readonly HealthRecord[]) => void): () => void;
  /**
   * Fails with `KEYMUX_STORE_FORGOT` where the store lost what it knew of the bucket since this member last asked;
   * `charge` then tells it anew.
   */
  lease(request: LeaseRequest): MaybePromise<LeaseGrant>;
  settle(settlements: readonly Settlement[]): MaybePromise<void>;
  /**
   * Charges permits that were spent without a lease, whatever the limits are. `cautionMs`: for so long nobody is
   * granted anything of these buckets, since others have yet to tell what they spent; with `permits` 0 nothing else happens.
   */
  charge(charges: readonly Charged[], options: { readonly cautionMs: number }): MaybePromise<void>;
  addUsage(deltas: readonly UsageDelta[]): MaybePromise<void>;
  /** The usage of all members together. */
  usage(): MaybePromise<readonly UsageTotal[]>;
  /** Says that a member is there, elects the leader of its group where there is none, and tells of the others. */
  beat(presence: Presence): MaybePromise<Fleet>;
  /** The member goes: it is not counted any more, and another leads. Its leases stand until they end or are settled. */
  leave(memberId: string): MaybePromise<void>;
  census(): MaybePromise<Census>;
  /** Writes out what is pending and lets go of every handle. May be called twice. */
  close(): MaybePromise<void>;
}

export interface StoreOptions {
  readonly now: Clock;
  readonly onNotice: (notice: StoreNotice) => void;
}
