import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { maxInAnyWindow, RollingLog } from '#keymux/testing/rolling-window.js';

describe('maxInAnyWindow', () => {
  it('counts nothing for no events', () => {
    expect(maxInAnyWindow([], 1_000)).toBe(0);
  });

  it('finds a window that straddles round seconds', () => {
    expect(maxInAnyWindow([900, 950, 1_050, 1_100, 2_500], 1_000)).toBe(4);
  });

  it('does not put two events exactly one length apart into one window', () => {
    expect(maxInAnyWindow([0, 1_000], 1_000)).toBe(1);
    expect(maxInAnyWindow([0, 999.999], 1_000)).toBe(2);
  });

  it('takes timestamps in any order and leaves them as they are', () => {
    const timestamps = [5, 1, 3];
    expect(maxInAnyWindow(timestamps, 3)).toBe(2);
    expect(timestamps).toEqual([5, 1, 3]);
  });

  it('agrees with trying every window that begins at an event', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 100 })),
        fc.integer({ min: 1, max: 50 }),
        (times, perMs) => {
          const counts = times.map((start) => times.filter((at) => at >= start && at < start + perMs).length);
          expect(maxInAnyWindow(times, perMs)).toBe(Math.max(0, ...counts));
        },
      ),
    );
  });
});

describe('RollingLog', () => {
  it('admits exactly what the judge accepts, however the events come', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 200 }),
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 5 }),
        (gaps, perMs, limit) => {
          const log = new RollingLog();
          const admitted: number[] = [];
          let now = 1_800_000_000_000.25;
          for (const gap of gaps) {
            now += gap;
            const isFree = log.waitMs(now, perMs, limit) === 0;
            expect(isFree).toBe(maxInAnyWindow([...admitted, now], perMs) <= limit);
            if (!isFree) continue;
            log.add(now);
            admitted.push(now);
          }
        },
      ),
    );
  });

  it('tells how long until there is room', () => {
    const log = new RollingLog();
    for (const at of [0, 100, 200]) log.add(at);
    expect(log.waitMs(250, 1_000, 3)).toBe(750);
    expect(log.waitMs(250, 1_000, 2)).toBe(850);
    expect(log.waitMs(250, 1_000, 4)).toBe(0);
    expect(log.waitMs(250, 1_000, 0)).toBe(1_000);
  });

  it('counts the same after it forgot what is too old', () => {
    const log = new RollingLog();
    for (let at = 0; at < 5_000; at += 1) log.add(at);
    log.forgetBefore(4_999, 10);
    expect(log.countSince(4_999, 10)).toBe(10);
    expect(log.countSince(4_999, 10_000)).toBe(10);
  });
});
