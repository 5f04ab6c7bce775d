/** When the provider would have accepted a request: from its own books, whatever the agents believed. */
import type { RateLimit } from '#keymux/testing/script-key.js';
import type { Arrival, BadSpan, Phase } from './evidence.js';

/** Moments at which a key was neither in trouble nor at a limit, in order. */
export function usableSpans(
  arrivalsOfKey: readonly Arrival[],
  limits: readonly RateLimit[],
  badSpans: readonly Phase[],
  whole: Phase,
): Phase[] {
  const taken = [...badSpans, ...limits.flatMap((limit) => fullSpans(arrivalsOfKey, limit))];
  return without(whole, taken);
}

/** Whether some key could be had for `forMs` on end between these two moments. */
export function wasUsable(spans: readonly Phase[], { from, to }: Phase, forMs: number): boolean {
  return spans.some((span) => Math.min(span.to, to) - Math.max(span.from, from) >= forMs);
}

/** The bad spans of a key, those of the whole provider included. */
export function badSpansOf(key: string, spans: readonly BadSpan[]): BadSpan[] {
  return spans.filter((span) => span.key === key || span.key === '');
}

/** From the request that fills the limit until the first of them leaves the window. */
function fullSpans(arrivals: readonly Arrival[], { requests, perMs }: RateLimit): Phase[] {
  const moments = arrivals.map(({ at }) => at).sort((a, b) => a - b);
  return moments.flatMap((last, index) => {
    const first = moments[index - requests + 1];
    return first !== undefined && first + perMs > last ? [{ from: last, to: first + perMs }] : [];
  });
}

function without({ from, to }: Phase, taken: readonly Phase[]): Phase[] {
  const left: Phase[] = [];
  let at = from;
  for (const span of [...taken].sort((a, b) => a.from - b.from)) {
    if (span.from > at) left.push({ from: at, to: Math.min(span.from, to) });
    at = Math.max(at, span.to);
    if (at >= to) return left;
  }
  left.push({ from: at, to });
  return left;
}
