/** What runs below a `KeyManager`: its parts, put together in six phases and taken apart in reverse. */
import type { Configuration } from '../config/configuration.js';
import type { Clock, Logger, MaybePromise, Store, StoreNotice, StoredState } from '../core/ports.js';
import type { Outcome } from '../core/outcome.js';
import { shareTable, unshareTable } from '../state/attach.js';
import { COUNTER } from '../state/layout.js';
import { StateTable } from '../state/table.js';
import type { AttemptContext } from './attempt.js';
import { readConfiguration } from './discovery.js';
import { Events } from './events.js';
import type { Lease } from './lease.js';
import { LeasedPermits } from './leased-permits.js';
import { LocalPermits } from './local-permits.js';
import { Notices } from './notices.js';
import type { KeyManagerOptions, KeyManagerSeams } from './options.js';
import { Owners } from './owners.js';
import type { PermitSource } from './permits.js';
import { PhaseRunner } from './phases.js';
import { leavePlace } from './places.js';
import { onProcessExit } from './process-exit.js';
import type { PoolContext } from './pool.js';
import { Roster } from './roster.js';
import { BucketMoves } from './shared-buckets.js';
import { chooseStore, fingerprintKeyFor } from './store-choice.js';
import { SourceWatch } from './source-watch.js';
import { Sync } from './sync.js';
import { hearThreads, tellThreads, toPortable } from './thread-news.js';
import { Verdicts } from './verdicts.js';

