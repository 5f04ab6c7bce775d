/** What runs below a `KeyManager`: its parts, put together in six phases and taken apart in reverse. */
import type { Configuration, WhenLost } from '../config/configuration.js';
import { SecureConfigManager } from '../config/secure-config-manager.js';
import type { Credential } from '../core/credential.js';
import type { Clock, MaybePromise, Store, StoreNotice, StoredState } from '../core/ports.js';
import type { Outcome } from '../core/outcome.js';
import { shareTable, unshareTable } from '../state/attach.js';
import { COUNTER } from '../state/layout.js';
import { StateTable } from '../state/table.js';
import type { AttemptContext } from './attempt.js';
import { Decisions, DEFAULT_DECISIONS } from './decisions.js';
import { readConfiguration } from './discovery.js';
import { Events } from './events.js';
import { ExpiryTimer } from './expiry-timer.js';
import { ExpiryWatch } from './expiry-watch.js';
import { KeyDesk } from './key-desk.js';
import type { Lease } from './lease.js';
import { LeasesOut } from './leases-out.js';
import { LeasedPermits } from './leased-permits.js';
import { LocalPermits } from './local-permits.js';
import { Membership } from './membership.js';
import { Monitor } from './monitor.js';
import { Notices } from './notices.js';
import type { KeyManagerOptions, KeyManagerSeams } from './options.js';
import { Owners } from './owners.js';
import type { PermitSource } from './permits.js';
import { PhaseRunner } from './phases.js';
import { leavePlace } from './places.js';
import { onProcessExit } from './process-exit.js';
import type { PoolContext } from './pool.js';
import { joinRedaction } from './process-redaction.js';
import { redactedLogger, STDERR_LOGGER, withoutKeys } from './redacted-logger.js';
import { Roster } from './roster.js';
import { BucketMoves } from './shared-buckets.js';
import { chooseStore, fingerprintKeyFor } from './store-choice.js';
import { SourceWatch } from './source-watch.js';
import { StoreLink } from './store-link.js';
import { Sync } from './sync.js';
import { hearThreads, stopTelling, tellThreads, toPortable } from './thread-news.js';
import { Testimony } from './testimony.js';
import { Verdicts } from './verdicts.js';

const DRAIN_MS = 5_000;

