/** A store that fails on command, at one call of many. */
import { setTimeout as sleep } from 'node:timers/promises';
import { KeymuxError } from '../core/errors.js';
import type { Census, Fence, Fleet, Presence } from '../core/fleet.js';
import type {
  Charged,
  HealthRecord,
  LeaseGrant,
  LeaseRequest,
  MaybePromise,
  Settlement,
  Store,
  StoredState,
  UsageDelta,
  UsageTotal,
} from '../core/ports.js';
import type { FakeClock } from './fake-clock.js';

/** Every operation of a store that can fail. */
export const STORE_OPERATIONS = [
  'open',
  'publish',
  'watch',
  'lease',
  'settle',
  'charge',
  'addUsage',
  'usage',
  'beat',
  'leave',
  'census',
  'close',
] as const;

/** One of `STORE_OPERATIONS`. */
export type StoreOperation = (typeof STORE_OPERATIONS)[number];

/** Which calls fail, and how. */
export interface StoreFault {
  /** Which call is the first to fail, from 1. Default: 1. */
  readonly failCall?: number;
  /** `once`: this call alone. `onwards`: this one and all after it. Default: `once`. */
  readonly from?: 'once' | 'onwards';
  /** Only calls of this operation are counted, and fail. Default: all of them together. */
  readonly operation?: StoreOperation;
  /** Default: `KEYMUX_STORE_UNAVAILABLE`. */
  readonly error?: Error;
  /**
   * `before`: the store is not asked. `after`: it did what it was asked, and the answer is lost. Default: `before`.
   */
  readonly when?: 'before' | 'after';
}

/** What a faulty store does besides failing. */
export interface FaultyStoreOptions extends StoreFault {
  /** How long each call takes. Milliseconds. Default: no time at all, where the store below takes none. */
  readonly delayMs?: number;
  /** Delays pass on this clock, which each call moves on by `delayMs`. Default: they are real. */
  readonly clock?: Pick<FakeClock, 'advance'>;
  /** Default: as the store below. `true` makes a manager lease its permits from a memory store. */
  readonly shared?: boolean;
}

/** A store with faults, and with a list of what it was asked. */
export interface FaultyStore extends Store {
  /** Every call so far, in order, those that failed included. */
  readonly calls: readonly StoreOperation[];
  /** The calls that failed. */
  readonly failed: readonly StoreOperation[];
  /** Sets another fault in place of the one before; calls are counted from here on. */
  fail(fault: StoreFault): void;
  /** No call fails any more. */
  mend(): void;
}

/**
 * Wraps a store so that one call fails, or all from one on. Without `failCall`, `from` and `operation` it only keeps
 * its list, until `fail` is called. Throws `KEYMUX_USAGE` for a `failCall` that is not a whole number from 1 on.
 *
 * @example
 * const store = faultyStore(createMemoryStore({ now: Date.now, onNotice() {} }), {
 *   operation: 'lease',
 *   failCall: 2,
 *   from: 'onwards',
 *   shared: true,
 * });
 */
export function faultyStore(store: Store, options: FaultyStoreOptions = {}): FaultyStore {
  return new FaultInjector(store, options);
}

class FaultInjector implements FaultyStore {
  readonly kind: Store['kind'];
  readonly calls: StoreOperation[] = [];
  readonly failed: StoreOperation[] = [];
  readonly #store: Store;
  readonly #options: FaultyStoreOptions;
  #fault: StoreFault | undefined;
  #counted = 0;

  constructor(store: Store, options: FaultyStoreOptions) {
    this.#store = store;
    this.kind = store.kind;
    this.#options = options;
    const { failCall, from, operation, error, when } = options;
    if ([failCall, from, operation, error, when].some((part) => part !== undefined)) this.fail(options);
  }

  get shared(): boolean {
    return this.#options.shared ?? this.#store.shared;
  }

