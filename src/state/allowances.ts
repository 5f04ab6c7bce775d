/**
 * What providers stated of buckets, shared by all threads: two words that one 64-bit compare-and-exchange changes
 * together (a deadline in ticks; what is left and of which kind it is), and the terms beside them. Hints, not limits:
 * a lost update costs a refusal at most.
 */
import {
  afterStatement,
  allowanceAt,
  type AllowanceTerms,
  type StatedAllowance,
  type Statement,
} from '../core/stated-allowance.js';
import { COUNTER, pairOf, STATED, SUBJECT, type TableMemory, wordsOfPair } from './layout.js';
import { momentOf, ticksAt } from './packed-health.js';

/** Nothing may be sent now. `until`: before that moment; absent: before an answer tells of the new window. */
export interface Withheld {
  readonly until?: number;
}

const KIND_BITS = 2;
/** By number; 0 is nothing stated. */
const KINDS = [undefined, 'fixed', 'refilling', 'returning'] as const;
const KIND_NUMBER = { fixed: 1, refilling: 2, returning: 3 } as const;
const BUSY: Withheld = {};

export class Allowances {
  readonly #memory: TableMemory;
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(memory: TableMemory) {
    this.#memory = memory;
    this.#words = memory.words;
  }

  /**
   * Counts one request that is about to go out: its number among those of the bucket, or why it must not. Undefined
   * where nothing is stated, which costs one read.
   */
  take(index: number, now: number): number | Withheld | undefined {
    const at = this.#subjectAt(index);
    if (Atomics.load(this.#words, at + SUBJECT.statedLeft) === 0) return undefined;
    for (;;) {
      const pair = this.#load(at);
      const current = this.#at(at, pair, now);
      if (current === undefined) {
        if (this.#exchange(at, pair, undefined)) return undefined;
        continue;
      }
      if (current.left === 0 && !this.#mayTry(at, current)) {
        return current.kind === 'returning' ? BUSY : { until: current.until };
      }
      if (!this.#exchange(at, pair, { ...current, left: Math.max(0, current.left - 1) })) continue;
      const granted = (Atomics.add(this.#words, at + STATED.grants, 1) + 1) | 0;
      // What was let go before the new window says nothing of it.
      if (current.kind === 'returning' && this.#kindOf(pair) !== 'returning') {
        Atomics.store(this.#words, at + STATED.heard, (granted - 1) | 0);
      }
      return granted;
    }
  }

  /** The request that was counted never went out. */
  giveBack(index: number, now: number): void {
    const at = this.#subjectAt(index);
    for (;;) {
      const pair = this.#load(at);
      const current = this.#at(at, pair, now);
      if (current === undefined || this.#exchange(at, pair, { ...current, left: current.left + 1 })) return;
    }
  }

  /**
   * Takes up what the answer to a request states. `granted` is what `take` returned for it; undefined where nothing was
   * stated then. `underWay`: other requests of the bucket that are not answered yet. What is left now.
   */
  learn(
    index: number,
    statement: Statement,
    granted: number | undefined,
    underWay: number,
    now: number,
  ): StatedAllowance {
    const at = this.#subjectAt(index);
    for (;;) {
      const pair = this.#load(at);
      const current = this.#at(at, pair, now);
      const grants = Atomics.load(this.#words, at + STATED.grants);
      const heard = Atomics.load(this.#words, at + STATED.heard);
      const next = afterStatement(current, statement, {
        grantedAfter: granted === undefined ? undefined : (grants - granted) | 0,
        underWay,
        isRecent: granted !== undefined && ((granted - heard) | 0) > 0,
      });
      if (next === undefined || next === current) return next ?? statement;
      this.#setTerms(at, statement);
      if (!this.#exchange(at, pair, next)) continue;
      const isLowered = current === undefined || next.left < current.left;
      const until = isLowered ? grants : (granted ?? heard);
      if (((until - heard) | 0) > 0) Atomics.store(this.#words, at + STATED.heard, until);
      return next;
    }
  }

  /** What is stated, and the limit where that was told; undefined where nothing is. */
  read(index: number, now: number): (StatedAllowance & { readonly limit?: number }) | undefined {
    const at = this.#subjectAt(index);
    const current = this.#at(at, this.#load(at), now);
    if (current === undefined) return undefined;
    const limit = this.#words[at + STATED.limit] as number;
    return limit === 0 ? current : { ...current, limit };
  }

  forget(index: number): void {
    const at = this.#subjectAt(index);
    Atomics.store(this.#memory.pairs, (at + SUBJECT.stated) / 2, 0n);
  }

  /** The bucket takes over what is stated of another one, if that leaves less. */
  inherit(index: number, from: number, now: number): void {
    const given = this.read(from, now);
    const own = this.read(index, now);
    if (given === undefined || (own !== undefined && own.left <= given.left)) return;
    const [at, fromAt] = [this.#subjectAt(index), this.#subjectAt(from)];
    this.#setTerms(at, this.#termsOf(fromAt));
    this.#exchange(at, this.#load(at), given);
  }

  /** Nothing is under way that could tell of the new window: somebody has to ask. */
  #mayTry(at: number, { kind }: StatedAllowance): boolean {
    // The one who asks is counted among the pending already.
    return kind === 'returning' && Atomics.load(this.#words, at + COUNTER.pending) <= 1;
  }

  #at(at: number, pair: bigint, now: number): StatedAllowance | undefined {
    const [deadline, packed] = wordsOfPair(pair);
    const kind = KINDS[packed & (2 ** KIND_BITS - 1)];
    if (kind === undefined) return undefined;
    const until = momentOf(deadline, this.#memory.epoch);
    return allowanceAt({ kind, left: packed >>> KIND_BITS, until }, this.#termsOf(at), now);
  }

  #kindOf(pair: bigint): StatedAllowance['kind'] | undefined {
    return KINDS[wordsOfPair(pair)[1] & (2 ** KIND_BITS - 1)];
  }

  #termsOf(at: number): AllowanceTerms {
    const words = this.#words;
    return {
      limit: words[at + STATED.limit] as number,
      gain: words[at + STATED.gain] as number,
      // A thread that ended between two writes may have left a 0.
      stepMs: Math.max(1, words[at + STATED.stepMs] as number),
    };
  }

  #setTerms(at: number, { limit, gain, stepMs }: AllowanceTerms): void {
    Atomics.store(this.#words, at + STATED.limit, limit);
    Atomics.store(this.#words, at + STATED.gain, gain);
    Atomics.store(this.#words, at + STATED.stepMs, stepMs);
  }

  #load(at: number): bigint {
    return Atomics.load(this.#memory.pairs, (at + SUBJECT.stated) / 2);
  }

  #exchange(at: number, pair: bigint, next: StatedAllowance | undefined): boolean {
    const packed =
      next === undefined
        ? 0n
        : pairOf(ticksAt(next.until, this.#memory.epoch), (next.left << KIND_BITS) | KIND_NUMBER[next.kind]);
    return Atomics.compareExchange(this.#memory.pairs, (at + SUBJECT.stated) / 2, pair, packed) === pair;
  }

  #subjectAt(index: number): number {
    return this.#memory.subjectsAt + index * SUBJECT.words;
  }
}
