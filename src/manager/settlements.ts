import type { Settlement, Store } from '../core/ports.js';
import { isLoss } from './store-link.js';
import type { StoreLink } from './store-link.js';

/** Reports of spent permits are gathered this long; it delays the return of a slot, never the other way round. */
const SETTLE_DELAY_MS = 20;

interface Told {
  readonly settlement: Settlement;
  readonly isWhole: boolean;
}

/** What became of leased permits, told to the store by and by. While it is lost they wait for it. */
export class Settlements {
  readonly #store: Store;
  readonly #link: Pick<StoreLink, 'ask' | 'isLost'>;
  readonly #onTrouble: (error: unknown) => void;
  #pending: Told[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(store: Store, link: Pick<StoreLink, 'ask' | 'isLost'>, onTrouble: (error: unknown) => void) {
    this.#store = store;
    this.#link = link;
    this.#onTrouble = onTrouble;
  }

  /**
   * After the end nothing is written any more: what was under way stays charged. `isWhole`: it ends its lease, so that
   * to tell it twice changes nothing.
   */
  add(settlement: Settlement, { isWhole }: { readonly isWhole: boolean }): void {
    if (this.#isClosed) return;
    this.#pending.push({ settlement, isWhole });
    this.#timer ??= setTimeout(() => void this.flush(), SETTLE_DELAY_MS).unref();
  }

  /**
   * Writes what was gathered. What a store failed to take may have reached it: what would then count twice is not told
   * again, and stays charged, which is the careful side.
   */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#pending.length === 0 || this.#link.isLost) return;
    const telling = this.#pending;
    this.#pending = [];
    try {
      await this.#link.ask(() => this.#store.settle(telling.map(({ settlement }) => settlement)));
    } catch (error) {
      if (isLoss(error) && !this.#isClosed)
        this.#pending.unshift(...telling.filter(({ isWhole }) => isWhole));
      this.#onTrouble(error);
    }
  }

  async close(): Promise<void> {
    await this.flush();
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }
}
