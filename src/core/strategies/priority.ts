import type { Contender } from '../select.js';

/** The lowest priority number; among equals the first. */
export function priority(contenders: readonly Contender[]): number {
  let best = 0;
  contenders.forEach((contender, index) => {
    if (contender.priority < (contenders[best]?.priority ?? 0)) best = index;
  });
  return best;
}
