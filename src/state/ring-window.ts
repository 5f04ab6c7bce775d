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
  // A boundary of the calendar is costly to compute, so each is kept until the next one.
  #periodFrom = Number.POSITIVE_INFINITY;
  #periodUntil = Number.NEGATIVE_INFINITY;
  #periodStartTick = 0;

  constructor(lane: Lane, plan: WindowPlan, tickMs: number, epoch: number) {
    this.#lane = lane;
    this.#slots = plan.slots;
    this.#ticks = plan.ticks;
    this.#requests = plan.window.requests;
    this.#calendar = plan.window.calendar;
    this.#tickMs = tickMs;
    this.#epoch = epoch;
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
    return ((startTick - this.#blocker(words, position)) | 0) > 0;
  }

  /** How many positions in a row, from this one on, are free. */
  left(words: Int32Array, position: number, startTick: number): number {
    const { at, mask, shift } = this.#lane;
    const first = (position >>> shift) - this.#slots;
    let slots = 0;
    while (slots < this.#slots && ((startTick - (words[at + ((first + slots) & mask)] as number)) | 0) > 0)
      slots += 1;
    const begun = position & (2 ** shift - 1);
    return slots === 0 ? 0 : Math.min(this.#requests, slots * 2 ** shift - begun);
  }

  /**
   * When `position` becomes free if what is still under way is counted now; `now` if it is free. Epoch milliseconds.
   */
  freeAt(words: Int32Array, position: number, now: number, ticks: number): number {
    const blocker = this.#blocker(words, position);
    if (((this.startTick(now, ticks) - blocker) | 0) > 0) return now;
    const chargedTick = ticks - Math.max(0, (ticks - blocker) | 0);
    if (this.#calendar !== undefined) {
      return nextReset(this.#calendar, Math.max(now, this.#epoch + chargedTick * this.#tickMs));
    }
    return this.#epoch + (chargedTick + this.#ticks) * this.#tickMs + 1;
  }

  #blocker(words: Int32Array, position: number): number {
    const { at, mask, shift } = this.#lane;
    return words[at + (((position >>> shift) - this.#slots) & mask)] as number;
  }
}