const DRAIN_MS = 5_000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export class Engine {
  readonly events = new Events();
  readonly ready: Promise<void>;
  readonly table: StateTable;
  readonly store: Store;
  readonly permits: PermitSource;
  readonly roster: Roster;
  readonly owners: Owners;
  readonly sync: Sync;
  readonly verdicts: Verdicts;
  readonly context: PoolContext;
  readonly attempts: AttemptContext;
  readonly #options: KeyManagerOptions;
  readonly #seams: KeyManagerSeams;
  readonly #phases = new PhaseRunner();
  readonly #notices: Notices;
  readonly #fingerprintKey: () => Uint8Array;
  readonly #watch = new SourceWatch(() => this.#reloadChanged());
  #expiry: { timer: NodeJS.Timeout; at: number } | undefined;
  #recovery: Promise<void> | 'done' | undefined;
  #leasesOut = 0;
  #willRejoin = false;
  readonly #moves = new BucketMoves();
  #isClosed = false;
  #whenDrained: (() => void) | undefined;
  #resolveReady: () => void = () => {};

  /** Throws `KEYMUX_INIT_FAILED`, after undoing what was done. `integrate` is called last. */
  constructor(options: KeyManagerOptions, seams: KeyManagerSeams) {
    const phases = this.#phases;
    this.#options = options;
    this.#seams = seams;
    this.ready = new Promise((resolve) => (this.#resolveReady = resolve));

    this.table = phases.run('data structures', () => seams.table ?? StateTable.create());
    phases.onUndo('data structures', () => this.events.removeAll());
    const now = options.clock ?? (() => this.table.now());
    this.#notices = new Notices(this.events, options.logger ?? STDERR_LOGGER, now);

    const dependencies = phases.run('external dependencies', () => this.#openDependencies(now));
    this.store = dependencies.store;
    this.#fingerprintKey = dependencies.fingerprintKey;
    phases.onUndo('external dependencies', () => this.store.close());
    const hooks = {
      onTrouble: (error: unknown) => this.#notices.trouble(error),
      onChange: () => {
        this.#rejoinSoon();
        this.roster.wake();
      },
      onOwner: (subject: string, rowOf: (keySubject: string) => number | undefined) =>
        this.owners.hear(subject, rowOf),
    };
    const local = new LocalPermits(this.table);
    this.permits = this.store.shared ? new LeasedPermits(this.store, local, hooks.onTrouble) : local;
    this.sync = new Sync(this.store, this.table, hooks);
    this.owners = new Owners({
      table: this.table,
      fingerprintKey: this.#fingerprintKey,
      publish: (subject) => {
        this.sync.changed(subject);
        this.#rejoinSoon();
      },
    });
    this.context = this.#createContext();
    const { random } = this.context;
    this.verdicts = new Verdicts({ ...this.context, events: this.events, sync: this.sync });
    this.attempts = { now: this.context.now, random, events: this.events, verdicts: this.verdicts };

    this.roster = new Roster(this.context, this.#fingerprintKey, this.owners, dependencies.configuration);
    phases.run('provider discovery', () => this.#adopt(dependencies.configuration));
    if (seams.shareWithThreads === true) phases.onUndo('provider discovery', () => unshareTable());
    if (seams.recovery !== 'lazy') void this.recovered();
  }

  /** Why the store is not shared for now; undefined while it is as it should be. */
  get storeTrouble(): string | undefined {
    return this.#notices.degraded;
  }

  /** The last phase; whoever owns this engine calls it when it can be used. */
  integrate(work: () => (() => void | Promise<void>) | undefined): void {
    const undo = this.#phases.run('integration', work);
    if (undo !== undefined) this.#phases.onUndo('integration', undo);
  }

  /** Reads the configuration anew; a faulty one throws and changes nothing. */
  reload(): void {
    const configuration = readConfiguration(this.#options);
    this.#takeUp(configuration);
    if (this.#seams.shareWithThreads === true) tellThreads(configuration);
  }

  #adopt(configuration: Configuration): void {
    if (this.#seams.shareWithThreads === true) {
      shareTable(this.table, toPortable(configuration));
    }
    this.roster.adopt(configuration);
    this.#moves.follow(this.roster, this.owners, { ...this.context, events: this.events });
    this.#watch.follow(configuration.sources);
    if (this.#recovery === 'done') this.sync.track(this.roster.members.values());
  }

  /** Keys were found to have one owner, here or elsewhere; what runs now is over before their buckets are joined. */
  #rejoinSoon(): void {
    if (this.#willRejoin || !this.roster.isOutdated) return;
    this.#willRejoin = true;
    queueMicrotask(() => {
      this.#willRejoin = false;
      if (!this.#isClosed) this.#rejoin();
    });
  }

  #rejoin(): void {
    if (!this.roster.isOutdated) return;
    this.roster.adopt(this.roster.configuration);
    this.#moves.follow(this.roster, this.owners, { ...this.context, events: this.events });
    this.sync.track(this.roster.members.values());
  }

  /** State is recovered; opens the store if nobody did yet. Where there is nothing to wait for, `undefined`. */
  recovered(): MaybePromise<void> {
    if (this.#recovery !== undefined) return this.#recovery === 'done' ? undefined : this.#recovery;
    const opened = this.#phases.run('state recovery', () => this.store.open());
    if (!(opened instanceof Promise)) {
      this.#recover(opened);
      this.#finishRecovery();
      return undefined;
    }
    this.#recovery = opened
      .then(
        (state) => this.#recover(state),
        (error: unknown) => {
          if (!this.#isClosed) this.#notices.trouble(error);
        },
      )
      .then(() => this.#finishRecovery());
    return this.#recovery;
  }

  async shutDown(): Promise<void> {
    this.#isClosed = true;
    const restored = this.#phases.undo('integration');
    this.roster.close();
    await restored;
    await this.#drain();
    await this.#phases.undoAll();
    this.#resolveReady();
  }

  #openDependencies(now: Clock): {
    configuration: Configuration;
    store: Store;
    fingerprintKey: () => Uint8Array;
  } {
    const configuration = this.#seams.configuration ?? readConfiguration(this.#options);
    const onNotice = (notice: StoreNotice): void => this.#notices.tell(notice);
    const store = this.#options.store ?? chooseStore(configuration.store, { now, onNotice });
    const fingerprintKey = once(() => fingerprintKeyFor(store, configuration.store, onNotice));
    return { configuration, store, fingerprintKey };
  }

  #createContext(): PoolContext {
    const { clock, random = Math.random } = this.#options;
    const now = clock ?? ((): number => this.store.now());
    return {
      table: this.table,
      permits: this.permits,
      owners: this.owners,
      now,
      random,
      onShortage: (member, retryAt) => {
        this.events.emit('quota', { bucket: member.bucket.name, retryAt, at: now() });
      },
      onGeneration: () => this.#rejoinSoon(),
      expireAt: (at) => this.#scheduleExpiry(at),
      leaseOut: () => (this.#leasesOut += 1),
      recordOutcome: (lease, outcome, latencyMs) => this.#recordOutcome(lease, outcome, latencyMs),
      recordEnd: (lease) => this.#recordEnd(lease),
    };
  }

  #recover(state: StoredState): void {
    if (this.#isClosed) return;
    this.sync.track(this.roster.members.values());
    this.sync.recover(state);
    this.#rejoin();
  }

  #finishRecovery(): void {
    this.#recovery = 'done';
    if (this.#isClosed) return;
    this.#phases.run('background services', () => this.#startServices());
    this.#resolveReady();
    this.roster.wake();
  }

  #startServices(): void {
    // One thread of a process follows the store and the files for all of them.
    if (this.#seams.table === undefined) {
      this.sync.start('leader');
      this.#watch.start();
      this.#phases.onUndo('background services', () => this.#watch.stop());
    } else {
      this.sync.start('other');
      this.#phases.onUndo(
        'background services',
        hearThreads((news) => this.#takeUp(news)),
      );
    }
    const forget = onProcessExit(() => {
      void this.permits.close();
      void this.sync.flushUsage();
    });
    this.#phases.onUndo('background services', async () => {
      forget();
      clearTimeout(this.#expiry?.timer);
      await this.permits.close();
      await this.sync.stop();
    });
  }

  #takeUp(configuration: Configuration): void {
    this.#adopt(configuration);
    this.events.emit('reloaded', { keys: configuration.credentials.length, at: this.context.now() });
  }

  /** A file was changed while the program runs; what is wrong with it must not stop anything. */
  #reloadChanged(): void {
    try {
      this.reload();
    } catch (error) {
      this.#notices.faultyReload(error);
    }
  }

  #drain(): Promise<void> {
    if (this.#leasesOut === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#options.drainMs ?? DRAIN_MS);
      this.#whenDrained = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #recordOutcome(lease: Lease, outcome: Outcome, latencyMs: number): void {
    leavePlace(lease.member, this.table);
    if (outcome.kind === 'success') this.table.recordLatency(lease.member.rows.key, latencyMs);
    this.verdicts.apply(lease.member, outcome, lease.seen);
    this.roster.wake();
  }

  #recordEnd(lease: Lease): void {
    this.table.add(lease.member.rows.key, COUNTER.inFlight, -1);
    this.#leasesOut -= 1;
    if (this.#leasesOut === 0) this.#whenDrained?.();
  }

  /** One timer for the soonest deadline of all pools, so that cached choices are renewed without a clock read. */
  #scheduleExpiry(at: number): void {
    if (this.#expiry !== undefined && this.#expiry.at <= at) return;
    clearTimeout(this.#expiry?.timer);
    const delayMs = Math.min(LONGEST_TIMER_MS, Math.max(1, Math.ceil(at - this.context.now())));
    const timer = setTimeout(() => {
      this.#expiry = undefined;
      this.table.bumpGeneration();
      this.roster.wake();
    }, delayMs).unref();
    this.#expiry = { timer, at };
  }
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

const STDERR_LOGGER: Logger = {
  warn: (message) => void process.stderr.write(`${message}\n`),
  info: () => {},
};
