/** Attempts over time: how many, how they ended and how long the good ones took. Memory is bounded; see `maxRows`. */
import type { OutcomeKind } from '../core/outcome.js';
import type { SeriesSlot } from '../manager/observation.js';

/** Length of a slot. Milliseconds. */
export const SLOT_MS = 10_000;
/** How far back the series go. Milliseconds. */
export const SPAN_MS = 3_600_000;
const SLOTS = SPAN_MS / SLOT_MS;

/** Latencies are counted in steps of a third of an octave: a quantile is off by less than an eighth. */
const STEPS_PER_OCTAVE = 3;
const SHORTEST_MS = 0.5;
/** Up to 131 s; what took longer counts as that long. */
const STEPS = 18 * STEPS_PER_OCTAVE;

/** One subject in one slot. About 550 bytes. */
interface Row {
  readonly outcomes: Partial<Record<OutcomeKind, number>>;
  /** Of successful attempts, by step. */
  readonly latencies: Uint32Array;
}

export interface AttemptFacts {
  readonly subject: string;
  readonly outcome: OutcomeKind;
  readonly latencyMs: number;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** Holds a row for each subject in each slot in which it was tried, for an hour. */
export class SeriesLog {
  readonly #maxRows: number;
  /** By the number of the slot, the oldest first; then by subject. */
  readonly #slots = new Map<number, Map<string, Row>>();
  #latest = 0;
  #rows = 0;

  /** With more rows than `maxRows` the oldest slots go early, so that many subjects are kept less far back. */
  constructor(maxRows: number) {
    this.#maxRows = maxRows;
  }

  get rows(): number {
    return this.#rows;
  }

  record({ subject, outcome, latencyMs, at }: AttemptFacts): void {
    this.#latest = Math.max(this.#latest, slotAt(at));
    const row = this.#rowOf(subject);
    if (row === undefined) return;
    row.outcomes[outcome] = (row.outcomes[outcome] ?? 0) + 1;
    if (outcome === 'success') {
      const step = stepOf(latencyMs);
      row.latencies[step] = (row.latencies[step] ?? 0) + 1;
    }
  }

  /** The slots of the last `lastMs` without a gap, the one under way last. */
  read(subject: string, now: number, lastMs = SPAN_MS): SeriesSlot[] {
    const count = Math.min(SLOTS, Math.max(1, Math.ceil(lastMs / SLOT_MS)));
    const first = slotAt(now) - count + 1;
    return Array.from({ length: count }, (_, index) => {
      const slot = first + index;
      return slotOf(slot * SLOT_MS, this.#slots.get(slot)?.get(subject));
    });
  }

  /** Undefined where not even the running slot leaves room for another subject. */
  #rowOf(subject: string): Row | undefined {
    let rows = this.#slots.get(this.#latest);
    if (rows === undefined) {
      this.#forget((slot) => slot <= this.#latest - SLOTS);
      rows = new Map<string, Row>();
      this.#slots.set(this.#latest, rows);
    }
    const known = rows.get(subject);
    if (known !== undefined) return known;
    if (this.#rows >= this.#maxRows) this.#forget((slot) => slot < this.#latest, 1);
    if (this.#rows >= this.#maxRows) return undefined;
    const row: Row = { outcomes: {}, latencies: new Uint32Array(STEPS) };
    rows.set(subject, row);
    this.#rows += 1;
    return row;
  }

  #forget(isDue: (slot: number) => boolean, most = Number.POSITIVE_INFINITY): void {
    let left = most;
    for (const [slot, rows] of this.#slots) {
      if (left === 0 || !isDue(slot)) return;
      this.#slots.delete(slot);
      this.#rows -= rows.size;
      left -= 1;
    }
  }
}

function slotAt(at: number): number {
  return Math.floor(at / SLOT_MS);
}

function slotOf(at: number, row: Row | undefined): SeriesSlot {
  if (row === undefined) return { at, attempts: 0, outcomes: {} };
  const { outcomes, latencies } = row;
  const attempts = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  const successes = outcomes.success ?? 0;
  if (successes === 0) return { at, attempts, outcomes: { ...outcomes } };
  return {
    at,
    attempts,
    outcomes: { ...outcomes },
    p50Ms: quantile(latencies, successes, 0.5),
    p95Ms: quantile(latencies, successes, 0.95),
  };
}

function stepOf(latencyMs: number): number {
  const step = Math.floor(Math.log2(latencyMs / SHORTEST_MS) * STEPS_PER_OCTAVE);
  return Math.min(STEPS - 1, Math.max(0, step));
}

/** The geometric middle of the step in which it lies, so that it is off by half a step at most. */
function quantile(latencies: Uint32Array, total: number, share: number): number {
  let before = 0;
  const step = latencies.findIndex((count) => (before += count) >= total * share);
  return SHORTEST_MS * 2 ** ((step + 0.5) / STEPS_PER_OCTAVE);
}
