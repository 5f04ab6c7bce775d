/**
 * Buckets by name, each with the ring that is in force. A bucket whose windows change gets a new ring: the old one is
 * sealed, so that nothing can be taken from it any more, its charges are copied, and one compare-and-exchange puts
 * the new one in its place. A thread that finds a sealed ring finishes the work itself, so none ever waits.
 */
import { KeymuxError } from '../core/errors.js';
import { type QuotaWindow, windowStart } from '../core/quota.js';
import { BUCKET, pairOf, tableFull, type TableMemory, wordsOfPair } from './layout.js';
import { momentOf, ticksAt } from './packed-health.js';
import { planRing, type RingPlan } from './ring-plan.js';
import { Ring, SEALED } from './ring.js';
import { slotOfName } from './slot-of-name.js';

const MOST_KNOWN_LEFT = 2 ** 30;

export class Buckets {
  readonly #memory: TableMemory;
  readonly #now: () => number;
  readonly #indexes = new Map<string, number>();
  readonly #rings: Ring[] = [];

  constructor(memory: TableMemory, now: () => number) {
    this.#memory = memory;
    this.#now = now;
  }

  open(name: string, windows: readonly QuotaWindow[]): number {
    const plan = planRing(windows);
    const index = this.#indexOf(name);
    const ringAt = this.#ringWord(index);
    for (;;) {
      const at = Atomics.load(this.#memory.words, ringAt);
      if (at === 0) {
        this.#install(ringAt, 0, this.#allocate(plan), plan, 0, []);
      } else {
        const ring = this.#ringOf(index);
        if (ring.plan.text === plan.text) return index;
        this.#replace(index, ring, plan);
      }
    }
  }

  take(index: number, now: number, limits?: readonly number[]): number {
    for (;;) {
      const ring = this.#ringOf(index);
      const position = ring.take(now, limits);
      if (position !== SEALED) return position;
      this.#replace(index, ring, ring.plan);
    }
  }

  left(index: number, now: number): number {
    return this.#ask(index, (ring) => ring.left(now));
  }

  leftInWindows(index: number, now: number): readonly number[] {
    return this.#ringOf(index).leftInWindows(now);
  }

  nextAt(index: number, now: number, limits?: readonly number[]): number {
    return this.#ask(index, (ring) => {
      const at = ring.nextAt(now);
      return limits === undefined || at === SEALED ? at : Math.max(at, ring.belowAt(now, limits));
    });
  }

  /** The position that the next permit gets. */
  endPosition(index: number): number {
    return this.#ringOf(index).endPosition();
  }

  usedBefore(index: number, position: number, now: number): readonly number[] {
    return this.#ringOf(index).usedBefore(position, now);
  }

  /** When each permit is charged that the bucket still counts, ascending. */
  charges(index: number, now: number): readonly number[] {
    const ring = this.#ringOf(index);
    const { windows, highestLimit } = ring.plan;
    const start = Math.min(...windows.map(({ window }) => windowStart(window, now)));
    return ring.charges(now, highestLimit).filter((charge) => charge >= start);
  }

  /** Whether nobody else was the first to say so within that time. */
  claimRetelling(index: number, now: number, restMs: number): boolean {
    const { bucketsAt, epoch, words } = this.#memory;
    const at = bucketsAt + index * BUCKET.words + BUCKET.retoldAt;
    const toldAt = Atomics.load(words, at);
    if (toldAt !== 0 && Math.abs(now - momentOf(toldAt, epoch)) < restMs) return false;
    return Atomics.compareExchange(words, at, toldAt, ticksAt(now, epoch)) === toldAt;
  }

  /** Counts one more permit that is spent in doubt; whether there were fewer than `most`, of all threads, since `restMs` ago. */
  claimInDoubt(index: number, most: number, now: number, restMs: number): boolean {
    const { epoch, pairs } = this.#memory;
    const at = this.#doubtAt(index);
    for (;;) {
      const pair = Atomics.load(pairs, at);
      const [since, count] = wordsOfPair(pair);
      const isOver = Math.abs(now - momentOf(since, epoch)) >= restMs;
      const spent = isOver ? 0 : count;
      if (spent >= most) return false;
      const next = pairOf(isOver ? ticksAt(now, epoch) : since, spent + 1);
      if (Atomics.compareExchange(pairs, at, pair, next) === pair) return true;
    }
  }

  /** Notes what the store granted and left, for threads that never asked it; the position that the next permit gets. */
  noteAnswer(index: number, left: number, granted: number): number {
    const position = this.endPosition(index);
    const known = Math.min(left, MOST_KNOWN_LEFT);
    Atomics.store(this.#memory.pairs, this.#answerAt(index), pairOf(position + granted, known + 1));
    return position;
  }

  /** What the store left at its latest answer to any thread, and the position then; undefined where there was none. */
  lastAnswer(index: number): { readonly position: number; readonly left: number } | undefined {
    const [position, left] = wordsOfPair(Atomics.load(this.#memory.pairs, this.#answerAt(index)));
    return left === 0 ? undefined : { position, left: left - 1 };
  }

  /** The last claim is taken back. */
  unclaimInDoubt(index: number): void {
    const at = this.#doubtAt(index);
    for (;;) {
      const pair = Atomics.load(this.#memory.pairs, at);
      const [since, count] = wordsOfPair(pair);
      const next = pairOf(since, Math.max(0, count - 1));
      if (Atomics.compareExchange(this.#memory.pairs, at, pair, next) === pair) return;
    }
  }

  settle(index: number, position: number, countedAt: number): void {
    this.#ringOf(index).settle(position, countedAt);
  }

  giveBack(index: number, position: number): void {
    this.#ringOf(index).giveBack(position);
  }

  /** The limits in force, in the order of the windows. */
  limits(index: number): readonly number[] {
    return this.#ringOf(index).limits();
  }

  adjust(index: number, stated: number, perMs: number, now: number): boolean {
    return this.#ringOf(index).adjust(stated, perMs, now);
  }

  holdLowered(index: number, now: number): void {
    this.#ringOf(index).holdLowered(now);
  }

  /** Charges one bucket, as of now, with what another one was charged; as much as it has room for. */
  carry(index: number, from: number, now: number): void {
    const charges = this.charges(from, now);
    for (let count = 0; count < charges.length; count += 1) {
      const position = this.take(index, now);
      if (position < 0) return;
      this.settle(index, position, now);
    }
  }

  #ask(index: number, question: (ring: Ring) => number): number {
    for (;;) {
      const ring = this.#ringOf(index);
      const answer = question(ring);
      if (answer !== SEALED) return answer;
      this.#replace(index, ring, ring.plan);
    }
  }

  #indexOf(name: string): number {
    const known = this.#indexes.get(name);
    if (known !== undefined) return known;
    const { pairs, bucketsAt, bucketCapacity } = this.#memory;
    const index = slotOfName(pairs, bucketsAt, BUCKET.words, bucketCapacity, name);
    if (index === undefined) {
      throw tableFull(
        `a bucket beyond ${bucketCapacity}`,
        'Configure fewer keys, or let keys share buckets.',
      );
    }
    this.#indexes.set(name, index);
    return index;
  }

  #doubtAt(index: number): number {
    return (this.#memory.bucketsAt + index * BUCKET.words + BUCKET.doubt) / 2;
  }

  #answerAt(index: number): number {
    return (this.#memory.bucketsAt + index * BUCKET.words + BUCKET.answer) / 2;
  }

  #ringWord(index: number): number {
    return this.#memory.bucketsAt + index * BUCKET.words + BUCKET.ring;
  }

  #ringOf(index: number): Ring {
    const at = this.#memory.words[this.#ringWord(index)];
    const known = this.#rings[index];
    if (known !== undefined && known.at === at) return known;
    if (at === 0 || at === undefined) {
      throw new KeymuxError('KEYMUX_USAGE', `There is no bucket ${index} in the shared table.`, {
        fix: 'Use an index that `bucket` returned for this table.',
      });
    }
    const ring = new Ring(this.#memory, at);
    this.#rings[index] = ring;
    return ring;
  }

  #replace(index: number, old: Ring, plan: RingPlan): void {
    const ringAt = this.#ringWord(index);
    if (Atomics.load(this.#memory.words, ringAt) !== old.at) return;
    // Before sealing: if there is no room, the old ring stays in force.
    const at = this.#allocate(plan);
    old.seal();
    const charges = old.charges(this.#now(), plan.highestLimit);
    // The gap keeps positions of the old ring from being taken for positions of the new one.
    const gap = Math.max(0, ...plan.lanes.map((lane) => lane.mask + 1));
    this.#install(ringAt, old.at, at, plan, (old.endPosition() + gap + charges.length) | 0, charges);
  }

  #install(
    ringAt: number,
    expected: number,
    at: number,
    plan: RingPlan,
    firstPosition: number,
    charges: readonly number[],
  ): void {
    Ring.build(this.#memory, at, plan, this.#now(), firstPosition, charges);
    const { words, arenaTopAt } = this.#memory;
    if (Atomics.compareExchange(words, ringAt, expected, at) === expected) return;
    // Another thread was faster. The block goes back if nothing was placed behind it.
    Atomics.compareExchange(words, arenaTopAt, at + plan.words, at);
  }

  #allocate({ words: wanted }: RingPlan): number {
    const { words, arenaTopAt, endAt } = this.#memory;
    for (;;) {
      const top = Atomics.load(words, arenaTopAt);
      if (top + wanted > endAt) {
        throw tableFull(
          `the ${wanted * Int32Array.BYTES_PER_ELEMENT} bytes of another quota`,
          'Restart the process if limits were changed often; otherwise configure fewer buckets or lower limits.',
        );
      }
      if (Atomics.compareExchange(words, arenaTopAt, top, top + wanted) === top) return top;
    }
  }
}
