/** Whether a key is used at a time of the day at which it never is. */
import type { Unusual } from './anomaly.js';
import { hourOf, hoursAgo, MOST_HOURS, UNSEEN } from './anomaly-history.js';
import type { UseHistory } from './anomaly-history.js';

const DAY_HOURS = 24;
/** Nothing is said before the same time was seen on so many days. */
export const HOURS_LEARNING_DAYS = 14;
/** So many hours before and after count as the same time: people stay late, and clocks are moved twice a year. */
const AROUND = 2;
/** Fewer requests within the hour are never unusual. */
const FEWEST_REQUESTS = 5;
/** That use which knows no time of the day left these hours out by chance must be less likely than this. */
const CHANCE = 1e-4;
/** Found once within so many hours. */
const REST_HOURS = 12;

/** Found once for each night, or whatever the quiet time is. */
export function judgeHours(history: UseHistory): Unusual | undefined {
  if (history.inHour < FEWEST_REQUESTS) return undefined;
  const hour = hourOf(history);
  if (history.oddHour !== undefined && hour - history.oddHour < REST_HOURS) {
    return undefined;
  }
  const quiet = quietAt(history);
  if (quiet === undefined || (1 - quiet.usedShare) ** quiet.hours > CHANCE) return undefined;
  history.oddHour = hour;
  const time = `${String(hour % DAY_HOURS).padStart(2, '0')}:00 UTC`;
  return {
    kind: 'hours',
    evidence: `${history.inHour} requests in the hour from ${time}; within two hours of that time there were none on ${quiet.days} days before.`,
    value: history.inHour,
    threshold: FEWEST_REQUESTS,
  };
}

interface Quiet {
  readonly days: number;
  /** Those around this time that were seen, all without use. */
  readonly hours: number;
  /** Of all hours that were seen, those with use. 0 to 1. */
  readonly usedShare: number;
}

/** Undefined where it was used at this time, or too few days are known. */
function quietAt(history: UseHistory): Quiet | undefined {
  let hours = 0;
  let days = 0;
  for (let ago = DAY_HOURS; ago <= MOST_HOURS; ago += DAY_HOURS) {
    if (hoursAgo(history, ago) !== UNSEEN) days += 1;
    for (let near = ago - AROUND; near <= ago + AROUND; near += 1) {
      const most = hoursAgo(history, near);
      if (most > 0) return undefined;
      if (most === 0) hours += 1;
    }
  }
  if (days < HOURS_LEARNING_DAYS) return undefined;
  const seen = history.hours.filter((most) => most !== UNSEEN);
  return { days, hours, usedShare: seen.filter((most) => most > 0).length / seen.length };
}
