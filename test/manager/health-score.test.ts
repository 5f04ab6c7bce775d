import { healthScore, recordHealth } from '#keymux/manager/health-score.js';
import { StateTable } from '#keymux/state/table.js';
import { describe, expect, it } from 'vitest';

const START = Date.UTC(2025, 0, 1);

function provider() {
  let now = START;
  const table = StateTable.create({ now: () => now });
  const row = table.subject('provider:acme');
  return {
    pass: (ms: number) => (now += ms),
    record: (hadTrouble: boolean) => recordHealth(table, row, hadTrouble, () => now),
    score: () => healthScore(table, row, now),
  };
}

describe('the health of a provider', () => {
  it('falls with each trouble by an eighth of what is left, and rises with each good answer', () => {
    const { record, score } = provider();
    expect(score()).toBe(1);
    record(true);
    expect(score()).toBeCloseTo(7 / 8, 5);
    record(true);
    expect(score()).toBeCloseTo(49 / 64, 5);
    record(false);
    expect(score()).toBeCloseTo(1 - (15 / 64) * (7 / 8), 5);
  });

  it('forgets half of the trouble in 30 seconds, and at last all of it', () => {
    const { pass, record, score } = provider();
    record(true);
    pass(30_000);
    expect(score()).toBeCloseTo(15 / 16, 3);
    pass(90_000);
    expect(score()).toBe(1);
    record(false);
    expect(score()).toBe(1);
    record(true);
    expect(score()).toBeCloseTo(7 / 8, 5);
  });
});
