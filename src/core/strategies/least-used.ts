import type { Contender } from '../select.js';
import { bestOf } from './best-of.js';

/** The fewest requests for its weight; among equals the lower priority number, then the first. */
export function leastUsed(contenders: readonly Contender[]): number {
  return bestOf(contenders, isLessUsed);
}

function isLessUsed(one: Contender, other: Contender): boolean {
  const difference = one.uses / one.weight - other.uses / other.weight;
  return difference < 0 || (difference === 0 && one.priority < other.priority);
}
