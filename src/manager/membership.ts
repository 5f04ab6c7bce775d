/** This process as one of its fleet: says that it is there, and knows how many there are and who leads. */
import type { Place } from '../core/fair-share.js';
import { BEAT_EVERY_MS, PRESENCE_TTL_MS } from '../core/fleet.js';
import type { Fence, Fleet, Leadership, Presence } from '../core/fleet.js';
import type { Clock, MaybePromise, Random, Store } from '../core/ports.js';
import type { StateTable } from '../state/table.js';
import type { StoreLink } from './store-link.js';

/**
 * `sharing`: the store answers. `alone`: it does not, and each member keeps to its share. `returning`: it answers
 * again, but what all spent meanwhile is not told yet, so that each still keeps to its share.
 */
export type MemberState = 'sharing' | 'alone' | 'returning';

export interface MembershipView {
  readonly memberId: string;
  readonly standing: MemberState;
  readonly place: Place;
  /** Since when the store does not answer, in the manager's time; undefined while it does. */
  readonly lostSince?: number | undefined;
  /** Who leads this member's group, as far as is known. */
  readonly leadership: Leadership | undefined;
  /** Set while this process leads. */
  readonly fence: Fence | undefined;
  /** Members with the same group elect one leader among them; undefined: does not stand. */
  setGroup(group: string | undefined): void;
  /** Calls back whenever this process begins (`fence`) or ceases (`undefined`) to lead. */
  onLeadership(listener: (fence: Fence | undefined) => void): () => void;
}

export interface MembershipContext {
  readonly store: Store;
  readonly table: StateTable;
  readonly link: StoreLink;
  readonly now: Clock;
  readonly random: Random;
  /** How many members to reckon with where the store has never answered. */
  readonly members: number;
  /** Looks on only, and is no member. */
  readonly isObserver: boolean;
  /** The first thread of the process takes its leave when it ends; others may end at any time. */
  readonly isFirstThread: boolean;
  /** This thread speaks for the process from now on (true), or does so no longer. */
  onChair(isChair: boolean): void;
  /** About once a second, in every thread. */
  onTick(): void;
}

/** Beats of many processes must not fall together. */
const JITTER = 0.2;

export class Membership implements MembershipView {
  readonly memberId: string;
  readonly #context: MembershipContext;
  /** Two managers of one thread may share a table, too. */
  readonly #speaker = Math.floor(Math.random() * 2 ** 30);
  readonly #host: string;
  readonly #startedAt: number;
  readonly #listeners = new Set<(fence: Fence | undefined) => void>();
  #group: string | undefined;
  #leadership: Leadership | undefined;
  /** What the listeners were told. */
  #told: Fence | undefined;
  #reunionUntil = 0;
  #cautiousUntil = 0;
  #isChair = false;
  #isRunning = false;
  #timer: NodeJS.Timeout | undefined;
  #fenceTimer: NodeJS.Timeout | undefined;

  constructor(context: MembershipContext) {
    this.#context = context;
    this.#host = process.getBuiltinModule('node:os').hostname();
    this.#startedAt = Date.now() - process.uptime() * 1_000;
    this.memberId = `${this.#host}:${String(process.pid)}:${context.table.fleet.seed}`;
  }

  get standing(): MemberState {
    const { isLost, isInDoubt } = this.#context.link;
    if (isLost && !isInDoubt) return 'alone';
    return this.#context.now() < Math.max(this.#reunionUntil, this.#cautiousUntil) ? 'returning' : 'sharing';
  }

  get lostSince(): number | undefined {
    const { isInDoubt, lostAt } = this.#context.link;
    return isInDoubt ? undefined : lostAt;
  }

  /** Until when every member keeps to its share though the store answers; 0 in ordinary times. */
  get reunionUntil(): number {
    return this.#reunionUntil;
  }

  get place(): Place {
    // Where nobody ever said how many there are, the last one has the smallest share.
    const { members } = this.#context;
    return this.#context.table.fleet.place ?? { size: members, rank: members - 1 };
  }

  get leadership(): Leadership | undefined {
    const leadership = this.#leadership;
    return leadership !== undefined && this.#context.now() < leadership.until ? leadership : undefined;
  }

