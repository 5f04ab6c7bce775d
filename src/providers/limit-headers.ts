/** The headers by which providers tell what is left of a limit, and what they say. */
import { inReach, parseInstant } from './instants.js';
import type { ResponseHead } from './response-head.js';

export type Headers = Pick<ResponseHead, 'header'>;

/** One window of one limit as an answer states it. */
export interface LimitWindow {
  /** `requests` where nothing else is said. */
  readonly unit: 'requests' | 'tokens';
  /** The header that told, with the position in its list or the name of the policy where there are several. */
  readonly from: string;
  readonly limit?: number;
  /** Never below 0. */
  readonly remaining?: number;
  readonly windowMs?: number;
  /** Epoch milliseconds, ahead and within reach. */
  readonly resetAt?: number;
  /** The header that tells when the window ends. */
  readonly endFrom: string;
  /** Nothing is let in before its end once it is spent. Others refill little by little. */
  readonly fixed: boolean;
}

interface Family {
  readonly remaining: string;
  readonly limit: string;
  readonly reset: string;
  readonly policy?: string;
  readonly unit: LimitWindow['unit'];
  readonly fixed?: true;
  readonly windowMs?: number;
}

const MINUTE_MS = 60_000;
const MONTH_MS = 30 * 86_400_000;

/** `x-ratelimit-remaining-requests` and its like: the unit stands last. */
const suffixed = (prefix: string, suffix: string, unit: LimitWindow['unit'], windowMs?: number): Family => ({
  remaining: `${prefix}-remaining-${suffix}`,
  limit: `${prefix}-limit-${suffix}`,
  reset: `${prefix}-reset-${suffix}`,
  unit,
  ...(windowMs !== undefined && { windowMs }),
});

/** `x-ratelimit-requests-remaining`, `ratelimit-remaining` and their like: the unit stands first or not at all. */
const prefixed = (prefix: string, unit: LimitWindow['unit'], rest?: Partial<Family>): Family => ({
  remaining: `${prefix}-remaining`,
  limit: `${prefix}-limit`,
  reset: `${prefix}-reset`,
  unit,
  ...rest,
});

const FAMILIES: readonly Family[] = [
  prefixed('x-ratelimit', 'requests', { policy: 'x-ratelimit-policy', fixed: true }),
  // OpenAI, Groq and what is compatible. https://developers.openai.com/api/docs/guides/rate-limits
  suffixed('x-ratelimit', 'requests', 'requests'),
  suffixed('x-ratelimit', 'tokens', 'tokens'),
  // IETF drafts up to 06. https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/06/
  prefixed('ratelimit', 'requests', { policy: 'ratelimit-policy', fixed: true }),
  // https://platform.claude.com/docs/en/api/rate-limits#response-headers
  prefixed('anthropic-ratelimit-requests', 'requests'),
  prefixed('anthropic-ratelimit-tokens', 'tokens'),
  prefixed('anthropic-ratelimit-input-tokens', 'tokens'),
  prefixed('anthropic-ratelimit-output-tokens', 'tokens'),
  prefixed('anthropic-ratelimit-unified', 'requests'),
  // Mistral states windows and no reset.
  suffixed('x-ratelimit', 'req-minute', 'requests', MINUTE_MS),
  suffixed('x-ratelimit', 'tokens-minute', 'tokens', MINUTE_MS),
  suffixed('x-ratelimit', 'tokens-month', 'tokens', MONTH_MS),
  // RapidAPI
  prefixed('x-ratelimit-requests', 'requests'),
  prefixed('x-rate-limit', 'requests', { fixed: true }),
  // Together. https://docs.together.ai/docs/error-codes
  prefixed('x-tokenlimit', 'tokens'),
];

/** Longer values are nothing that a provider sends. */
export const LONGEST_VALUE = 1_024;
/** Windows of one limit beyond this are not looked at. */
const MOST_WINDOWS = 16;

/** Every window that the headers tell of, in the order of the families. */
export function limitWindows(headers: Headers, now: number): LimitWindow[] {
  const windows: LimitWindow[] = [];
  for (const family of FAMILIES) {
    const remaining = headers.header(family.remaining);
    const reset = headers.header(family.reset);
    if (remaining === undefined && reset === undefined) continue;
    windows.push(...familyWindows(family, headers, listOf(remaining), instantsOf(reset, now)));
  }
  windows.push(...draftWindows(headers, now));
  return windows;
}

/** Whether any limit is mentioned; asked of every good answer, most of which say nothing. */
export function tellsLimits(headers: Headers): boolean {
  for (const { remaining } of FAMILIES) if (headers.header(remaining) !== undefined) return true;
  return headers.header('ratelimit') !== undefined || headers.header('ratelimit-policy') !== undefined;
}

/**
 * One value or, as Brave sends, one for each window in the same order: `limit: 1, 15000`, `remaining: 0, 1000`,
 * `reset: 1, 1419704`, `policy: 1;w=1, 15000;w=2592000`.
 */
function familyWindows(
  family: Family,
  headers: Headers,
  remaining: readonly string[],
  resets: readonly (number | undefined)[],
): LimitWindow[] {
  const count = Math.min(MOST_WINDOWS, Math.max(remaining.length, resets.length));
  const limits = listOf(headers.header(family.limit));
  const policies = [
    ...listOf(family.policy === undefined ? undefined : headers.header(family.policy)),
    ...limits.slice(1).filter((limit) => limit.includes(';')),
  ];
  const windows: LimitWindow[] = [];
  for (let index = 0; index < count; index += 1) {
    const limit = numberOf(limits[index]);
    // Of several windows, one whose limit is 0 has none: Brave's monthly one, of plans that are paid by use.
    if (limit === 0 && count > 1) continue;
    const policy =
      policies.find((each) => limit !== undefined && numberOf(each) === limit) ??
      (policies.length === count ? policies[index] : undefined);
    const resetAt = resets[index];
    const stated = {
      limit,
      remaining: numberOf(remaining[index]),
      windowMs: secondsToMs(parameter(policy, WINDOW)) ?? family.windowMs,
      resetAt,
      from: count === 1 ? family.remaining : `${family.remaining}[${index}]`,
      endFrom: resetAt === undefined ? family.remaining : family.reset,
    };
    windows.push(windowOf(family.unit, family.fixed === true, stated));
  }
  return windows;
}

