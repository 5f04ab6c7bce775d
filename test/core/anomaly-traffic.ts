/** Traffic as programs make it, over weeks, and what the detectors say of it. Seeded: the same seed, the same weeks. */
import { SLOT_MS, countUse, newHistory } from '#keymux/core/anomaly-history.js';
import type { UseHistory } from '#keymux/core/anomaly-history.js';
import { judgeHours } from '#keymux/core/anomaly-hours.js';
import { meetName, newNames } from '#keymux/core/anomaly-newcomers.js';
import { judgeOutsideUse, newOutsideUse } from '#keymux/core/anomaly-outside.js';
import { judgeRate } from '#keymux/core/anomaly-rate.js';
import type { AnomalyKind } from '#keymux/core/anomaly.js';
import type { Random } from '#keymux/core/ports.js';
import { seededRandom } from '#keymux/testing/fake-clock.js';

export const DAY_SLOTS = 288;
const HOUR_SLOTS = 12;
export const WEEKS = 8;
const DAYS = WEEKS * 7;
export const SLOTS = DAYS * DAY_SLOTS;
/** A Monday, midnight UTC. */
export const START = Date.UTC(2027, 0, 4);
const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const LOOK_MS = 10_000;
const LOOKS = SLOT_MS / LOOK_MS;

/** Requests that come by chance, so many on average. */
export function poisson(mean: number, random: Random): number {
  // Knuth's for small means, and a normal distribution (Box-Muller) for large ones.
  if (mean > 50) return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal(random)));
  let product = random();
  let count = 0;
  for (; product > Math.exp(-mean); count += 1) product *= random();
  return count;
}

function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Requests of each five minutes. */
export type Traffic = (slot: number, random: Random) => number;

const hourOf = (slot: number): number => (slot % DAY_SLOTS) / HOUR_SLOTS;
const dayOf = (slot: number): number => Math.floor(slot / DAY_SLOTS);
const isWorkday = (slot: number): boolean => dayOf(slot) % 7 < 5;
const isWithin = (slot: number, from: number, to: number): boolean =>
  hourOf(slot) >= from && hourOf(slot) < to;
/** The same all day long, another one each day. */
const ofDay = (slot: number): Random => seededRandom(dayOf(slot) * 7919 + 13);

function wave(slot: number): number {
  const weekend = isWorkday(slot) ? 1 : 0.4;
  return weekend * 50 * (1 + Math.sin((2 * Math.PI * slot) / DAY_SLOTS));
}

/** What nobody should be woken for. */
export const USUAL: Readonly<Record<string, Traffic>> = {
  'steady, 2 in five minutes': (_, random) => poisson(2, random),
  'steady, 1,000 in five minutes': (_, random) => poisson(1_000, random),
  'day, night and weekend': (slot, random) => poisson(wave(slot), random),
  'working hours alone': (slot, random) =>
    isWorkday(slot) && isWithin(slot, 9, 17) ? poisson(200, random) : 0,
  'market hours, busy at open and close': (slot, random) => {
    if (!isWorkday(slot) || !isWithin(slot, 14.5, 21)) return 0;
    return poisson(isWithin(slot, 15, 20.5) ? 150 : 450, random);
  },
  'a job every night, up to 20 minutes late': (slot, random) => {
    const begin = 24 + Math.floor(4 * ofDay(slot)());
    return poisson(5, random) + (slot % DAY_SLOTS === begin ? 2_000 : 0);
  },
  'a job every Sunday night': (slot, random) =>
    poisson(wave(slot), random) + (dayOf(slot) % 7 === 6 && isWithin(slot, 3, 4) ? 1_000 : 0),
  'bursts, scattered by a factor of two': (_, random) => poisson(40 * Math.exp(0.7 * normal(random)), random),
  'deployments, 15 minutes of 2.5 times as much': (slot, random) => {
    const begin = 120 + Math.floor(70 * ofDay(slot)());
    const isCold = dayOf(slot) % 3 === 0 && slot % DAY_SLOTS >= begin && slot % DAY_SLOTS < begin + 3;
    return poisson(wave(slot) * (isCold ? 2.5 : 1), random);
  },
  'growth of 10 % a week': (slot, random) => poisson(wave(slot) * 1.1 ** (slot / (7 * DAY_SLOTS)), random),
  'a developer, late on one evening of ten': (slot, random) => {
    const chance = ofDay(slot);
    const end = chance() < 0.1 ? 23 : 19;
    const isAtWork = (isWorkday(slot) || chance() < 0.1) && isWithin(slot, 9.5, end);
    return isAtWork && random() < 0.5 ? poisson(8, random) : 0;
  },
};

