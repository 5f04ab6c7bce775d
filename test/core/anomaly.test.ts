import { describe, expect, it } from 'vitest';
import {
  MOST_SUBJECTS,
  entryOf,
  mergedBaselines,
  newBaselines,
  readBaselines,
  writtenBaselines,
} from '#keymux/core/anomaly-baselines.js';
import {
  MOST_HOURS,
  SLOT_MS,
  UNSEEN,
  countUse,
  hoursAgo,
  hoursSeen,
  mergedHistory,
  newHistory,
} from '#keymux/core/anomaly-history.js';
import type { UseHistory } from '#keymux/core/anomaly-history.js';
import { judgeHours } from '#keymux/core/anomaly-hours.js';
import {
  MOST_NAMES,
  NAMES_LEARNING_MS,
  meetName,
  mergedNames,
  newNames,
} from '#keymux/core/anomaly-newcomers.js';
import {
  FEWEST_RATIOS,
  MOST_RATIOS,
  judgeOutsideUse,
  mergedOutsideUse,
  newOutsideUse,
} from '#keymux/core/anomaly-outside.js';
import type { Spending } from '#keymux/core/anomaly-outside.js';
import { isAboveUsual, judgeRate } from '#keymux/core/anomaly-rate.js';
import { ANOMALY_KINDS, adviceOn } from '#keymux/core/anomaly.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const START = Date.UTC(2027, 0, 4);

/** So many requests in each slot, by the hour of the day, for so many days. */
function historyOf(days: number, requestsAt: (hour: number) => number): { history: UseHistory; at: number } {
  const history = newHistory(START);
  let at = START;
  for (; at < START + days * DAY_MS; at += SLOT_MS)
    countUse(history, requestsAt(Math.floor((at % DAY_MS) / HOUR_MS)), at);
  countUse(history, 0, at);
  return { history, at };
}

describe('a history of use', () => {
  it('keeps the busiest five minutes of each hour of four weeks', () => {
    const { history, at } = historyOf(30, (hour) => hour);
    expect(history.hours).toHaveLength(MOST_HOURS);
    expect([1, 2, 24].map((ago) => hoursAgo(history, ago))).toEqual([23, 22, 0]);
    countUse(history, 7, at - DAY_MS);
    expect(history.inSlot).toBe(7);
  });

  it('knows nothing of hours in which nobody watched', () => {
    const { history, at } = historyOf(1, () => 5);
    countUse(history, 3, at + 5 * HOUR_MS);
    expect(hoursSeen(history)).toBe(25);
    expect([1, 4, 5, 6].map((ago) => hoursAgo(history, ago))).toEqual([UNSEEN, UNSEEN, 0, 5]);
    countUse(history, 9, at + 5 * HOUR_MS + 40 * 60_000);
    expect(history).toMatchObject({ inSlot: 9, inHour: 12, most: 3 });
    countUse(history, 1, at + 10_000 * HOUR_MS);
    expect(hoursSeen(history)).toBe(1);
  });

  it('is merged to what the busier process saw of each hour', () => {
    const older = historyOf(1, () => 5).history;
    const newer = historyOf(2, () => 3).history;
    const merged = mergedHistory(older, newer);
    expect(merged.hours).toEqual([...Array<number>(24).fill(5), ...Array<number>(24).fill(3)]);
    expect(mergedHistory(merged, older)).toEqual(merged);
  });
});

describe('a rate', () => {
  it('is found once while it lasts, and again after a calm', () => {
    const { history, at } = historyOf(8, () => 20);
    countUse(history, 25, at);
    expect(isAboveUsual(history)).toBe(true);
    expect(judgeRate(history)).toBeUndefined();
    countUse(history, 475, at);
    expect(judgeRate(history)).toEqual({
      kind: 'rate',
      evidence: '500 requests within 5 minutes; up to 20 are usual at this time.',
      value: 500,
      threshold: 60,
    });
    countUse(history, 500, at + SLOT_MS);
    expect(judgeRate(history)).toBeUndefined();
    for (let slot = 2; slot < 10; slot += 1) {
      countUse(history, 10, at + slot * SLOT_MS);
      expect(judgeRate(history)).toBeUndefined();
    }
    countUse(history, 900, at + 10 * SLOT_MS);
    expect(judgeRate(history)).toMatchObject({ value: 900 });
  });

  it('is not judged before three days are known, and with doubt in the first week', () => {
    const young = historyOf(2, () => 20);
    countUse(young.history, 10_000, young.at);
    expect(judgeRate(young.history)).toBeUndefined();
    expect(isAboveUsual(young.history)).toBe(true);
    const doubtful = historyOf(4, () => 20);
    countUse(doubtful.history, 100, doubtful.at);
    expect(judgeRate(doubtful.history)).toBeUndefined();
    countUse(doubtful.history, 100, doubtful.at);
    expect(judgeRate(doubtful.history)).toMatchObject({ threshold: 120 });
  });

  it('that only moved here from another key is none', () => {
    const { history, at } = historyOf(8, () => 20);
    countUse(history, 500, at);
    expect(judgeRate(history, () => true)).toBeUndefined();
    expect(judgeRate(history, () => false)).toBeDefined();
  });
});

