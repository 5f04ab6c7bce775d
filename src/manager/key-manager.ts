import type { Configuration } from '../config/configuration.js';
import type { Decision, DecisionRecord, RequestExplanation } from '../core/decision.js';
import { KeymuxError } from '../core/errors.js';
import type { Outcome, OutcomeKind } from '../core/outcome.js';
import { DEFAULT_SCOPE } from '../core/outcome.js';
import type { MaybePromise, Store } from '../core/ports.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import { Accesses } from './accesses.js';
import type { AccessWatch, AccessWay } from './accesses.js';
import { Exchange } from './attempt.js';
import type { RequestFacts } from './attempt.js';
import { keepDecisions, recordOf } from './decision-record.js';
import type { DecisionsQuery } from './decisions.js';
import { Engine } from './engine.js';
import type { AdministeredEvent, EventName, Events, Listener } from './events.js';
import { explain, inspect } from './inspection.js';
import type { Explanation, Snapshot } from './inspection.js';
import type { NewKey } from './key-changes.js';
import type { RetiringKey } from './key-desk.js';
import { Lease } from './lease.js';
import { callRun } from './library-calls.js';
import type { Adapters, RunOptions } from './library-calls.js';
import { callFetch } from './library-fetch.js';
import type { ManagedOrigins } from './managed-origins.js';
import type { Member } from './members.js';
import type { MembershipView } from './membership.js';
import type { KeyManagerOptions, KeyManagerSeams } from './options.js';
import type { Pool } from './pool.js';
import { exhaustedError } from './refusal.js';
import { NOBODY } from './stand-ins.js';
import { seenVersions } from './verdicts.js';

/** How long to wait for a lease, and what ends the wait. */
export interface AcquireOptions {
  readonly signal?: AbortSignal;
  /** How long to wait for a key. Milliseconds. Default: 30,000. */
  readonly timeoutMs?: number;
}

/** A key, and where to send requests with it. */
export interface Resolution {
  readonly provider: string;
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly keyId: string;
}

/** Who asks for a change, for the audit trail: such as `cli`. Never a secret. */
export interface AdministrationOptions {
  readonly by?: string;
}

const ACQUIRE_TIMEOUT_MS = 30_000;

/**
 * Holds the keys of an application and answers each request with one that works. Create it with
 * `createKeyManager`; `MinimalMultiKeyManager` is the one of the process. After `shutdown()` whatever takes a service or
 * a key throws `KEYMUX_CLOSED`. With `audit.failClosed`, whatever gives out a key throws `KEYMUX_AUDIT_UNAVAILABLE` while
 * the trail cannot be written.
 */
export class KeyManager implements AsyncDisposable {
  readonly name: string;
  /** @internal */
  readonly events: Events;
  /**
   * Who takes keys.
   * @internal
   */
  readonly accesses = new Accesses();
  readonly #begun = new Set<(requestId: string) => void>();
  readonly #options: KeyManagerOptions;
  readonly #engine: Engine;
  #closing: Promise<void> | undefined;
  /** Where `KEYMUX_DECISIONS` asks for it. */
  readonly #writeDecisions: () => void = () => {};

  /**
   * Throws `KEYMUX_INIT_FAILED`, which names the phase; nothing is left behind then.
   * @internal
   */
  constructor(options: KeyManagerOptions = {}, seams: KeyManagerSeams = {}) {
    this.name = options.name ?? 'default';
    // Taken now: later on `process.env` may be the intercepted one, which hides what the application really set.
    this.#options = { ...options, env: options.env ?? process.env };
    this.#engine = new Engine(this.#options, seams);
    this.events = this.#engine.events;
    this.#engine.integrate(() => seams.integrate?.(this));
    const path = this.#options.env?.['KEYMUX_DECISIONS'] ?? '';
    if (path !== '' && seams.observer !== true)
      this.#writeDecisions = keepDecisions(path, () => this.exportDecisions());
  }

  /** Resolves when the store is attached and its state recovered. Never rejects: a store that fails is `degraded`. */
  get ready(): Promise<void> {
    if (!this.closed) void this.#engine.recovered();
    return this.#engine.ready;
  }

  // --- keys ---------------------------------------------------------------------------------------------------

  /**
   * The best key of a service or provider at this moment. Synchronous; spends no quota.
   * Throws `KEYMUX_UNKNOWN_SERVICE`, or `KEYMUX_NO_USABLE_KEY` (with `retryAt`) while every key is out.
   */
  getApiKey(service: string): string {
    const member = this.#best(service);
    if (this.accesses.isActive) this.#note(service, member, 'library');
    return member.credential.secret.reveal();
  }

