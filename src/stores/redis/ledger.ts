/** Permits: leased, settled and charged, each bucket in one place of its own. */
import { randomBytes } from 'node:crypto';
import { KeymuxError } from '../../core/errors.js';
import type { Charged, LeaseGrant, LeaseRequest, Settlement } from '../../core/ports.js';
import { Silence } from '../../core/silence.js';
import { MANY_CHARGES, horizonMs, rememberedUntil } from '../charges.js';
import { LONGEST_LEASE_MS } from '../requests.js';
import { resetsAround } from './calendar-resets.js';
import type { RedisClient } from './client.js';
import type { Generation } from './generation.js';
import { MICROS } from './line.js';
import type { Answer, Line } from './line.js';
import { patiently } from './patience.js';
import type { StoreClock } from './store-clock.js';
import { unavailable } from './trouble.js';

/** How long a lease waits for a server that is heard. Milliseconds. */
const LEASE_DEADLINE_MS = 2_000;
/** Leases of which it is not known whether they were granted; the oldest stay charged beyond this. */
const MOST_IN_DOUBT = 1_000;
/** A clock that was this far off was corrected by the answer. Milliseconds. */
const CORRECTED_MS = 1_000;

interface KnownBucket {
  readonly epoch: string;
  /** Until then, in monotonic time, the server must still have it. */
  readonly aliveUntilMs: number;
}

export interface LedgerContext {
  readonly line: Line;
  readonly client: RedisClient;
  readonly clock: StoreClock;
  readonly generation: Generation;
  /** How long a lease waits for a server of which nothing is heard. Milliseconds. */
  readonly patienceMs: number;
  readonly now: () => number;
}

export class Ledger {
  readonly #context: LedgerContext;
  /** Unique over processes and restarts, so that no lease is ever settled as another. */
  readonly #name = randomBytes(9).toString('base64url');
  #nextLease = 1;
  /** Grows over processes, too: another one may settle what this one charged. */
  #nextSettlement = Date.now() * MICROS;
  /** Buckets that this process was granted permits of, or charged. */
  readonly #known = new Map<string, KnownBucket>();
  /** Buckets that the fleet knows this process to lease from, by the epoch of the fleet. */
  readonly #enrolled = new Map<string, string>();
  #inDoubt: Settlement[] = [];
  readonly #giving = new Set<Promise<void>>();

  constructor(context: LedgerContext) {
    this.#context = context;
  }

  async lease(request: LeaseRequest): Promise<LeaseGrant> {
    const { line, clock, generation, now } = this.#context;
    const { bucket, ttlMs } = request;
    const leaseId = `${this.#name}-${String(this.#nextLease++)}`;
    const sentMs = clock.monotonicMs();
    const sentAt = now();
    const asked = line.askBucket(
      'lease',
      bucket,
      () => this.#leaseInputs(request, leaseId, sentAt),
      LEASE_DEADLINE_MS,
    );
    let enrolling = this.#enrolled.get(bucket) === generation.epoch ? undefined : this.#enrol(bucket);
    const { word, parts } = await this.#await(asked, request, leaseId);
    if (word === 'FORGOT') throw forgot(bucket, line.address);
    const [epoch = '', isNew, life, granted, retryAt, cautiousUntil, ...left] = parts;
    if (isNew === '1') enrolling ??= this.#enrol(bucket);
    if (enrolling !== undefined) await this.#patiently(enrolling).catch(() => {});
    if (isNew === '1' && generation.isUntold && !this.#known.has(bucket)) {
      this.#giveBack({ bucket, leaseId, spent: 0, countedAt: 0, returned: Number(granted) });
      throw forgot(bucket, line.address);
    }
    this.#remember(bucket, epoch, Number(life), sentMs);
    const leftInWindows = left.map(Number);
    // The store's time at sending: the lease ends here no later than there.
    const corrected = clock.at(sentMs) ?? sentAt;
    const from = Math.abs(corrected - sentAt) > CORRECTED_MS ? corrected : sentAt;
    return {
      leaseId: Number(granted) === 0 ? '' : leaseId,
      granted: Number(granted),
      validUntil: from + ttlMs,
      left: Math.min(Number.POSITIVE_INFINITY, ...leftInWindows),
      leftInWindows,
      retryAt: clock.certain(Number(retryAt) / MICROS),
      cautiousUntil: Number(cautiousUntil) / MICROS,
    };
  }

