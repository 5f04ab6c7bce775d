import { SeriesLog, SLOT_MS, SPAN_MS } from '#keymux/observe/series.js';
import { describe, expect, it } from 'vitest';

const START = 1_800_000_000_000;

function good(subject: string, at: number, latencyMs = 100) {
  return { subject, outcome: 'success', latencyMs, at } as const;
}

function attemptsOf(log: SeriesLog, subject: string, now: number): number {
  return log.read(subject, now).reduce((sum, { attempts }) => sum + attempts, 0);
}

describe('a log of series', () => {
  it('counts attempts by slot and outcome, the slot under way last', () => {
    const log = new SeriesLog(100);
    log.record(good('acme', START));
    log.record({ subject: 'acme', outcome: 'rate-limited', latencyMs: 5, at: START + 1 });
    log.record(good('acme', START + SLOT_MS));
    const slots = log.read('acme', START + SLOT_MS + 3, 3 * SLOT_MS);
    expect(slots.map(({ at, attempts, outcomes }) => ({ at, attempts, outcomes }))).toEqual([
      { at: START - SLOT_MS, attempts: 0, outcomes: {} },
      { at: START, attempts: 2, outcomes: { success: 1, 'rate-limited': 1 } },
      { at: START + SLOT_MS, attempts: 1, outcomes: { success: 1 } },
    ]);
    expect(slots[0]).not.toHaveProperty('p50Ms');
  });

  it('gives an hour by default, at least the slot under way, and never more than an hour', () => {
    const log = new SeriesLog(100);
    expect(log.read('acme', START)).toHaveLength(SPAN_MS / SLOT_MS);
    expect(log.read('acme', START, 2 * SPAN_MS)).toHaveLength(SPAN_MS / SLOT_MS);
    expect(log.read('acme', START, 0)).toEqual([{ at: START, attempts: 0, outcomes: {} }]);
  });

  it('tells quantiles of successful attempts within an eighth', () => {
    const log = new SeriesLog(100);
    for (let ms = 1; ms <= 1_000; ms++) log.record(good('acme', START, ms));
    log.record({ subject: 'acme', outcome: 'network', latencyMs: 100_000, at: START });
    const [slot] = log.read('acme', START, 1);
    expect(slot?.p50Ms).toBeGreaterThan(500 * 0.875);
    expect(slot?.p50Ms).toBeLessThan(500 * 1.125);
    expect(slot?.p95Ms).toBeGreaterThan(950 * 0.875);
    expect(slot?.p95Ms).toBeLessThan(950 * 1.125);
  });

  it('has no quantiles where nothing succeeded, and takes latencies of any size', () => {
    const log = new SeriesLog(100);
    log.record({ subject: 'acme', outcome: 'network', latencyMs: 5, at: START });
    expect(log.read('acme', START, 1)[0]).toEqual({ at: START, attempts: 1, outcomes: { network: 1 } });
    log.record(good('fast', START, 0));
    log.record(good('slow', START, 1e9));
    expect(log.read('fast', START, 1)[0]?.p50Ms).toBeLessThan(1);
    expect(log.read('slow', START, 1)[0]?.p50Ms).toBeGreaterThan(100_000);
  });

  it('forgets what is older than an hour', () => {
    const log = new SeriesLog(100);
    log.record(good('acme', START));
    log.record(good('acme', START + SPAN_MS - SLOT_MS));
    expect(log.rows).toBe(2);
    log.record(good('acme', START + SPAN_MS));
    expect(log.rows).toBe(2);
    expect(attemptsOf(log, 'acme', START + SPAN_MS)).toBe(2);
  });

  it('keeps many subjects less far back, so that its memory is bounded', () => {
    const log = new SeriesLog(50);
    for (let slot = 0; slot < 20; slot++) {
      for (let key = 0; key < 10; key++) log.record(good(`acme/${key}`, START + slot * SLOT_MS));
      expect(log.rows).toBeLessThanOrEqual(50);
    }
    const now = START + 19 * SLOT_MS;
    const kept = log.read('acme/0', now).filter(({ attempts }) => attempts > 0);
    expect(kept.map(({ at }) => at)).toEqual([15, 16, 17, 18, 19].map((slot) => START + slot * SLOT_MS));
  });

  it('leaves out subjects for which the running slot has no room', () => {
    const log = new SeriesLog(2);
    for (const subject of ['a', 'b', 'c', 'a']) log.record(good(subject, START));
    expect(['a', 'b', 'c'].map((subject) => attemptsOf(log, subject, START))).toEqual([2, 1, 0]);
  });

  it('counts an attempt that is told late in the slot under way', () => {
    const log = new SeriesLog(10);
    log.record(good('acme', START + SLOT_MS));
    log.record(good('acme', START));
    expect(log.read('acme', START + SLOT_MS, 2 * SLOT_MS).map(({ attempts }) => attempts)).toEqual([0, 2]);
  });
});
