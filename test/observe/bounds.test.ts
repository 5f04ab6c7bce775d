/** Nothing that is kept for metrics grows for ever. */
import { LabelBound } from '#keymux/observe/label-bound.js';
import { Limits } from '#keymux/observe/limits-met.js';
import { describe, expect, it } from 'vitest';

describe('a label', () => {
  it('knows the first values for ever, and calls those beyond by one name', () => {
    const bound = new LabelBound(2);
    expect(['a', 'b', 'c', 'a', 'd'].map((value) => bound.of(value))).toEqual([
      'a',
      'b',
      'other',
      'a',
      'other',
    ]);
  });
});

describe('refusals for a limit', () => {
  it('are kept by provider until their request ends', () => {
    const limits = new Limits();
    limits.refused('r1', 'acme');
    limits.refused('r1', 'other');
    limits.refused('r1', 'acme');
    expect([...limits.ended('r1')]).toEqual([
      ['acme', 2],
      ['other', 1],
    ]);
    expect([...limits.ended('r1')]).toEqual([]);
  });

  it('are forgotten, the oldest first, where ten thousand requests do not end', () => {
    const limits = new Limits();
    for (let i = 0; i <= 10_000; i++) limits.refused(`r${i}`, 'acme');
    expect([...limits.ended('r0')]).toEqual([]);
    expect([...limits.ended('r1')]).toEqual([['acme', 1]]);
    expect([...limits.ended('r10000')]).toEqual([['acme', 1]]);
  });
});

describe('a limit that is reached', () => {
  it('is news again when it was over', () => {
    const limits = new Limits();
    expect(limits.reached('acme/main', 1_000, 0)).toBe(true);
    expect(limits.reached('acme/main', 1_500, 900)).toBe(false);
    expect(limits.reached('acme/main', 1_200, 1_400)).toBe(false);
    expect(limits.reached('acme/main', 3_000, 1_500)).toBe(true);
    expect(limits.reached('acme/2', 3_000, 1_500)).toBe(true);
  });

  it('is remembered of ten thousand buckets', () => {
    const limits = new Limits();
    for (let i = 0; i <= 10_000; i++) expect(limits.reached(`b${i}`, 1_000, 0)).toBe(true);
    expect(limits.reached('b10000', 1_000, 0)).toBe(false);
    expect(limits.reached('b0', 1_000, 0)).toBe(true);
  });
});
