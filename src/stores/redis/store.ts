import type { Census, Fence, Fleet, Presence } from '../../core/fleet.js';
import type {
  Charged,
  HealthRecord,
  LeaseGrant,
  LeaseRequest,
  Settlement,
  Store,
  StoredState,
  StoreOptions,
  UsageDelta,
  UsageTotal,
} from '../../core/ports.js';
import {
  checkCaution,
  checkCharge,
  checkLease,
  checkPresence,
  checkRecord,
  checkSettlement,
  checkUsage,
  closedError,
  notOpenError,
} from '../requests.js';
import { createRedisClient } from './client-node-redis.js';
import { hrtimeMs } from './client.js';
import type { RedisClient } from './client.js';
import { Feed, inRowsOf } from './feed.js';
import { Generation } from './generation.js';
import { Ledger } from './ledger.js';
import { Line } from './line.js';
import { namesOf } from './names.js';
import { Roll } from './roll.js';
import { SERVER_TIME } from './script.js';
import { composeScripts } from './scripts/all.js';
import { StoreClock } from './store-clock.js';
import type { TimeSources } from './store-clock.js';

/** Where the server is: its address, or a client of it. */
export type RedisPlace = { readonly url: string } | { readonly client: RedisClient };

/** Which Redis, what its names begin with, and who hears of trouble. */
export type RedisStoreOptions = StoreOptions &
  RedisPlace & {
    /** Names the fleet: processes with the same prefix share one state. Default: `keymux`. */
    readonly prefix?: string;
  };

/**
 * What tests replace.
 * @internal
 */
export interface RedisInternals {
  /** Lua: a function `serverTime` that gives epoch milliseconds. */
  readonly serverTime: string;
  readonly time: TimeSources;
  /** How long a lease waits for a server of which nothing is heard. Milliseconds. */
  readonly patienceMs: number;
}

const DEFAULT_PREFIX = 'keymux';
/** Of the 50 ms by which a store may delay a request. */
const PATIENCE_MS = 40;

/**
 * A store in a Redis or Valkey server that hosts share. No method waits for long: `lease` is given up when nothing is
 * heard of the server for 40 ms, anything else after a second, with `KEYMUX_STORE_UNAVAILABLE`. Where the server cannot
 * be used, `onNotice` is told once; it is tried in the background until it can be. State that `open` could not read in
 * time is told by `watch`.
 */
export function createRedisStore(options: RedisStoreOptions, internals: Partial<RedisInternals> = {}): Store {
  return new RedisStore(options, {
    serverTime: SERVER_TIME,
    time: { monotonicMs: hrtimeMs, wallMs: Date.now },
    patienceMs: PATIENCE_MS,
    ...internals,
  });
}

class RedisStore implements Store {
  readonly kind = 'redis';
  readonly shared = true;
  readonly #options: RedisStoreOptions;
  readonly #clock: StoreClock;
  readonly #line: Line;
  readonly #ledger: Ledger;
  readonly #feed: Feed;
  readonly #roll: Roll;
  #opening: Promise<void> | undefined;
  #isReady = false;
  #closing: Promise<void> | undefined;