describe('use at unusual hours', () => {
  const atWork = (hour: number): number => (hour >= 8 && hour < 18 ? 6 : 0);

  it('is found once a night', () => {
    const { history, at } = historyOf(20, atWork);
    countUse(history, 4, at + 2 * HOUR_MS);
    expect(judgeHours(history)).toBeUndefined();
    const odd = historyOf(20, atWork);
    for (let slot = 0; slot < 36; slot += 1)
      countUse(odd.history, slot < 24 ? 0 : 2, odd.at + slot * SLOT_MS);
    expect(judgeHours(odd.history)).toMatchObject({
      kind: 'hours',
      evidence:
        '24 requests in the hour from 02:00 UTC; within two hours of that time there were none on 20 days before.',
      value: 24,
    });
    expect(judgeHours(odd.history)).toBeUndefined();
  });

  it('is not judged where too few days are known, or use knows no time of the day', () => {
    const young = historyOf(10, atWork);
    countUse(young.history, 50, young.at);
    expect(judgeHours(young.history)).toBeUndefined();
    const rare = historyOf(20, (hour) => (hour === 12 ? 1 : 0));
    countUse(rare.history, 50, rare.at);
    expect(judgeHours(rare.history)).toBeUndefined();
  });
});

describe('a new name', () => {
  function learnt(): ReturnType<typeof newNames> {
    const known = newNames(START);
    for (let day = 0; day < 7; day += 1) meetName(known, 'module a.js', 10, START + day * DAY_MS);
    return known;
  }
  const later = START + NAMES_LEARNING_MS;

  it('is told of once, after a week of learning', () => {
    const known = newNames(START);
    expect(meetName(known, 'module a.js', 100, START)).toBe(false);
    expect(meetName(known, 'module b.js', 1, START + DAY_MS)).toBe(false);
    expect(meetName(known, 'module c.js', 1, later)).toBe(true);
    expect(meetName(known, 'module c.js', 1, later + DAY_MS)).toBe(false);
  });

  it('that comes with others is told of with them', () => {
    const known = learnt();
    expect(['x', 'y'].map((name) => meetName(known, name, 1, later))).toEqual([true, false]);
    expect(meetName(known, 'z', 1, later + 2 * HOUR_MS)).toBe(true);
  });

  it('says nothing where names change all the time, or too little is known', () => {
    const known = learnt();
    const told = Array.from({ length: 400 }, (_, index) =>
      meetName(known, `pod-${index}`, 1, later + index * 2 * HOUR_MS),
    );
    expect(told.filter(Boolean).length).toBeLessThanOrEqual(3);
    expect(known.names.size).toBe(MOST_NAMES);
    const rare = newNames(START);
    meetName(rare, 'a', 1, START);
    expect(meetName(rare, 'b', 1, later)).toBe(false);
  });

  it('is known to all once it is known to one', () => {
    const one = learnt();
    const other = newNames(START + DAY_MS);
    meetName(one, 'x', 1, later);
    meetName(other, 'module a.js', 1, later + 5);
    meetName(other, 'y', 1, later);
    const merged = mergedNames(one, other);
    expect([...merged.names.keys()]).toEqual(['module a.js', 'x', 'y']);
    expect(merged).toMatchObject({ since: START, sightings: one.sightings, toldAt: later });
    const full = newNames(START);
    for (let index = 0; index < MOST_NAMES; index += 1) meetName(full, `n${index}`, 1, START);
    expect(mergedNames(full, other).names.size).toBe(MOST_NAMES);
  });
});

