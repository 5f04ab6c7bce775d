/** The headers by which providers say when to come back. Every answer is in epoch milliseconds and lies ahead. */
import { inReach } from './instants.js';
import { instantsOf, limitWindows, LONGEST_VALUE, type Headers, type LimitWindow } from './limit-headers.js';

export interface StatedWait {
  readonly at: number;
  /** The header that told, or `body`. */
  readonly from: string;
}

/**
 * `retry-after-ms` (OpenAI, Azure), then `Retry-After`: seconds, whole or not, or an HTTP date.
 * https://www.rfc-editor.org/rfc/rfc9110.html#section-10.2.3
 */
export function retryAfter(headers: Headers, now: number): StatedWait | undefined {
  const milliseconds = latest(millisecondsOf(headers.header('retry-after-ms'), now));
  if (milliseconds !== undefined) return { at: milliseconds, from: 'retry-after-ms' };
  const at = latest(instantsOf(headers.header('retry-after'), now));
  return at === undefined ? undefined : { at, from: 'retry-after' };
}

function millisecondsOf(value: string | undefined, now: number): (number | undefined)[] {
  if (value === undefined || value.length > LONGEST_VALUE) return [];
  return value.split(',').map((part) => {
    const isNumber = /^\s{0,8}\d{1,12}(?:\.\d{1,9})?\s{0,8}$/.test(part);
    return isNumber ? inReach(now + Number(part), now) : undefined;
  });
}

/** Not stated, and too long to be assumed: a window may end any moment. */
const LONGEST_ASSUMED_MS = 3_600_000;

/**
 * When the spent windows have ended: the last of those with nothing left. Where no window says what is left, the
 * first to end, since a trial is cheap. Windows with something left are ignored.
 */
export function windowReset(headers: Headers, now: number): StatedWait | undefined {
  const windows = limitWindows(headers, now);
  return (
    lastSpent(windows, now) ??
    windows
      .filter((window) => window.remaining === undefined)
      .reduce<StatedWait | undefined>(sooner, undefined)
  );
}

function lastSpent(windows: readonly LimitWindow[], now: number): StatedWait | undefined {
  let last: StatedWait | undefined;
  for (const window of windows) {
    const end = window.remaining === 0 ? endOf(window, now) : undefined;
    if (end !== undefined && (last === undefined || end.at > last.at)) last = end;
  }
  return last;
}

/** By then a window of the stated length has ended, wherever it began. */
function endOf({ resetAt, windowMs, endFrom }: LimitWindow, now: number): StatedWait | undefined {
  if (resetAt !== undefined) return { at: resetAt, from: endFrom };
  if (windowMs === undefined || windowMs === 0 || windowMs > LONGEST_ASSUMED_MS) return undefined;
  return { at: now + windowMs, from: endFrom };
}

function sooner(soonest: StatedWait | undefined, { resetAt, endFrom }: LimitWindow): StatedWait | undefined {
  if (resetAt === undefined || (soonest !== undefined && soonest.at <= resetAt)) return soonest;
  return { at: resetAt, from: endFrom };
}

function latest(instants: readonly (number | undefined)[]): number | undefined {
  return instants.reduce((a, b) => (a === undefined || (b !== undefined && b > a) ? b : a), undefined);
}
