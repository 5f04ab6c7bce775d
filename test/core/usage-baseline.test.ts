import { describe, expect, it } from 'vitest';
import {
  FEWEST_REQUESTS,
  FEWEST_SLOTS,
  afterCount,
  newBaseline,
  presentUsage,
  unusualAbove,
  usualMaximum,
} from '#keymux/core/usage-baseline.js';
import { seededRandom } from '#keymux/testing/fake-clock.js';

const SLOT_MS = 300_000;
const DAY_SLOTS = 288;
const FACTOR = 3;

/** Requests that come by chance, so many on average. */
function poisson(mean: number, random: () => number): number {
  // Knuth's for small means, and a normal distribution (Box-Muller) for large ones.
  if (mean > 50) {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal));
  }
  let product = random();
  let count = 0;
  for (; product > Math.exp(-mean); count += 1) product *= random();
  return count;
}

/** Of traffic given by slot: the slots at whose end it is unusual. */
function unusualSlots(requestsOf: (slot: number) => number, slots: number): number[] {
  let total = 0;
  let baseline = newBaseline(SLOT_MS, total, 0);
  const found: number[] = [];
  for (let slot = 0; slot < slots; slot += 1) {
    baseline = afterCount(baseline, total, slot * SLOT_MS);
    total += requestsOf(slot);
    baseline = afterCount(baseline, total, slot * SLOT_MS + SLOT_MS - 1);
    const usual = usualMaximum(baseline);
    if (usual !== undefined && presentUsage(baseline) > unusualAbove(usual, FACTOR)) found.push(slot);
  }
  return found;
}

const DAYS = 14;
const SEEDS = [1, 2, 3, 4, 5];
const TWO_PI = 2 * Math.PI;

type Traffic = (slot: number, random: () => number) => number;

/** Traffic that nobody should be woken for. */
const USUAL: Readonly<Record<string, Traffic>> = {
  'steady and sparse': (_, random) => poisson(2, random),
  'steady and dense': (_, random) => poisson(1_000, random),
  'of day and night': (slot, random) => poisson(50 * (1 + Math.sin((TWO_PI * slot) / DAY_SLOTS)), random),
  'of working days alone': (slot, random) => {
    const hour = (slot % DAY_SLOTS) / 12;
    return poisson(hour >= 9 && hour < 17 ? 200 : 1, random);
  },
  'with a batch every hour': (slot, random) => (slot % 12 === 0 ? 1_000 : poisson(1, random)),
  'in bursts': (_, random) => poisson(40 * Math.exp(0.35 * (2 * random() - 1)), random),
};

/** False alarms a day, over two weeks and five seeds. */
function falseAlarmsPerDay(traffic: Traffic, ignoreFirstDay: boolean): number {
  const alarms = SEEDS.flatMap((seed) => {
    const random = seededRandom(seed);
    return unusualSlots((slot) => traffic(slot, random), DAYS * DAY_SLOTS).filter(
      (slot) => !ignoreFirstDay || slot >= DAY_SLOTS,
    );
  });
  return alarms.length / (DAYS * SEEDS.length);
}

describe('what is usual', () => {
  it.each([
    'steady and sparse',
    'steady and dense',
    'of day and night',
    'with a batch every hour',
    'in bursts',
  ])('raises no false alarm for traffic %s', (name) => {
    expect(falseAlarmsPerDay(USUAL[name]!, false)).toBe(0);
  });

  it('takes the first working day for unusual, and none after it', () => {
    const traffic = USUAL['of working days alone']!;
    expect(falseAlarmsPerDay(traffic, false)).toBeGreaterThan(0);
    expect(falseAlarmsPerDay(traffic, true)).toBe(0);
  });

  it('knows from the second day on what comes once a day', () => {
    const random = seededRandom(7);
    const slots = unusualSlots(
      (slot) => (slot % DAY_SLOTS === 100 ? 2_000 : poisson(3, random)),
      5 * DAY_SLOTS,
    );
    // The slot itself, and the one after it, in which it is the one before.
    expect(slots).toEqual([100, 101]);
  });

  it.each(Object.keys(USUAL))('sees within its slot what is ten times as much, in traffic %s', (name) => {
    const random = seededRandom(11);
    const traffic = USUAL[name]!;
    const from = 3 * DAY_SLOTS + 150;
    const most = Math.max(
      ...Array.from({ length: DAY_SLOTS }, (_, slot) => traffic(slot, seededRandom(slot))),
    );
    const slots = unusualSlots(
      (slot) => (slot >= from ? 10 * most + FEWEST_REQUESTS : traffic(slot, random)),
      from + 3,
    );
    expect(slots.filter((slot) => slot >= from)).toEqual([from, from + 1, from + 2]);
  });

  it('is not moved by a few slots that were not usual', () => {
    const slots = unusualSlots((slot) => (slot % 40 === 39 ? 10_000 : 100), 400);
    // Each of them is seen, though nine came before the last.
    expect(slots.filter((slot) => slot % 40 === 39)).toHaveLength(10);
  });

  it('is not known from less than two hours of five-minute slots', () => {
    expect(unusualSlots((slot) => (slot === FEWEST_SLOTS - 1 ? 1_000_000 : 1), FEWEST_SLOTS)).toEqual([]);
    expect(unusualSlots((slot) => (slot === FEWEST_SLOTS + 1 ? 1_000_000 : 1), FEWEST_SLOTS + 2)).toEqual([
      FEWEST_SLOTS + 1,
    ]);
  });

  it('does not take few requests for many', () => {
    expect(unusualAbove(0, 3)).toBe(FEWEST_REQUESTS);
    expect(unusualAbove(1, 3)).toBe(FEWEST_REQUESTS);
    expect(unusualAbove(100, 1)).toBe(160);
    expect(unusualAbove(100, 3)).toBe(300);
  });
});

describe('a baseline', () => {
  it('counts on where the count began anew', () => {
    let baseline = newBaseline(SLOT_MS, 1_000, 0);
    baseline = afterCount(baseline, 1_010, 10);
    expect(presentUsage(baseline)).toBe(10);
    baseline = afterCount(baseline, 3, 20);
    expect(presentUsage(baseline)).toBe(0);
    baseline = afterCount(baseline, 8, 30);
    expect(presentUsage(baseline)).toBe(5);
  });

  it('takes slots in which nobody looked for idle ones, and keeps no more than a day', () => {
    let baseline = newBaseline(SLOT_MS, 0, 0);
    baseline = afterCount(baseline, 50, SLOT_MS * 3);
    expect(baseline.slots).toEqual([50, 0, 0]);
    baseline = afterCount(baseline, 50, SLOT_MS * 1_000_000);
    expect(baseline.slots.length).toBeLessThanOrEqual(DAY_SLOTS + 3);
    expect(Math.max(...baseline.slots)).toBe(0);
  });

  it('bounds what it keeps of short slots', () => {
    const baseline = afterCount(newBaseline(1_000, 0, 0), 1, 10_000_000);
    expect(baseline.slots.length).toBeLessThanOrEqual(1_503);
  });
});
