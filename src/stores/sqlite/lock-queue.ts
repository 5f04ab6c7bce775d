/** Those that wait for the lock of the file: one looks for all of them, and when it is had they are served together. */
import { SILENCE_MS } from '../../core/silence.js';
import { isBusy, isStorageTrouble } from './driver.js';
import { Wait, randomPauseMs } from './patience.js';
import type { Patience } from './patience.js';
import type { Session } from './session.js';
import { monotonicMs } from './shared-clock.js';

/** What one transaction may hold, so that neither the event loop nor the other members are held up. */
const MOST_TOGETHER = 64;
const LONGEST_TOGETHER_MS = 2;

/** How the queue gets at the file. */
export interface Access {
  /** Runs `work` in an immediate transaction, now or not at all. */
  attempt<T>(work: (session: Session) => T): T;
  /** Differs from an earlier one if anybody wrote something since. */
  activity(): string;
  /** Whether the holder of the lock would go on, and only waits for the processor. */
  isHolderStarved(): boolean;
  /** Deals with an error, once, and says what those are told whom it meets. */
  failure(error: unknown): unknown;
  /** What those are told who waited for the lock so briefly that it may be free again soon. */
  silence(lastedMs: number, error: unknown): unknown;
}

interface Entry {
  readonly work: (session: Session) => unknown;
  readonly patience: Patience;
  readonly wait: Wait;
  /** Who is due first is served first. In monotonic time. */
  readonly dueAt: number;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

type Answer = { readonly result: unknown } | { readonly error: unknown };

export class LockQueue {
  readonly #access: Access;
  /** By `dueAt`. */
  #entries: Entry[] = [];
  #activity = '';
  #timer: NodeJS.Timeout | undefined;
  /** Since the last pause. */
  #looks = 0;
  /** The pace of the most impatient one; that many wait makes it no faster. Milliseconds. */
  #pauseMs = Number.POSITIVE_INFINITY;

  constructor(access: Access) {
    this.#access = access;
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** Waits as long as `patience` says. An error of one operation is told to that one alone; one of the file, to all. */
  add<T>(work: (session: Session) => T, patience: Patience): Promise<T> {
    if (this.isEmpty) this.#activity = this.#access.activity();
    const now = monotonicMs();
    const dueAt = now + patience.yieldsMs;
    const place = this.#entries.findLastIndex((entry) => entry.dueAt <= dueAt) + 1;
    return new Promise<T>((resolve, reject) => {
      const wait = new Wait(patience, now);
      const settle = { resolve: resolve as (result: unknown) => void, reject };
      this.#entries.splice(place, 0, { work, patience, wait, dueAt, ...settle });
      if (patience.pauseMs < this.#pauseMs) this.#lookWithin(patience.pauseMs);
    });
  }

  #lookWithin(pauseMs: number): void {
    clearTimeout(this.#timer);
    this.#pauseMs = pauseMs;
    this.#timer = setTimeout(() => this.#look(), randomPauseMs(pauseMs, Math.random()));
  }

  #look(): void {
    this.#pauseMs = Number.POSITIVE_INFINITY;
    try {
      this.#serve();
    } catch (error) {
      if (isBusy(error)) this.#endure(error);
      else this.#giveUp(new Set(this.#entries), error);
    }
    this.#lookAgain();
  }

  #lookAgain(): void {
    const { pauseMs, looks } = this.#entries.reduce<Pick<Patience, 'pauseMs' | 'looks'>>(
      (hastiest, { patience }) => (patience.pauseMs < hastiest.pauseMs ? patience : hastiest),
      { pauseMs: Number.POSITIVE_INFINITY, looks: 0 },
    );
    this.#looks += 1;
    if (this.#looks < looks) {
      clearTimeout(this.#timer);
      this.#pauseMs = pauseMs;
      setImmediate(() => this.#look());
      return;
    }
    this.#looks = 0;
    if (!this.isEmpty) this.#lookWithin(pauseMs);
  }

  #serve(): void {
    const answers = this.#access.attempt((session) => this.#answers(session));
    this.#forget(answers);
    for (const [entry, answer] of answers) {
      if ('error' in answer) entry.reject(answer.error);
      else entry.resolve(answer.result);
    }
  }

  #answers(session: Session): Map<Entry, Answer> {
    const endsAt = monotonicMs() + LONGEST_TOGETHER_MS;
    const answers = new Map<Entry, Answer>();
    for (const entry of this.#entries) {
      answers.set(entry, answerOf(session, entry.work));
      if (answers.size === MOST_TOGETHER || monotonicMs() >= endsAt) break;
    }
    return answers;
  }

  /** Somebody else has the lock: those go whose patience is at its end. */
  #endure(error: unknown): void {
    const now = monotonicMs();
    const before = this.#activity;
    this.#activity = this.#access.activity();
    const isMoving = this.#activity !== before;
    let isStarved: boolean | undefined;
    const excuse = (): boolean => (isStarved ??= this.#access.isHolderStarved());
    const impatient = this.#entries.filter(({ wait }) => !wait.goesOn(now, isMoving, excuse));
    const [brief, long] = [true, false].map(
      (isBrief) => new Set(impatient.filter(({ patience }) => patience.quietMs < SILENCE_MS === isBrief)),
    ) as [Set<Entry>, Set<Entry>];
    for (const entry of brief) {
      this.#reject(new Set([entry]), this.#access.silence(entry.patience.quietMs, error));
    }
    if (long.size > 0) this.#giveUp(long, error);
  }

  #giveUp(entries: ReadonlySet<Entry>, error: unknown): void {
    this.#reject(entries, this.#access.failure(error));
  }

  #reject(entries: ReadonlySet<Entry>, failure: unknown): void {
    this.#forget(entries);
    for (const { reject } of entries) reject(failure);
  }

  /** By identity: whoever is told of trouble may have queued up more in the meantime. */
  #forget(entries: { has(entry: Entry): boolean }): void {
    this.#entries = this.#entries.filter((entry) => !entries.has(entry));
  }
}

function answerOf(session: Session, work: Entry['work']): Answer {
  try {
    return { result: session.apart(() => work(session)) };
  } catch (error) {
    if (isStorageTrouble(error)) throw error;
    return { error };
  }
}
