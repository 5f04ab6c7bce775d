import { lastReset, nextReset } from '../../core/quota.js';
import type { QuotaWindow } from '../../core/quota.js';

type Calendar = NonNullable<QuotaWindow['calendar']>;
/** Four in a row; now lies between the second and the third. */
type Resets = readonly [number, number, number, number];

const known = new WeakMap<Calendar, Resets>();

/** The resets around now, and one more on either side: the server's clock decides, and it may have passed one. */
export function resetsAround(calendar: Calendar, now: number): Resets {
  const last = known.get(calendar);
  if (last !== undefined && last[1] <= now && now < last[2]) return last;
  const from = lastReset(calendar, now);
  const until = nextReset(calendar, now);
  const resets: Resets = [lastReset(calendar, from - 1), from, until, nextReset(calendar, until)];
  known.set(calendar, resets);
  return resets;
}
