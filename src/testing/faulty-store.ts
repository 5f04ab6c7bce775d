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
  /** Only calls of this operation, or of these together, are counted, and fail. Default: all of them together. */
  readonly operation?: StoreOperation | readonly StoreOperation[];
  /** Default: `KEYMUX_STORE_UNAVAILABLE`. */
  readonly error?: Error;
  /**
   * `throws`: at once, unless the call takes time. `rejects`: always as a promise, but for `watch`. Default: `throws`.
   */
  readonly how?: 'throws' | 'rejects';
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
  /** `close` leaves the store below open, for other stores over it. Default: false. */
  readonly leavesOpen?: boolean;
}

/** What a store was asked: for each operation the first argument of each call, in order, of those that failed too. */
export interface StoreQuestions {
  readonly publish: readonly (readonly HealthRecord[])[];
  readonly lease: readonly LeaseRequest[];
  readonly settle: readonly (readonly Settlement[])[];
  readonly charge: readonly (readonly Charged[])[];
  readonly addUsage: readonly (readonly UsageDelta[])[];
  readonly beat: readonly Presence[];
}

/** A store with faults, and with a list of what it was asked. */
export interface FaultyStore extends Store {
  /** Every call so far, in order, those that failed included. */
  readonly calls: readonly StoreOperation[];
  /** The calls that failed. */
  readonly failed: readonly StoreOperation[];
  /** What the calls said, such as the leases that were asked for. */
  readonly asked: StoreQuestions;
  /** Sets another fault in place of the one before; calls are counted from here on. */
  fail(fault: StoreFault): void;
  /** No call fails any more. */
  mend(): void;
  /**
   * From now on calls of an operation wait until the function that comes back is called. Whether one of them fails was
   * decided when it was made.
   */
  hold(operation: Exclude<StoreOperation, 'watch'>): () => void;
  /** Tells those who watch what another member would have changed. The store below does not know of it. */
  tell(records: readonly HealthRecord[]): void;
}

/**
 * Wraps a store so that one call fails, or all from one on. Without any part of a fault it only keeps its lists, until
 * `fail` is called. Throws `KEYMUX_USAGE` for a `failCall` that is not a whole number from 1 on.
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
  readonly asked = {
    publish: [] as (readonly HealthRecord[])[],
    lease: [] as LeaseRequest[],
    settle: [] as (readonly Settlement[])[],
    charge: [] as (readonly Charged[])[],
    addUsage: [] as (readonly UsageDelta[])[],
    beat: [] as Presence[],
  };
  readonly #store: Store;
  readonly #gates = new Map<StoreOperation, Promise<void>>();
  readonly #listeners = new Set<(records: readonly HealthRecord[]) => void>();
  readonly #options: FaultyStoreOptions;
  #fault: StoreFault | undefined;
  #counted = 0;

  constructor(store: Store, options: FaultyStoreOptions) {
    this.#store = store;
    this.kind = store.kind;
    this.#options = options;
    const { failCall, from, operation, error, how, when } = options;
    if ([failCall, from, operation, error, how, when].some((part) => part !== undefined)) this.fail(options);
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

  hold(operation: StoreOperation): () => void {
    let open: () => void = () => {};
    const gate = new Promise<void>((resolve) => (open = resolve));
    this.#gates.set(operation, gate);
    return () => {
      if (this.#gates.get(operation) === gate) this.#gates.delete(operation);
      open();
    };
  }

  tell(records: readonly HealthRecord[]): void {
    for (const listener of this.#listeners) listener(records);
  }

  now(): number {
    return this.#store.now();
  }

  open(): MaybePromise<StoredState> {
    return this.#do('open', () => this.#store.open());
  }

  publish(records: readonly HealthRecord[], fence?: Fence): MaybePromise<readonly HealthRecord[]> {
    this.asked.publish.push([...records]);
    return this.#do('publish', () => this.#store.publish(records, fence));
  }

  watch(onChange: (records: readonly HealthRecord[]) => void): () => void {
    const fault = this.#next('watch');
    if (fault !== undefined) throw this.#failure('watch', fault);
    const unwatch = this.#store.watch(onChange);
    this.#listeners.add(onChange);
    return () => {
      this.#listeners.delete(onChange);
      unwatch();
    };
  }

  lease(request: LeaseRequest): MaybePromise<LeaseGrant> {
    this.asked.lease.push(request);
    return this.#do('lease', () => this.#store.lease(request));
  }

  settle(settlements: readonly Settlement[]): MaybePromise<void> {
    this.asked.settle.push([...settlements]);
    return this.#do('settle', () => this.#store.settle(settlements));
  }

  charge(charges: readonly Charged[], options: { readonly cautionMs: number }): MaybePromise<void> {
    this.asked.charge.push([...charges]);
    return this.#do('charge', () => this.#store.charge(charges, options));
  }

  addUsage(deltas: readonly UsageDelta[]): MaybePromise<void> {
    this.asked.addUsage.push([...deltas]);
    return this.#do('addUsage', () => this.#store.addUsage(deltas));
  }

  usage(): MaybePromise<readonly UsageTotal[]> {
    return this.#do('usage', () => this.#store.usage());
  }

  beat(presence: Presence): MaybePromise<Fleet> {
    this.asked.beat.push(presence);
    return this.#do('beat', () => this.#store.beat(presence));
  }

  leave(memberId: string): MaybePromise<void> {
    return this.#do('leave', () => this.#store.leave(memberId));
  }

  census(): MaybePromise<Census> {
    return this.#do('census', () => this.#store.census());
  }

  close(): MaybePromise<void> {
    return this.#do('close', () => (this.#options.leavesOpen === true ? undefined : this.#store.close()));
  }

  #do<T>(operation: StoreOperation, work: () => MaybePromise<T>): MaybePromise<T> {
    const fault = this.#next(operation);
    const act = (): MaybePromise<T> => this.#attempt(operation, work, fault);
    const gate = this.#gates.get(operation);
    if (gate === undefined) return this.#takeTime(act);
    return gate.then(() => this.#takeTime(act));
  }

  #takeTime<T>(act: () => MaybePromise<T>): MaybePromise<T> {
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
    const fail = (): Promise<never> => {
      const error = this.#failure(operation, fault);
      if (fault.how === 'rejects') return Promise.reject(error);
      throw error;
    };
    if (fault.when !== 'after') return fail();
    const answer = work();
    return answer instanceof Promise ? answer.then(fail) : fail();
  }

  /** The fault that this call meets. */
  #next(operation: StoreOperation): StoreFault | undefined {
    this.calls.push(operation);
    const fault = this.#fault;
    if (fault === undefined || ![fault.operation ?? operation].flat().includes(operation)) return undefined;
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