  fail(fault: StoreFault): void {
    const { failCall = 1 } = fault;
    if (!Number.isInteger(failCall) || failCall < 1) {
      throw new KeymuxError('KEYMUX_USAGE', `failCall: ${failCall}: calls are counted from 1.`, {
        fix: 'Pass a whole number, such as 1 for the first call.',
      });
    }
    this.#fault = fault;
    this.#counted = 0;
  }

  mend(): void {
    this.#fault = undefined;
  }

  now(): number {
    return this.#store.now();
  }

  open(): MaybePromise<StoredState> {
    return this.#do('open', () => this.#store.open());
  }

  publish(records: readonly HealthRecord[], fence?: Fence): MaybePromise<readonly HealthRecord[]> {
    return this.#do('publish', () => this.#store.publish(records, fence));
  }

  watch(onChange: (records: readonly HealthRecord[]) => void): () => void {
    const fault = this.#next('watch');
    if (fault !== undefined) throw this.#failure('watch', fault);
    return this.#store.watch(onChange);
  }

  lease(request: LeaseRequest): MaybePromise<LeaseGrant> {
    return this.#do('lease', () => this.#store.lease(request));
  }

  settle(settlements: readonly Settlement[]): MaybePromise<void> {
    return this.#do('settle', () => this.#store.settle(settlements));
  }

  charge(charges: readonly Charged[], options: { readonly cautionMs: number }): MaybePromise<void> {
    return this.#do('charge', () => this.#store.charge(charges, options));
  }

  addUsage(deltas: readonly UsageDelta[]): MaybePromise<void> {
    return this.#do('addUsage', () => this.#store.addUsage(deltas));
  }

  usage(): MaybePromise<readonly UsageTotal[]> {
    return this.#do('usage', () => this.#store.usage());
  }

  beat(presence: Presence): MaybePromise<Fleet> {
    return this.#do('beat', () => this.#store.beat(presence));
  }

  leave(memberId: string): MaybePromise<void> {
    return this.#do('leave', () => this.#store.leave(memberId));
  }

  census(): MaybePromise<Census> {
    return this.#do('census', () => this.#store.census());
  }

  close(): MaybePromise<void> {
    return this.#do('close', () => this.#store.close());
  }

  #do<T>(operation: StoreOperation, work: () => MaybePromise<T>): MaybePromise<T> {
    const fault = this.#next(operation);
    const act = (): MaybePromise<T> => this.#attempt(operation, work, fault);
    const { delayMs = 0, clock } = this.#options;
    if (delayMs === 0) return act();
    return sleep(clock === undefined ? delayMs : 0).then(() => {
      clock?.advance(delayMs);
      return act();
    });
  }

  #attempt<T>(
    operation: StoreOperation,
    work: () => MaybePromise<T>,
    fault: StoreFault | undefined,
  ): MaybePromise<T> {
    if (fault === undefined) return work();
    if (fault.when !== 'after') throw this.#failure(operation, fault);
    const lose = (): never => {
      throw this.#failure(operation, fault);
    };
    const answer = work();
    return answer instanceof Promise ? answer.then(lose) : lose();
  }

  /** The fault that this call meets. */
  #next(operation: StoreOperation): StoreFault | undefined {
    this.calls.push(operation);
    const fault = this.#fault;
    if (fault === undefined || (fault.operation ?? operation) !== operation) return undefined;
    this.#counted += 1;
    const { failCall = 1, from = 'once' } = fault;
    const isHit = from === 'once' ? this.#counted === failCall : this.#counted >= failCall;
    return isHit ? fault : undefined;
  }

  #failure(operation: StoreOperation, { error }: StoreFault): Error {
    this.failed.push(operation);
    return (
      error ??
      new KeymuxError('KEYMUX_STORE_UNAVAILABLE', `The store failed at "${operation}", as it was told to.`, {
        fix: 'Nothing is to be done: a test wanted it.',
      })
    );
  }
}
