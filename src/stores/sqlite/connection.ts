/** Keeps a database usable: waits for locks without blocking, notices trouble, and comes back from it. */
import { setTimeout as delay } from 'node:timers/promises';
import { KeymuxError } from '../../core/errors.js';
import type { MaybePromise, StoreNotice } from '../../core/ports.js';
import { Silence } from '../../core/silence.js';
import { explain, isBusy, isStorageTrouble } from './driver.js';
import type { Driver } from './driver.js';
import { isHolderStarved } from './lock-holder.js';
import { LockQueue } from './lock-queue.js';
import { openDatabase } from './open-database.js';
import { FOR_OPENING, FOR_REPORTS, Wait, randomPauseMs } from './patience.js';
import type { Patience } from './patience.js';
import { salvage, takeOver } from './salvage.js';
import type { Salvage } from './salvage.js';
import { Session } from './session.js';
import { monotonicMs } from './shared-clock.js';
import type { TimeSources } from './shared-clock.js';

const FIRST_BACK_OFF_MS = 50;
const LONGEST_BACK_OFF_MS = 500;

export interface ConnectionOptions {
  readonly path: string;
  readonly driver: Driver;
  readonly migrations: readonly string[];
  readonly member: string;
  readonly time: TimeSources;
  readonly onNotice: (notice: StoreNotice) => void;
}

