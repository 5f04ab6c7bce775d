const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Waits beyond this are taken for mistakes. Milliseconds. */
export const LONGEST_WAIT_MS = 366 * DAY_MS;

const LONGEST_TEXT = 64;

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ['ns', 1e-6],
  ['us', 1e-3],
  ['µs', 1e-3],
  ['ms', 1],
  ['s', SECOND_MS],
  ['m', MINUTE_MS],
  ['h', HOUR_MS],
  ['d', DAY_MS],
]);

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

/** The moment if it lies ahead, by no more than `LONGEST_WAIT_MS`. Epoch milliseconds. */
export function inReach(at: number | undefined, now: number): number | undefined {
  return at !== undefined && at > now && at - now <= LONGEST_WAIT_MS ? at : undefined;
}

/** Milliseconds of `6m0s`, `1h2m3.5s`, `12ms` (Go), `34.07s` (protobuf), `5 minutes`, `1 min 30 sec`. */
export function parseDurationMs(text: string): number | undefined {
  const part = /\s*(\d+(?:\.\d+)?)\s*([a-z\u00b5]+)/iy;
  const trimmed = text.trim();
  if (trimmed.length > LONGEST_TEXT) return undefined;
  let totalMs = 0;
  do {
    const unitMs = takePart(part, trimmed);
    if (unitMs === undefined) return undefined;
    totalMs += unitMs;
  } while (part.lastIndex < trimmed.length);
  return totalMs;
}

function takePart(part: RegExp, text: string): number | undefined {
  const [, amount, unit] = part.exec(text) ?? [];
  if (amount === undefined || unit === undefined) return undefined;
  const unitMs = UNIT_MS.get(shortUnit(unit.toLowerCase()));
  return unitMs === undefined ? undefined : Number(amount) * unitMs;
}

function shortUnit(unit: string): string {
  if (/^(?:milliseconds?|millis|msecs?)$/.test(unit)) return 'ms';
  const [, letter] =
    /^(?:(s)ec(?:ond)?s?|(m)in(?:ute)?s?|(h)(?:ou)?rs?|(d)ays?)$/.exec(unit)?.filter(Boolean) ?? [];
  return letter ?? unit;
}

/**
 * An HTTP date in the fixed form or one of the two obsolete ones, in epoch milliseconds.
 * https://www.rfc-editor.org/rfc/rfc9110.html#section-5.6.7
 */
export function parseHttpDate(text: string, now: number): number | undefined {
  const fixed =
    /^(?:mon|tue|wed|thu|fri|sat|sun), (\d{2}) ([a-z]{3}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/i.exec(text);
  if (fixed !== null) return utc(fixed[3], fixed[2], fixed[1], fixed.slice(4));
  const asctime =
    /^(?:mon|tue|wed|thu|fri|sat|sun) ([a-z]{3}) ([ \d]\d) (\d{2}):(\d{2}):(\d{2}) (\d{4})$/i.exec(text);
  if (asctime !== null) return utc(asctime[6], asctime[1], asctime[2], asctime.slice(3, 6));
  const rfc850 =
    /^(?:mon|tues|wednes|thurs|fri|satur|sun)day, (\d{2})-([a-z]{3})-(\d{2}) (\d{2}):(\d{2}):(\d{2}) GMT$/i.exec(
      text,
    );
  if (rfc850 === null) return undefined;
  return utc(String(fullYear(Number(rfc850[3]), now)), rfc850[2], rfc850[1], rfc850.slice(4));
}

/** A year of two digits that seems more than 50 years ahead lies in the past. */
function fullYear(twoDigits: number, now: number): number {
  const thisYear = new Date(now).getUTCFullYear();
  const year = thisYear - (thisYear % 100) + twoDigits;
  return year > thisYear + 50 ? year - 100 : year;
}

function utc(
  year: string | undefined,
  month: string | undefined,
  day: string | undefined,
  time: readonly (string | undefined)[],
): number | undefined {
  const monthIndex = MONTHS.indexOf(String(month).toLowerCase());
  const [hour = 24, minute = 60, second = 61] = time.map(Number);
  if (monthIndex < 0 || hour > 23 || minute > 59 || second > 60) return undefined;
  const midnight = Date.UTC(Number(year), monthIndex, Number(day));
  const isRealDay = new Date(midnight).getUTCDate() === Number(day);
  return isRealDay ? midnight + hour * HOUR_MS + minute * MINUTE_MS + second * SECOND_MS : undefined;
}

/** Epoch milliseconds of `2025-08-21T12:40:59Z`. https://www.rfc-editor.org/rfc/rfc3339 */
export function parseTimestamp(text: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}[t ]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:z|[+-]\d{2}:\d{2})$/i.test(text))
    return undefined;
  const at = Date.parse(text.replace(' ', 'T').toUpperCase());
  return Number.isNaN(at) ? undefined : at;
}

/**
 * The moment that a header names in any form seen in the wild: seconds from now, a time since 1970 in
 * seconds, milliseconds, microseconds or nanoseconds, a duration, an RFC 3339 timestamp or an HTTP date. Epoch milliseconds; `undefined` where it is
 * none of these, is not ahead, or is further off than `LONGEST_WAIT_MS`.
 */
export function parseInstant(value: string, now: number): number | undefined {
  const text = value.trim();
  if (text.length > LONGEST_TEXT) return undefined;
  const isNumber = /^\d+(?:\.\d+)?$/.test(text);
  const at = isNumber ? instantOfNumber(Number(text), now) : instantOfText(text, now);
  return inReach(at, now);
}

/** Numbers this large can only be a time since 1970: as a wait they would be out of reach. */
const LEAST_EPOCH_SECONDS = 1e9;
const LEAST_EPOCH_MS = 1e11;
const LEAST_EPOCH_US = 1e14;
const LEAST_EPOCH_NS = 1e17;

function instantOfNumber(value: number, now: number): number {
  if (value >= LEAST_EPOCH_NS) return value / 1e6;
  if (value >= LEAST_EPOCH_US) return value / 1e3;
  if (value >= LEAST_EPOCH_MS) return value;
  return value >= LEAST_EPOCH_SECONDS ? value * SECOND_MS : now + value * SECOND_MS;
}

function instantOfText(text: string, now: number): number | undefined {
  const durationMs = parseDurationMs(text);
  if (durationMs !== undefined) return now + durationMs;
  return parseTimestamp(text) ?? parseHttpDate(text, now);
}
