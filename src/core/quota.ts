import type { CalendarReset } from './provider.js';

/**
 * A limit: at most `requests` within any `perMs` milliseconds, or, with `calendar`, within the day, week or month
 * between two resets of the provider (`perMs` is then the nominal length).
 */
export interface QuotaWindow {
  readonly requests: number;
  readonly perMs: number;
  readonly calendar?: CalendarReset & { readonly unit: 'day' | 'month' };
}

/**
 * Permits that were taken together. `countedAt` is the latest moment at which the provider may count them: far
 * off while the request is under way, and lowered as evidence arrives (sent, answered, never sent).
 */
export interface Charge {
  readonly permits: number;
  readonly countedAt: number;
}

/** How long a request may be under way before its permit is charged as if it had been sent at the very end. */
export const HOLD_MS = 30_000;

/**
 * How long after it left us a request may reach the provider's counter, if no answer tells earlier: as long as the
 * shortest window, at least 1 s and at most 5 s. Only answers slower than this cost anything: the slot is then free
 * this much later than the provider would allow.
 */
export function arrivalSlackMs(windows: readonly QuotaWindow[]): number {
  const shortestMs = Math.min(...windows.map((window) => window.perMs));
  return Math.min(5_000, Math.max(1_000, shortestMs));
}

/** A limit that was lowered rises by this share at most, once per whole window without a refusal. */
const RISE = 0.1;

export interface LimitStatement {
  /** The limit in force. */
  readonly current: number;
  readonly configured: number;
  /** What the provider says, a whole number. */
  readonly stated: number;
  /** Since the limit was last changed, or a request was refused. Milliseconds. */
  readonly sinceMs: number;
  readonly perMs: number;
}

/** The limit in force after a provider stated one: lowered at once, raised step by step, never above the configured one. */
export function adjustedLimit({ current, configured, stated, sinceMs, perMs }: LimitStatement): number {
  if (stated < 1 || stated === current) return current;
  if (stated < current) return stated;
  if (sinceMs < perMs) return current;
  return Math.min(configured, stated, Math.max(current + 1, Math.floor(current * (1 + RISE))));
}

/** The moment from which charges count against this window, `now` being inside it. */
export function windowStart(window: QuotaWindow, now: number): number {
  return window.calendar === undefined ? now - window.perMs : lastReset(window.calendar, now);
}

/** How many permits may be taken now. Exact: no window of the given length ever holds more than its limit. */
export function permitsLeft(
  windows: readonly QuotaWindow[],
  charges: readonly Charge[],
  now: number,
): number {
  let left = Number.POSITIVE_INFINITY;
  for (const window of windows) {
    const start = windowStart(window, now);
    let used = 0;
    for (const charge of charges) if (charge.countedAt >= start) used += charge.permits;
    left = Math.min(left, window.requests - used);
  }
  return Math.max(0, left);
}

/**
 * The soonest moment at which `permitsLeft` may exceed 0; `now` if it does already. What is still under way is
 * taken as counted now, though it is charged later: an estimate to wait by, which `permitsLeft` then confirms.
 */
export function nextPermitAt(
  windows: readonly QuotaWindow[],
  charges: readonly Charge[],
  now: number,
): number {
  let at = now;
  for (const window of windows) at = Math.max(at, nextPermitInWindow(window, charges, now));
  return at;
}

function nextPermitInWindow(window: QuotaWindow, charges: readonly Charge[], now: number): number {
  const start = windowStart(window, now);
  const counted = charges
    .filter((charge) => charge.countedAt >= start)
    .sort((a, b) => a.countedAt - b.countedAt);
  let used = counted.reduce((sum, charge) => sum + charge.permits, 0);
  if (used < window.requests) return now;
  if (window.calendar !== undefined) return nextReset(window.calendar, now);
  for (const charge of counted) {
    used -= charge.permits;
    if (used < window.requests) return Math.min(now, charge.countedAt) + window.perMs + 1;
  }
  return now + window.perMs;
}

const DAY_MS = 86_400_000;

type Calendar = NonNullable<QuotaWindow['calendar']>;

interface Period {
  /** The latest reset at or before a moment. */
  readonly from: number;
  /** The first reset after it. */
  readonly until: number;
}

/** The latest reset at or before `now`. */
export function lastReset(calendar: Calendar, now: number): number {
  return periodOf(calendar, now).from;
}

/** The first reset after `now`. */
export function nextReset(calendar: Calendar, now: number): number {
  return periodOf(calendar, now).until;
}

/** What was found last for each calendar: to ask for the time in a zone takes some microseconds, over and over. */
const knownPeriods = new WeakMap<Calendar, Period>();

function periodOf(calendar: Calendar, now: number): Period {
  const known = knownPeriods.get(calendar);
  if (known !== undefined && known.from <= now && now < known.until) return known;
  const resets = resetsNear(calendar, now);
  const period = {
    from: Math.max(...resets.filter((reset) => reset <= now)),
    until: Math.min(...resets.filter((reset) => reset > now)),
  };
  knownPeriods.set(calendar, period);
  return period;
}

/**
 * The resets of the local day or month that `now` lies in, and of two before and after it: where a clock goes back
 * over midnight a date begins twice, and a time that it skips may come on the next date.
 */
function resetsNear({ unit, at, timeZone }: Calendar, now: number): number[] {
  const local = new Date(now + offsetMs(now, timeZone));
  const [year, month, day] = [local.getUTCFullYear(), local.getUTCMonth(), local.getUTCDate()];
  const [hour, minute] = at.split(':').map(Number);
  return [-2, -1, 0, 1, 2]
    .map((step) =>
      unit === 'day'
        ? Date.UTC(year, month, day + step, hour, minute)
        : Date.UTC(year, month + step, 1, hour, minute),
    )
    .map((wanted) => instantOf(wanted, timeZone));
}

/**
 * The moment at which a wall clock in `timeZone` shows what one in UTC shows at `wanted`. As RFC 5545 (3.3.5) has
 * it: the first of two where the clock goes back, and by the clock before the jump where it skips that time.
 */
function instantOf(wanted: number, timeZone: string): number {
  const candidates = [wanted - DAY_MS, wanted + DAY_MS].map((near) => wanted - offsetMs(near, timeZone));
  const earlier = Math.min(...candidates);
  return earlier + offsetMs(earlier, timeZone) === wanted ? earlier : Math.max(...candidates);
}

const formatters = new Map<string, Intl.DateTimeFormat>();

/** How far a wall clock in `timeZone` is ahead of UTC at that moment. Milliseconds. */
function offsetMs(at: number, timeZone: string): number {
  let formatter = formatters.get(timeZone);
  if (formatter === undefined) {
    formatter = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formatters.set(timeZone, formatter);
  }
  const parts = new Map(formatter.formatToParts(at).map((part) => [part.type, Number(part.value)]));
  const read = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? Number.NaN;
  const local = Date.UTC(
    read('year'),
    read('month') - 1,
    read('day'),
    read('hour'),
    read('minute'),
    read('second'),
  );
  return local - Math.floor(at / 1_000) * 1_000;
}