/** What the operations of a store need; whoever gets it finds the file open and in its place. */
export class Connection {
  readonly #options: ConnectionOptions;
  #session: Session | undefined;
  /** Read from a file that was lost, for the next one. */
  #rescued: Salvage | undefined;
  #offsetMs: number | undefined;
  #trouble: unknown;
  #backOffMs = 0;
  #reopenAt = 0;
  readonly #queue: LockQueue;
  readonly #waiting = new Set<Promise<unknown>>();
  #ownCommits = 0;
  #dataVersion = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#queue = new LockQueue({
      attempt: (work) => this.#attempt(work),
      activity: () => this.#activity(),
      isHolderStarved: () => isHolderStarved(options.path),
      failure: (error) => this.#failure(error),
      silence: (lastedMs, error) => this.#unavailable(error, new Silence(lastedMs, { cause: error })),
    });
  }

  /** Shared time minus monotonic time; undefined until the file was open once. */
  get offsetMs(): number | undefined {
    return this.#session?.clock.offsetMs ?? this.#offsetMs;
  }

  /** Throws or rejects with the bare error if the file cannot be used at all. A mere lock is waited for, and then lived with. */
  start(): MaybePromise<void> {
    try {
      this.#open();
    } catch (error) {
      if (!isBusy(error)) throw error;
      return this.#track(this.#startEventually());
    }
  }

  /** Whether the latest attempt failed for want of the file. */
  get isTroubled(): boolean {
    return this.#trouble !== undefined;
  }

  /**
   * Runs `work` in an immediate transaction: at once if nobody else writes and nobody waits, else when its turn comes,
   * together with others that wait.
   */
  run<T>(work: (session: Session) => T, patience: Patience = FOR_REPORTS): MaybePromise<T> {
    if (this.#queue.isEmpty) {
      try {
        return this.#attempt(work);
      } catch (error) {
        if (!isBusy(error)) throw this.#failure(error);
      }
    }
    return this.#track(this.#queue.add(work, patience));
  }

  /** Looks at committed rows without a lock; undefined where they cannot be had just now. */
  peek<T>(work: (session: Session) => T): T | undefined {
    try {
      return work(this.#current());
    } catch (error) {
      if (isBusy(error) || error instanceof KeymuxError) return undefined;
      this.#fail(error);
      return undefined;
    }
  }

  close(): MaybePromise<void> {
    if (this.#waiting.size === 0) {
      this.#closeSession();
      return;
    }
    return Promise.allSettled(this.#waiting).then(() => this.close());
  }

  async #startEventually(): Promise<void> {
    const wait = new Wait(FOR_OPENING, monotonicMs());
    for (;;) {
      await delay(randomPauseMs(FOR_OPENING.pauseMs, Math.random()));
      try {
        this.#open();
        return;
      } catch (error) {
        if (!isBusy(error)) throw error;
        if (wait.goesOn(monotonicMs(), false, () => false)) continue;
        this.#fail(error);
        return;
      }
    }
  }

  #attempt<T>(work: (session: Session) => T): T {
    const session = this.#current();
    const result = session.transaction(() => work(session));
    this.#ownCommits += 1;
    this.#recovered();
    return result;
  }

  /** Differs from an earlier one if anybody wrote something since. To look needs no lock. */
  #activity(): string {
    try {
      this.#dataVersion = this.#session?.dataVersion() ?? this.#dataVersion;
    } catch {
      // Whoever shuts out readers, too, does not let others write.
    }
    return `${String(this.#ownCommits)}:${String(this.#dataVersion)}`;
  }

  #track<T>(pending: Promise<T>): Promise<T> {
    this.#waiting.add(pending);
    const forget = (): void => void this.#waiting.delete(pending);
    pending.then(forget, forget);
    return pending;
  }

  #current(): Session {
    const session = this.#session;
    if (session === undefined) return this.#reopen();
    if (!session.hasMoved()) return session;
    this.#rescued = salvage(session.db);
    throw Object.assign(new Error('the file was moved or deleted'), { code: 'ENOENT' });
  }

  #reopen(): Session {
    const waitMs = this.#reopenAt - monotonicMs();
    if (waitMs > 0) throw this.#unavailable(this.#trouble);
    return this.#open();
  }

  #open(): Session {
    const { path, member, time } = this.#options;
    const { db, salvaged } = openDatabase(this.#options);
    try {
      const session = new Session(db, path, member, time);
      session.transaction(() => {
        session.clock.start(this.#offsetMs);
        session.lineage.start();
        if (salvaged !== undefined) takeOver(db, salvaged);
        if (this.#rescued !== undefined) takeOver(db, this.#rescued);
        session.ledger.bringBackFromFuture(session.clock.now());
      });
      this.#rescued = undefined;
      this.#session = session;
      return session;
    } catch (error) {
      db.close();
      throw error;
    }
  }

  #recovered(): void {
    if (this.#trouble === undefined) return;
    this.#trouble = undefined;
    this.#backOffMs = 0;
    this.#options.onNotice({
      kind: 'recovered',
      message: `The state file ${this.#options.path} can be used again.`,
      fix: 'Nothing needs doing.',
    });
  }

  /** Errors of the program pass as they are; those of the file begin or go on with the trouble. */
  #failure(error: unknown): unknown {
    if (error instanceof KeymuxError || !isStorageTrouble(error)) return error;
    this.#fail(error);
    return this.#unavailable(error);
  }

  #fail(error: unknown): void {
    const { path, onNotice } = this.#options;
    if (this.#session === undefined || !isBusy(error)) {
      this.#closeSession();
      this.#reopenAt = monotonicMs() + this.#backOffMs;
      this.#backOffMs = Math.min(LONGEST_BACK_OFF_MS, Math.max(FIRST_BACK_OFF_MS, this.#backOffMs * 2));
    }
    const isNew = this.#trouble === undefined;
    this.#trouble = error;
    if (!isNew) return;
    const { problem, fix } = explain(error, path);
    onNotice({
      kind: 'degraded',
      message: `The state file ${path} failed: ${problem}. Requests go on with what is known here; it is tried again by and by.`,
      fix,
    });
  }

  #unavailable(error: unknown, cause = error): KeymuxError {
    const { path } = this.#options;
    const { problem, fix } = explain(error, path);
    return new KeymuxError('KEYMUX_STORE_UNAVAILABLE', `The state file ${path} failed: ${problem}.`, {
      fix,
      cause,
    });
  }

  #closeSession(): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    this.#offsetMs = session.clock.offsetMs;
    session.close();
  }
}