export interface Found {
  readonly kind: AnomalyKind;
  readonly at: number;
}

/** Looks every ten seconds where `isFine`, else at the end of each slot. */
function look(history: UseHistory, requests: number, slot: number, isFine: boolean): Found[] {
  const looks = isFine ? LOOKS : 1;
  const found: Found[] = [];
  for (let each = 1; each <= looks; each += 1) {
    const share = Math.floor((requests * each) / looks) - Math.floor((requests * (each - 1)) / looks);
    const at = START + slot * SLOT_MS + (each * SLOT_MS) / looks - 1;
    countUse(history, share, at);
    for (const unusual of [judgeRate(history), judgeHours(history)])
      if (unusual !== undefined) found.push({ kind: unusual.kind, at });
  }
  return found;
}

/** What is found in eight weeks of traffic. */
export function foundIn(traffic: Traffic, seed: number): Found[] {
  const random = seededRandom(seed);
  const history = newHistory(START);
  return Array.from({ length: SLOTS }, (_, slot) => look(history, traffic(slot, random), slot, false)).flat();
}

/** Until it is found, from its beginning. Milliseconds; undefined where it is not found before its end. */
export function delayOf(
  kind: AnomalyKind,
  { traffic, more, from, slots }: Incident,
  seed: number,
): number | undefined {
  const random = seededRandom(seed);
  const history = newHistory(START);
  for (let slot = 0; slot < from + slots; slot += 1) {
    const isUnderWay = slot >= from;
    const usual = traffic(slot, random);
    const found = look(history, isUnderWay ? usual + more(usual, random) : usual, slot, isUnderWay);
    const seen = found.find((each) => isUnderWay && each.kind === kind);
    if (seen !== undefined) return seen.at - (START + from * SLOT_MS);
  }
  return undefined;
}

export interface Incident {
  readonly kind: AnomalyKind;
  readonly traffic: Traffic;
  /** Requests of one slot on top of the usual ones. */
  readonly more: (usual: number, random: Random) => number;
  /** Slots. */
  readonly from: number;
  readonly slots: number;
}

const of = (name: string): Traffic => USUAL[name] ?? (() => 0);
/** A Wednesday of the seventh week, by the hour. */
const wednesdayAt = (hour: number): number => 44 * DAY_SLOTS + hour * HOUR_SLOTS;

export const INCIDENTS: Readonly<Record<string, Incident>> = {
  'a loop without end, 50 requests a second': {
    kind: 'rate',
    traffic: of('day, night and weekend'),
    more: () => 15_000,
    from: wednesdayAt(12),
    slots: 3,
  },
  'a stolen key beside the program, ten times its traffic': {
    kind: 'rate',
    traffic: of('steady, 1,000 in five minutes'),
    more: (_, random) => poisson(9_000, random),
    from: wednesdayAt(12),
    slots: 12,
  },
  'a stolen key in a quiet program, 20 requests a minute': {
    kind: 'rate',
    traffic: of('steady, 2 in five minutes'),
    more: (_, random) => poisson(100, random),
    from: wednesdayAt(12),
    slots: 12,
  },
  'night use of a key of working hours, 20 requests an hour': {
    kind: 'hours',
    traffic: of('working hours alone'),
    more: (_, random) => poisson(20 / 12, random),
    from: wednesdayAt(2),
    slots: 24,
  },
  'night use of a key of market hours, 20 requests an hour': {
    kind: 'hours',
    traffic: of('market hours, busy at open and close'),
    more: (_, random) => poisson(20 / 12, random),
    from: wednesdayAt(6),
    slots: 24,
  },
};

