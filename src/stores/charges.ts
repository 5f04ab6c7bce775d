/** What the stores have in common in keeping charges: which to keep, and how to keep them few. */
import { windowStart } from '../core/quota.js';
import type { Charge, QuotaWindow } from '../core/quota.js';
import type { Charged } from '../core/ports.js';
import { LONGEST_LEASE_MS } from './requests.js';

/** A bucket with more settled charges than this has them compacted. */
export const MANY_CHARGES = 512;
/** Each window is cut into this many slots; charges within one slot become one. */
const SLOTS_PER_WINDOW = 64;
/** A lease this long past its charge will not be settled any more; its holder is dead or has forgotten it. Milliseconds. */
export const FORGOTTEN_AFTER_MS = 60_000;

const HOUR_MS = 3_600_000;
/** The longest that a calendar window lasts, with an hour of summer time and one to spare. */
const LONGEST_CALENDAR_MS = { day: 26 * HOUR_MS, month: (31 * 24 + 2) * HOUR_MS } as const;

/** How long after it was counted a charge may still matter to one of the windows. Milliseconds. */
export function horizonMs(windows: readonly QuotaWindow[]): number {
  return Math.max(
    0,
    ...windows.map(({ perMs, calendar }) =>
      calendar === undefined ? perMs : Math.max(perMs, LONGEST_CALENDAR_MS[calendar.unit]),
    ),
  );
}

/**
 * Until when a store remembers that it was told of a charge: as long as it matters, but no longer than anybody would
 * tell it again.
 */
export function rememberedUntil({ windows, countedAt }: Charged, now: number): number {
  const spanMs = Math.min(LONGEST_LEASE_MS, Math.max(FORGOTTEN_AFTER_MS, horizonMs(windows)));
  return Math.max(now, boundedCountedAt(countedAt, now)) + spanMs;
}

/** A charge dated by a clock that is wrong must not block its bucket until that day. */
export function boundedCountedAt(countedAt: number, now: number): number {
  return Math.min(countedAt, now + LONGEST_LEASE_MS);
}

/**
 * Fewer charges with the same permits, on the careful side: those in one slot become one with the latest
 * `countedAt`. A slot is 1/64 of the shortest window that still counts the charge, and never reaches over the edge
 * of a window, so for every window a permit returns at most 1/32 of its length later than it might, and never sooner.
 * At most about 64 charges per window remain.
 */
export function compactCharges(
  windows: readonly QuotaWindow[],
  charges: readonly Charge[],
  now: number,
): Charge[] {
  const edges = windows.map((window) => ({ start: windowStart(window, now), perMs: window.perMs }));
  const longestMs = Math.max(...edges.map(({ perMs }) => perMs));
  const slots = new Map<string, Charge>();
  for (const charge of charges) {
    const counting = edges.filter(({ start }) => charge.countedAt >= start);
    const slotMs = Math.min(longestMs, ...counting.map(({ perMs }) => perMs)) / SLOTS_PER_WINDOW;
    const slot = `${String(counting.length)}:${String(slotMs)}:${String(Math.floor(charge.countedAt / slotMs))}`;
    const sameSlot = slots.get(slot);
    slots.set(slot, {
      permits: charge.permits + (sameSlot?.permits ?? 0),
      countedAt: Math.max(charge.countedAt, sameSlot?.countedAt ?? charge.countedAt),
    });
  }
  return [...slots.values()];
}
