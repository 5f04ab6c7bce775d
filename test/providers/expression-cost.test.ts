import { describe, expect, it } from 'vitest';
import { catalogue } from '#keymux/providers/catalogue.js';
import { bodyVerdict } from '#keymux/providers/classification.js';
import { repeatsWithinRepetition } from '#keymux/core/expression-cost.js';
import { sampleText } from '#keymux/testing/sample-text.js';
import { headOf } from './heads.js';

const entries = [...catalogue.values()];
const expressions = new Set(
  entries.flatMap(({ errors, streamEndMark = '' }) => [
    ...errors.flatMap(({ match = '', header }) => [match, header?.match ?? '']),
    streamEndMark,
  ]),
);

describe('repeatsWithinRepetition', () => {
  it.each([
    ['(a+)+', true],
    ['(?:a*)*$', true],
    ['((a|b+)c)*', true],
    ['(a{2,})+', true],
    ['(?:a+,)+', true],
    ['(a+){3,}', true],
    ['(?<name>x*)+', true],
    ['a+b*', false],
    ['(ab)+', false],
    ['(a+)?', false],
    ['(a+){2,5}', true],
    ['(?:a+){3}', true],
    ['(a{1,5}){2,5}', false],
    ['((a+)b)+', true],
    ['a+(b)+', false],
    ['((a+)b)(c)+', false],
    ['(x(a+)(b)c)+', true],
    ['a+((b)(c))+', false],
    ['(a+)(b+)', false],
    ['([*+])+', false],
    ['(\\+)+', false],
    ['(\\(a+)b', false],
    ['^quota|limit$', false],
    [')', false],
  ])('judges %s: %s', (source, expected) => {
    expect(repeatsWithinRepetition(source)).toBe(expected);
  });

  it('finds nothing in the catalogue', () => {
    expect([...expressions].filter(repeatsWithinRepetition)).toEqual([]);
  });
});

describe('the expressions of the catalogue', () => {
  const LONG = 65_536;
  const fill = (piece: string) => piece.repeat(Math.ceil(LONG / Math.max(1, piece.length))).slice(0, LONG);

  it('take time in proportion to the text, whatever it is made of', () => {
    for (const source of expressions) {
      const expression = new RegExp(source, 'i');
      const sample = sampleText(source);
      const hostile = [
        ...[' ', 'x', '"', ',', '0', ', 0 ', '{"'].map(fill),
        fill(sample.slice(0, -1)),
        sample.slice(0, -1) + fill(' '),
        `${fill(`${sample.slice(0, -1)} `)}!`,
      ];
      const before = performance.now();
      for (const text of hostile) expression.test(text);
      expect(performance.now() - before, source).toBeLessThan(250);
    }
  });

  it('do so as rules, on a body that nearly matches all of them', () => {
    for (const entry of entries) {
      const samples = entry.errors.map(({ match = '' }) => sampleText(match).slice(0, -1));
      const body = fill(`{"error":{"message":"${samples.join(' ')}"}} `);
      const before = performance.now();
      for (const status of [200, 400, 401, 402, 403, 429, 500]) bodyVerdict(entry, headOf(status), body, 0);
      expect(performance.now() - before, entry.id).toBeLessThan(500);
    }
  });
});
