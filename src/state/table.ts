/**
 * The table of numbers that all threads of a process share. Every change is one atomic operation, so a thread may be
 * terminated at any instruction and leaves nothing behind that others wait for. It holds no secret.
 */
import { type Health, type HealthEvent, type HealthPolicy, mergeHealth, transition } from '../core/health.js';
import type { Clock, Random } from '../core/ports.js';
import type { QuotaWindow } from '../core/quota.js';
import { Allowances } from './allowances.js';
import { Buckets } from './buckets.js';
import { FleetWords } from './fleet-words.js';
import {
  createMemory,
  type Counter,
  COUNTER,
  openMemory,
  SUBJECT,
  tableFull,
  type TableMemory,
  type TableSizes,
} from './layout.js';
import {
  healthyOf,
  isResting,
  momentOf,
  packHealth,
  strikesOf,
  ticksAt,
  unpackHealth,
  versionOf,
} from './packed-health.js';
import { slotOfName } from './slot-of-name.js';

export interface StateTableOptions extends TableSizes {
  /**
   * The time in epoch milliseconds; for tests. It counts in this thread only: threads that attach go on from its
   * value at creation. Default: the wall clock at creation, carried on by `process.hrtime`.
   */
  readonly now?: Clock;
}

/** What an event did to a subject; the same object twice if it changed nothing. */
export interface HealthChange {
  readonly before: Health;
  readonly after: Health;
}

/** A new measurement of latency counts this much against all earlier ones. */
const LATENCY_SHARE = 1 / 8;
const LONGEST_LATENCY_US = 0x7fff_ffff;

export class StateTable {
  readonly buffer: SharedArrayBuffer;
  /** What providers stated of buckets, by the index of the subject `bucket:…`. */
  readonly allowances: Allowances;
  readonly fleet: FleetWords;
  readonly #memory: TableMemory;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #clock: Clock | undefined;
  readonly #buckets: Buckets;
  readonly #subjects = new Map<string, number>();

  private constructor(memory: TableMemory, clock: Clock | undefined) {
    this.buffer = memory.buffer;
    this.#memory = memory;
    this.#words = memory.words;
    this.#clock = clock;
    this.allowances = new Allowances(memory);
    this.fleet = new FleetWords(memory);
    this.#buckets = new Buckets(memory, () => this.now());
  }

  static create(options: StateTableOptions = {}): StateTable {
    const now = options.now?.() ?? Date.now();
    return new StateTable(createMemory(options, now, hrtimeMs()), options.now);
  }

  /**
   * The table that another thread made. Throws `KEYMUX_TABLE_MISMATCH` if the buffer is none, or was made by an
   * incompatible version of keymux.
   */
  static attach(buffer: SharedArrayBuffer): StateTable {
    return new StateTable(openMemory(buffer), undefined);
  }

  /** Epoch milliseconds with fractions; never runs backwards, and all threads agree on it. */
  now(): number {
    return this.#clock === undefined ? this.#memory.clockOrigin + hrtimeMs() : this.#clock();
  }

