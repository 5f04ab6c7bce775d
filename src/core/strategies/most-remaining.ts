import type { Contender } from '../select.js';
import { bestOf } from './best-of.js';

/** What a contender without known limits counts as: neither better nor worse than a half-spent one. */
const UNKNOWN_REMAINING = 0.5;

/** The largest share of its allowance left; among equals the lower priority number, then the first. */
export function mostRemaining(contenders: readonly Contender[]): number {
  return bestOf(contenders, hasMoreLeft);
}

function hasMoreLeft(one: Contender, other: Contender): boolean {
  const difference = (one.remaining ?? UNKNOWN_REMAINING) - (other.remaining ?? UNKNOWN_REMAINING);
  return difference > 0 || (difference === 0 && one.priority < other.priority);
}