describe('use outside keymux', () => {
  const MINUTE_MS = 60_000;
  const spending = (minute: number, left: number, spent: number, more: Partial<Spending> = {}): Spending => ({
    at: START + minute * MINUTE_MS,
    left,
    until: START + DAY_MS,
    limit: 1_000,
    kind: 'fixed',
    spent,
    underWay: 0,
    ...more,
  });

  function learnt(): ReturnType<typeof newOutsideUse> {
    const known = newOutsideUse();
    for (let minute = 0; minute <= FEWEST_RATIOS; minute += 1)
      judgeOutsideUse(known, spending(minute, 1_000 - 5 * minute, 5 * minute));
    return known;
  }

  it('is found where more is spent than we send', () => {
    const known = learnt();
    const found = judgeOutsideUse(known, spending(21, 850, 105));
    expect(found).toEqual({
      kind: 'outside-use',
      evidence: 'Within 1 min the provider counted 43 more off its allowance than what keymux sent explains.',
      value: 43,
      threshold: 20,
    });
    expect(judgeOutsideUse(known, spending(22, 600, 110))).toBeUndefined();
    expect(judgeOutsideUse(known, spending(100, 200, 115))).toMatchObject({ kind: 'outside-use' });
  });

  it('is held against the last hundred comparisons', () => {
    const known = newOutsideUse();
    const spend = (minute: number, units: number): number => 10_000 - units * minute;
    for (let minute = 0; minute <= 2 * MOST_RATIOS; minute += 1) {
      const cost = minute <= MOST_RATIOS ? 5 : 2;
      const left = spend(minute, cost) - (cost === 2 ? 3 * MOST_RATIOS : 0);
      judgeOutsideUse(known, spending(minute, left, minute, { limit: 10_000 }));
    }
    expect(known.ratios).toEqual(Array.from({ length: MOST_RATIOS }, () => 2));
  });

  it('adds up little by little', () => {
    const known = learnt();
    const found = Array.from({ length: 8 }, (_, index) =>
      judgeOutsideUse(known, spending(21 + index, 900 - 17 * (index + 1), 105 + 5 * index)),
    );
    expect(found.findIndex((each) => each !== undefined)).toBeGreaterThan(0);
  });

  it('accuses nobody where a window ends, nothing was sent, or the count began anew', () => {
    const known = learnt();
    expect(judgeOutsideUse(known, spending(21.5, 0, 100))).toBeUndefined();
    expect(judgeOutsideUse(known, spending(22, 100, 105, { until: START + 2 * DAY_MS }))).toBeUndefined();
    expect(judgeOutsideUse(known, spending(23, 0, 3))).toBeUndefined();
    expect(judgeOutsideUse(known, spending(24, 500, 4))).toBeUndefined();
    expect(judgeOutsideUse(known, spending(25, 100, 9, { limit: 2_000 }))).toBeUndefined();
    const refilling = { kind: 'refilling' } as const;
    expect(judgeOutsideUse(known, spending(26, 100, 9, refilling))).toBeUndefined();
    expect(judgeOutsideUse(known, spending(28, 98, 11, { ...refilling, until: START }))).toBeUndefined();
  });

  it('is merged to what is known better', () => {
    const known = { ...learnt(), toldAt: 5 };
    expect(mergedOutsideUse(newOutsideUse(), known)).toEqual({
      ratios: known.ratios,
      excess: 0,
      excessFrom: 0,
      toldAt: 5,
    });
    expect(mergedOutsideUse(known, newOutsideUse()).ratios).toHaveLength(FEWEST_RATIOS);
  });
});

describe('what is known', () => {
  function someBaselines(): ReturnType<typeof newBaselines> {
    const baselines = newBaselines();
    const { history } = historyOf(2, () => 3);
    baselines.uses.set('acme/main', { ...history, surge: 7, oddHour: 3 });
    baselines.uses.set('service acme', newHistory(START));
    const names = newNames(START);
    meetName(names, 'module a.js', 3, START);
    baselines.callers.set('acme/main', { ...names, toldAt: 9 });
    baselines.routes.set('acme', names);
    baselines.outside.set('acme/main', { ...newOutsideUse(), ratios: [1, 2], toldAt: 4 });
    baselines.outside.set('acme/2', newOutsideUse());
    return baselines;
  }

  it('is the same after it was written and read', () => {
    const baselines = someBaselines();
    const text = JSON.stringify(writtenBaselines(baselines));
    expect(readBaselines(JSON.parse(text))).toEqual(baselines);
    expect(mergedBaselines(baselines, baselines)).toEqual(baselines);
    expect(mergedBaselines(newBaselines(), baselines)).toEqual(baselines);
  });

  it('is not made of anything else, wherever it was changed', () => {
    const text = JSON.stringify(writtenBaselines(someBaselines()));
    expect([null, 3, [], {}].map((value) => readBaselines(value))).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    const damaged = [...text.matchAll(/"[a-zA-Z]+":(?:\[(?=(\]?))|\d+)/g)].map(
      ({ 0: field, 1: end, index }) => {
        const name = field.slice(0, field.indexOf(':') + 1);
        const wrong = end === undefined ? '"x"' : `["x"${end === '' ? ',' : ''}`;
        return text.slice(0, index) + name + wrong + text.slice(index + field.length);
      },
    );
    expect(damaged.length).toBeGreaterThan(15);
    const written = JSON.parse(text) as Record<string, object>;
    for (const sort of Object.keys(written)) {
      damaged.push(JSON.stringify({ ...written, [sort]: [['acme', 'x']] }));
      damaged.push(JSON.stringify({ ...written, [sort]: ['x'] }));
    }
    const names = { since: 1, sightings: 1, names: [['module a.js', 'x']], news: [] };
    damaged.push(JSON.stringify({ ...written, callers: [['acme/main', names]] }));
    for (const each of damaged) expect(readBaselines(JSON.parse(each))).toBeUndefined();
  });

  it('is bounded', () => {
    const entries = new Map<string, number>();
    for (let index = 0; index < MOST_SUBJECTS; index += 1) entryOf(entries, `s${index}`, () => index);
    expect(entryOf(entries, 'one more', () => 1)).toBeUndefined();
    expect(entryOf(entries, 's3', () => 1)).toBe(3);
    const full = newBaselines();
    for (const name of entries.keys()) full.uses.set(name, newHistory(START));
    expect(mergedBaselines(full, someBaselines()).uses.size).toBe(MOST_SUBJECTS);
  });

  it('comes with advice for each kind', () => {
    for (const kind of ANOMALY_KINDS) expect(adviceOn(kind)).toMatch(/^(Look|Somebody)/);
  });
});