  /** Moves with every change of health or of a disabled flag; a decision holds while it stands still. Wraps. */
  get generation(): number {
    return Atomics.load(this.#words, this.#memory.generationAt);
  }

  bumpGeneration(): void {
    Atomics.add(this.#words, this.#memory.generationAt, 1);
  }

  /** Grows whenever the owner of a key becomes known, so that keys of one owner are joined in every thread. */
  get ownersKnown(): number {
    return Atomics.load(this.#words, this.#memory.ownersAt);
  }

  /** Notes who owns a key, by the index of a subject that stands for the owner; the first to say so is believed. */
  setOwner(key: number, owner: number): boolean {
    const at = this.#subjectAt(key) + COUNTER.owner;
    if (Atomics.compareExchange(this.#words, at, 0, owner + 1) !== 0) return false;
    Atomics.add(this.#words, this.#memory.ownersAt, 1);
    this.bumpGeneration();
    return true;
  }

  /**
   * The index of a credential (`key:<fingerprint>`), a bucket (`bucket:…`) or a provider (`provider:…`), the same in
   * every thread. An unknown name is added, fresh and healthy. Throws `KEYMUX_TABLE_FULL` when the table is full.
   */
  subject(name: string): number {
    const known = this.#subjects.get(name);
    if (known !== undefined) return known;
    const { pairs, subjectsAt, subjectCapacity } = this.#memory;
    const index = slotOfName(pairs, subjectsAt, SUBJECT.words, subjectCapacity, name);
    if (index === undefined) {
      throw tableFull(
        `a subject beyond ${subjectCapacity}`,
        'Restart the process if keys were changed often; otherwise configure fewer of them.',
      );
    }
    this.#subjects.set(name, index);
    return index;
  }

  health(index: number): Health {
    // Most subjects are healthy most of the time, and a 64-bit read costs ten times as much as this one.
    const healthy = healthyOf(this.#condition(index));
    if (healthy !== undefined) return healthy;
    return unpackHealth(Atomics.load(this.#memory.pairs, this.#healthPair(index)), this.#memory.epoch);
  }

  /** The version of its health. */
  version(index: number): number {
    return versionOf(this.#condition(index));
  }

  /** Failures in a row of a healthy subject; undefined for any other. */
  strikes(index: number): number | undefined {
    return strikesOf(this.#condition(index));
  }

  /** Replaces `expected` by `next` unless it has changed; whether it did. Deadlines are rounded up to 10 ms. */
  commitHealth(index: number, expected: Health, next: Health): boolean {
    const { pairs, epoch } = this.#memory;
    const before = packHealth(expected, epoch);
    return (
      Atomics.compareExchange(pairs, this.#healthPair(index), before, packHealth(next, epoch)) === before
    );
  }

  /** Applies an event to what stands, whatever other threads do meanwhile. */
  update(index: number, event: HealthEvent, policy: HealthPolicy, now: number, random: Random): HealthChange {
    return this.#change(index, (health) => transition(health, event, policy, now, random));
  }

  /** Merges what a store knows: the later version wins. */
  restore(index: number, health: Health): HealthChange {
    const stored = this.#asStored(health);
    return this.#change(index, (current) => mergeHealth(current, stored));
  }

  /** Whether the subject rests at `now`. */
  isOpen(index: number, now: number): boolean {
    return now < this.openUntil(index);
  }

  /** Until when the subject rests, or last rested, in epoch milliseconds; 0 if it does not rest. */
  openUntil(index: number): number {
    // Plain reads: every change moves the generation, which is what hot readers load atomically first.
    const at = this.#subjectAt(index);
    if (!isResting(this.#words[at + SUBJECT.condition] as number)) return 0;
    return momentOf(this.#words[at + SUBJECT.deadline] as number, this.#memory.epoch);
  }

  /** Whether a person took the subject out of use. */
  disabled(index: number): boolean {
    return (Atomics.load(this.#words, this.#disabledAt(index)) & 1) === 1;
  }

  /** Grows with every change of the disabled flag. */
  disabledVersion(index: number): number {
    return Atomics.load(this.#words, this.#disabledAt(index)) >>> 1;
  }

  /**
   * Sets the flag; whether anything changed. With a version (from a store) the higher one wins, and `true` between
   * equals; without one it is a new decision and gets the next version.
   */
  setDisabled(index: number, disabled: boolean, version?: number): boolean {
    const at = this.#disabledAt(index);
    for (;;) {
      const current = Atomics.load(this.#words, at);
      const isSame = (current & 1) === Number(disabled);
      if (version === undefined && isSame) return false;
      const next = ((version ?? (current >>> 1) + 1) << 1) | Number(disabled) | 0;
      if (version !== undefined && next >>> 0 <= current >>> 0) return false;
      if (Atomics.compareExchange(this.#words, at, current, next) !== current) continue;
      this.bumpGeneration();
      return true;
    }
  }

  /** Adds to a counter and returns what it then is. */
  add(index: number, counter: Counter, delta: number): number {
    return (Atomics.add(this.#words, this.#subjectAt(index) + counter, delta) + delta) | 0;
  }

  get(index: number, counter: Counter): number {
    return Atomics.load(this.#words, this.#subjectAt(index) + counter);
  }

  set(index: number, counter: Counter, value: number): void {
    Atomics.store(this.#words, this.#subjectAt(index) + counter, value);
  }

  /** Sets a counter and returns what it was. */
  exchange(index: number, counter: Counter, value: number): number {
    return Atomics.exchange(this.#words, this.#subjectAt(index) + counter, value);
  }

  /** Until when the subject is out of permits, in epoch milliseconds; 0 if it never was. */
  blockedUntil(index: number): number {
    return this.timeOf(this.get(index, COUNTER.blockedUntil));
  }

  /** Rounded up to 10 ms; 0 takes it back. */
  setBlockedUntil(index: number, at: number): void {
    this.set(index, COUNTER.blockedUntil, this.tickOf(at));
  }

  /** A moment, in epoch milliseconds, as counters keep it: in ticks, rounded up to 10 ms; 0 is never. */
  tickOf(moment: number): number {
    return ticksAt(moment, this.#memory.epoch);
  }

  /** The moment of a tick, in epoch milliseconds; 0 if never. */
  timeOf(tick: number): number {
    return tick === 0 ? 0 : momentOf(tick, this.#memory.epoch);
  }

  /** The moving average of latency in milliseconds; 0 while nothing was recorded. */
  latencyMs(index: number): number {
    return this.get(index, COUNTER.latencyUs) / 1_000;
  }

  recordLatency(index: number, ms: number): void {
    const at = this.#subjectAt(index) + COUNTER.latencyUs;
    const sample = Math.min(LONGEST_LATENCY_US, Math.max(1, Math.round(ms * 1_000)));
    for (;;) {
      const current = Atomics.load(this.#words, at);
      const next =
        current === 0 ? sample : Math.max(1, Math.round(current + (sample - current) * LATENCY_SHARE));
      if (Atomics.compareExchange(this.#words, at, current, next) === current) return;
    }
  }

  /**
   * The index of a bucket (`<provider>/<bucket>`) with these windows, the same in every thread. If it had others, they
   * are replaced and all charges that are still known are carried over; permits taken before stay charged as they
   * are. Without windows nothing is ever refused. Throws `KEYMUX_TABLE_FULL` when the table is full, and
   * `KEYMUX_USAGE` for a limit that is not a whole number from 1 to 2^28.
   */
  bucket(name: string, windows: readonly QuotaWindow[]): number {
    return this.#buckets.open(name, windows);
  }

  /**
   * Takes one permit, charged at `now + HOLD_MS` until it is settled: its position, or -1 if a window is full. No
   * window ever holds more than its limit. `now` is the time of this table. `limits`: lower ones, in the order of the
   * windows, that hold for this permit alone; it then looks at each slot within the limits.
   */
  take(bucket: number, now: number, limits?: readonly number[]): number {
    return this.#buckets.take(bucket, now, limits);
  }

  /**
   * Lowers the charge of a permit to the latest moment at which the provider may have counted it, in epoch
   * milliseconds: a moment after `take` returned. Never raises it. Under limits above 65,536, where permits share
   * slots, charges stay as they were taken: such a window is in effect `HOLD_MS` longer.
   */
  settle(bucket: number, position: number, countedAt: number): void {
    this.#buckets.settle(bucket, position, countedAt);
  }

  /**
   * Returns a permit that was certainly never spent; at most once. The newest permit is free at once, another one
   * when those before it are.
   */
  giveBack(bucket: number, position: number): void {
    this.#buckets.giveBack(bucket, position);
  }

  /** How many permits can be taken now; Infinity without windows. Reads up to one slot per permit of the limits. */
  left(bucket: number, now: number): number {
    return this.#buckets.left(bucket, now);
  }

  /** The same for each window by itself; empty where another thread lays out the bucket anew at this moment. */
  leftInWindows(bucket: number, now: number): readonly number[] {
    return this.#buckets.leftInWindows(bucket, now);
  }

  /**
   * The soonest moment at which `take` may succeed. What is under way is taken as counted now, though it is charged
   * later: an estimate to wait by, which `take` then confirms. `limits`: as for `take`; Infinity where one is 0.
   */
  nextAt(bucket: number, now: number, limits?: readonly number[]): number {
    return this.#buckets.nextAt(bucket, now, limits);
  }

  /** How many of the permits before a position count against each window now. */
  usedBefore(bucket: number, position: number, now: number): readonly number[] {
    return this.#buckets.usedBefore(bucket, position, now);
  }

  /** When each permit that counts against any window is charged, in epoch milliseconds, ascending. */
  charges(bucket: number, now: number): readonly number[] {
    return this.#buckets.charges(bucket, now);
  }

  /** Whether this thread is to tell a store that forgot the bucket: no other did within that time. */
  claimRetelling(bucket: number, now: number, restMs: number): boolean {
    return this.#buckets.claimRetelling(bucket, now, restMs);
  }

  /**
   * Counts one more permit that is spent while it is open whether the store is lost; false where all threads together
   * have spent `most` since the first of these, no longer than `restMs` ago.
   */
  claimInDoubt(bucket: number, most: number, now: number, restMs: number): boolean {
    return this.#buckets.claimInDoubt(bucket, most, now, restMs);
  }

  /**
   * Notes what the store granted just now, and what it then left in the tightest window, for threads that never asked
   * it; the position that the next permit of the bucket gets.
   */
  noteAnswer(bucket: number, left: number, granted: number): number {
    return this.#buckets.noteAnswer(bucket, left, granted);
  }

  /** What the store left at its latest answer to any thread, and the position then; undefined where there was none. */
  lastAnswer(bucket: number): { readonly position: number; readonly left: number } | undefined {
    return this.#buckets.lastAnswer(bucket);
  }

  /** The claim was not needed. */
  unclaimInDoubt(bucket: number): void {
    this.#buckets.unclaimInDoubt(bucket);
  }

  /** The limits in force of a bucket, in the order of its windows: the configured ones, or lower ones that were stated. */
  limits(bucket: number): readonly number[] {
    return this.#buckets.limits(bucket);
  }

  /** The provider states a limit over windows of this length; see `adjustedLimit`. Whether that changed anything. */
  adjustLimit(bucket: number, stated: number, perMs: number, now: number): boolean {
    return this.#buckets.adjust(bucket, stated, perMs, now);
  }

  /** The provider refused a request: limits that were lowered do not rise for another window. */
  holdLimits(bucket: number, now: number): void {
    this.#buckets.holdLowered(bucket, now);
  }

  /** Charges a bucket, as of now, with what another one was charged, as far as there is room: the careful side. */
  carryCharges(bucket: number, from: number, now: number): void {
    this.#buckets.carry(bucket, from, now);
  }

  #change(index: number, next: (health: Health) => Health): HealthChange {
    for (;;) {
      const before = this.health(index);
      const wanted = next(before);
      if (wanted === before) return { before, after: before };
      if (!this.commitHealth(index, before, wanted)) continue;
      if (startsAnew(before, wanted)) this.set(index, COUNTER.successes, 0);
      this.bumpGeneration();
      return { before, after: this.#asStored(wanted) };
    }
  }

  #asStored(health: Health): Health {
    return unpackHealth(packHealth(health, this.#memory.epoch), this.#memory.epoch);
  }

  #condition(index: number): number {
    return Atomics.load(this.#words, this.#subjectAt(index) + SUBJECT.condition);
  }

  #subjectAt(index: number): number {
    return this.#memory.subjectsAt + index * SUBJECT.words;
  }

  #healthPair(index: number): number {
    return (this.#subjectAt(index) + SUBJECT.health) / 2;
  }

  #disabledAt(index: number): number {
    return this.#subjectAt(index) + SUBJECT.disabled;
  }
}

/** Whether good answers from before say nothing any more. */
function startsAnew(before: Health, after: Health): boolean {
  if (after.status === 'resting') return after.version !== before.version;
  return before.status === 'healthy' && after.status !== 'healthy';
}

function hrtimeMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1_000 + nanoseconds / 1_000_000;
}