  /** As `getApiKey`, with the provider and where to send requests. */
  resolve(service: string): Resolution {
    const member = this.#best(service);
    if (this.accesses.isActive) this.#note(service, member, 'library');
    const { credential, provider, keyId } = member;
    return { provider: provider.id, baseUrl: provider.baseUrl, apiKey: credential.secret.reveal(), keyId };
  }

  /**
   * Permission to send one request; spends quota, and waits for it up to `timeoutMs`. Report the outcome on the
   * lease, or to `manager.report`. Rejects with `KEYMUX_NO_USABLE_KEY`, `KEYMUX_TIMEOUT` or `KEYMUX_ABORTED`.
   */
  async acquire(service: string, options: AcquireOptions = {}): Promise<Lease> {
    const pool = this.poolOf(service);
    refuseWhenAborted(service, options.signal);
    await this.#engine.recovered();
    if (this.accesses.refusal !== undefined) throw this.accesses.refusal;
    const startedAt = this.now();
    const waitUntil = startedAt + (options.timeoutMs ?? ACQUIRE_TIMEOUT_MS);
    const note = this.#engine.decisions?.beginAlone(service, startedAt);
    const result = await pool.acquire({ excluded: NOBODY, waitUntil, caller: options, note }, startedAt);
    if (this.closed && result instanceof Lease) result.cancel();
    this.#refuseWhenClosed();
    if (result instanceof Lease) {
      if (this.accesses.isActive) this.#noteOrCancel(service, result);
      return result;
    }
    refuseWhenAborted(service, options.signal);
    if (result.busy && this.now() >= waitUntil) {
      throw new KeymuxError('KEYMUX_TIMEOUT', `No key of "${service}" became free in time.`, {
        fix: 'Raise `timeoutMs`, or add keys: those there are wait for answers under way.',
      });
    }
    throw exhaustedError(pool, result, this.now());
  }

  /**
   * Runs `work` with a lease and goes on with other keys and providers as long as that may help. What `work` throws is
   * judged by the HTTP status or network code that it carries. Rejects with what `work` threw last, or with
   * `KEYMUX_NO_USABLE_KEY` where no key was to be had.
   */
  run<T>(service: string, work: (lease: Lease) => Promise<T>, options?: RunOptions): Promise<T>;
  /** One adapter per provider of the service; rejects with `KEYMUX_USAGE` where one is missing. */
  run<T>(service: string, adapters: Adapters<T>, options?: RunOptions): Promise<T>;
  run<T>(
    service: string,
    work: ((lease: Lease) => Promise<T>) | Adapters<T>,
    options: RunOptions = {},
  ): Promise<T> {
    return callRun(this, this.poolOf(service), work, options);
  }

