import { describe, expect, it } from 'vitest';
import { FRESH, type Health, KEY_POLICY, PROVIDER_POLICY, type HealthEvent } from '#keymux/core/health.js';
import { type Outcome, SUCCESS } from '#keymux/core/outcome.js';
import { COUNTER } from '#keymux/state/layout.js';
import { StateTable } from '#keymux/state/table.js';

const DAY_MS = 86_400_000;
const START = 1_790_000_000_000;
const RATE_LIMITED: Outcome = { kind: 'rate-limited', scope: 'key', executed: 'no' };

function tableAt(now = START): StateTable {
  return StateTable.create({ now: () => now });
}

function outcomeEvent(outcome: Outcome, seenVersion: number): HealthEvent {
  return { type: 'outcome', outcome, seenVersion };
}

function resting(version: number, until: number): Health {
  return { status: 'resting', version, level: 3, reason: 'quota-exhausted', until, source: 'stated' };
}

describe('the clock', () => {
  it('starts at the wall clock and never runs backwards', () => {
    const table = StateTable.create();
    expect(Math.abs(table.now() - Date.now())).toBeLessThan(1_000);
    const first = table.now();
    expect(table.now()).toBeGreaterThanOrEqual(first);
  });

  it('is the same for a table that is attached', () => {
    const table = StateTable.create();
    const before = table.now();
    const attached = StateTable.attach(table.buffer).now();
    expect(attached).toBeGreaterThanOrEqual(before);
    expect(attached).toBeLessThanOrEqual(table.now());
  });

  it('goes on from an injected time in threads that attach', () => {
    const table = tableAt(5_000);
    expect(table.now()).toBe(5_000);
    const attached = StateTable.attach(table.buffer).now();
    expect(attached).toBeGreaterThanOrEqual(5_000);
    expect(attached).toBeLessThan(65_000);
  });
});

describe('attach', () => {
  const spoil = (at: number, value: number): SharedArrayBuffer => {
    const { buffer } = tableAt();
    new Int32Array(buffer)[at] = value;
    return buffer;
  };

  it.each([
    ['a buffer that is too small', new SharedArrayBuffer(16), /16 bytes/],
    ['a buffer of an odd length', new SharedArrayBuffer(4_097), /4097 bytes/],
    ['a buffer of something else', new SharedArrayBuffer(4_096), /not a keymux table/],
    ['another layout version', spoil(1, 99), /version 99/],
    ['sizes that do not fit the buffer', spoil(2, 8), /its header says/],
  ])('refuses %s and says what to do', (_title, buffer, message) => {
    expect(() => StateTable.attach(buffer)).toThrowError(
      expect.objectContaining({
        code: 'KEYMUX_TABLE_MISMATCH',
        message: expect.stringMatching(message) as string,
        fix: expect.stringContaining('same version') as string,
      }),
    );
  });

  it('sees what another view changed', () => {
    const table = tableAt();
    const other = StateTable.attach(table.buffer);
    const index = table.subject('key:a');
    table.add(index, COUNTER.uses, 3);
    expect(other.subject('key:a')).toBe(index);
    expect(other.get(index, COUNTER.uses)).toBe(3);
  });
});

describe('subjects', () => {
  it('gives each name one index, and a fresh state', () => {
    const table = tableAt();
    const indexes = Array.from({ length: 500 }, (_, n) => table.subject(`key:${n}`));
    expect(new Set(indexes).size).toBe(500);
    expect(indexes.map((_, n) => table.subject(`key:${n}`))).toEqual(indexes);
    expect(table.health(indexes[7] ?? -1)).toEqual(FRESH);
  });

  it('tells names apart that differ in one letter or in order', () => {
    const table = tableAt();
    const names = ['', 'a', 'b', 'ab', 'ba', 'key:ab', 'key:ba', 'bucket:ab', '\u0000', 'ä'];
    expect(new Set(names.map((name) => table.subject(name))).size).toBe(names.length);
  });

  it('fills up to the last entry, then says so', () => {
    const table = StateTable.create({ subjects: 5 });
    const indexes = Array.from({ length: 8 }, (_, n) => table.subject(`key:${n}`));
    expect(new Set(indexes).size).toBe(8);
    expect(() => table.subject('key:8')).toThrowError(
      expect.objectContaining({
        code: 'KEYMUX_TABLE_FULL',
        fix: expect.stringContaining('Restart') as string,
      }),
    );
    expect(table.subject('key:3')).toBe(indexes[3]);
  });
});