export class Engine {
  readonly events = new Events();
  readonly ready: Promise<void>;
  readonly table: StateTable;
  readonly store: Store;
  /** Whether the store can be asked. */
  readonly link: StoreLink;
  readonly membership: Membership;
  readonly permits: PermitSource;
  readonly roster: Roster;
  /** Keys come and go here while the program runs. */
  readonly desk: KeyDesk;
  readonly owners: Owners;
  readonly sync: Sync;
  readonly verdicts: Verdicts;
  readonly testimony = new Testimony();
  /** Absent where none are remembered. */
  readonly decisions: Decisions | undefined;
  readonly context: PoolContext;
  readonly attempts: AttemptContext;
  readonly #options: KeyManagerOptions;
  readonly #seams: KeyManagerSeams;
  readonly #phases = new PhaseRunner();
  readonly #notices: Notices;
  readonly #redact = (text: string): string => withoutKeys(text, this.#keys());
  readonly #fingerprintKey: () => Uint8Array;
  /** Reads keys, and tells when one changed. */
  readonly #secrets: SecureConfigManager;
  readonly #watch = new SourceWatch(() => this.#reloadChanged());
  /** For the soonest deadline of all pools, so that cached choices are renewed without a clock read. */
  readonly #expiry: ExpiryTimer;
  readonly #expiries = new ExpiryWatch({
    now: () => this.context.now(),
    events: this.events,
    members: () => this.roster.members.values(),
  });
  #recovery: Promise<void> | 'done' | undefined;
  readonly #leased: LeasedPermits | undefined;
  #hasOpened = false;
  readonly #leasesOut = new LeasesOut();
  #willRejoin = false;
  readonly #moves = new BucketMoves();
  readonly #monitor: Monitor;
  #isClosed = false;
  #resolveReady: () => void = () => {};

  /** Throws `KEYMUX_INIT_FAILED`, after undoing what was done. `integrate` is called last. */
  constructor(options: KeyManagerOptions, seams: KeyManagerSeams) {
    const phases = this.#phases;
    this.#options = options;
    this.#seams = seams;
    this.ready = new Promise((resolve) => (this.#resolveReady = resolve));

    const { clock } = options;
    this.table = phases.run(
      'data structures',
      () => seams.table ?? StateTable.create(clock === undefined ? {} : { now: clock }),
    );
    phases.onUndo('data structures', () => this.events.removeAll());
    const now = clock ?? (() => this.table.now());
    const logger = redactedLogger(options.logger ?? STDERR_LOGGER, () => this.#keys());
    joinRedaction(this.#redact);
    this.#notices = new Notices(this.events, logger, now, this.table.fleet);

    this.#secrets = phases.run('external dependencies', () => this.#createSecrets(options));
    phases.onUndo('external dependencies', () => this.#secrets.close());
    const dependencies = phases.run('external dependencies', () => this.#openDependencies(now));
    this.store = dependencies.store;
    this.#fingerprintKey = dependencies.fingerprintKey;
    phases.onUndo('external dependencies', () => {
      this.link.close();
      return this.store.close();
    });
    const hooks = {
      onTrouble: (error: unknown) => this.#notices.trouble(error),
      onChange: () => {
        this.#rejoinSoon();
        this.roster.wake();
      },
      onRest: (subject: string, version: number) =>
        this.testimony.rested(subject, version, {
          seen: 'elsewhere',
          ...(this.#recovery === 'done' ? { at: this.context.now() } : {}),
        }),
      onOwner: (subject: string, rowOf: (keySubject: string) => number | undefined) =>
        this.owners.hear(subject, rowOf),
    };
    this.link = new StoreLink({
      now: () => this.store.now(),
      random: Math.random,
      onLost: (error) => {
        if (!this.#isClosed) this.#notices.lost(error);
      },
      rejoin: () => this.#rejoinStore(),
      onBack: (wasLost) => this.#onStoreBack(wasLost),
    });
    const { members, whenLost } = mannersOf(dependencies.configuration);
    this.membership = new Membership({
      store: this.store,
      table: this.table,
      link: this.link,
      now: () => this.store.now(),
      random: Math.random,
      members,
      isObserver: seams.observer === true,
      isFirstThread: seams.table === undefined,
      onChair: (isChair) => this.sync.setChair(isChair),
      // The other stores keep what they know as long as they are there.
      onTick: () => void (this.store.kind === 'redis' && this.#leased?.checkMemory()),
    });
    const local = new LocalPermits(this.table);
    this.#leased = this.store.shared
      ? new LeasedPermits({
          store: this.store,
          own: local,
          link: this.link,
          fleet: this.membership,
          whenLost,
          onTrouble: hooks.onTrouble,
          ...(seams.holdMs === undefined ? {} : { holdMs: seams.holdMs }),
        })
      : undefined;
    this.permits = this.#leased ?? local;
    this.sync = new Sync(this.store, this.link, this.table, hooks);
    this.owners = new Owners({
      table: this.table,
      fingerprintKey: this.#fingerprintKey,
      publish: (subject) => {
        this.sync.changed(subject);
        this.#rejoinSoon();
      },
    });
    this.context = this.#createContext();
    this.#expiry = new ExpiryTimer(this.context.now, () => {
      this.table.bumpGeneration();
      this.roster.wake();
    });
    const { random } = this.context;
    this.verdicts = new Verdicts({ ...this.context, events: this.events, sync: this.sync });
    const { decisions: most = DEFAULT_DECISIONS } = options;
    this.decisions = most > 0 ? new Decisions(most, this.testimony) : undefined;
    const { events, verdicts, decisions } = this;
    this.attempts = { now: this.context.now, random, events, verdicts, decisions };

    this.roster = new Roster(this.context, this.#fingerprintKey, this.owners, dependencies.configuration);
    this.#monitor = new Monitor({
      membership: this.membership,
      store: this.store,
      link: this.link,
      table: this.table,
      permits: this.permits,
      sync: this.sync,
      events: this.events,
      now: this.context.now,
      random,
      fetch: options.fetch,
      members: () => this.roster.members.values(),
      intervalMs: () => this.roster.configuration.healthCheckIntervalMs,
      onTrouble: hooks.onTrouble,
    });
    this.desk = new KeyDesk(dependencies.configuration, {
      table: this.table,
      options,
      isFirstThread: seams.table === undefined,
      roster: this.roster,
      sync: this.sync,
      takeUp: (configuration) => this.#takeUpEverywhere(configuration),
    });
    phases.run('provider discovery', () => this.#adopt(dependencies.configuration));
    if (seams.shareWithThreads === true) {
      phases.onUndo('provider discovery', () => {
        stopTelling();
        unshareTable();
      });
    }
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
    this.#takeUpEverywhere(this.desk.over(this.#read()));
  }

  #adopt(configuration: Configuration): void {
    if (this.#seams.shareWithThreads === true) {
      shareTable(this.table, toPortable(configuration));
    }
    const { members: before } = this.roster;
    this.roster.adopt(configuration);
    this.desk.follow(before);
    this.#moves.follow(this.roster, this.owners, { ...this.context, events: this.events });
    this.#monitor.regroup();
    this.#watch.follow(configuration.sources);
    if (this.#recovery === 'done') {
      this.sync.track(this.roster.members.values());
      if (this.#seams.table === undefined) this.#expiries.start();
    }
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
    this.#monitor.regroup();
    this.sync.track(this.roster.members.values());
  }

  /** State is recovered; opens the store if nobody did yet. Where there is nothing to wait for, `undefined`. */
  recovered(): MaybePromise<void> {
    if (this.#recovery !== undefined) return this.#recovery === 'done' ? undefined : this.#recovery;
    const joined = this.#phases.run('state recovery', () => this.#joinIfPossible());
    if (joined instanceof Promise) {
      // What went wrong was told; the program goes on with what it has.
      this.#recovery = joined.catch(() => {}).then(() => this.#finishRecovery());
      return this.#recovery;
    }
    this.#finishRecovery();
    return undefined;
  }

  async shutDown(): Promise<void> {
    this.#isClosed = true;
    const restored = this.#phases.undo('integration');
    this.roster.close();
    await restored;
    await this.#leasesOut.drain(this.#options.drainMs ?? DRAIN_MS);
    await this.#phases.undoAll();
    this.#resolveReady();
  }

  #openDependencies(now: Clock): {
    configuration: Configuration;
    store: Store;
    fingerprintKey: () => Uint8Array;
  } {
    const configuration = this.#seams.configuration ?? this.#read();
    const onNotice = (notice: StoreNotice): void => this.#notices.tell(notice);
    const { store: given, env = process.env, cwd = process.cwd() } = this.#options;
    const access = { vault: configuration.vault, env, cwd };
    const store = given ?? chooseStore(configuration.store, { now, onNotice }, access);
    const fingerprintKey = once(() => fingerprintKeyFor(store, configuration.store, onNotice));
    return { configuration, store, fingerprintKey };
  }

  /** Until there is a roster no key is known. */
  #keys(): readonly Credential[] {
    return (this.roster as Roster | undefined)?.configuration.credentials ?? [];
  }

  #createSecrets({ secretSources = [] }: KeyManagerOptions): SecureConfigManager {
    return new SecureConfigManager({
      sources: secretSources,
      onChange: () => this.#reloadChanged(),
      onTrouble: (error) => this.#notices.trouble(error),
    });
  }

  #read(): Configuration {
    return this.#secrets.reading(() => readConfiguration(this.#options, this.#secrets));
  }

  #createContext(): PoolContext {
    const { clock, random = Math.random } = this.#options;
    const now = clock ?? ((): number => this.store.now());
    return {
      table: this.table,
      permits: this.permits,
      owners: this.owners,
      testimony: this.testimony,
      now,
      random,
      onShortage: (member, retryAt) => {
        this.events.emit('quota', { bucket: member.bucket.name, retryAt, at: now() });
      },
      onGeneration: () => this.#rejoinSoon(),
      expireAt: (at) => this.#expiry.expireAt(at),
      leaseOut: () => this.#leasesOut.add(),
      recordOutcome: (lease, outcome, latencyMs) => this.#recordOutcome(lease, outcome, latencyMs),
      recordEnd: (lease) => this.#recordEnd(lease),
    };
  }

  /** A store may also throw when it is opened: it is lost then, and asked again later. */
  #joinIfPossible(): MaybePromise<void> {
    try {
      return this.#join();
    } catch (error) {
      if (!this.link.isLost) throw error;
      return undefined;
    }
  }

  /** Opens the store and says that this process is there. */
  #join(): MaybePromise<void> {
    const opened = this.link.ask(() => this.store.open());
    if (!(opened instanceof Promise)) {
      this.#recover(opened);
      return this.membership.start();
    }
    return opened.then((state) => {
      this.#recover(state);
      return this.#isClosed ? undefined : this.membership.start();
    });
  }

  /** Tries to reach a store that was lost; then it is told what happened without it. */
  async #rejoinStore(): Promise<void> {
    if (!this.#hasOpened) this.#recover(await this.store.open());
    await this.membership.rejoin();
    await this.#leased?.rejoin();
  }

  #onStoreBack(wasLost: boolean): void {
    if (!this.#isClosed && wasLost) this.#notices.back();
    if (this.#recovery === 'done') this.#follow();
    void this.#leased?.flush();
    this.sync.tellAgain();
    this.#leased?.endShortages((bucket) => this.#unblock(bucket));
    this.roster.wake();
  }

  #unblock(bucketName: string): void {
    this.table.setBlockedUntil(this.table.subject(`bucket:${bucketName}`), 0);
    this.table.bumpGeneration();
  }

  #recover(state: StoredState): void {
    if (this.#isClosed) return;
    this.#hasOpened = true;
    this.sync.track(this.roster.members.values());
    this.sync.recover(state);
    this.#rejoin();
  }

  #finishRecovery(): void {
    this.#recovery = 'done';
    if (this.#isClosed) return;
    this.#phases.run('background services', () => this.#startServices());
    // Keys of sources that take their time are there then; each source has a deadline.
    const settled = this.#secrets.settled();
    if (settled === undefined) this.#resolveReady();
    else void settled.then(() => this.#resolveReady());
    this.roster.wake();
  }

  /** Says again and again that this process is there, and follows the others; not where the store never opened. */
  #follow(): void {
    if (!this.#hasOpened || this.#isClosed) return;
    this.sync.start();
    void this.membership.start();
  }

  #startServices(): void {
    this.#follow();
    // Works in the thread that speaks for the process.
    this.#monitor.start();
    // One thread of a process follows the files for all of them.
    if (this.#seams.table === undefined) {
      this.#watch.start();
      this.#phases.onUndo('background services', () => this.#watch.stop());
      this.#expiries.start();
      this.#phases.onUndo('background services', () => this.#expiries.stop());
    } else {
      this.#phases.onUndo(
        'background services',
        hearThreads((news) => this.#takeUp(news)),
      );
    }
    const forget = onProcessExit(() => {
      void this.permits.close();
      void this.sync.flushUsage();
      void this.membership.stop();
    });
    this.#phases.onUndo('background services', async () => {
      forget();
      this.#expiry.stop();
      await this.#monitor.stop();
      await this.link.finish();
      await this.permits.close();
      await this.sync.stop();
      await this.membership.stop();
    });
  }

  #takeUpEverywhere(configuration: Configuration): void {
    this.#takeUp(configuration);
    if (this.#seams.shareWithThreads === true) tellThreads(configuration);
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

  #recordOutcome(lease: Lease, outcome: Outcome, latencyMs: number): void {
    leavePlace(lease.member, this.table);
    if (outcome.kind === 'success') this.table.recordLatency(lease.member.rows.key, latencyMs);
    this.verdicts.apply(lease.member, outcome, lease.seen);
    this.roster.wake();
    if (this.events.isHeard('attempt')) this.#tellAttempt(lease, outcome, latencyMs);
  }

  #tellAttempt(lease: Lease, { kind, status, evidence }: Outcome, latencyMs: number): void {
    const { request, service, provider, keyId } = lease;
    this.events.emit('attempt', {
      ...(request === undefined ? {} : { requestId: request.requestId }),
      service,
      provider,
      key: keyId,
      outcome: kind,
      ...(status === undefined ? {} : { status }),
      ...(evidence === undefined ? {} : { evidence }),
      latencyMs,
      at: this.context.now(),
    });
  }

  #recordEnd(lease: Lease): void {
    this.table.add(lease.member.rows.key, COUNTER.inFlight, -1);
    this.#leasesOut.remove();
  }
}

function mannersOf({ store }: Configuration): { whenLost: WhenLost; members: number } {
  const { whenLost = 'share', members = 1 } = store.type === 'memory' ? {} : store;
  return { whenLost, members };
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}
