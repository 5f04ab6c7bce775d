/** Whether a key, or an application, is used far more than is usual at this time of the day and the week. */
import type { Unusual } from './anomaly.js';
import { hoursAgo, hoursSeen, MOST_HOURS, UNSEEN, WEEK_HOURS } from './anomaly-history.js';
import type { UseHistory } from './anomaly-history.js';

const DAY_HOURS = 24;
/** Nothing is said before so many hours were seen. */
export const RATE_LEARNING_HOURS = 3 * DAY_HOURS;
/** So many times what is usual is unusual; in the first week, when weekdays are not known, more. */
const FACTOR = 3;
const FIRST_WEEK_FACTOR = 6;
/** Fewer requests within five minutes are never unusual. */
const FEWEST_REQUESTS = 30;
/** Requests that come by chance scatter by the root of their mean; so many times that is no chance any more. */
const SCATTER = 6;
/** It is over once it was not above for so long. Slots. */
const CALM_SLOTS = 6;
/** Of the last day, the hours that are too few to make something usual. */
const RARE_HOURS = 2;
/** Of the last week, from so many days on, a single day makes nothing usual. */
const DAYS_TO_DOUBT = 5;

/** The most requests that a slot of this hour usually sees; undefined where too little is known. */
export function usualRate(history: UseHistory): number | undefined {
  if (hoursSeen(history) < RATE_LEARNING_HOURS) return undefined;
  return Math.max(lately(history), atThisHour(history), atThisHourOfTheWeek(history));
}

/** From so many requests in a slot on it is unusual. */
export function rateThreshold(history: UseHistory, usual: number): number {
  const factor = hoursSeen(history) < WEEK_HOURS ? FIRST_WEEK_FACTOR : FACTOR;
  return Math.ceil(Math.max(FEWEST_REQUESTS, factor * usual, usual + SCATTER * Math.sqrt(usual)));
}

/**
 * Found once, when it begins. `isMoved`: whether the requests only moved here from another key, which is not unusual;
 * asked where it matters.
 */
export function judgeRate(history: UseHistory, isMoved: () => boolean = () => false): Unusual | undefined {
  const { surge, slot, inSlot } = history;
  if (surge !== undefined && slot - surge > CALM_SLOTS) delete history.surge;
  if (inSlot < FEWEST_REQUESTS) return undefined;
  const usual = usualRate(history);
  if (usual === undefined) return undefined;
  const threshold = rateThreshold(history, usual);
  if (inSlot <= threshold) return undefined;
  const isNews = history.surge === undefined;
  if (isNews && isMoved()) return undefined;
  history.surge = slot;
  if (!isNews) return undefined;
  return {
    kind: 'rate',
    evidence: `${inSlot} requests within 5 minutes; up to ${Math.round(usual)} are usual at this time.`,
    value: inSlot,
    threshold,
  };
}

/** Whether more is sent than ever is usual, be it far more or not. */
export function isAboveUsual(history: UseHistory): boolean {
  const usual = usualRate(history);
  return usual === undefined || history.inSlot > usual;
}

function lately(history: UseHistory): number {
  return nthLargest(spans(history, 1, DAY_HOURS, 1, 0), RARE_HOURS);
}

function atThisHour(history: UseHistory): number {
  const days = spans(history, DAY_HOURS, WEEK_HOURS, DAY_HOURS, 1);
  return nthLargest(days, days.length < DAYS_TO_DOUBT ? 0 : 1);
}

function atThisHourOfTheWeek(history: UseHistory): number {
  const weeks = spans(history, WEEK_HOURS, MOST_HOURS, WEEK_HOURS, 1);
  return nthLargest(weeks, Math.floor((weeks.length - 1) / 2));
}

/** At every `step` hours back, the busiest slot of the hours around; those alone that somebody saw. */
function spans(history: UseHistory, first: number, last: number, step: number, around: number): number[] {
  const found: number[] = [];
  for (let ago = first; ago <= last; ago += step) {
    let most = UNSEEN;
    for (let near = ago - around; near <= ago + around; near += 1)
      most = Math.max(most, hoursAgo(history, near));
    if (most !== UNSEEN) found.push(most);
  }
  return found;
}

function nthLargest(numbers: readonly number[], index: number): number {
  return [...numbers].sort((a, b) => b - a)[index] ?? 0;
}