describe('health', () => {
  const every: readonly Health[] = [
    FRESH,
    { status: 'healthy', version: 300_000, level: 15, strikes: 15 },
    { status: 'recovering', version: 7, level: 2, since: START - DAY_MS },
    resting(8_388_607, START + 400 * DAY_MS),
    ...(
      ['rate-limited', 'quota-exhausted', 'rejected', 'restricted', 'overloaded', 'network'] as const
    ).flatMap((reason) =>
      (['stated', 'guessed'] as const).map((source): Health => ({
        status: 'resting',
        version: 1,
        level: 0,
        reason,
        until: START + 10,
        source,
      })),
    ),
  ];

  it.each(every.map((health) => [JSON.stringify(health), health] as const))(
    'keeps %s as it is',
    (_title, health) => {
      const table = tableAt();
      expect(table.commitHealth(1, FRESH, health)).toBe(true);
      expect(table.health(1)).toEqual(health);
      expect(table.commitHealth(1, health, FRESH)).toBe(true);
    },
  );

  it('rounds a deadline up to the same 10 ms in every process', () => {
    for (const start of [START, START + 3.7, START + 9]) {
      const table = tableAt(start);
      table.commitHealth(1, FRESH, resting(1, START + 101));
      expect(table.openUntil(1)).toBe(START + 110);
    }
  });

  it('keeps a deadline beyond its range at the nearest end', () => {
    const table = tableAt();
    table.commitHealth(1, FRESH, resting(1, START + 10_000 * DAY_MS));
    expect(table.openUntil(1)).toBeGreaterThan(START + 400 * DAY_MS);
    table.commitHealth(2, FRESH, resting(1, 0));
    expect(table.isOpen(2, START)).toBe(false);
  });

  it('refuses to replace what has changed meanwhile', () => {
    const table = tableAt();
    table.commitHealth(1, FRESH, resting(1, START + 1_000));
    expect(table.commitHealth(1, FRESH, resting(2, START + 2_000))).toBe(false);
    expect(table.openUntil(1)).toBe(START + 1_000);
  });

  it('is open until the deadline only while the subject rests', () => {
    const table = tableAt();
    expect(table.openUntil(1)).toBe(0);
    table.commitHealth(1, FRESH, resting(1, START + 1_000));
    expect(table.isOpen(1, START + 999)).toBe(true);
    expect(table.isOpen(1, START + 1_000)).toBe(false);
    const recovering: Health = { status: 'recovering', version: 2, level: 3, since: START + 1_000 };
    table.commitHealth(1, resting(1, START + 1_000), recovering);
    expect(table.isOpen(1, START)).toBe(false);
  });
});

describe('update', () => {
  it('applies the event, moves the generation and starts successes anew when the subject has to rest', () => {
    const table = tableAt();
    const index = table.subject('key:a');
    table.set(index, COUNTER.successes, 40);
    const generation = table.generation;
    const { before, after } = table.update(
      index,
      outcomeEvent(RATE_LIMITED, 0),
      KEY_POLICY,
      START,
      () => 0.5,
    );
    expect(before).toEqual(FRESH);
    expect(after).toEqual({
      ...resting(1, START + 1_050),
      level: 1,
      reason: 'rate-limited',
      source: 'guessed',
    });
    expect(table.health(index)).toEqual(after);
    expect(table.generation).toBe(generation + 1);
    expect(table.get(index, COUNTER.successes)).toBe(0);
  });

  it('leaves all as it is when nothing changes', () => {
    const table = tableAt();
    table.set(1, COUNTER.successes, 3);
    const generation = table.generation;
    const { before, after } = table.update(1, outcomeEvent(SUCCESS, 0), KEY_POLICY, START, () => 0);
    expect(after).toBe(before);
    expect(table.generation).toBe(generation);
    expect(table.get(1, COUNTER.successes)).toBe(3);
  });

  it('keeps successes over strikes and over the return from a rest', () => {
    const table = tableAt();
    const overloaded: Outcome = { kind: 'overloaded', scope: 'provider', executed: 'maybe' };
    table.set(1, COUNTER.successes, 3);
    table.update(1, outcomeEvent(overloaded, 0), PROVIDER_POLICY, START, () => 0);
    expect(table.health(1)).toMatchObject({ status: 'healthy', strikes: 1 });
    expect(table.get(1, COUNTER.successes)).toBe(3);

    table.restore(1, resting(5, START));
    table.set(1, COUNTER.successes, 1);
    const { after } = table.update(1, outcomeEvent(SUCCESS, 5), PROVIDER_POLICY, START + 10, () => 0);
    expect(after).toMatchObject({ status: 'recovering', version: 6 });
    expect(table.get(1, COUNTER.successes)).toBe(1);
  });
});

