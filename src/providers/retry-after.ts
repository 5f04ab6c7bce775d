/** The headers by which providers say when to come back. Every answer is in epoch milliseconds and lies ahead. */
import { inReach, parseInstant } from './instants.js';
import type { ResponseHead } from './response-head.js';

export interface StatedWait {
  readonly at: number;
  /** The header that told, or `body`. */
  readonly from: string;
}

type Headers = Pick<ResponseHead, 'header'>;

/**
 * `retry-after-ms` (OpenAI, Azure), then `Retry-After`: seconds, whole or not, or an HTTP date.
 * https://www.rfc-editor.org/rfc/rfc9110.html#section-10.2.3
 */
export function retryAfter(headers: Headers, now: number): StatedWait | undefined {
  const milliseconds = headers.header('retry-after-ms')?.trim();
  if (milliseconds !== undefined && /^\d{1,12}(?:\.\d{1,9})?$/.test(milliseconds)) {
    const at = inReach(now + Number(milliseconds), now);
    if (at !== undefined) return { at, from: 'retry-after-ms' };
  }
  const value = headers.header('retry-after');
  const at = value === undefined ? undefined : latest(instantsOf(value, now));
  return at === undefined ? undefined : { at, from: 'retry-after' };
}

/** Pairs of headers: what is left in a window, and when the window ends. */
const WINDOWS: readonly (readonly [remaining: string, reset: string])[] = [
  ['x-ratelimit-remaining', 'x-ratelimit-reset'],
  // OpenAI, Groq and what is compatible. https://developers.openai.com/api/docs/guides/rate-limits
  ['x-ratelimit-remaining-requests', 'x-ratelimit-reset-requests'],
  ['x-ratelimit-remaining-tokens', 'x-ratelimit-reset-tokens'],
  // RapidAPI
  ['x-ratelimit-requests-remaining', 'x-ratelimit-requests-reset'],
  ['x-rate-limit-remaining', 'x-rate-limit-reset'],
  // Together. https://docs.together.ai/docs/error-codes
  ['x-tokenlimit-remaining', 'x-tokenlimit-reset'],
  // IETF drafts up to 06. https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/06/
  ['ratelimit-remaining', 'ratelimit-reset'],
  // https://platform.claude.com/docs/en/api/rate-limits#response-headers
  ['anthropic-ratelimit-requests-remaining', 'anthropic-ratelimit-requests-reset'],
  ['anthropic-ratelimit-tokens-remaining', 'anthropic-ratelimit-tokens-reset'],
  ['anthropic-ratelimit-input-tokens-remaining', 'anthropic-ratelimit-input-tokens-reset'],
  ['anthropic-ratelimit-output-tokens-remaining', 'anthropic-ratelimit-output-tokens-reset'],
  ['anthropic-ratelimit-unified-remaining', 'anthropic-ratelimit-unified-reset'],
];

interface Window {
  readonly at: number;
  readonly from: string;
  /** Nothing is left in it. `undefined`: it does not say. */
  readonly spent: boolean | undefined;
}

/**
 * When the spent windows have ended: the last of those with nothing left. Where no window says what is left, the
 * first to end, since a trial is cheap. Windows with something left are ignored.
 */
export function windowReset(headers: Headers, now: number): StatedWait | undefined {
  const windows = [
    ...WINDOWS.flatMap(([left, reset]) => windowsOf(headers, left, reset, now)),
    ...draftWindows(headers, now),
  ];
  const spent = windows.filter((window) => window.spent === true);
  const chosen =
    spent.length > 0
      ? spent.reduce((a, b) => (b.at > a.at ? b : a))
      : windows.filter((window) => window.spent === undefined).reduce<Window | undefined>(sooner, undefined);
  return chosen === undefined ? undefined : { at: chosen.at, from: chosen.from };
}

/** Windows that are fixed: when one is spent, nothing is let in before its end. Others refill little by little. */
const FIXED_WINDOWS = WINDOWS.filter(([, reset]) =>
  ['x-ratelimit-reset', 'x-rate-limit-reset', 'ratelimit-reset'].includes(reset),
);

/**
 * When the allowance is there again that a good answer calls spent (nothing left in a fixed window); undefined while
 * something is left, or where nothing is said.
 */
export function spentUntil(headers: Headers, now: number): StatedWait | undefined {
  if (!saysWhatIsLeft(headers)) return undefined;
  const spent = [
    ...FIXED_WINDOWS.flatMap(([left, reset]) => windowsOf(headers, left, reset, now)),
    ...draftWindows(headers, now),
  ].filter((window) => window.spent === true);
  if (spent.length === 0) return undefined;
  const { at, from } = spent.reduce((a, b) => (b.at > a.at ? b : a));
  return { at, from };
}

/** Asked of every good answer; most say nothing. */
function saysWhatIsLeft(headers: Headers): boolean {
  for (const [left] of FIXED_WINDOWS) if (headers.header(left) !== undefined) return true;
  return headers.header('ratelimit') !== undefined;
}

function sooner(a: Window | undefined, b: Window): Window {
  return a === undefined || b.at < a.at ? b : a;
}

/** One value or, as Brave sends, one for each window in the same order: `remaining: 0, 1000`, `reset: 1, 1419704`. */
function windowsOf(headers: Headers, remainingName: string, resetName: string, now: number): Window[] {
  const reset = headers.header(resetName);
  if (reset === undefined) return [];
  const remaining = headers.header(remainingName)?.split(',');
  return instantsOf(reset, now).flatMap((at, index) => {
    return at === undefined ? [] : [{ at, from: resetName, spent: isSpent(remaining?.[index]) }];
  });
}

function isSpent(remaining: string | undefined): boolean | undefined {
  return remaining !== undefined && /^\s*-?\d+(?:\.\d+)?\s*$/.test(remaining)
    ? Number(remaining) <= 0
    : undefined;
}

/** `"default";r=0;t=30` (drafts from 08 on, with `w` of `RateLimit-Policy` for `t`), `remaining=0, reset=50` (draft 07). */
function draftWindows(headers: Headers, now: number): Window[] {
  const value = headers.header('ratelimit');
  if (value === undefined || value.length > 1024) return [];
  const policies = headers.header('ratelimit-policy')?.slice(0, 1024).split(',') ?? [];
  const items = /\bremaining\s*=/.test(value) ? [value] : value.split(',');
  return items.flatMap((item) => {
    const named = policies.find((policy) => nameOf(policy) === nameOf(item));
    const seconds =
      numberAfter(item, 't|reset') ?? (named === undefined ? undefined : numberAfter(named, 'w'));
    const at = seconds === undefined ? undefined : inReach(now + seconds * 1000, now);
    const left = numberAfter(item, 'r|remaining');
    return at === undefined
      ? []
      : [{ at, from: 'ratelimit', spent: left === undefined ? undefined : left <= 0 }];
  });
}

function nameOf(item: string): string | undefined {
  return item.split(';')[0]?.trim();
}

function numberAfter(item: string, names: string): number | undefined {
  const [, digits] = new RegExp(`(?:^|[;,\\s])(?:${names})\\s*=\\s*(\\d{1,12})`, 'i').exec(item) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

/** HTTP dates hold a comma too, so the whole is tried before its parts. */
function instantsOf(value: string, now: number): (number | undefined)[] {
  const whole = parseInstant(value, now);
  return whole !== undefined || value.length > 1024
    ? [whole]
    : value.split(',').map((part) => parseInstant(part, now));
}

function latest(instants: readonly (number | undefined)[]): number | undefined {
  return instants.reduce((a, b) => (a === undefined || (b !== undefined && b > a) ? b : a), undefined);
}
