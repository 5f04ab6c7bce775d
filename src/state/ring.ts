/**
 * The exact sliding log of one bucket, taken from by any number of threads without a lock.
 *
 * A position counter P numbers the permits; the slot of a permit holds its charge: the latest moment at which the
 * provider may count it. To take position p, for every window of L requests the charge at p - L must lie before the
 * window; then the new charge is written to the slot of p, and one compare-and-exchange of the counter commits it.
 *
 * Why no window ever holds more than L. Suppose the charges of L + 1 permits lie within one window; q is the first
 * of these positions and r the last, so r >= q + L. When q + L was granted, the charge of q lay before the window
 * that ended then; since charges are only ever lowered it still does, and the charge of r, which was granted no
 * earlier and is charged no earlier than it was granted, lies after that. So q and r are not in one window. This
 * holds in whatever order charges are lowered, and also for the true moments, which lie between grant and charge.
 *
 * Why threads cannot spoil it. The sequence word S and the untaken word U make P = S - U. Taking advances S by 1.
 * Un-taking the newest permit advances S by 1 and U by 2, in one 64-bit exchange. S never returns to an earlier
 * value, so an exchange of S succeeds only if nothing at all was taken or un-taken since S was read: the checks
 * still hold. A loser, or a thread that dies before the exchange, leaves a charge in a slot that is not committed:
 * nobody looks at position p until P > p, as every lane is longer than its limit, and the next taker overwrites it.
 * It writes only over what the slot held while p was free, so it cannot touch a committed charge, but for one that
 * happens to equal it (two threads in one tick); that is raised at most, which is careful.
 *
 * Charges are 32-bit ticks that wrap. Once per era (a day, where a tick is 1 ms) charges older than every window are
 * set to a fixed age, so that no charge ever grows so old that it looks like the future.
 */
import { KeymuxError } from '../core/errors.js';
import { adjustedLimit, HOLD_MS, type QuotaWindow } from '../core/quota.js';
import { pairOf, RING, type TableMemory, wordsOfPair } from './layout.js';
import { LONGEST_TICKS, planRing, type RingPlan, windowsOf } from './ring-plan.js';
import { Lane, WindowView } from './ring-window.js';
import { momentOf, ticksAt } from './packed-health.js';

export const REFUSED = -1;
/** The ring was replaced, or is about to be. */
export const SEALED = -2;

/** Positions as callers see them: never negative. */
const POSITION_MASK = 0x7fff_ffff;
const ERA_TICKS = LONGEST_TICKS / 7;
/** The age of a charge that no window looks at any more. */
const FORGOTTEN_TICKS = LONGEST_TICKS + ERA_TICKS;
const ERAS_TO_FORGET_ALL = 8;

export class Ring {
  readonly at: number;
  readonly plan: RingPlan;
  readonly #memory: TableMemory;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #lanes: readonly Lane[];
  readonly #exactLane: Lane | undefined;
  readonly #windows: readonly WindowView[];
  readonly #holdTicks: number;
  #eraEnd = Number.NEGATIVE_INFINITY;