describe('restore', () => {
  it('takes over a later version and lets an earlier one be', () => {
    const table = tableAt();
    table.set(1, COUNTER.successes, 9);
    expect(table.restore(1, resting(4, START + 1_001)).after).toEqual(resting(4, START + 1_010));
    expect(table.get(1, COUNTER.successes)).toBe(0);
    const generation = table.generation;
    const again = table.restore(1, resting(4, START + 1_001));
    expect(again.after).toBe(again.before);
    table.restore(1, FRESH);
    expect(table.openUntil(1)).toBe(START + 1_010);
    expect(table.generation).toBe(generation);
  });

  it('starts successes anew when another process has seen the subject rest and return', () => {
    const table = tableAt();
    table.set(1, COUNTER.successes, 40);
    table.restore(1, { status: 'recovering', version: 2, level: 1, since: START });
    expect(table.get(1, COUNTER.successes)).toBe(0);
  });
});

describe('the disabled flag', () => {
  it('gets a new version with each change of mind and moves the generation', () => {
    const table = tableAt();
    const generation = table.generation;
    expect(table.setDisabled(1, true)).toBe(true);
    expect(table.setDisabled(1, true)).toBe(false);
    expect([table.disabled(1), table.disabledVersion(1)]).toEqual([true, 1]);
    expect(table.setDisabled(1, false)).toBe(true);
    expect([table.disabled(1), table.disabledVersion(1)]).toEqual([false, 2]);
    expect(table.generation).toBe(generation + 2);
  });

  it('takes the higher version of two processes, and the careful side between equals', () => {
    const table = tableAt();
    expect(table.setDisabled(1, true, 5)).toBe(true);
    expect(table.setDisabled(1, false, 4)).toBe(false);
    expect(table.setDisabled(1, false, 5)).toBe(false);
    expect(table.disabled(1)).toBe(true);
    expect(table.setDisabled(1, false, 6)).toBe(true);
    expect(table.setDisabled(1, true, 6)).toBe(true);
    expect(table.disabled(1)).toBe(true);
  });

  it('stays apart from health', () => {
    const table = tableAt();
    table.setDisabled(1, true);
    table.update(1, outcomeEvent(RATE_LIMITED, 0), KEY_POLICY, START, () => 0);
    table.update(1, { type: 'reset' }, KEY_POLICY, START, () => 0);
    expect(table.disabled(1)).toBe(true);
  });
});

describe('counters', () => {
  it('adds, reads and sets each on its own', () => {
    const table = tableAt();
    Object.values(COUNTER).forEach((counter, n) => table.set(1, counter, n + 1));
    expect(Object.values(COUNTER).map((counter) => table.get(1, counter))).toEqual(
      Object.values(COUNTER).map((_counter, n) => n + 1),
    );
    expect(table.add(1, COUNTER.inFlight, 2)).toBe(5);
    expect(table.add(1, COUNTER.inFlight, -4)).toBe(1);
    expect(table.health(1)).toEqual(FRESH);
    expect(table.get(2, COUNTER.inFlight)).toBe(0);
  });

  it('keeps moments to 10 ms and knows never', () => {
    const table = tableAt();
    expect(table.blockedUntil(1)).toBe(0);
    table.setBlockedUntil(1, START + 1_234);
    expect(table.blockedUntil(1)).toBe(START + 1_240);
    table.setBlockedUntil(1, 0);
    expect(table.blockedUntil(1)).toBe(0);
    expect(table.timeOf(table.tickOf(START))).toBe(START);
  });

  it('averages latency, a new measurement weighing an eighth', () => {
    const table = tableAt();
    expect(table.latencyMs(1)).toBe(0);
    table.recordLatency(1, 80);
    expect(table.latencyMs(1)).toBe(80);
    table.recordLatency(1, 160);
    expect(table.latencyMs(1)).toBe(90);
    table.recordLatency(2, 0);
    expect(table.latencyMs(2)).toBeGreaterThan(0);
    table.recordLatency(3, Number.MAX_VALUE);
    expect(table.latencyMs(3)).toBeGreaterThan(2_000_000);
  });
});
