/**
 * Waits that only the body states. They are found by patterns in the text, not in parsed JSON: this also reads
 * bodies that are cut off, and JSON that a proxy put inside a string of other JSON.
 */
import { inReach, parseDurationMs, parseTimestamp } from './instants.js';
import type { StatedWait } from './retry-after.js';

const DURATION = String.raw`\d{1,9}(?:\.\d{1,9})?\s?(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)(?![a-z])`;

interface WaitPattern {
  readonly pattern: RegExp;
  readonly at: (found: string, now: number) => number | undefined;
}

const PATTERNS: readonly WaitPattern[] = [
  // Google RetryInfo: "34.07s" or {"seconds": "123"}.
  // https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto
  { pattern: /retryDelay\\*"\s{0,8}:\s{0,8}\\*"([\d.]{1,20}m?s)\\*"/i, at: afterDuration },
  {
    pattern: /retryDelay\\*"\s{0,8}:\s{0,8}\{[^{}]{0,64}?seconds\\*"\s{0,8}:\s{0,8}\\*"?(\d{1,12})/i,
    at: afterSeconds,
  },
  { pattern: /"retry_?after_?ms\\*"\s{0,8}:\s{0,8}\\*"?(\d{1,15}(?:\.\d{1,9})?)/i, at: afterMilliseconds },
  {
    pattern:
      /"(?:retry_?after(?:_?sec(?:ond)?s)?|backoff_seconds)\\*"\s{0,8}:\s{0,8}\\*"?(\d{1,12}(?:\.\d{1,9})?)/i,
    at: afterSeconds,
  },
  // "Please retry in 34.07s", "try again in 1m30s", "retry after 12 seconds", "wait 5 minutes and 3 seconds".
  {
    pattern: new RegExp(
      String.raw`\b(?:re-?try(?:ing)?|try again|wait)(?:\s{1,4}(?:in|after|for|at least|another)){0,3}\s{1,4}((?:${DURATION}(?:\s?,|\s?and)?\s?){1,4})`,
      'i',
    ),
    at: afterDuration,
  },
  // Anthropic's spend limit: "You will regain access on 2025-09-01 at 00:00 UTC."
  {
    pattern: /regain access on (\d{4}-\d{2}-\d{2} at \d{2}:\d{2}) UTC/i,
    at: (found) => parseTimestamp(`${found.replace(' at ', 'T')}:00Z`),
  },
  // Kraken: "EService:Throttled: 1700000000".
  { pattern: /EService:\s?Throttled:?\s?\[?(\d{10})\b/i, at: (found) => Number(found) * 1000 },
];

function afterDuration(found: string, now: number): number | undefined {
  const durationMs = parseDurationMs(found.replace(/,|and/gi, ' '));
  return durationMs === undefined ? undefined : now + durationMs;
}

function afterSeconds(found: string, now: number): number {
  return now + Number(found) * 1000;
}

function afterMilliseconds(found: string, now: number): number {
  return now + Number(found);
}

/** When to come back as the text of a refusal states it. */
export function waitInBody(text: string, now: number): StatedWait | undefined {
  for (const { pattern, at } of PATTERNS) {
    const found = pattern.exec(text)?.[1];
    const moment = found === undefined ? undefined : inReach(at(found, now), now);
    if (moment !== undefined) return { at: moment, from: 'body' };
  }
  return undefined;
}