  /**
   * `fetch` with key, base URL and failover; `path` is relative to the provider's base URL. For a service with
   * `rewrite` it is what follows `protocol.pathPrefix`, and a model is named as the first provider calls it.
   * Where every key is out, it resolves with the answer that a provider would give: 429 with `Retry-After`, 503 or 401.
   */
  fetch(service: string, path: string, init: RequestInit = {}): Promise<Response> {
    const send = (url: string, request: RequestInit): Promise<Response> =>
      (this.#options.fetch ?? globalThis.fetch)(url, request);
    return callFetch(this, this.poolOf(service), path, init, send);
  }

  /** Records a result by hand. `outcome` is a kind, or all that is known. Throws `KEYMUX_UNKNOWN_KEY`. */
  report(
    keyId: string,
    outcome: OutcomeKind | Outcome,
    options: AdministrationOptions & { readonly costUsd?: number } = {},
  ): void {
    const member = this.#memberOf(keyId);
    const full: Outcome =
      typeof outcome === 'string'
        ? { kind: outcome, scope: DEFAULT_SCOPE[outcome], executed: outcome === 'success' ? 'yes' : 'maybe' }
        : outcome;
    this.table.add(member.rows.key, COUNTER.uses, 1);
    this.#engine.verdicts.apply(member, full, seenVersions(member, this.table));
    if (options.costUsd !== undefined) this.#engine.sync.addCost(member.subjects.key, options.costUsd);
    // A program that tells its own results administers nothing.
    if (options.by !== undefined) this.#administered('report', options, keyId);
  }

  // --- people -------------------------------------------------------------------------------------------------

  /** Takes a key out of use until `enable`; survives restarts. Throws `KEYMUX_UNKNOWN_KEY`. */
  disable(keyId: string, options: AdministrationOptions = {}): void {
    this.#setDisabled(keyId, true);
    this.#administered('disable', options, keyId);
  }

  /** Takes `disable` back. Throws `KEYMUX_UNKNOWN_KEY`. */
  enable(keyId: string, options: AdministrationOptions = {}): void {
    this.#setDisabled(keyId, false);
    this.#administered('enable', options, keyId);
  }

  /** Forgets what is held against a key, its bucket and its provider. Throws `KEYMUX_UNKNOWN_KEY`. */
  reset(keyId: string, options: AdministrationOptions = {}): void {
    this.#engine.verdicts.reset(this.#memberOf(keyId));
    this.#engine.roster.wake();
    this.#administered('reset', options, keyId);
  }

  /**
   * Adds a key until the process ends; the configuration does not learn of it. Returns its `provider/id`.
   * Throws `KEYMUX_USAGE` or `KEYMUX_SECRET_UNREADABLE`.
   */
  addKey(key: NewKey, options: AdministrationOptions = {}): string {
    this.#refuseWhenClosed();
    void this.#engine.recovered();
    const keyId = this.#engine.desk.add(key);
    this.#administered('add-key', options, keyId);
    return keyId;
  }

  /**
   * Gives a key no more requests; those under way with it finish. It stays away until the process ends, or until the
   * configuration gives its id another key. Throws `KEYMUX_UNKNOWN_KEY`.
   */
  retireKey(keyId: string, options: AdministrationOptions = {}): RetiringKey {
    this.#refuseWhenClosed();
    const retiring = this.#engine.desk.retire(keyId);
    this.#administered('retire-key', options, keyId);
    return retiring;
  }

  /** Retired keys that requests are still under way with. */
  get retiring(): readonly RetiringKey[] {
    return this.#engine.desk.retiring();
  }

  /** Everything that is known, without a secret. */
  inspect(): Snapshot {
    return inspect(
      {
        name: this.name,
        configuration: this.configuration,
        pools: this.#engine.roster.pools,
        table: this.table,
        permits: this.#engine.permits,
        store: this.store,
        storeTrouble: this.#engine.storeTrouble,
        membership: this.store.shared ? this.membership : undefined,
      },
      this.now(),
    );
  }

  /**
   * Which key the next request of this service gets, and what stands in the way of the others. Throws
   * `KEYMUX_UNKNOWN_SERVICE`.
   */
  explain(service: string): Explanation {
    const strategy = this.configuration.services.get(service)?.strategy ?? 'priority';
    return explain(this.poolOf(service), strategy, this.table, this.#engine.testimony, this.now());
  }

  /**
   * Every attempt of a request that this thread made: which key was taken, why the others were not, and what came of
   * it. Undefined where the request is not known, or no longer.
   */
  why(requestId: string): RequestExplanation | undefined {
    return this.#engine.decisions?.why(requestId);
  }

  /** The latest selections of keys for requests, oldest first. */
  decisions(query?: DecisionsQuery): readonly Decision[] {
    return this.#engine.decisions?.list(query) ?? [];
  }

  /** All that is remembered of selections, for `keymux why --from` and `keymux replay`. Holds no secret. */
  exportDecisions(): DecisionRecord {
    return recordOf(this.#engine.decisions, this.configuration, this.now());
  }

  /**
   * Calls `listener` for each event of this name, and returns how to stop that. What a listener throws stops no
   * request.
   */
  on<Name extends EventName>(name: Name, listener: Listener<Name>): () => void {
    return this.events.on(name, listener);
  }

  // --- life ---------------------------------------------------------------------------------------------------

  /**
   * Reads environment, `.env` and file anew, as happens by itself within seconds when one of the files changes. A
   * faulty configuration throws and changes nothing.
   */
  reload(options: AdministrationOptions = {}): void {
    this.#refuseWhenClosed();
    void this.#engine.recovered();
    this.#engine.reload();
    this.#administered('reload', options);
  }

  /**
   * Restores what was patched at once, lets requests under way finish (up to `drainMs`), writes state out and lets
   * go of every handle. May be called twice.
   */
  shutdown(): Promise<void> {
    this.#closing ??= this.#engine.shutDown().finally(this.#writeDecisions);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** `shutdown()` was called. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  // --- for the layers above -----------------------------------------------------------------------------------

  /** What was configured and discovered, as it is in force now. */
  get configuration(): Configuration {
    return this.#engine.roster.configuration;
  }

  /**
   * Which requests are ours, for the interceptors.
   * @internal
   */
  get origins(): ManagedOrigins {
    return this.#engine.roster.origins;
  }

  /** @internal */
  get table(): StateTable {
    return this.#engine.table;
  }

  /** The store in use; by default one that the configuration chose. */
  get store(): Store {
    return this.#engine.store;
  }

  /**
   * This process as one of its fleet.
   * @internal
   */
  get membership(): MembershipView {
    return this.#engine.membership;
  }

  /** The time that decides, by the clock of the manager. Epoch milliseconds. */
  now(): number {
    return this.#engine.context.now();
  }

  /**
   * The pool of a service or provider. Throws `KEYMUX_UNKNOWN_SERVICE`.
   * @internal
   */
  poolOf(service: string): Pool {
    this.#refuseWhenClosed();
    return this.#engine.roster.poolOf(service);
  }

  /** @internal */
  findPool(service: string): Pool | undefined {
    return this.#engine.roster.pools.get(service);
  }

  /**
   * The keys of this provider alone, whatever a service of its name holds.
   * @internal
   */
  poolOfProvider(id: string): Pool | undefined {
    return this.#engine.roster.poolOfProvider(id);
  }

  /**
   * How a key is called in the store. Throws `KEYMUX_UNKNOWN_KEY`.
   * @internal
   */
  subjectOf(keyId: string): string {
    return this.#memberOf(keyId).subjects.key;
  }

  /**
   * Counts who takes keys from now on, until the watch is stopped.
   * @internal
   */
  watchAccesses(): AccessWatch {
    return this.accesses.watch();
  }

  /**
   * Calls back when a request begins, with its id, while its caller's async context is the current one. Returns how to
   * stop.
   * @internal
   */
  onBegun(tell: (requestId: string) => void): () => void {
    this.#begun.add(tell);
    return () => void this.#begun.delete(tell);
  }

  /**
   * Begins a request that may be sent several times.
   * @internal
   */
  exchange(pool: Pool, facts: RequestFacts): Exchange {
    const exchange = new Exchange(this.#engine.attempts, pool, facts, this.accesses);
    if (this.#begun.size > 0) for (const tell of this.#begun) tell(exchange.requestId);
    return exchange;
  }

  /**
   * State is recovered; opens the store if nobody did yet. Where there is nothing to wait for, `undefined`.
   * @internal
   */
  recovered(): MaybePromise<void> {
    return this.#engine.recovered();
  }

  // --- inside -------------------------------------------------------------------------------------------------

  #best(service: string): Member {
    const pool = this.poolOf(service);
    void this.#engine.recovered();
    const member = pool.best();
    if (member !== undefined) return member;
    const now = this.now();
    throw exhaustedError(pool, pool.shut(NOBODY, false, now), now);
  }

  #note(service: string, { keyId }: Pick<Member, 'keyId'>, way: AccessWay): void {
    this.accesses.note(way, service, keyId);
  }

  #noteOrCancel(service: string, lease: Lease): void {
    try {
      this.#note(service, lease, 'library');
    } catch (error) {
      lease.cancel();
      throw error;
    }
  }

  #administered(action: AdministeredEvent['action'], { by }: AdministrationOptions, subject?: string): void {
    this.events.emit('administered', {
      action,
      ...(subject === undefined ? {} : { subject }),
      ...(by === undefined ? {} : { by }),
      at: this.now(),
    });
  }

  #setDisabled(keyId: string, disabled: boolean): void {
    const member = this.#memberOf(keyId);
    if (!this.table.setDisabled(member.rows.key, disabled)) return;
    if (disabled) this.#engine.testimony.disabled(member, this.now());
    this.#engine.sync.changed(member.subjects.key);
    this.#engine.roster.wake();
  }

  #memberOf(keyId: string): Member {
    this.#refuseWhenClosed();
    return this.#engine.roster.memberOf(keyId);
  }

  #refuseWhenClosed(): void {
    if (this.#closing === undefined) return;
    throw new KeymuxError('KEYMUX_CLOSED', `The key manager "${this.name}" is shut down.`, {
      fix: 'Create a new one, or call `MinimalMultiKeyManager.instance()` again.',
    });
  }
}

function refuseWhenAborted(service: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new KeymuxError('KEYMUX_ABORTED', `Waiting for a key of "${service}" was aborted.`, {
    fix: 'Nothing is to be done if the abort was wanted.',
    cause: signal.reason,
  });
}
