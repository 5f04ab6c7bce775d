/**
 * How a key, or an application, was used over four weeks, hour by hour. What is usual is read from it. Times are epoch
 * milliseconds; slots and hours are numbered since the epoch.
 */

/** Use is counted in slots of this length. Milliseconds. */
export const SLOT_MS = 300_000;
const SLOTS_PER_HOUR = 12;
export const WEEK_HOURS = 168;
/** Four weeks. */
export const MOST_HOURS = 4 * WEEK_HOURS;
/** Longer without a look, nobody watched: the machine slept, or the program did not run. */
const BLIND_SLOTS = 3;
/** Stands for an hour in which nobody watched. */
export const UNSEEN = -1;

export interface UseHistory {
  /** The slot under way, and the requests in it. */
  slot: number;
  inSlot: number;
  /** The hour under way: its requests, and those of its busiest slot that is over. */
  inHour: number;
  most: number;
  /** The busiest slot of each hour before, the oldest first; `UNSEEN` where nobody watched. */
  hours: number[];
  /** While more is sent than is usual: the last slot that was above. */
  surge?: number;
  /** When use at an unusual hour was found last. The number of the hour. */
  oddHour?: number;
}

export function newHistory(at: number): UseHistory {
  return { slot: slotAt(at), inSlot: 0, inHour: 0, most: 0, hours: [] };
}

/** Moves on to `at`, and counts `requests` there. A clock that goes back adds to the slot under way. */
export function countUse(history: UseHistory, requests: number, at: number): void {
  const slot = slotAt(at);
  const isBlind = slot - history.slot > BLIND_SLOTS;
  if (isBlind) passBlind(history, slot);
  else while (history.slot < slot) endSlot(history);
  history.inSlot += requests;
  history.inHour += requests;
}

/** The hour under way. */
export function hourOf({ slot }: UseHistory): number {
  return Math.floor(slot / SLOTS_PER_HOUR);
}

/** The busiest slot of the hour so many hours ago, from 1 on; `UNSEEN` where that is not known. */
export function hoursAgo({ hours }: UseHistory, ago: number): number {
  return hours[hours.length - ago] ?? UNSEEN;
}

/** Hours in which somebody watched. */
export function hoursSeen({ hours }: UseHistory): number {
  return hours.filter((most) => most !== UNSEEN).length;
}

/** What two processes saw of the same use, or one before and after its restart: of each hour the higher number. */
export function mergedHistory(a: UseHistory, b: UseHistory): UseHistory {
  const [newer, older] = hourOf(a) >= hourOf(b) ? [a, b] : [b, a];
  const shift = hourOf(newer) - hourOf(older);
  const length = Math.min(MOST_HOURS, Math.max(newer.hours.length, older.hours.length + shift));
  const hours = Array.from({ length }, (_, index) => {
    const ago = length - index;
    return Math.max(hoursAgo(newer, ago), ago > shift ? hoursAgo(older, ago - shift) : UNSEEN);
  });
  return { ...newer, hours };
}

function slotAt(at: number): number {
  return Math.floor(at / SLOT_MS);
}

function endSlot(history: UseHistory): void {
  history.most = Math.max(history.most, history.inSlot);
  history.inSlot = 0;
  history.slot += 1;
  if (history.slot % SLOTS_PER_HOUR === 0) endHour(history, history.most);
}

function endHour(history: UseHistory, most: number): void {
  history.hours.push(most);
  if (history.hours.length > MOST_HOURS) history.hours.shift();
  history.most = 0;
  history.inHour = 0;
}

function passBlind(history: UseHistory, slot: number): void {
  const hour = Math.floor(slot / SLOTS_PER_HOUR);
  const passed = hour - hourOf(history);
  if (passed > 0) {
    endHour(history, Math.max(history.most, history.inSlot));
    for (let each = 1; each < Math.min(passed, MOST_HOURS); each += 1) endHour(history, UNSEEN);
  } else history.most = Math.max(history.most, history.inSlot);
  history.slot = slot;
  history.inSlot = 0;
}