  constructor(options: RedisStoreOptions, { serverTime, time, patienceMs }: RedisInternals) {
    this.#options = options;
    const names = namesOf(options.prefix ?? DEFAULT_PREFIX);
    const client = 'client' in options ? options.client : createRedisClient(options.url);
    const clock = new StoreClock(time);
    const generation = new Generation(time.monotonicMs, () => void this.#feed.restore().catch(() => {}));
    const line = new Line({
      client,
      names,
      scripts: composeScripts(serverTime),
      clock,
      onNotice: options.onNotice,
      onMended: async () => {
        await this.#feed.reconcile();
        await this.#ledger.settleDoubts();
      },
    });
    this.#clock = clock;
    this.#line = line;
    this.#ledger = new Ledger({ line, client, clock, generation, patienceMs, now: () => this.now() });
    this.#feed = new Feed({ line, client, channel: names.channel, generation });
    this.#roll = new Roll({ line, generation, heard: () => this.#feed.heard });
  }

  async open(): Promise<StoredState> {
    if (this.#closing !== undefined) throw closedError();
    this.#opening ??= this.#line.connect().catch(ignoreOutage);
    await this.#opening;
    const enrolled = this.#isReady ? undefined : this.#line.ask('enrol').catch(ignoreOutage);
    const [records, usage] = await Promise.all([
      this.#feed.read().catch(orNothing),
      this.#readUsage().catch(orNothing),
      enrolled,
    ]);
    this.#isReady = true;
    return { records, usage };
  }

  /** Before the first answer of the server: the time of this machine. */
  now(): number {
    return this.#clock.now() ?? this.#options.now();
  }

  async publish(records: readonly HealthRecord[], fence?: Fence): Promise<readonly HealthRecord[]> {
    this.#requireOpen();
    records.forEach(checkRecord);
    if (records.length === 0 && fence === undefined) return [];
    return this.#feed.publish(records, fence);
  }

  watch(onChange: (records: readonly HealthRecord[]) => void): () => void {
    this.#requireOpen();
    return this.#feed.watch(onChange);
  }

  async lease(request: LeaseRequest): Promise<LeaseGrant> {
    this.#requireOpen();
    checkLease(request);
    return this.#ledger.lease(request);
  }

  async settle(settlements: readonly Settlement[]): Promise<void> {
    this.#requireOpen();
    settlements.forEach(checkSettlement);
    await this.#ledger.settle(settlements);
  }

  async charge(charges: readonly Charged[], { cautionMs }: { readonly cautionMs: number }): Promise<void> {
    this.#requireOpen();
    charges.forEach(checkCharge);
    checkCaution(cautionMs);
    await this.#ledger.charge(charges, cautionMs);
  }

  async addUsage(deltas: readonly UsageDelta[]): Promise<void> {
    this.#requireOpen();
    deltas.forEach(checkUsage);
    if (deltas.length === 0) return;
    await this.#line.ask(
      'addUsage',
      deltas.flatMap(({ subject, requests, failures, costUsd }) => [subject, requests, failures, costUsd]),
    );
  }

  async usage(): Promise<readonly UsageTotal[]> {
    this.#requireOpen();
    return this.#readUsage();
  }

  async beat(presence: Presence): Promise<Fleet> {
    this.#requireOpen();
    checkPresence(presence);
    return this.#roll.beat(presence);
  }

  async leave(memberId: string): Promise<void> {
    this.#requireOpen();
    await this.#roll.leave(memberId);
  }

  async census(): Promise<Census> {
    this.#requireOpen();
    const { members, leaders, buckets } = await this.#roll.census();
    const counted = await Promise.all(buckets.map((bucket) => this.#ledger.countLeases(bucket)));
    return { at: this.now(), members, leaders, leases: counted.filter(({ leases }) => leases > 0) };
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    await this.#ledger.close();
    await Promise.all([this.#feed.close(), this.#line.close()]);
  }

  async #readUsage(): Promise<UsageTotal[]> {
    const { parts } = await this.#line.ask('usage');
    return inRowsOf(5, parts).map(([subject = '', requests, failures, costUsd, lastUsedAt]) => ({
      subject,
      requests: Number(requests),
      failures: Number(failures),
      costUsd: Number(costUsd),
      lastUsedAt: Number(lastUsedAt),
    }));
  }

  #requireOpen(): void {
    if (this.#closing !== undefined) throw closedError();
    if (!this.#isReady) throw notOpenError();
  }
}

function ignoreOutage(error: unknown): void {
  if (!isOutage(error)) throw error;
}

function orNothing(error: unknown): [] {
  if (!isOutage(error)) throw error;
  return [];
}

function isOutage(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'KEYMUX_STORE_UNAVAILABLE';
}
