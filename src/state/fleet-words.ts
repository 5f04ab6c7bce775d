/** What all threads of a process know of their fleet, and which of them speaks for the process. */
import type { Place } from '../core/fair-share.js';
import { BEAT_EVERY_MS } from '../core/fleet.js';
import { FLEET, pairOf, type TableMemory, wordsOfPair } from './layout.js';
import { momentOf, ticksAt } from './packed-health.js';

/**
 * A thread that was not heard for so long may be gone, or busy: another one speaks then, in time for the next word
 * that the store expects of the process. Milliseconds.
 */
const CHAIR_TTL_MS = 1.5 * BEAT_EVERY_MS;

export class FleetWords {
  readonly #memory: TableMemory;
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(memory: TableMemory) {
    this.#memory = memory;
    this.#words = memory.words;
  }

  /** 16 hexadecimal digits, the same in every thread of the process and in no other process. */
  get seed(): string {
    return [FLEET.seed, FLEET.seed + 1]
      .map((word) => (Atomics.load(this.#words, this.#at(word)) >>> 0).toString(16).padStart(8, '0'))
      .join('');
  }

  /** Undefined while the store has never told it to any thread. */
  get place(): Place | undefined {
    const [size, rank] = wordsOfPair(Atomics.load(this.#memory.pairs, this.#at(FLEET.place) / 2));
    return size === 0 ? undefined : { size, rank };
  }

  setPlace({ size, rank }: Place): void {
    Atomics.store(this.#memory.pairs, this.#at(FLEET.place) / 2, pairOf(size, rank));
  }

  /**
   * Whether this speaker, a number of its own, speaks for the process from now on; said anew each time, or another one
   * takes over.
   */
  takeChair(speaker: number, now: number): boolean {
    const { epoch, pairs } = this.#memory;
    const at = this.#at(FLEET.chair) / 2;
    const pair = Atomics.load(pairs, at);
    const [holder, heardTick] = wordsOfPair(pair);
    const me = speaker + 1;
    const isTaken = holder !== 0 && holder !== me;
    if (isTaken && Math.abs(now - momentOf(heardTick, epoch)) < CHAIR_TTL_MS) return false;
    // Both words at once: between the two, another thread would see a holder that was not heard for long.
    return Atomics.compareExchange(pairs, at, pair, pairOf(me, ticksAt(now, epoch))) === pair;
  }

  leaveChair(speaker: number): void {
    Atomics.compareExchange(this.#words, this.#at(FLEET.chair), speaker + 1, 0);
  }

  /** Whether this is the first thread to tell of the loss of the store. */
  tellLoss(): boolean {
    return Atomics.compareExchange(this.#words, this.#at(FLEET.lossTold), 0, 1) === 0;
  }

  /** Whether this is the first thread to tell of its return. */
  tellReturn(): boolean {
    return Atomics.compareExchange(this.#words, this.#at(FLEET.lossTold), 1, 0) === 1;
  }

  #at(word: number): number {
    return this.#memory.fleetAt + word;
  }
}
