/** How often one key may be probed: counted by the store, over all processes and over changes of the leader. */
import type { Store } from '../core/ports.js';
import type { ProbePolicy } from '../core/provider.js';
import { probeGapMs } from '../core/probe-plan.js';
import type { QuotaWindow } from '../core/quota.js';
import { PROBE_DEADLINE_MS } from './probe.js';
import { isForgotten } from './store-link.js';
import type { StoreLink } from './store-link.js';

const DAY_MS = 86_400_000;
/** By then a probe is over and told, or its sender is gone. Milliseconds. */
const HELD_MS = 2 * PROBE_DEADLINE_MS;

export type BudgetStore = Pick<Store, 'lease' | 'settle' | 'charge' | 'now'>;

/** Leave to send one probe. */
export interface ProbeLeave {
  /** It must not go out any more: it would be counted too late. */
  readonly isOver: () => boolean;
  /** It went out, and was counted no later than now. */
  readonly spent: () => Promise<void>;
  /** It did not go out. */
  readonly giveBack: () => Promise<void>;
}

/** No probe before so much time has passed. */
export interface ProbeDelay {
  readonly delayMs: number;
}

export class ProbeBudget {
  readonly #store: BudgetStore;
  readonly #link: Pick<StoreLink, 'ask'>;
  /** When this process sent probes within a day, by bucket, in case the store loses them. */
  readonly #sent = new Map<string, number[]>();

  constructor(store: BudgetStore, link: Pick<StoreLink, 'ask'>) {
    this.#store = store;
    this.#link = link;
  }

  /** `carrier`: who carries the probe. Fails as the store does. */
  async ask(
    provider: string,
    carrier: string,
    policy: ProbePolicy,
    intervalMs: number,
  ): Promise<ProbeLeave | ProbeDelay> {
    const bucket = `probe:${provider}/${carrier}`;
    const windows: QuotaWindow[] = [
      { requests: policy.dailyBudget, perMs: DAY_MS },
      { requests: 1, perMs: probeGapMs(policy, { intervalMs }) },
    ];
    try {
      const request = { bucket, windows, want: 1, ttlMs: HELD_MS, slackMs: 0 };
      const { granted, leaseId, validUntil, retryAt } = await this.#link.ask(() =>
        this.#store.lease(request),
      );
      return granted === 0
        ? { delayMs: retryAt - this.#store.now() }
        : this.#leave(bucket, leaseId, validUntil);
    } catch (error) {
      if (!isForgotten(error)) throw error;
      await this.#tellAgain(bucket, windows);
      return { delayMs: 0 };
    }
  }

  #leave(bucket: string, leaseId: string, validUntil: number): ProbeLeave {
    const settle = async (spent: 0 | 1): Promise<void> => {
      const countedAt = this.#store.now();
      if (spent === 1) this.#note(bucket, countedAt);
      const settlement = { bucket, leaseId, spent, countedAt, returned: 1 - spent };
      await this.#link.ask(() => this.#store.settle([settlement]));
    };
    return {
      isOver: () => this.#store.now() >= validUntil - PROBE_DEADLINE_MS,
      spent: () => settle(1),
      giveBack: () => settle(0),
    };
  }

  #note(bucket: string, at: number): void {
    const recent = (this.#sent.get(bucket) ?? []).filter((earlier) => earlier > at - DAY_MS);
    this.#sent.set(bucket, [...recent, at]);
  }

  /** On the careful side: as if all of them had been sent at the time of the last. */
  async #tellAgain(bucket: string, windows: readonly QuotaWindow[]): Promise<void> {
    const now = this.#store.now();
    const sent = (this.#sent.get(bucket) ?? []).filter((at) => at > now - DAY_MS);
    const countedAt = sent.at(-1) ?? now;
    const leaseId = process.getBuiltinModule('node:crypto').randomUUID();
    const charge = { bucket, windows, leaseId, permits: sent.length, countedAt };
    await this.#link.ask(() => this.#store.charge([charge], { cautionMs: 0 }));
  }
}
