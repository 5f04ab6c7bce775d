import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import { KeymuxError } from '../../core/errors.js';
import type { Census, Fence, Fleet, Presence } from '../../core/fleet.js';
import type {
  Charged,
  HealthRecord,
  LeaseGrant,
  LeaseRequest,
  MaybePromise,
  Settlement,
  Store,
  StoredState,
  StoreOptions,
  UsageDelta,
  UsageTotal,
} from '../../core/ports.js';
import { createMemoryStore } from '../memory.js';
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
import { FOR_NEWS, FOR_REQUESTS } from './patience.js';
import { stateDirectory } from './state-directory.js';
import { Connection } from './connection.js';
import { explain, isStorageTrouble, loadDriver, messageOf } from './driver.js';
import type { Driver } from './driver.js';
import { KnownBuckets } from './lineage.js';
import type { Lineage } from './lineage.js';
import { MIGRATIONS } from './schema.js';
import { machineTime } from './shared-clock.js';
import type { TimeSources } from './shared-clock.js';
import { Watcher } from './watcher.js';

/** Where the file of a SQLite store is, and who hears of its trouble. */
export interface SqliteStoreOptions extends StoreOptions {
  /** The database file. Default: `state.db` in `directory`. */
  readonly path?: string;
  /** Default: the user's state directory, see `stateDirectory`. */
  readonly directory?: string;
  /** How this process is called in the file; for people who look into it. Default: its process id. */
  readonly member?: string;
}

/**
 * What tests replace.
 * @internal
 */
export interface SqliteInternals {
  readonly loadDriver: () => Driver;
  readonly migrations: readonly string[];
  readonly time: TimeSources;
}

/**
 * A store in one SQLite file that all processes of a user on this machine share. No method waits for a lock with the
 * event loop stopped: what cannot be done at once is done in a promise, or given up with `KEYMUX_STORE_UNAVAILABLE`
 * (when, `patience.ts` says). Where the file cannot be used from the start, `onNotice` is told and the store goes on
 * in memory, for this process alone.
 */
export function createSqliteStore(
  options: SqliteStoreOptions,
  internals: Partial<SqliteInternals> = {},
): Store {
  return new SqliteStore(options, { loadDriver, migrations: MIGRATIONS, time: machineTime(), ...internals });
}

class SqliteStore implements Store {
  readonly kind = 'sqlite';
  readonly #options: SqliteStoreOptions;
  readonly #internals: SqliteInternals;
  readonly #path: string;
  readonly #known: KnownBuckets;
  /** Buckets that had nothing left when they were last asked. */
  readonly #spentUp = new Set<string>();
  #opening: { readonly started: MaybePromise<void> } | undefined;
  #connection: Connection | undefined;
  #watcher: Watcher | undefined;
  /** Takes over where the file cannot be used. */
  #fallback: Store | undefined;
  #isReady = false;
  #isClosed = false;
  #closing: MaybePromise<void> = undefined;
  #latestNow = 0;

  constructor(options: SqliteStoreOptions, internals: SqliteInternals) {
    this.#options = options;
    this.#internals = internals;
    this.#path = resolve(options.path ?? join(options.directory ?? stateDirectory(), 'state.db'));
    this.#known = new KnownBuckets(this.#path);
  }

  get shared(): boolean {
    return this.#fallback === undefined;
  }