  async settle(settlements: readonly Settlement[]): Promise<void> {
    await forEachBucket(settlements, async (bucket, ofBucket) => {
      const { line, clock } = this.#context;
      const sentMs = clock.monotonicMs();
      const inputs = ofBucket.flatMap(({ leaseId, spent, countedAt, returned }) => [
        leaseId,
        spent,
        countedAt,
        returned,
        this.#nextSettlement++,
      ]);
      const { parts } = await line.askBucket('settle', bucket, inputs);
      const [epoch = '', life] = parts;
      if (epoch === this.#known.get(bucket)?.epoch) this.#remember(bucket, epoch, Number(life), sentMs);
    });
  }

  async charge(charges: readonly Charged[], cautionMs: number): Promise<void> {
    await forEachBucket(charges, async (bucket, ofBucket) => {
      const { line, clock } = this.#context;
      const sentMs = clock.monotonicMs();
      const { parts } = await line.askBucket('charge', bucket, [
        cautionMs,
        Math.max(...ofBucket.map(({ windows }) => horizonMs(windows))),
        LONGEST_LEASE_MS,
        ...ofBucket.flatMap((charged) => [
          charged.leaseId,
          charged.permits,
          charged.countedAt,
          rememberedUntil({ ...charged, countedAt: 0 }, 0),
        ]),
      ]);
      const [epoch = '', life] = parts;
      this.#remember(bucket, epoch, Number(life), sentMs);
    });
  }

  async countLeases(bucket: string): Promise<{ bucket: string; permits: number; leases: number }> {
    const { parts } = await this.#context.line.askBucket('countLeases', bucket, []);
    return { bucket, permits: Number(parts[0]), leases: Number(parts[1]) };
  }

  /** The server answers again: it is told of leases that nobody here knows whether they were granted. */
  async settleDoubts(): Promise<void> {
    const settlements = this.#inDoubt;
    await this.settle(settlements);
    this.#inDoubt = this.#inDoubt.filter((settlement) => !settlements.includes(settlement));
  }

  /** Waits for what goes back in the background. */
  async close(): Promise<void> {
    await Promise.all(this.#giving);
  }

  #leaseInputs(
    { bucket, windows, want, ttlMs, slackMs }: LeaseRequest,
    leaseId: string,
    sentAt: number,
  ): (string | number)[] {
    const { clock, now } = this.#context;
    const known = this.#known.get(bucket);
    const isAlive = known !== undefined && clock.monotonicMs() < known.aliveUntilMs;
    return [
      isAlive ? known.epoch : '',
      leaseId,
      want,
      sentAt,
      ttlMs,
      slackMs,
      horizonMs(windows),
      MANY_CHARGES,
      ...windows.flatMap(({ requests, perMs, calendar }) => [
        requests,
        perMs,
        ...(calendar === undefined ? ['', '', '', ''] : resetsAround(calendar, now())),
      ]),
    ];
  }

  async #await(asked: Promise<Answer>, { bucket, want }: LeaseRequest, leaseId: string): Promise<Answer> {
    const { line } = this.#context;
    try {
      return await this.#patiently(asked);
    } catch (error) {
      // Whatever comes of it, nobody here will spend it.
      const settlement = { bucket, leaseId, spent: 0, countedAt: 0, returned: want };
      asked.then(
        () => this.#giveBack(settlement),
        () => this.#doubt(settlement),
      );
      // Where the server is lost, `asked` will say so.
      if (!(error instanceof Silence)) throw error;
      throw unavailable(line.address, error);
    }
  }

  #patiently<T>(answer: Promise<T>): Promise<T> {
    const { client, patienceMs } = this.#context;
    return patiently(answer, () => client.lastHeardMs, patienceMs);
  }

  #giveBack(settlement: Settlement): void {
    const given = this.settle([settlement])
      .catch(() => this.#doubt(settlement))
      .finally(() => this.#giving.delete(given));
    this.#giving.add(given);
  }

  #doubt(settlement: Settlement): void {
    this.#inDoubt = [...this.#inDoubt, settlement].slice(-MOST_IN_DOUBT);
  }

  /** Never rejects: what it is for can wait for the next lease. */
  async #enrol(bucket: string): Promise<void> {
    try {
      const { parts } = await this.#context.line.ask('enrol', [bucket]);
      const [epoch = ''] = parts;
      this.#context.generation.learn(epoch);
      this.#enrolled.set(bucket, epoch);
    } catch {
      return;
    }
  }

  #remember(bucket: string, epoch: string, lifeMs: number, sinceMs: number): void {
    const known = this.#known.get(bucket);
    if (lifeMs === 0) return;
    const aliveUntilMs = sinceMs + lifeMs;
    const isLonger = known?.epoch !== epoch || aliveUntilMs > known.aliveUntilMs;
    if (isLonger) this.#known.set(bucket, { epoch, aliveUntilMs });
  }
}

function forgot(bucket: string, address: string): KeymuxError {
  return new KeymuxError(
    'KEYMUX_STORE_FORGOT',
    `The Redis store ${address} has lost what it knew of "${bucket}": it was flushed, restarted empty, or evicts keys.`,
    {
      fix: 'Nothing is lost; members tell it anew. Keep `maxmemory-policy noeviction`, and an append-only file.',
    },
  );
}

/** Goes on with the other buckets where one fails, and then rejects. */
async function forEachBucket<T extends { readonly bucket: string }>(
  items: readonly T[],
  act: (bucket: string, ofBucket: readonly T[]) => Promise<void>,
): Promise<void> {
  const buckets = new Map<string, T[]>();
  for (const item of items) {
    const ofBucket = buckets.get(item.bucket);
    if (ofBucket === undefined) buckets.set(item.bucket, [item]);
    else ofBucket.push(item);
  }
  const results = await Promise.allSettled([...buckets].map(([bucket, ofBucket]) => act(bucket, ofBucket)));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