// --- callers ------------------------------------------------------------------------------------------------------

/** Which names are seen in each hour of eight weeks. */
export type Callers = (hour: number, random: Random) => readonly string[];

export const USUAL_CALLERS: Readonly<Record<string, Callers>> = {
  'five modules, some rarely': (_, random) =>
    ['main', 'search', 'mail', 'billing', 'report'].filter((_name, index) => random() < 4 ** -index),
  'a weekly job': (hour) => (hour % 168 === 20 ? ['main', 'weekly'] : ['main']),
  'instances with names of their own, a new one every hour': (hour) => ['main', `pod-${hour}`],
};

/** How often somebody is told of a name. */
export function newCallersIn(callers: Callers, seed: number): number {
  const random = seededRandom(seed);
  const known = newNames(START);
  let told = 0;
  for (let hour = 0; hour < DAYS * 24; hour += 1)
    for (const name of callers(hour, random))
      if (meetName(known, name, 5, START + (hour * DAY_MS) / 24)) told += 1;
  return told;
}

// --- allowances ---------------------------------------------------------------------------------------------------

export interface Allowance {
  /** Requests of ours in each minute, and units that each costs. */
  readonly own: (minute: number, random: Random) => number;
  readonly cost: (random: Random) => number;
  /** Units that others spend in each minute. */
  readonly others: (minute: number, random: Random) => number;
}

export const USUAL_ALLOWANCES: Readonly<Record<string, Allowance>> = {
  'nobody else': { own: (_, random) => poisson(10, random), cost: () => 1, others: () => 0 },
  'requests that cost 1 to 10 units': {
    own: (_, random) => poisson(10, random),
    cost: (random) => 1 + Math.floor(10 * random()),
    others: () => 0,
  },
  'a colleague who uses as much, all the time': {
    own: (_, random) => poisson(10, random),
    cost: () => 1,
    others: (_, random) => poisson(10, random),
  },
  'answers that come late': {
    own: (minute, random) => poisson(minute % 60 < 5 ? 60 : 5, random),
    cost: () => 1,
    others: () => 0,
  },
};

const LIMIT = 5_000;
const WINDOW_MINUTES = 60;

/** When use outside keymux is found, in minutes; `thief` spends so many units a minute from `from` on. */
export function outsideUseIn(
  { own, cost, others }: Allowance,
  seed: number,
  minutes: number,
  thief: { readonly from: number; readonly perMinute: number } = { from: Infinity, perMinute: 0 },
): number[] {
  const random = seededRandom(seed);
  const known = newOutsideUse();
  const found: number[] = [];
  let left = LIMIT;
  let spent = 0;
  for (let minute = 0; minute < minutes; minute += 1) {
    if (minute % WINDOW_MINUTES === 0) left = LIMIT;
    const requests = own(minute, random);
    // A tenth is not answered yet.
    const underWay = Math.floor(requests / 10);
    for (let each = 0; each < requests; each += 1) left -= cost(random);
    left -= others(minute, random) + (minute >= thief.from ? poisson(thief.perMinute, random) : 0);
    spent += requests - underWay;
    const at = START + minute * MINUTE_MS;
    const until = START + (Math.floor(minute / WINDOW_MINUTES) + 1) * WINDOW_MINUTES * MINUTE_MS;
    const spending = {
      at,
      left: Math.max(0, left),
      until,
      limit: LIMIT,
      kind: 'fixed',
      spent,
      underWay,
    } as const;
    if (judgeOutsideUse(known, spending) !== undefined) found.push(minute);
    spent += underWay;
  }
  return found;
}
