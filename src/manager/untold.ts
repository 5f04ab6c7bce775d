/** Permits that were spent without a lease, until the store was told of each. */
import type { Charged } from '../core/ports.js';
import { windowStart } from '../core/quota.js';
import type { Bucket } from './permits.js';
import type { Settlements } from './settlements.js';

/** One that is not over yet. */
export interface Spent {
  readonly bucket: Bucket;
  readonly leaseId: string;
  readonly countedAt: number;
  /** The store was told, or is being told: its end is settled like that of any lease. */
  isTold: boolean;
}

/** Those that are over are gathered in slots of this part of the shortest window, dated to the slot's end. */
const SLOTS_PER_WINDOW = 64;

/** Of more, those that matter no longer are forgotten, and neighbours become one. */
const MOST_SLOTS = 1_024;

interface Over {
  readonly bucket: Bucket;
  /** Permits by the moment by which they were counted. */
  readonly permits: Map<number, number>;
}

export class Untold {
  readonly #prefix: string;
  readonly #settlements: Settlements;
  readonly #open = new Set<Spent>();
  readonly #over = new Map<string, Over>();
  /** Named already, so that telling them twice counts once. */
  #named: { readonly charge: Charged; readonly isOver: boolean }[] = [];
  #names = 0;

  constructor(memberId: string, settlements: Settlements) {
    // Each thread of the member has its own, and says so.
    this.#prefix = `${memberId}/${Math.random().toString(36).slice(2, 10)}`;
    this.#settlements = settlements;
  }

  add(bucket: Bucket, countedAt: number): Spent {
    const spent = { bucket, leaseId: this.#name(), countedAt, isTold: false };
    this.#open.add(spent);
    return spent;
  }

  end(spent: Spent, permits: 0 | 1, countedAt: number): void {
    this.#open.delete(spent);
    const { bucket, leaseId, isTold } = spent;
    if (isTold) {
      const settlement = { bucket: bucket.name, leaseId, spent: permits, countedAt, returned: 1 - permits };
      this.#settlements.add(settlement, { isWhole: true });
    } else if (permits > 0) {
      this.addOver(bucket, 1, countedAt);
    }
  }

  chargeOf(spent: Spent): Charged {
    const { bucket, leaseId, countedAt } = spent;
    return { bucket: bucket.name, windows: bucket.windows, leaseId, permits: 1, countedAt };
  }

  addOver(bucket: Bucket, permits: number, countedAt: number): void {
    let over = this.#over.get(bucket.name);
    if (over === undefined) this.#over.set(bucket.name, (over = { bucket, permits: new Map() }));
    const slotMs = Math.max(1, Math.min(...bucket.windows.map(({ perMs }) => perMs)) / SLOTS_PER_WINDOW);
    const slotEnd = Math.ceil(countedAt / slotMs) * slotMs;
    over.permits.set(slotEnd, (over.permits.get(slotEnd) ?? 0) + permits);
    if (over.permits.size > MOST_SLOTS)
      this.#over.set(bucket.name, { bucket, permits: fewer(over, slotEnd) });
  }

  /** What was spent of a bucket is told in another way. */
  forget(bucket: Bucket): void {
    for (const spent of this.#open) if (spent.bucket.name === bucket.name) spent.isTold = true;
    this.#over.delete(bucket.name);
  }

  /** Tells everything; what came to be meanwhile, too. Fails where the store cannot be told, which changes nothing. */
  async tell(charge: (charges: readonly Charged[]) => unknown, now: () => number): Promise<void> {
    for (;;) {
      this.#nameAll(now());
      const telling = this.#named;
      if (telling.length === 0) return;
      await charge(telling.map((told) => told.charge));
      this.#named = this.#named.filter((named) => !telling.includes(named));
      for (const { charge: told, isOver } of telling) {
        const { bucket, leaseId, permits, countedAt } = told;
        if (!isOver) continue;
        const settlement = { bucket, leaseId, spent: permits, countedAt, returned: 0 };
        this.#settlements.add(settlement, { isWhole: true });
      }
    }
  }

  #nameAll(now: number): void {
    for (const spent of this.#open) {
      if (spent.isTold) continue;
      spent.isTold = true;
      this.#named.push({ charge: this.chargeOf(spent), isOver: false });
    }
    for (const { bucket, permits: groups } of this.#over.values()) {
      const { name, windows } = bucket;
      const start = Math.min(...windows.map((window) => windowStart(window, now)));
      for (const [countedAt, permits] of groups) {
        if (countedAt < start) continue;
        const charge = { bucket: name, windows, leaseId: this.#name(), permits, countedAt };
        this.#named.push({ charge, isOver: true });
      }
    }
    this.#over.clear();
  }

  #name(): string {
    this.#names += 1;
    return `${this.#prefix}-${String(this.#names)}`;
  }
}

/** On the careful side: of two, the later one's date. */
function fewer({ bucket, permits }: Over, now: number): Map<number, number> {
  const start = Math.min(...bucket.windows.map((window) => windowStart(window, now)));
  const recent = [...permits].filter(([countedAt]) => countedAt >= start).sort(([a], [b]) => a - b);
  if (recent.length <= MOST_SLOTS / 2) return new Map(recent);
  const pairs = new Map<number, number>();
  for (let index = recent.length - 1; index >= 0; index -= 2) {
    const [countedAt, count] = recent[index] as [number, number];
    pairs.set(countedAt, count + (recent[index - 1]?.[1] ?? 0));
  }
  return pairs;
}
