import type { Contender } from '../select.js';

/** By chance, each with its weight's share. */
export function weighted(contenders: readonly Contender[], random: () => number): number {
  let rest = random() * contenders.reduce((sum, contender) => sum + contender.weight, 0);
  for (const [index, contender] of contenders.entries()) {
    rest -= contender.weight;
    if (rest < 0) return index;
  }
  return contenders.length - 1;
}