  constructor(memory: TableMemory, at: number) {
    const textBytes = memory.words[at + RING.textBytes] as number;
    const textAt = (at + RING.words) * Int32Array.BYTES_PER_ELEMENT;
    // TextDecoder does not read shared memory, hence the copy.
    const text = new TextDecoder().decode(memory.bytes.slice(textAt, textAt + textBytes));
    this.at = at;
    this.plan = planRing(windowsOf(text));
    this.#memory = memory;
    this.#words = memory.words;
    const { tickMs } = this.plan;
    this.#lanes = this.plan.lanes.map((lane) => new Lane(at, lane));
    this.#exactLane = this.#lanes.find((lane) => lane.shift === 0);
    this.#windows = this.plan.windows.map(
      (window, index) =>
        new WindowView(new Lane(at, window.lane), window, tickMs, memory.epoch, loweredWord(at, index)),
    );
    this.#holdTicks = Math.ceil(HOLD_MS / tickMs);
  }

  /** A ring in a block that no other thread knows yet. `charges` are moments in ascending order. */
  static build(
    memory: TableMemory,
    at: number,
    plan: RingPlan,
    now: number,
    firstPosition: number,
    charges: readonly number[],
  ): void {
    const { words } = memory;
    const ticks = Math.ceil((now - memory.epoch) / plan.tickMs);
    words[at + RING.sequence] = firstPosition;
    words[at + RING.untaken] = 0;
    words[at + RING.sweptEra] = Math.floor(ticks / ERA_TICKS);
    words[at + RING.textBytes] = plan.textBytes.length;
    words.fill(0, at + RING.anyLowered, at + RING.words);
    memory.bytes.set(plan.textBytes, (at + RING.words) * Int32Array.BYTES_PER_ELEMENT);
    for (const lane of plan.lanes) {
      const laneAt = at + lane.offset;
      words.fill(ticks - FORGOTTEN_TICKS, laneAt, laneAt + lane.mask + 1);
      charges.forEach((charge, index) => {
        const position = (firstPosition - charges.length + index) | 0;
        // Ascending, so that a slot of several permits ends with the latest of its charges.
        words[laneAt + ((position >>> lane.shift) & lane.mask)] = Math.ceil(
          (charge - memory.epoch) / plan.tickMs,
        );
      });
    }
  }

  /**
   * The position of the permit, `REFUSED` or `SEALED`. `limits`: lower ones, in the order of the windows, for this
   * permit alone. Others may have been taken under higher ones, so everything within the windows is counted.
   */
  take(now: number, limits?: readonly number[]): number {
    const words = this.#words;
    const sequenceAt = this.at + RING.sequence;
    const ticks = this.#ticksOfEra(now);
    const charge = (ticks + this.#holdTicks) | 0;
    for (;;) {
      const sequence = Atomics.load(words, sequenceAt);
      const untaken = words[sequenceAt + 1] as number;
      if ((untaken & 1) !== 0) return SEALED;
      const position = (sequence - untaken) | 0;
      if (!this.#isFree(position, now, ticks)) return REFUSED;
      if (limits !== undefined && !this.#isBelow(limits, position, now, ticks)) return REFUSED;
      if (!this.#charge(position, charge, sequence)) continue;
      if (Atomics.compareExchange(words, sequenceAt, sequence, (sequence + 1) | 0) === sequence) {
        return position & POSITION_MASK;
      }
    }
  }

  /**
   * Lowers the charge of a permit to the latest moment at which the provider may have counted it, which is no
   * earlier than the grant; never raises it. A position that is no longer known is left alone.
   */
  settle(position: number, countedAt: number): void {
    const slotAt = this.#committedSlot(position);
    if (slotAt === undefined) return;
    const wanted = this.#ticks(countedAt) | 0;
    for (;;) {
      const current = Atomics.load(this.#words, slotAt);
      const rise = (wanted - current) | 0;
      if (rise >= 0) return;
      const lowered = (current + Math.max(rise, -this.#holdTicks)) | 0;
      if (Atomics.compareExchange(this.#words, slotAt, current, lowered) === current) return;
    }
  }

  /**
   * Frees a permit that was never spent: at once if it is the newest, otherwise when those before it are free. A
   * permit that shares its slot with others is freed only if it is the newest. Once per position.
   */
  giveBack(position: number): void {
    const slotAt = this.#committedSlot(position);
    if (slotAt !== undefined) this.#forget(slotAt);
    for (;;) {
      const pair = Atomics.load(this.#memory.pairs, this.at / 2);
      const [sequence, untaken] = wordsOfPair(pair);
      const isNewest = ((sequence - untaken - 1) & POSITION_MASK) === position;
      if (!isNewest || (untaken & 1) !== 0) return;
      if (this.#exchangePair(pair, sequence + 1, untaken + 2)) return;
    }
  }

  /** Permits that can be taken now; `SEALED` if none ever. Looks at every slot within the limits. */
  left(now: number): number {
    const position = this.#openPosition();
    if (position === undefined) return SEALED;
    const ticks = this.#ticksOfEra(now);
    let left = Number.POSITIVE_INFINITY;
    for (const window of this.#windows) {
      left = Math.min(left, window.left(this.#words, position, window.startTick(now, ticks)));
    }
    return left;
  }

  /** The same for each window by itself; empty if sealed. */
  leftInWindows(now: number): readonly number[] {
    const position = this.#openPosition();
    if (position === undefined) return [];
    const ticks = this.#ticksOfEra(now);
    return this.#windows.map((window) => window.left(this.#words, position, window.startTick(now, ticks)));
  }

  /** When a permit may be free, taking what is still under way as counted now; `SEALED` if never. */
  nextAt(now: number): number {
    const position = this.#openPosition();
    if (position === undefined) return SEALED;
    const ticks = this.#ticksOfEra(now);
    let at = now;
    for (const window of this.#windows) at = Math.max(at, window.freeAt(this.#words, position, now, ticks));
    return at;
  }

  /** As `nextAt` under lower limits. Infinity where one of them is 0. */
  belowAt(now: number, limits: readonly number[]): number {
    const position = this.#openPosition();
    if (position === undefined) return SEALED;
    const ticks = this.#ticksOfEra(now);
    return this.#windows.reduce(
      (at, window, index) =>
        Math.max(at, window.belowAt(this.#words, position, now, ticks, limits[index] ?? 0)),
      now,
    );
  }

  /** Permits before this position that count against each window. */
  usedBefore(position: number, now: number): number[] {
    const ticks = this.#ticksOfEra(now);
    return this.#windows.map((window) =>
      window.used(this.#words, position, window.startTick(now, ticks), Number.POSITIVE_INFINITY),
    );
  }

  /** The limit in force of each window: the configured one, or a lower one that the provider stated. */
  limits(): number[] {
    return this.plan.windows.map(({ window }, index) => {
      const at = loweredWord(this.at, index);
      const lowered = at === undefined ? 0 : (this.#words[at] as number);
      return lowered === 0 ? window.requests : lowered;
    });
  }

  /** The provider states a limit over windows of this length; `adjustedLimit` says what follows. Whether anything did. */
  adjust(stated: number, perMs: number, now: number): boolean {
    return this.#eachLowered((window, loweredAt, sinceMs) => {
      if (window.perMs !== perMs) return undefined;
      const lowered = this.#words[loweredAt] as number;
      const current = lowered === 0 ? window.requests : lowered;
      const next = adjustedLimit({ current, configured: window.requests, stated, sinceMs, perMs });
      return next === current ? undefined : next === window.requests ? 0 : next;
    }, now);
  }

  /** The provider refused: what was lowered does not rise for another window. */
  holdLowered(now: number): void {
    this.#eachLowered((_, loweredAt) => this.#words[loweredAt] || undefined, now);
  }

  /** After this nothing can be taken or un-taken any more; charges may still be lowered. */
  seal(): void {
    for (;;) {
      const pair = Atomics.load(this.#memory.pairs, this.at / 2);
      const [sequence, untaken] = wordsOfPair(pair);
      if ((untaken & 1) !== 0 || this.#exchangePair(pair, sequence + 2, untaken + 3)) return;
    }
  }

  /** The next position that would be taken; of a sealed ring, too. */
  endPosition(): number {
    const sequence = Atomics.load(this.#words, this.at + RING.sequence);
    return (sequence - ((this.#words[this.at + RING.untaken] as number) & ~1)) | 0;
  }

  /** The charges that a sealed ring still knows, at most `most` of the latest, as moments in ascending order. */
  charges(now: number, most: number): number[] {
    const ticks = this.#ticks(now);
    const end = this.endPosition();
    const moments: number[] = [];
    for (let back = 1; back <= most; back += 1) {
      const slotAt = this.#lanes.find((lane) => back <= lane.reach)?.slotAt((end - back) | 0);
      if (slotAt === undefined) break;
      const age = (ticks - Atomics.load(this.#words, slotAt)) | 0;
      if (age <= LONGEST_TICKS) moments.push(this.#memory.epoch + (ticks - age) * this.plan.tickMs);
    }
    return moments.sort((a, b) => a - b);
  }

  /** `next` gives the new limit, 0 for the configured one, or undefined to leave a window alone. */
  #eachLowered(
    next: (window: QuotaWindow, loweredAt: number, sinceMs: number) => number | undefined,
    now: number,
  ): boolean {
    const { epoch } = this.#memory;
    let changed = false;
    for (const [index, { window }] of this.plan.windows.entries()) {
      const loweredAt = loweredWord(this.at, index);
      if (loweredAt === undefined) break;
      const timeAt = loweredAt - RING.lowered + RING.loweredAt;
      const sinceMs = now - momentOf(this.#words[timeAt] as number, epoch);
      const limit = next(window, loweredAt, sinceMs);
      if (limit === undefined) continue;
      Atomics.store(this.#words, timeAt, ticksAt(now, epoch));
      Atomics.store(this.#words, this.at + RING.anyLowered, 1);
      changed = Atomics.exchange(this.#words, loweredAt, limit) !== limit || changed;
    }
    return changed;
  }

  #ticks(moment: number): number {
    return Math.ceil((moment - this.#memory.epoch) / this.plan.tickMs);
  }

  #ticksOfEra(now: number): number {
    const ticks = this.#ticks(now);
    if (!(ticks < this.#eraEnd)) this.#beginEra(ticks);
    return ticks;
  }

  #openPosition(): number | undefined {
    const sequence = Atomics.load(this.#words, this.at + RING.sequence);
    const untaken = this.#words[this.at + RING.untaken] as number;
    return (untaken & 1) === 0 ? (sequence - untaken) | 0 : undefined;
  }

  #exchangePair(pair: bigint, sequence: number, untaken: number): boolean {
    return Atomics.compareExchange(this.#memory.pairs, this.at / 2, pair, pairOf(sequence, untaken)) === pair;
  }

  #forget(slotAt: number): void {
    for (;;) {
      const current = Atomics.load(this.#words, slotAt);
      const forgotten = (current - FORGOTTEN_TICKS) | 0;
      if (Atomics.compareExchange(this.#words, slotAt, current, forgotten) === current) return;
    }
  }

  // The slots are read plainly: whoever saw the sequence also sees every charge that was committed before it, and
  // a charge that was lowered since is only read as higher than it is.
  #isFree(position: number, now: number, ticks: number): boolean {
    for (const window of this.#windows) {
      if (!window.isFree(this.#words, position, window.startTick(now, ticks))) return false;
    }
    return this.#words[this.at + RING.anyLowered] === 0 || this.#isFreeBelow(position, now, ticks);
  }

  #isBelow(limits: readonly number[], position: number, now: number, ticks: number): boolean {
    return this.#windows.every((window, index) => {
      const limit = limits[index] ?? 0;
      return window.used(this.#words, position, window.startTick(now, ticks), limit) < limit;
    });
  }

  #isFreeBelow(position: number, now: number, ticks: number): boolean {
    return this.#windows.every((window) =>
      window.isFreeBelow(this.#words, position, window.startTick(now, ticks)),
    );
  }

  #charge(position: number, charge: number, sequence: number): boolean {
    const words = this.#words;
    for (const lane of this.#lanes) {
      const slotAt = lane.slotAt(position);
      const current = words[slotAt] as number;
      // Read again after the slot: otherwise `current` might be a charge that another thread has committed and
      // settled meanwhile, and this write would undo the settling.
      if (Atomics.load(words, this.at + RING.sequence) !== sequence) return false;
      const raised = ((charge - current) | 0) > 0 ? charge : current;
      if (Atomics.compareExchange(words, slotAt, current, raised) !== current) return false;
    }
    return true;
  }

  /** The slot that a permit has for itself; `undefined` if it shares one, or if the position is no longer known. */
  #committedSlot(position: number): number | undefined {
    const lane = this.#exactLane;
    if (lane === undefined) return undefined;
    const back = (this.endPosition() - position) & POSITION_MASK;
    return back >= 1 && back <= lane.reach ? lane.slotAt(position) : undefined;
  }

  #beginEra(ticks: number): void {
    if (!Number.isFinite(ticks)) {
      throw new KeymuxError('KEYMUX_USAGE', 'A quota was asked without a valid time.', {
        fix: 'Pass the time of the table, in epoch milliseconds.',
      });
    }
    const era = Math.floor(ticks / ERA_TICKS);
    const eraAt = this.at + RING.sweptEra;
    const swept = Atomics.load(this.#words, eraAt);
    if (era > swept) {
      this.#sweep(ticks, swept, era - swept > ERAS_TO_FORGET_ALL);
      Atomics.compareExchange(this.#words, eraAt, swept, era);
    }
    this.#eraEnd = (era + 1) * ERA_TICKS;
  }

  /** Several threads may sweep at once: each finishes before it takes, and none touches a charge made after it. */
  #sweep(ticks: number, swept: number, forgetAll: boolean): void {
    const words = this.#words;
    const start = ticks - LONGEST_TICKS;
    for (const lane of this.#lanes) {
      for (let slotAt = lane.at; slotAt <= lane.at + lane.mask; slotAt += 1) {
        const current = Atomics.load(words, slotAt);
        if (!forgetAll && ((start - current) | 0) <= 0) continue;
        // Read after the slot: if it has not moved, no thread has taken in this era before the slot was read.
        if (Atomics.load(words, this.at + RING.sweptEra) !== swept) return;
        Atomics.compareExchange(words, slotAt, current, (ticks - FORGOTTEN_TICKS) | 0);
      }
    }
  }
}

function loweredWord(ringAt: number, window: number): number | undefined {
  return window < RING.loweredWindows ? ringAt + RING.lowered + window : undefined;
}
