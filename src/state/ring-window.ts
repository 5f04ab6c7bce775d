/** A ring's lanes and windows as one thread sees them: where a slot lies, and what a window says about it. */
import { lastReset, nextReset } from '../core/quota.js';
import type { LanePlan, WindowPlan } from './ring-plan.js';

export class Lane {
  readonly at: number;
  readonly mask: number;
  readonly shift: number;
  /** How many of the latest positions it knows for sure; the slot after these may be written ahead. */
  readonly reach: number;

  constructor(ringAt: number, plan: LanePlan) {
    this.at = ringAt + plan.offset;
    this.mask = plan.mask;
    this.shift = plan.shift;
    this.reach = plan.mask * 2 ** plan.shift;
  }

  slotAt(position: number): number {
    return this.at + ((position >>> this.shift) & this.mask);
  }
}

export class WindowView {
  readonly #lane: Lane;
  readonly #slots: number;
  readonly #ticks: number;
  readonly #requests: number;
  readonly #calendar: WindowPlan['window']['calendar'];
  readonly #tickMs: number;
  readonly #epoch: number;
  /** The word of a lower limit that holds beside the configured one; `undefined` where there is none. */
  readonly #loweredAt: number | undefined;
  // A boundary of the calendar is costly to compute, so each is kept until the next one.
  #periodFrom = Number.POSITIVE_INFINITY;
  #periodUntil = Number.NEGATIVE_INFINITY;
  #periodStartTick = 0;

  constructor(lane: Lane, plan: WindowPlan, tickMs: number, epoch: number, loweredAt: number | undefined) {
    this.#lane = lane;
    this.#slots = plan.slots;
    this.#ticks = plan.ticks;
    this.#requests = plan.window.requests;
    this.#calendar = plan.window.calendar;
    this.#tickMs = tickMs;
    this.#epoch = epoch;
    this.#loweredAt = loweredAt;
  }

  /** Charges from this tick on count against the window. `ticks` is `now`, rounded up. */
  startTick(now: number, ticks: number): number {
    if (this.#calendar === undefined) return (ticks - this.#ticks) | 0;
    if (!(now >= this.#periodFrom && now < this.#periodUntil)) {
      this.#periodFrom = lastReset(this.#calendar, now);
      this.#periodUntil = nextReset(this.#calendar, now);
      this.#periodStartTick = Math.ceil((this.#periodFrom - this.#epoch) / this.#tickMs) | 0;
    }
    return this.#periodStartTick;
  }

  /** Whether the charge one limit before `position` lies before the window. */
  isFree(words: Int32Array, position: number, startTick: number): boolean {
    return ((startTick - this.#blocker(words, position, this.#slots)) | 0) > 0;
  }

  /** The same for the lower limit, where there is one. */
  isFreeBelow(words: Int32Array, position: number, startTick: number): boolean {
    const lowered = this.#lowered(words);
    return lowered === 0 || ((startTick - this.#blocker(words, position, this.#slotsOf(lowered))) | 0) > 0;
  }

  /**
   * How many permits before `position` count against the window; no more than `enough` are looked for. A slot of
   * several permits counts as a whole.
   */
  used(words: Int32Array, position: number, startTick: number, enough: number): number {
    const { at, mask, shift } = this.#lane;
    const slot = position >>> shift;
    let used = position & (2 ** shift - 1);
    for (let back = 1; back <= this.#slots && used < enough; back += 1) {
      if (((startTick - (words[at + ((slot - back) & mask)] as number)) | 0) <= 0) used += 2 ** shift;
    }
    return used;
  }

  /**
   * When fewer than `limit` of the permits before `position` count against the window, if what is still under way is
   * counted now; `now` if that is so already. Epoch milliseconds; Infinity under a limit of 0.
   */
  belowAt(words: Int32Array, position: number, now: number, ticks: number, limit: number): number {
    if (limit < 1) return Number.POSITIVE_INFINITY;
    const { at, mask, shift } = this.#lane;
    const startTick = this.startTick(now, ticks);
    const begun = position & (2 ** shift - 1);
    const ages: number[] = [];
    for (let back = 1; back <= this.#slots; back += 1) {
      const charge = words[at + (((position >>> shift) - back) & mask)] as number;
      if (((startTick - charge) | 0) <= 0) ages.push(Math.max(0, (ticks - charge) | 0));
    }
    const tooMany = Math.ceil((begun + ages.length * 2 ** shift - limit + 1) / 2 ** shift);
    if (tooMany <= 0) return now;
    if (this.#calendar !== undefined) return nextReset(this.#calendar, now);
    const age = ages.sort((a, b) => b - a)[Math.min(tooMany, ages.length) - 1] ?? 0;
    return this.#epoch + (ticks - age + this.#ticks) * this.#tickMs + 1;
  }

  /** How many positions in a row, from this one on, are free. */
  left(words: Int32Array, position: number, startTick: number): number {
    const left = this.#leftOf(words, position, startTick, this.#slots, this.#requests);
    const lowered = this.#lowered(words);
    if (lowered === 0) return left;
    return Math.min(left, this.#leftOf(words, position, startTick, this.#slotsOf(lowered), lowered));
  }

  /**
   * When `position` becomes free if what is still under way is counted now; `now` if it is free. Epoch milliseconds.
   */
  freeAt(words: Int32Array, position: number, now: number, ticks: number): number {
    const freeAt = this.#freeAtOf(words, position, now, ticks, this.#slots);
    const lowered = this.#lowered(words);
    if (lowered === 0) return freeAt;
    return Math.max(freeAt, this.#freeAtOf(words, position, now, ticks, this.#slotsOf(lowered)));
  }

  #leftOf(
    words: Int32Array,
    position: number,
    startTick: number,
    limitSlots: number,
    requests: number,
  ): number {
    const { at, mask, shift } = this.#lane;
    const first = (position >>> shift) - limitSlots;
    let slots = 0;
    while (slots < limitSlots && ((startTick - (words[at + ((first + slots) & mask)] as number)) | 0) > 0)
      slots += 1;
    const begun = position & (2 ** shift - 1);
    return slots === 0 ? 0 : Math.min(requests, slots * 2 ** shift - begun);
  }

  #freeAtOf(words: Int32Array, position: number, now: number, ticks: number, slots: number): number {
    const blocker = this.#blocker(words, position, slots);
    if (((this.startTick(now, ticks) - blocker) | 0) > 0) return now;
    const chargedTick = ticks - Math.max(0, (ticks - blocker) | 0);
    if (this.#calendar !== undefined) {
      return nextReset(this.#calendar, Math.max(now, this.#epoch + chargedTick * this.#tickMs));
    }
    return this.#epoch + (chargedTick + this.#ticks) * this.#tickMs + 1;
  }

  /** 0 for none. Read plainly: a hint that may come a little late. */
  #lowered(words: Int32Array): number {
    return this.#loweredAt === undefined ? 0 : (words[this.#loweredAt] as number);
  }

  #slotsOf(requests: number): number {
    return Math.max(1, Math.floor(requests / 2 ** this.#lane.shift));
  }

  #blocker(words: Int32Array, position: number, slots: number): number {
    const { at, mask, shift } = this.#lane;
    return words[at + (((position >>> shift) - slots) & mask)] as number;
  }
}
