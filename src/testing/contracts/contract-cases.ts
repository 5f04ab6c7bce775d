import type { MaybePromise, Store } from '../../core/ports.js';
import { until } from './store-samples.js';

/** The two functions that every test runner has. */
export interface ContractHarness {
  readonly describe: (title: string, body: () => void) => void;
  readonly it: (title: string, body: () => Promise<void>) => void;
}

/**
 * Makes a store, not yet opened. Stores made for the same `place` are members of one state if the store is `shared`;
 * another `place` is a state of its own, empty at first.
 */
export type StoreMaker = (place: string) => MaybePromise<Store>;

/** What the store under test can do. */
export interface StoreContractOptions {
  readonly kind: Store['kind'];
  readonly shared: boolean;
  /** Whether stores made for one place share it. Default: `shared`. */
  readonly joins?: boolean;
  /** How soon a change must have reached the other members. Milliseconds; default 1,000. */
  readonly propagationMs?: number;
}

const DEFAULT_PROPAGATION_MS = 1_000;

/** Registers single cases, each on a place of its own, and cleans up after them. */
export class ContractCases {
  readonly options: StoreContractOptions;
  readonly makeStore: StoreMaker;
  readonly #harness: ContractHarness;
  #places = 0;

  constructor(harness: ContractHarness, makeStore: StoreMaker, options: StoreContractOptions) {
    this.#harness = harness;
    this.makeStore = makeStore;
    this.options = options;
  }

  onPlace(title: string, body: (place: string) => Promise<void>): void {
    this.#places += 1;
    const place = `contract-${String(this.#places)}`;
    this.#harness.it(title, () => body(place));
  }

  onStore(title: string, body: (store: Store) => Promise<void>): void {
    this.onPlace(title, async (place) => {
      const store = await this.makeStore(place);
      await store.open();
      try {
        await body(store);
      } finally {
        await store.close();
      }
    });
  }

  /** Two members of one state. */
  onPair(title: string, body: (one: Store, other: Store) => Promise<void>): void {
    this.onPlace(title, async (place) => {
      const one = await this.makeStore(place);
      const other = await this.makeStore(place);
      await one.open();
      await other.open();
      try {
        await body(one, other);
      } finally {
        await one.close();
        await other.close();
      }
    });
  }

  untilSeen(condition: () => boolean): Promise<void> {
    return until(condition, this.options.propagationMs ?? DEFAULT_PROPAGATION_MS);
  }
}
