import { readStatement, RETURN_MS } from '#keymux/core/stated-allowance.js';
import { COUNTER } from '#keymux/state/layout.js';
import { StateTable } from '#keymux/state/table.js';
import { describe, expect, it } from 'vitest';

const START = 1_800_000_000_000;

function tableOfOne() {
  let now = START;
  const table = StateTable.create({ now: () => now });
  const bucket = table.subject('bucket:acme/main');
  const state = (left: number, seconds = 10, limit = 100) => {
    const statement = readStatement(
      { remaining: left, limit, resetAt: now + seconds * 1_000, fixed: true },
      now,
    )!;
    return table.allowances.learn(bucket, statement, undefined, 0, now);
  };
  return { table, bucket, state, pass: (ms: number) => (now += ms), now: () => now };
}

describe('a stated allowance', () => {
  it('is none as long as nothing is stated', () => {
    const { table, bucket } = tableOfOne();
    expect(table.allowances.take(bucket, START)).toBeUndefined();
    expect(table.allowances.read(bucket, START)).toBeUndefined();
    table.allowances.giveBack(bucket, START);
    expect(table.allowances.read(bucket, START)).toBeUndefined();
  });

  it('is counted down by every view of the table, and says until when nothing is left', () => {
    const { table, bucket, state } = tableOfOne();
    const other = StateTable.attach(table.buffer);
    state(2);
    const first = table.allowances.take(bucket, START) as number;
    expect(other.allowances.take(bucket, START)).toBe(first + 1);
    expect(table.allowances.take(bucket, START)).toEqual({ until: START + 10_000 });
    other.allowances.giveBack(bucket, START);
    expect(table.allowances.take(bucket, START)).toBe(first + 2);
  });

  it('makes those wait who come before the first answer of a new window, unless nobody is asking', () => {
    const { table, bucket, state, pass, now } = tableOfOne();
    state(0, 1, 4);
    pass(1_010);
    table.add(bucket, COUNTER.pending, 1);
    expect(table.allowances.take(bucket, now())).toBeTypeOf('number');
    table.add(bucket, COUNTER.pending, 1);
    expect(table.allowances.take(bucket, now())).toEqual({});
    table.add(bucket, COUNTER.pending, -1);
    expect(table.allowances.take(bucket, now())).toBeTypeOf('number');
    pass(RETURN_MS + 10);
    expect(table.allowances.take(bucket, now())).toBeUndefined();
    expect(table.allowances.read(bucket, now())).toBeUndefined();
  });

  it('is handed on to a bucket that has more, and only then', () => {
    const { table, bucket, state } = tableOfOne();
    const shared = table.subject('bucket:acme/shared');
    table.allowances.inherit(shared, bucket, START);
    expect(table.allowances.read(shared, START)).toBeUndefined();
    state(3);
    table.allowances.inherit(shared, bucket, START);
    expect(table.allowances.read(shared, START)).toEqual({
      kind: 'fixed',
      left: 3,
      limit: 100,
      until: START + 10_000,
    });
    state(2);
    table.allowances.inherit(bucket, shared, START);
    expect(table.allowances.read(bucket, START)?.left).toBe(2);
  });
});

describe('a lowered limit', () => {
  const windows = [
    { requests: 100, perMs: 1_000 },
    { requests: 70_000, perMs: 60_000 },
  ];

  function spend(table: StateTable, bucket: number, now: number): number {
    for (let count = 0; ; count += 1) {
      const position = table.take(bucket, now);
      if (position < 0) return count;
      table.settle(bucket, position, now);
    }
  }

  it('holds beside the configured one, tells when it lets in again, and is taken back', () => {
    const table = StateTable.create({ now: () => START });
    const bucket = table.bucket('acme/main', windows);
    expect(table.adjustLimit(bucket, 7, 1_000, START)).toBe(true);
    expect(table.limits(bucket)).toEqual([7, 70_000]);
    expect(table.left(bucket, START)).toBe(7);
    expect(spend(table, bucket, START)).toBe(7);
    expect(table.left(bucket, START)).toBe(0);
    expect(table.nextAt(bucket, START)).toBeGreaterThan(START + 999);
    expect(table.nextAt(bucket, START)).toBeLessThan(START + 1_010);
    expect(table.adjustLimit(bucket, 1_000, 1_000, START + 999)).toBe(false);
    for (let later = 1; later <= 60; later += 1)
      table.adjustLimit(bucket, 1_000, 1_000, START + later * 1_100);
    expect(table.limits(bucket)).toEqual([100, 70_000]);
    expect(spend(table, bucket, START + 90_000)).toBe(100);
  });

  it('does not rise within a window of a refusal', () => {
    const table = StateTable.create({ now: () => START });
    const bucket = table.bucket('acme/main', windows);
    table.adjustLimit(bucket, 50, 1_000, START);
    table.holdLimits(bucket, START + 900);
    expect(table.adjustLimit(bucket, 60, 1_000, START + 1_500)).toBe(false);
    expect(table.adjustLimit(bucket, 60, 1_000, START + 2_000)).toBe(true);
    expect(table.limits(bucket)[0]).toBe(55);
  });

  it('holds where permits share slots', () => {
    const table = StateTable.create({ now: () => START });
    const bucket = table.bucket('acme/main', [windows[1]!]);
    table.adjustLimit(bucket, 1, 60_000, START);
    // A slot stands for two permits there.
    expect(spend(table, bucket, START)).toBeLessThanOrEqual(2);
  });

  it('is not kept of more windows than there is room for', () => {
    const many = Array.from({ length: 8 }, (_, n) => ({ requests: 10, perMs: 1_000 * (n + 1) }));
    const table = StateTable.create({ now: () => START });
    const bucket = table.bucket('acme/main', many);
    expect(table.adjustLimit(bucket, 5, 6_000, START)).toBe(false);
    expect(table.adjustLimit(bucket, 5, 5_000, START)).toBe(true);
    expect(table.limits(bucket)).toEqual([10, 10, 10, 10, 5, 10, 10, 10]);
  });
});

describe('charges that are carried over', () => {
  const windows = [{ requests: 5, perMs: 60_000 }];

  it('count in the other bucket as of now, those of an earlier window aside', () => {
    const table = StateTable.create({ now: () => START });
    const [from, to] = [table.bucket('acme/2', windows), table.bucket('acme/main', windows)];
    table.settle(from, table.take(from, START), START);
    const later = START + 70_000;
    for (let i = 0; i < 2; i += 1) table.settle(from, table.take(from, later), later);
    table.take(to, later);
    table.carryCharges(to, from, later);
    expect(table.left(to, later)).toBe(2);
    table.carryCharges(to, from, later);
    table.carryCharges(to, from, later);
    expect(table.left(to, later)).toBe(0);
  });
});

describe('the owner of a key', () => {
  it('is the first that is named, and known to all views', () => {
    const table = StateTable.create();
    const other = StateTable.attach(table.buffer);
    const key = table.subject('key:a');
    const [one, two] = [table.subject('owner:acme/1'), table.subject('owner:acme/2')];
    const { generation } = other;
    expect(table.setOwner(key, one)).toBe(true);
    expect(other.setOwner(key, two)).toBe(false);
    expect(other.get(key, COUNTER.owner)).toBe(one + 1);
    expect([other.ownersKnown, other.generation !== generation]).toEqual([1, true]);
  });
});
