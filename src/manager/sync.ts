/** Keeps the table of this process and the store in step: transitions at once, counters by and by. */
import type { HealthRecord, Store, StoredState, UsageDelta } from '../core/ports.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import type { Member } from './members.js';
import { isOwnerRecord } from './owners.js';

const USAGE_EVERY_MS = 1_000;

export class Sync {
  readonly #store: Store;
  readonly #table: StateTable;
  readonly #onTrouble: (error: unknown) => void;
  readonly #onChange: () => void;
  readonly #onOwner: (subject: string, rowOf: (keySubject: string) => number | undefined) => void;
  /** Row of the table by name of the subject. */
  readonly #rows = new Map<string, number>();
  readonly #reported = new Map<string, { requests: number; failures: number }>();
  readonly #costs = new Map<string, number>();
  readonly #changed = new Set<string>();
  /** Changes that could not be told yet. */
  readonly #unheard = new Set<string>();
  #isOpen = false;
  #countsForAll = false;
  #publishing: Promise<void> | undefined;
  #stopWatching: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    store: Store,
    table: StateTable,
    hooks: {
      onTrouble: (error: unknown) => void;
      onChange: () => void;
      /** A record of `Owners` was read. */
      onOwner: (subject: string, rowOf: (keySubject: string) => number | undefined) => void;
    },
  ) {
    this.#store = store;
    this.#table = table;
    this.#onTrouble = hooks.onTrouble;
    this.#onChange = hooks.onChange;
    this.#onOwner = hooks.onOwner;
  }

  track(members: Iterable<Member>): void {
    for (const { rows, subjects } of members) {
      this.#rows.set(subjects.key, rows.key);
      this.#rows.set(subjects.bucket, rows.bucket);
      this.#rows.set(subjects.provider, rows.provider);
      if (!this.#reported.has(subjects.key)) this.#reported.set(subjects.key, this.#countersOf(rows.key));
    }
  }

  /** The store is open. What changed before is told now. */
  recover(state: StoredState): void {
    this.#apply(state.records);
    this.#isOpen = true;
    this.#tellAgain();
  }

  /**
   * Starts to follow the others, and to report what all threads of this process used, since they share the counters:
   * only one of them does. Costs are reported by the thread that learnt them. Does nothing where the store did not open.
   */
  start(role: 'leader' | 'other'): void {
    if (!this.#isOpen) return;
    this.#timer = setInterval(() => {
      this.#tellAgain();
      void this.flushUsage();
    }, USAGE_EVERY_MS).unref();
    if (role === 'other') return;
    this.#countsForAll = true;
    this.#stopWatching = this.#store.watch((records) => {
      this.#apply(records);
      this.#onChange();
    });
  }

  /** A subject changed here; the others are told as soon as the running turn is over. */
  changed(subject: string): void {
    this.#changed.add(subject);
    if (this.#isOpen) this.#publishing ??= Promise.resolve().then(() => this.#publish());
  }

  addCost(subject: string, costUsd: number): void {
    this.#costs.set(subject, (this.#costs.get(subject) ?? 0) + costUsd);
  }

  async flushUsage(): Promise<void> {
    const deltas = this.#takeDeltas();
    if (deltas.length === 0) return;
    try {
      await this.#store.addUsage(deltas);
    } catch (error) {
      this.#putBack(deltas);
      this.#onTrouble(error);
    }
  }

  async stop(): Promise<void> {
    this.#stopWatching?.();
    clearInterval(this.#timer);
    this.#tellAgain();
    while (this.#publishing !== undefined) await this.#publishing;
    if (this.#timer !== undefined) await this.flushUsage();
  }

  async #publish(): Promise<void> {
    const subjects = [...this.#changed];
    this.#changed.clear();
    try {
      this.#apply(await this.#store.publish(subjects.map((subject) => this.#recordOf(subject))));
    } catch (error) {
      for (const subject of subjects) this.#unheard.add(subject);
      this.#onTrouble(error);
    } finally {
      this.#publishing = this.#changed.size === 0 ? undefined : this.#publish();
    }
  }

  #tellAgain(): void {
    const subjects = [...this.#changed, ...this.#unheard];
    this.#unheard.clear();
    for (const subject of subjects) this.changed(subject);
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
      this.#table.restore(row, record.health);
      if (record.disabledVersion > this.#table.disabledVersion(row)) {
        this.#table.setDisabled(row, record.disabled, record.disabledVersion);
      }
    }
  }

  #countersOf(row: number): { requests: number; failures: number } {
    return {
      requests: this.#table.get(row, COUNTER.uses),
      failures: this.#table.get(row, COUNTER.failures),
    };
  }

  #takeDeltas(): UsageDelta[] {
    const deltas: UsageDelta[] = [];
    for (const [subject, before] of this.#reported) {
      const now = this.#countsForAll ? this.#countersOf(this.#rows.get(subject) ?? -1) : before;
      const costUsd = this.#costs.get(subject) ?? 0;
      if (now.requests === before.requests && now.failures === before.failures && costUsd === 0) continue;
      deltas.push({
        subject,
        requests: now.requests - before.requests,
        failures: now.failures - before.failures,
        costUsd,
      });
      this.#reported.set(subject, now);
      this.#costs.delete(subject);
    }
    return deltas;
  }

  #putBack(deltas: readonly UsageDelta[]): void {
    for (const { subject, requests, failures, costUsd } of deltas) {
      const reported = this.#reported.get(subject) ?? { requests: 0, failures: 0 };
      this.#reported.set(subject, {
        requests: reported.requests - requests,
        failures: reported.failures - failures,
      });
      if (costUsd > 0) this.addCost(subject, costUsd);
    }
  }
}
