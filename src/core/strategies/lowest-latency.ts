import type { Contender } from '../select.js';

/**
 * The power of two choices: of two drawn by chance, the one with the lower expected wait (latency times queue).
 * Drawing keeps everyone measured and spares the fastest from all the load. One that was never measured counts as
 * the average of the measured ones, so that having no data beats nobody.
 */
export function lowestLatency(contenders: readonly Contender[], random: () => number): number {
  const count = contenders.length;
  if (count === 1) return 0;
  const first = Math.floor(random() * count);
  const second = (first + 1 + Math.floor(random() * (count - 1))) % count;
  const unmeasuredMs = averageLatencyMs(contenders);
  const waitMs = (index: number): number => expectedWaitMs(contenders[index] as Contender, unmeasuredMs);
  return waitMs(first) <= waitMs(second) ? first : second;
}

function averageLatencyMs(contenders: readonly Contender[]): number {
  const measured = contenders.filter((contender) => contender.latencyMs > 0);
  if (measured.length === 0) return 1;
  return measured.reduce((sum, contender) => sum + contender.latencyMs, 0) / measured.length;
}

function expectedWaitMs(contender: Contender, unmeasuredMs: number): number {
  return (contender.latencyMs > 0 ? contender.latencyMs : unmeasuredMs) * (contender.inFlight + 1);
}
