import type { Contender } from '../select.js';

/** Credits closer than this are equal: sums of shares such as 1/3 are not exact. */
const TOLERANCE = 1e-9;

/**
 * Smooth weighted round robin: shares are exact, and a heavy contender's turns are spread out. Credit is counted in
 * turns, so that shares stay fair while others come and go. One that was away comes back without the credit of the
 * rounds that it missed.
 */
export function roundRobin(contenders: readonly Contender[]): number {
  let lastRound = 0;
  let total = 0;
  for (const { rotation, weight } of contenders) {
    if (rotation.round > lastRound) lastRound = rotation.round;
    total += weight;
  }
  let best = 0;
  let bestCredit = Number.NEGATIVE_INFINITY;
  let index = 0;
  for (const { rotation, weight } of contenders) {
    if (rotation.round !== lastRound) rotation.credit = 0;
    rotation.round = lastRound + 1;
    rotation.credit += weight / total;
    if (rotation.credit > bestCredit + TOLERANCE) {
      best = index;
      bestCredit = rotation.credit;
    }
    index += 1;
  }
  (contenders[best] as Contender).rotation.credit -= 1;
  return best;
}