  get fence(): Fence | undefined {
    const { leadership } = this;
    if (leadership?.memberId !== this.memberId || this.#group === undefined || !this.#isChair)
      return undefined;
    return { group: this.#group, token: leadership.token };
  }

  setGroup(group: string | undefined): void {
    if (this.#group === group) return;
    this.#group = group;
    this.#leadership = undefined;
    this.#tellLeadership();
    if (this.#isRunning) this.#beatAfter(0);
  }

  onLeadership(listener: (fence: Fence | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** A bucket is cautious: what others spent alone is not told yet. */
  noteCaution(until: number): void {
    this.#cautiousUntil = Math.max(this.#cautiousUntil, until);
  }

  /** Says for the first time that it is there, and from then on again and again. */
  start(): MaybePromise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    return this.#beat();
  }

  /** The store may be back: says so, and learns whether the whole fleet had been away. Fails while it is not. */
  rejoin(): MaybePromise<void> {
    if (this.#context.isObserver) {
      const census = this.#context.store.census();
      return census instanceof Promise ? census.then(() => {}) : undefined;
    }
    // Nobody was away who only did not hear of the store for a moment.
    const fleet = this.#context.store.beat(this.#presence(!this.#context.link.isInDoubt));
    return fleet instanceof Promise ? fleet.then((heard) => this.#hear(heard)) : this.#hear(fleet);
  }

  async stop(): Promise<void> {
    this.pause();
    const { link, store, isFirstThread, isObserver } = this.#context;
    if (!isFirstThread || isObserver || link.isLost) return;
    try {
      await store.leave(this.memberId);
    } catch {
      // It counts as gone soon enough.
    }
  }

  /** The synchronous part of `stop`. */
  pause(): void {
    this.#isRunning = false;
    clearTimeout(this.#timer);
    clearTimeout(this.#fenceTimer);
    this.#setChair(false);
    this.#context.table.fleet.leaveChair(this.#speaker);
  }

  #beat(): MaybePromise<void> {
    const { isObserver, link, store, table } = this.#context;
    this.#setChair(table.fleet.takeChair(this.#speaker, table.now()));
    this.#context.onTick();
    if (isObserver || link.isLost || !this.#isChair) return this.#beatAfter(this.#pauseMs());
    const failed = (): void => this.#beatAfter(this.#pauseMs());
    const heard = (fleet: Fleet): void => {
      this.#hear(fleet);
      this.#beatAfter(this.#pauseMs());
    };
    try {
      const fleet = link.ask(() => store.beat(this.#presence(false)));
      return fleet instanceof Promise ? fleet.then(heard, failed) : heard(fleet);
    } catch {
      return failed();
    }
  }

  #beatAfter(delayMs: number): void {
    clearTimeout(this.#timer);
    if (this.#isRunning) this.#timer = setTimeout(() => void this.#beat(), delayMs).unref();
  }

  #pauseMs(): number {
    return BEAT_EVERY_MS * (1 - JITTER * this.#context.random());
  }

  #presence(isReturning: boolean): Presence {
    return {
      memberId: this.memberId,
      host: this.#host,
      pid: process.pid,
      startedAt: this.#startedAt,
      ttlMs: PRESENCE_TTL_MS,
      ...(this.#group === undefined ? {} : { group: this.#group }),
      isReturning,
      remembered: this.#context.table.fleet.place?.size ?? 0,
    };
  }

  #hear({ size, rank, leader, reunionUntil }: Fleet): void {
    // Of others, a store that cannot be shared knows nothing.
    if (this.#context.store.shared)
      this.#context.table.fleet.setPlace({ size: Math.max(1, size), rank: Math.max(0, rank) });
    this.#reunionUntil = reunionUntil;
    this.#leadership = leader;
    this.#tellLeadership();
  }

  #setChair(isChair: boolean): void {
    if (this.#isChair === isChair) return;
    this.#isChair = isChair;
    this.#context.onChair(isChair);
    this.#tellLeadership();
  }

  #tellLeadership(): void {
    const { fence } = this;
    clearTimeout(this.#fenceTimer);
    if (fence !== undefined) {
      const leftMs = (this.#leadership?.until ?? 0) - this.#context.now();
      this.#fenceTimer = setTimeout(() => this.#tellLeadership(), Math.ceil(leftMs) + 1).unref();
    }
    if (fence?.token === this.#told?.token && fence?.group === this.#told?.group) return;
    this.#told = fence;
    for (const listener of [...this.#listeners]) listener(fence);
  }
}
