const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** `850 ms`, `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`. */
export function durationText(ms: number): string {
  if (ms < SECOND_MS) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < MINUTE_MS) return `${Math.floor(ms / SECOND_MS)} s`;
  if (ms < HOUR_MS) return inTwo(ms, MINUTE_MS, 'min', SECOND_MS, 's');
  if (ms < DAY_MS) return inTwo(ms, HOUR_MS, 'h', MINUTE_MS, 'min');
  return inTwo(ms, DAY_MS, 'd', HOUR_MS, 'h');
}

function inTwo(ms: number, largeMs: number, large: string, smallMs: number, small: string): string {
  const rest = Math.floor((ms % largeMs) / smallMs);
  return `${Math.floor(ms / largeMs)} ${large}${rest === 0 ? '' : ` ${rest} ${small}`}`;
}

/** `in 42 s`, `5 min ago`, `now`. */
export function relativeText(at: number, now: number): string {
  const distanceMs = Math.abs(at - now);
  if (distanceMs < SECOND_MS) return 'now';
  return at > now ? `in ${durationText(distanceMs)}` : `${durationText(distanceMs)} ago`;
}

/** `14:03:10` on the same day, else `2026-01-31 14:03`; in the time zone of the machine. */
export function clockText(at: number, now: number): string {
  const [date, time] = [dateOf(at), timeOf(at)];
  return date === dateOf(now) ? time : `${date} ${time.slice(0, 5)}`;
}

/** `in 42 s (14:03:10)`. */
export function momentText(at: number, now: number): string {
  return `${relativeText(at, now)} (${clockText(at, now)})`;
}

function dateOf(at: number): string {
  const date = new Date(at);
  return [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
}

function timeOf(at: number): string {
  const date = new Date(at);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
}

function two(number: number): string {
  return String(number).padStart(2, '0');
}

/** `per` of a limit as it is written in a configuration, or `4 s`. */
export function windowText(perMs: number): string {
  const unit = [
    ['second', SECOND_MS],
    ['minute', MINUTE_MS],
    ['hour', HOUR_MS],
    ['day', DAY_MS],
    ['month', 31 * DAY_MS],
  ] as const;
  return unit.find(([, ms]) => ms === perMs)?.[0] ?? durationText(perMs);
}
