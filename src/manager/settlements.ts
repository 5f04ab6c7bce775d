import type { Settlement, Store } from '../core/ports.js';
import type { StoreLink } from './store-link.js';

/** Reports of spent permits are gathered this long; it delays the return of a slot, never the other way round. */
const SETTLE_DELAY_MS = 20;

/** What became of leased permits, told to the store by and by. While it is lost they wait for it. */
export class Settlements {
  readonly #store: Store;
  readonly #link: Pick<StoreLink, 'ask' | 'isLost'>;
  readonly #onTrouble: (error: unknown) => void;
  #pending: Settlement[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(store: Store, link: Pick<StoreLink, 'ask' | 'isLost'>, onTrouble: (error: unknown) => void) {
    this.#store = store;
    this.#link = link;
    this.#onTrouble = onTrouble;
  }

  /** After the end nothing is written any more: what was under way stays charged. */
  add(settlement: Settlement): void {
    if (this.#isClosed) return;
    this.#pending.push(settlement);
    this.#timer ??= setTimeout(() => void this.flush(), SETTLE_DELAY_MS).unref();
  }

  /**
   * Writes what was gathered. What a store failed to take may have reached it: it is not told twice, and stays charged,
   * which is the careful side.
   */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#pending.length === 0 || this.#link.isLost) return;
    const settlements = this.#pending;
    this.#pending = [];
    try {
      await this.#link.ask(() => this.#store.settle(settlements));
    } catch (error) {
      this.#onTrouble(error);
    }
  }

  async close(): Promise<void> {
    await this.flush();
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }
}
