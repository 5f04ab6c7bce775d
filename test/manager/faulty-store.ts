import { setImmediate as turn } from 'node:timers/promises';
import type { Census, Fence, Fleet, Presence } from '#keymux/core/fleet.js';
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
} from '#keymux/core/ports.js';

type Operation =
  'open' | 'publish' | 'lease' | 'settle' | 'charge' | 'addUsage' | 'usage' | 'beat' | 'census';

/** A real store that fails, or takes its time, on command, and keeps a log of what it was asked. */
export class FaultyStore implements Store {
  readonly kind: Store['kind'];
  shared: boolean;
  /** Whether its answers take a turn of the event loop. */
  isSlow = false;
  /** Whether the store below outlives this one. */
  stays = false;
  readonly leases: LeaseRequest[] = [];
  readonly settlements: Settlement[] = [];
  readonly charges: Charged[] = [];
  readonly presences: Presence[] = [];
  readonly published: (readonly HealthRecord[])[] = [];
  beforeClose: (() => MaybePromise<unknown>) | undefined;
  readonly #store: Store;
  readonly #faults = new Map<Operation, { left: number; asynchronously: boolean }>();
  readonly #gates = new Map<Operation, Promise<void>>();
  #listener: ((records: readonly HealthRecord[]) => void) | undefined;

  constructor(store: Store, { shared = store.shared }: { shared?: boolean } = {}) {
    this.#store = store;
    this.kind = store.kind;
    this.shared = shared;
  }

  /** The next calls of an operation fail: so many, all by default. */
  fail(operation: Operation, { times = Infinity, asynchronously = false } = {}): void {
    this.#faults.set(operation, { left: times, asynchronously });
  }

  mend(operation: Operation): void {
    this.#faults.delete(operation);
  }

  /** Calls of an operation wait until the function that comes back is called. */
  hold(operation: Operation): () => void {
    let open: () => void = () => {};
    this.#gates.set(operation, new Promise((resolve) => (open = resolve)));
    return () => {
      this.#gates.delete(operation);
      open();
    };
  }

  /** What another member would have changed. */
  tell(records: readonly HealthRecord[]): void {
    this.#listener?.(records);
  }

  open(): MaybePromise<StoredState> {
    return this.#do('open', () => this.#store.open());
  }

  now(): number {
    return this.#store.now();
  }

  publish(records: readonly HealthRecord[], fence?: Fence): MaybePromise<readonly HealthRecord[]> {
    this.published.push(records);
    return this.#do('publish', () => this.#store.publish(records, fence));
  }

  watch(onChange: (records: readonly HealthRecord[]) => void): () => void {
    this.#listener = onChange;
    return this.#store.watch(onChange);
  }

  lease(request: LeaseRequest): MaybePromise<LeaseGrant> {
    this.leases.push(request);
    return this.#do('lease', () => this.#store.lease(request));
  }

  settle(settlements: readonly Settlement[]): MaybePromise<void> {
    this.settlements.push(...settlements);
    return this.#do('settle', () => this.#store.settle(settlements));
  }

  charge(charges: readonly Charged[], options: { readonly cautionMs: number }): MaybePromise<void> {
    this.charges.push(...charges);
    return this.#do('charge', () => this.#store.charge(charges, options));
  }

  beat(presence: Presence): MaybePromise<Fleet> {
    this.presences.push(presence);
    return this.#do('beat', () => this.#store.beat(presence));
  }

  leave(memberId: string): MaybePromise<void> {
    return this.#store.leave(memberId);
  }

  census(): MaybePromise<Census> {
    return this.#do('census', () => this.#store.census());
  }

  addUsage(deltas: readonly UsageDelta[]): MaybePromise<void> {
    return this.#do('addUsage', () => this.#store.addUsage(deltas));
  }

  usage(): MaybePromise<readonly UsageTotal[]> {
    return this.#do('usage', () => this.#store.usage());
  }

  close(): MaybePromise<void> {
    const looked = this.beforeClose?.();
    if (this.stays) return;
    return looked instanceof Promise ? looked.then(() => this.#store.close()) : this.#store.close();
  }

  #do<T>(operation: Operation, work: () => MaybePromise<T>): MaybePromise<T> {
    const gate = this.#gates.get(operation);
    if (this.isSlow && gate === undefined) return turn().then(() => this.#attempt(operation, work));
    return gate === undefined
      ? this.#attempt(operation, work)
      : gate.then(() => this.#attempt(operation, work));
  }

  #attempt<T>(operation: Operation, work: () => MaybePromise<T>): MaybePromise<T> {
    const fault = this.#faults.get(operation);
    if (fault === undefined || fault.left === 0) return work();
    fault.left -= 1;
    const error = new Error(`the disk of "${operation}" is on fire`);
    if (fault.asynchronously) return Promise.reject(error);
    throw error;
  }
}
