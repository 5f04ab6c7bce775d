/** Keeps the table of this process and the store in step: transitions at once, counters by and by. */
import type { Fence } from '../core/fleet.js';
import type { HealthRecord, Store, StoredState, UsageDelta } from '../core/ports.js';
import type { Counter } from '../state/layout.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import type { Member } from './members.js';
import type { StoreLink } from './store-link.js';
import { isOwnerRecord } from './owners.js';

const USAGE_EVERY_MS = 1_000;

export class Sync {
  readonly #store: Store;
  readonly #link: StoreLink;
  readonly #table: StateTable;
  readonly #onTrouble: (error: unknown) => void;
  readonly #onChange: () => void;
  readonly #onRest: (subject: string, version: number) => void;
  readonly #onOwner: (subject: string, rowOf: (keySubject: string) => number | undefined) => void;
  /** Row of the table by name of the subject. */
  readonly #rows = new Map<string, number>();
  readonly #costs = new Map<string, number>();
  readonly #changed = new Set<string>();
  /** Changes that could not be told yet. */
  readonly #unheard = new Set<string>();
  #isOpen = false;
  #isRunning = false;
  #isChair = false;
  #publishing: Promise<void> | undefined;
  #stopWatching: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    store: Store,
    link: StoreLink,
    table: StateTable,
    hooks: {
      onTrouble: (error: unknown) => void;
      onChange: () => void;
      /** Somebody else says that a subject rests, under this version of its health. */
      onRest: (subject: string, version: number) => void;
      /** A record of `Owners` was read. */
      onOwner: (subject: string, rowOf: (keySubject: string) => number | undefined) => void;
    },
  ) {
    this.#store = store;
    this.#link = link;
    this.#table = table;
    this.#onTrouble = hooks.onTrouble;
    this.#onChange = hooks.onChange;
    this.#onRest = hooks.onRest;
    this.#onOwner = hooks.onOwner;
  }

  track(members: Iterable<Member>): void {
    for (const { rows, subjects } of members) {
      this.#rows.set(subjects.key, rows.key);
      this.#rows.set(subjects.bucket, rows.bucket);
      this.#rows.set(subjects.provider, rows.provider);
    }
  }

  /** The store is open. What changed before is told now. */
  recover(state: StoredState): void {
    this.#apply(state.records);
    this.#isOpen = true;
    this.tellAgain();
  }

  /** Tells again and again what could not be told, and what was used. Does nothing where the store did not open. */
  start(): void {
    if (!this.#isOpen || this.#isRunning) return;
    this.#isRunning = true;
    this.#timer = setInterval(() => {
      this.tellAgain();
      void this.flushUsage();
    }, USAGE_EVERY_MS).unref();
    this.#follow();
  }

  /**
   * Whether this thread speaks for the process: it follows the others, and reports what all threads used, since they
   * share the counters. Costs are reported by the thread that learnt them.
   */
  setChair(isChair: boolean): void {
    this.#isChair = isChair;
    if (this.#isRunning) this.#follow();
  }

  /** What could not be told is told now; others are followed where that failed before. */
  tellAgain(): void {
    if (this.#link.isLost) return;
    if (this.#isRunning && this.#stopWatching === undefined) this.#follow();
    const subjects = [...this.#changed, ...this.#unheard];
    this.#unheard.clear();
    for (const subject of subjects) this.changed(subject);
  }

  /** A subject changed here; the others are told as soon as the running turn is over. */
  changed(subject: string): void {
    this.#changed.add(subject);
    if (this.#isOpen && !this.#link.isLost)
      this.#publishing ??= Promise.resolve().then(() => this.#publish());
  }

  /**
   * Stores what the elected monitor found, and takes up what then stands; nothing where that leadership is over.
   * @throws `KEYMUX_FENCED`, `KEYMUX_STORE_UNAVAILABLE`
   */
  async publishFenced(records: readonly HealthRecord[], fence: Fence): Promise<readonly HealthRecord[]> {
    const standing = await this.#link.ask(() => this.#store.publish(records, fence));
    this.#apply(standing);
    this.#onChange();
    return standing;
  }

  addCost(subject: string, costUsd: number): void {
    this.#costs.set(subject, (this.#costs.get(subject) ?? 0) + costUsd);
  }

  async flushUsage(): Promise<void> {
    if (this.#link.isLost) return;
    const deltas = this.#takeDeltas();
    if (deltas.length === 0) return;
    try {
      await this.#link.ask(() => this.#store.addUsage(deltas));
    } catch (error) {
      this.#putBack(deltas);
      this.#onTrouble(error);
    }
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#unfollow();
    clearInterval(this.#timer);
    this.tellAgain();
    while (this.#publishing !== undefined) await this.#publishing;
    if (this.#timer !== undefined) await this.flushUsage();
  }

  async #publish(): Promise<void> {
    const subjects = [...this.#changed];
    this.#changed.clear();
    try {
      const records = subjects.map((subject) => this.#recordOf(subject));
      this.#apply(await this.#link.ask(() => this.#store.publish(records)));
    } catch (error) {
      for (const subject of subjects) this.#unheard.add(subject);
      this.#onTrouble(error);
    } finally {
      this.#publishing = this.#changed.size === 0 || this.#link.isLost ? undefined : this.#publish();
    }
  }

  #follow(): void {
    if (!this.#isChair) return this.#unfollow();
    try {
      this.#stopWatching ??= this.#store.watch((records) => {
        this.#apply(records);
        this.#onChange();
      });
    } catch (error) {
      this.#onTrouble(error);
    }
  }

  #unfollow(): void {
    this.#stopWatching?.();
    this.#stopWatching = undefined;
  }

  #recordOf(subject: string): HealthRecord {
    const row = this.#rows.get(subject) ?? this.#table.subject(subject);
    return {
      subject,
      health: this.#table.health(row),
      disabled: this.#table.disabled(row),
      disabledVersion: this.#table.disabledVersion(row),
    };
  }

  #apply(records: readonly HealthRecord[]): void {
    for (const record of records) {
      if (isOwnerRecord(record.subject)) {
        this.#onOwner(record.subject, (keySubject) => this.#rows.get(keySubject));
        continue;
      }
      const row = this.#rows.get(record.subject);
      if (row === undefined) continue;
      const { before, after } = this.#table.restore(row, record.health);
      if (before !== after && after.status === 'resting') this.#onRest(record.subject, after.version);
      if (record.disabledVersion > this.#table.disabledVersion(row)) {
        this.#table.setDisabled(row, record.disabled, record.disabledVersion);
      }
    }
  }

  #takeDeltas(): UsageDelta[] {
    const deltas: UsageDelta[] = [];
    for (const [subject, row] of this.#rows) {
      if (!subject.startsWith('key:')) continue;
      const requests = this.#isChair ? this.#unreported(row, COUNTER.uses, COUNTER.reportedUses) : 0;
      const failures = this.#isChair ? this.#unreported(row, COUNTER.failures, COUNTER.reportedFailures) : 0;
      const costUsd = this.#costs.get(subject) ?? 0;
      if (requests === 0 && failures === 0 && costUsd === 0) continue;
      deltas.push({ subject, requests, failures, costUsd });
      this.#costs.delete(subject);
    }
    return deltas;
  }

  /** Taken by one thread only, also where another one takes the chair just now. */
  #unreported(row: number, counter: Counter, reported: Counter): number {
    const counted = this.#table.get(row, counter);
    return (counted - this.#table.exchange(row, reported, counted)) | 0;
  }

  #putBack(deltas: readonly UsageDelta[]): void {
    for (const { subject, requests, failures, costUsd } of deltas) {
      const row = this.#rows.get(subject) ?? this.#table.subject(subject);
      this.#table.add(row, COUNTER.reportedUses, -requests);
      this.#table.add(row, COUNTER.reportedFailures, -failures);
      if (costUsd > 0) this.addCost(subject, costUsd);
    }
  }
}
