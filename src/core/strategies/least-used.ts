import type { Contender } from '../select.js';

/** The fewest requests for its weight; among equals the lower priority number, then the first. */
export function leastUsed(contenders: readonly Contender[]): number {
  let best = 0;
  contenders.forEach((contender, index) => {
    const leader = contenders[best];
    if (leader === undefined) return;
    const difference = contender.uses / contender.weight - leader.uses / leader.weight;
    if (difference < 0 || (difference === 0 && contender.priority < leader.priority)) best = index;
  });
  return best;
}
