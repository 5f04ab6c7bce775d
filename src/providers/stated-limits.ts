/** What answers tell of the limits of their key, whatever headers the provider uses for it. */
import { limitWindows, tellsLimits, type Headers } from './limit-headers.js';

/** One window of one limit. What the provider does not tell is absent. */
export interface StatedLimit {
  readonly unit: 'requests' | 'tokens';
  /**
   * What told: the header of what is left (`x-ratelimit-remaining`), with the position where it is a list
   * (`x-ratelimit-remaining[1]`), or the policy (`ratelimit "daily"`). The same from answer to answer.
   */
  readonly from: string;
  /** What is left, at least 0. */
  readonly remaining?: number;
  readonly limit?: number;
  /** The length of the window. Few providers state it. Milliseconds. */
  readonly windowMs?: number;
  /**
   * When the window ends or, where a bucket refills little by little (OpenAI and what is like it), when it is full.
   * Ahead of `now`. Epoch milliseconds.
   */
  readonly resetAt?: number;
}

const NOTHING: readonly StatedLimit[] = [];

/** Every limit that the headers of an answer state. Empty where they state none; never throws. */
export function statedLimits(headers: Headers, now: number): readonly StatedLimit[] {
  if (!tellsLimits(headers)) return NOTHING;
  return limitWindows(headers, now).map(({ fixed: _, endFrom: __, ...stated }) => stated);
}
