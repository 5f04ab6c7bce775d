import type { Decision } from './decision.js';
import type { OutcomeKind } from './outcome.js';

/** An attempt further away than this says nothing of a moment. */
const HORIZON_MS = 60_000;

interface Seen {
  readonly at: number;
  readonly kind: OutcomeKind;
}

/** How each key really answered, over time. */
export class KeyHistory {
  /** Oldest first, by key. */
  readonly #seen = new Map<string, Seen[]>();

  constructor(decisions: readonly Decision[]) {
    for (const { chosen, outcome, at } of decisions.toSorted((a, b) => a.at - b.at)) {
      if (chosen === undefined || outcome === undefined || outcome.kind === 'aborted') continue;
      const seen = this.#seen.get(chosen);
      if (seen === undefined) this.#seen.set(chosen, [{ at, kind: outcome.kind }]);
      else seen.push({ at, kind: outcome.kind });
    }
  }

  /** How it would have answered then, as its attempts before and after tell; undefined where they do not. */
  outcomeOf(key: string, at: number): OutcomeKind | undefined {
    const near = (this.#seen.get(key) ?? []).filter((seen) => Math.abs(seen.at - at) <= HORIZON_MS);
    const before = near.findLast((seen) => seen.at <= at);
    const after = near.find((seen) => seen.at > at);
    if (before === undefined || after === undefined) return (before ?? after)?.kind;
    if (isFailure(before.kind) !== isFailure(after.kind)) return undefined;
    return at - before.at <= after.at - at ? before.kind : after.kind;
  }
}

export function isFailure(kind: OutcomeKind): boolean {
  return kind !== 'success' && kind !== 'bad-request' && kind !== 'aborted';
}
