import { describe, expect, it } from 'vitest';
import { createFakeClock, seededRandom } from '#keymux/testing/fake-clock.js';

describe('createFakeClock', () => {
  it('stands still until it is moved', () => {
    const clock = createFakeClock(1_000);
    const { now } = clock;
    expect([now(), now()]).toEqual([1_000, 1_000]);
    expect(clock.advance(0.5)).toBe(1_000.5);
    clock.set(10);
    expect(now()).toBe(10);
  });

  it('begins at a fixed moment unless told otherwise', () => {
    expect(new Date(createFakeClock().now()).toISOString()).toBe('2027-01-15T08:00:00.000Z');
  });

  it('refuses times that are no times', () => {
    const usage = expect.objectContaining({ code: 'KEYMUX_USAGE' }) as Error;
    const clock = createFakeClock();
    expect(() => createFakeClock(Number.NaN)).toThrow(usage);
    expect(() => clock.advance(-1)).toThrow(usage);
    expect(() => clock.advance(Number.POSITIVE_INFINITY)).toThrow(usage);
    expect(() => clock.set(Number.NaN)).toThrow(usage);
  });
});

describe('seededRandom', () => {
  it('repeats itself for one seed and differs for another', () => {
    const draw = (seed: number): number[] => Array.from({ length: 5 }, seededRandom(seed));
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });

  it('spreads evenly over [0, 1)', () => {
    const random = seededRandom(7);
    const buckets = Array.from({ length: 10 }, () => 0);
    for (let draw = 0; draw < 10_000; draw += 1) {
      const value = random();
      expect(value >= 0 && value < 1).toBe(true);
      buckets[Math.floor(value * 10)]! += 1;
    }
    for (const count of buckets) expect(Math.abs(count - 1_000)).toBeLessThan(150);
  });
});