  open(): MaybePromise<StoredState> {
    if (this.#isClosed) throw closedError();
    this.#opening ??= { started: this.#start() };
    const { started } = this.#opening;
    return started instanceof Promise ? started.then(() => this.#read()) : this.#read();
  }

  now(): number {
    const offsetMs = this.#connection?.offsetMs;
    if (offsetMs === undefined) return this.#options.now();
    this.#latestNow = Math.max(this.#latestNow, this.#internals.time.monotonicMs() + offsetMs);
    return this.#latestNow;
  }

  publish(records: readonly HealthRecord[], fence?: Fence): MaybePromise<readonly HealthRecord[]> {
    const connection = this.#use();
    records.forEach(checkRecord);
    if (connection === undefined) return this.#fallen().publish(records, fence);
    if (records.length === 0 && fence === undefined) return [];
    return connection.run((session) => {
      if (fence !== undefined) session.roll.checkFence(fence, session.clock.nowInTransaction());
      return session.records.publish(records);
    }, FOR_NEWS);
  }

  watch(onChange: (records: readonly HealthRecord[]) => void): () => void {
    if (this.#use() === undefined || this.#watcher === undefined) return this.#fallen().watch(onChange);
    return this.#watcher.add(onChange);
  }

  lease(request: LeaseRequest): MaybePromise<LeaseGrant> {
    const connection = this.#use();
    checkLease(request);
    if (connection === undefined) return this.#fallen().lease(request);
    const { bucket } = request;
    const refusal = this.#refusal(connection, request);
    if (refusal !== undefined) return refusal;
    return connection.run((session) => {
      this.#known.check(bucket, session.lineage);
      const grant = session.ledger.lease(request, session.clock.nowInTransaction());
      if (grant.granted > 0) this.#spentUp.delete(bucket);
      else this.#spentUp.add(bucket);
      return grant;
    }, FOR_REQUESTS);
  }

  settle(settlements: readonly Settlement[]): MaybePromise<void> {
    const connection = this.#use();
    settlements.forEach(checkSettlement);
    if (connection === undefined) return this.#fallen().settle(settlements);
    if (settlements.length === 0) return;
    return connection.run((session) => session.ledger.settle(settlements));
  }

  addUsage(deltas: readonly UsageDelta[]): MaybePromise<void> {
    const connection = this.#use();
    deltas.forEach(checkUsage);
    if (connection === undefined) return this.#fallen().addUsage(deltas);
    if (deltas.length === 0) return;
    return connection.run((session) => session.usage.add(deltas, session.clock.nowInTransaction()));
  }

  usage(): MaybePromise<readonly UsageTotal[]> {
    const connection = this.#use();
    if (connection === undefined) return this.#fallen().usage();
    return connection.run((session) => session.usage.all());
  }

  charge(charges: readonly Charged[], options: { readonly cautionMs: number }): MaybePromise<void> {
    const connection = this.#use();
    charges.forEach(checkCharge);
    checkCaution(options.cautionMs);
    if (connection === undefined) return this.#fallen().charge(charges, options);
    if (charges.length === 0) return;
    const learn = (lineage: Lineage): void => {
      for (const { bucket } of charges) this.#known.learn(bucket, lineage);
    };
    const told = connection.run((session) => {
      session.ledger.charge(charges, options.cautionMs, session.clock.nowInTransaction());
      return session.lineage;
    });
    return told instanceof Promise ? told.then(learn) : learn(told);
  }

  beat(presence: Presence): MaybePromise<Fleet> {
    const connection = this.#use();
    checkPresence(presence);
    if (connection === undefined) return this.#fallen().beat(presence);
    return connection.run((session) => {
      const heardSeq = this.#watcher?.heardSeq(session) ?? 0;
      return session.roll.beat(presence, heardSeq, session.clock.nowInTransaction());
    });
  }

  leave(memberId: string): MaybePromise<void> {
    const connection = this.#use();
    if (connection === undefined) return this.#fallen().leave(memberId);
    return connection.run((session) => session.roll.leave(memberId));
  }

  census(): MaybePromise<Census> {
    const connection = this.#use();
    if (connection === undefined) return this.#fallen().census();
    return connection.run((session) => {
      const at = session.clock.nowInTransaction();
      return { at, ...session.roll.census(at), leases: session.ledger.openLeases(at) };
    });
  }

  close(): MaybePromise<void> {
    if (this.#isClosed) return this.#closing;
    this.#isClosed = true;
    this.#watcher?.stop();
    void this.#fallback?.close();
    this.#closing = this.#connection?.close();
    return this.#closing;
  }

  /**
   * Those who would get nothing need no lock, and do not keep it from those who have work to do. To ask first would
   * only cost where there are permits, so it is done where there were none the last time.
   */
  #refusal(connection: Connection, request: LeaseRequest): LeaseGrant | undefined {
    if (request.want > 0 && !this.#spentUp.has(request.bucket)) return undefined;
    if (connection.isTroubled) return undefined;
    return connection.peek((session) => {
      this.#known.check(request.bucket, session.lineage);
      const now = session.clock.nowInRead();
      return now === undefined ? undefined : session.ledger.refusal(request, now);
    });
  }

  #start(): MaybePromise<void> {
    try {
      this.#connection = new Connection({
        path: this.#path,
        driver: this.#loadDriver(),
        migrations: this.#internals.migrations,
        member: `${this.#options.member ?? String(process.pid)}-${randomBytes(6).toString('base64url')}`,
        time: this.#internals.time,
        onNotice: this.#options.onNotice,
      });
      const started = this.#connection.start();
      if (started instanceof Promise) {
        return started.then(
          () => this.#ready(),
          (error: unknown) => this.#fallBack(error),
        );
      }
      this.#ready();
    } catch (error) {
      this.#fallBack(error);
    }
  }

  #loadDriver(): Driver {
    try {
      return this.#internals.loadDriver();
    } catch (error) {
      throw new Error(`its driver "libsql" cannot be loaded: ${messageOf(error)}`, { cause: error });
    }
  }

  #ready(): void {
    if (this.#connection !== undefined) this.#watcher = new Watcher(this.#connection);
    this.#isReady = true;
  }

  #fallBack(error: unknown): void {
    this.#connection = undefined;
    this.#fallback = createMemoryStore(this.#options);
    void this.#fallback.open();
    this.#isReady = true;
    const { problem, fix } = isStorageTrouble(error)
      ? explain(error, this.#path)
      : {
          problem: messageOf(error),
          fix: 'Run `npm install` again on this machine, or choose another store.',
        };
    this.#options.onNotice({
      kind: 'degraded',
      message: `The state file ${this.#path} is not used: ${problem}. Limits and cooldowns are kept in memory, for this process alone, and are lost with it.`,
      fix: `${fix} Then start the program again.`,
    });
  }

  /** Where even reading fails, the program starts with what it has, and the rows come by `watch` later. */
  #read(): MaybePromise<StoredState> {
    const connection = this.#use();
    if (connection === undefined) return this.#fallen().open();
    try {
      const state = connection.run((session) => {
        this.#watcher?.begin(session);
        return { records: session.records.all(), usage: session.usage.all() };
      });
      return state instanceof Promise ? state.catch(orNothing) : state;
    } catch (error) {
      return orNothing(error);
    }
  }

  /** The connection; undefined where the fallback is to be used. */
  #use(): Connection | undefined {
    if (this.#isClosed) throw closedError();
    if (!this.#isReady) throw notOpenError();
    return this.#connection;
  }

  #fallen(): Store {
    if (this.#fallback === undefined) throw notOpenError();
    return this.#fallback;
  }
}

function orNothing(error: unknown): StoredState {
  if (error instanceof KeymuxError && error.code === 'KEYMUX_STORE_UNAVAILABLE')
    return { records: [], usage: [] };
  throw error;
}
