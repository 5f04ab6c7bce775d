import type { Contender } from '../select.js';

/** The index of the one that no other goes before; of several, the first. */
export function bestOf(
  contenders: readonly Contender[],
  goesBefore: (one: Contender, other: Contender) => boolean,
): number {
  let best = 0;
  for (let index = 1; index < contenders.length; index += 1) {
    if (goesBefore(contenders[index] as Contender, contenders[best] as Contender)) best = index;
  }
  return best;
}
