import type { Contender } from '../select.js';

/** What a contender without known limits counts as: neither better nor worse than a half-spent one. */
const UNKNOWN_REMAINING = 0.5;

/** The largest share of its allowance left; among equals the lower priority number, then the first. */
export function mostRemaining(contenders: readonly Contender[]): number {
  let best = 0;
  contenders.forEach((contender, index) => {
    const leader = contenders[best];
    if (leader === undefined) return;
    const difference = (contender.remaining ?? UNKNOWN_REMAINING) - (leader.remaining ?? UNKNOWN_REMAINING);
    if (difference > 0 || (difference === 0 && contender.priority < leader.priority)) best = index;
  });
  return best;
}