/**
 * `"default";r=0;t=30` with `"default";q=100;w=60` (drafts from 08 on), `limit=100, remaining=0, reset=50` with
 * `100;w=60` (draft 07). Policies that no item names come last: they tell the limit and nothing of its use.
 */
function draftWindows(headers: Headers, now: number): LimitWindow[] {
  const value = headers.header('ratelimit');
  const list = headers.header('ratelimit-policy');
  if (value === undefined && list === undefined) return [];
  const policies = listOf(list).slice(0, MOST_WINDOWS);
  const isOneLimit =
    value !== undefined && value.length <= LONGEST_VALUE && /\bremaining\s{0,8}=/i.test(value);
  const items = isOneLimit ? [value] : listOf(value).slice(0, MOST_WINDOWS);
  const named = new Set<string>();
  const windows = items.flatMap((item) => {
    const policy = policies.find((each) => isPolicyOf(each, item));
    if (policy !== undefined) named.add(policy);
    return draftWindow(item, policy, now);
  });
  const others = headers.header('ratelimit-remaining') === undefined ? policies : [];
  return [
    ...windows,
    ...others.filter((policy) => !named.has(policy)).flatMap((policy) => draftWindow('', policy, now)),
  ];
}

function isPolicyOf(policy: string, item: string): boolean {
  const limit = parameter(item, LIMIT);
  return nameOf(policy) === nameOf(item) || (limit !== undefined && numberOf(policy) === limit);
}

function draftWindow(item: string, policy: string | undefined, now: number): LimitWindow[] {
  const unit = /;\s{0,8}qu\s{0,8}=\s{0,8}"([^"]{0,64})"/i.exec(policy ?? '')?.[1] ?? 'requests';
  if (unit !== 'requests' && unit !== 'tokens') return [];
  const name = nameOf(item === '' ? (policy ?? '') : item);
  const resetMs = secondsToMs(parameter(item, RESET));
  const window = windowOf(unit, true, {
    from: name.startsWith('"') ? `ratelimit ${name}` : 'ratelimit',
    limit: parameter(item, LIMIT) ?? parameter(policy, QUOTA) ?? numberOf(policy),
    remaining: parameter(item, REMAINING),
    windowMs: secondsToMs(parameter(policy, WINDOW)),
    resetAt: resetMs === undefined ? undefined : inReach(now + resetMs, now),
    endFrom: 'ratelimit',
  });
  const saysAnything = [window.limit, window.remaining, window.resetAt].some((each) => each !== undefined);
  return saysAnything ? [window] : [];
}

type Stated = { [Name in 'limit' | 'remaining' | 'windowMs' | 'resetAt']: number | undefined } & {
  readonly from: string;
  readonly endFrom: string;
};

function windowOf(unit: LimitWindow['unit'], fixed: boolean, stated: Stated): LimitWindow {
  const { from, limit, remaining, windowMs, resetAt, endFrom } = stated;
  return {
    unit,
    from,
    endFrom,
    fixed,
    ...(limit !== undefined && { limit }),
    ...(remaining !== undefined && { remaining }),
    ...(windowMs !== undefined && { windowMs }),
    ...(resetAt !== undefined && { resetAt }),
  };
}

function listOf(value: string | undefined): string[] {
  return value === undefined || value.length > LONGEST_VALUE ? [] : value.split(',');
}

/** Two of the three forms of HTTP dates hold a comma too, before the day. */
const COMMA_OF_LIST = /,(?!\s{0,8}\d{2}[ -][a-z]{3})/i;

/** Each moment of a list; one that is repeated, as by a proxy, is a list as well. */
export function instantsOf(value: string | undefined, now: number): (number | undefined)[] {
  if (value === undefined || value.length > LONGEST_VALUE) return [];
  if (!value.includes(',')) return [parseInstant(value, now)];
  return value.split(COMMA_OF_LIST).map((part) => parseInstant(part, now));
}

/** The number that an item begins with: `15000` of `15000;w=2592000`. Below 0 counts as 0. */
function numberOf(item: string | undefined): number | undefined {
  const digits = /^\s{0,8}(-?\d{1,15}(?:\.\d{1,9})?)\s{0,8}(?:;|$)/.exec(item ?? '')?.[1];
  return digits === undefined ? undefined : Math.max(0, Number(digits));
}

function nameOf(item: string): string {
  return (item.split(';')[0] ?? '').trim();
}

const parameterNamed = (names: string): RegExp =>
  new RegExp(`(?:^|[;,\\s])(?:${names})\\s{0,8}=\\s{0,8}(\\d{1,12})`, 'i');
const REMAINING = parameterNamed('r|remaining');
const RESET = parameterNamed('t|reset');
const LIMIT = parameterNamed('limit');
const QUOTA = parameterNamed('q');
const WINDOW = parameterNamed('w');

function parameter(item: string | undefined, name: RegExp): number | undefined {
  const digits = item === undefined ? undefined : name.exec(item)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function secondsToMs(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1_000;
}
