import { describe, expect, it } from 'vitest';
import { parseSource, type SourceFormat } from '#keymux/config/source-text.js';

function faultsOf(text: string, format: SourceFormat): string[] {
  const { problems } = parseSource(text, format);
  return problems.map(({ position, text: fault }) => `${position?.line}:${position?.column} ${fault}`);
}

describe('parseSource', () => {
  const yaml = 'a:\n  b: [1, two, { c: ~ }]\n"d": &anchor { e: 0x10 }\nf: *anchor\n';
  const jsonc =
    '// note\n{\n  "a": { "b": [1, "two", { "c": null }], },\n  "d": { "e": 16 }, "f": { "e": 16 },\n}';
  const value = { a: { b: [1, 'two', { c: null }] }, d: { e: 16 }, f: { e: 16 } };

  it('reads YAML, JSON and JSONC into the same data', () => {
    expect(parseSource(yaml, 'yaml').value).toEqual(value);
    expect(parseSource(jsonc, 'jsonc').value).toEqual(value);
    expect(parseSource(JSON.stringify(value), 'json').value).toEqual(value);
  });

  it('knows where each option stands', () => {
    const { positionOf } = parseSource(yaml, 'yaml');
    expect(positionOf(['a'])).toEqual({ line: 1, column: 1 });
    expect(positionOf(['a', 'b'])).toEqual({ line: 2, column: 3 });
    expect(positionOf(['a', 'b', 1])).toEqual({ line: 2, column: 10 });
    expect(positionOf(['a', 'b', 2, 'c'])).toEqual({ line: 2, column: 17 });
    expect(positionOf(['d'])).toEqual({ line: 3, column: 1 });
    const json = parseSource(jsonc, 'jsonc');
    expect(json.positionOf(['a', 'b'])).toEqual({ line: 3, column: 10 });
    expect(json.positionOf(['a', 'b', 1])).toEqual({ line: 3, column: 19 });
  });

  it('gives the place of what surrounds an option that is not there', () => {
    const { positionOf } = parseSource(yaml, 'yaml');
    expect(positionOf(['a', 'b', 2, 'gone', 'deeper'])).toEqual({ line: 2, column: 15 });
    expect(positionOf(['gone'])).toEqual({ line: 1, column: 1 });
  });

  it.each(['yaml', 'json', 'jsonc'] as const)('takes an empty %s file for one without options', (format) => {
    const { value: nothing, problems } = parseSource('', format);
    expect(nothing ?? null).toBeNull();
    expect(problems).toEqual([]);
  });

  it.each([
    ['a: 1\nb: [1, 2\nc: 3', /^3:1 the indentation does not fit|^\d:\d+ a closing/],
    ['a: 1\n b: 2', /^1:4 a mapping begins where none can/],
    ['a:\n\tb: 1', /^2:1 a tab cannot indent/],
    ['a: b: c', /^1:4 a mapping begins where none can/],
    ['a: "x', /^1:\d+ a closing quote/],
    ['a: @x', /^1:4 a text begins with a character/],
    ['a: "\\q"', /^1:5 a backslash in double quotes/],
    ['a: 1\n---\nb: 2', /^2:1 a second document/],
    ['? [a]\n: b', /^1:3 a name must be plain text/],
    ['a: !!js/function "x"', /^1:4 tags/],
    ['a: *gone', /^1:4 an alias/],
    ['a: 1\nb: 2\na: 3', /^3:1 is there twice/],
    ['- a\nb', /^2:1 something stands here/],
    ['a: |x\n  y', /^1:\d+ /],
  ])('refuses the YAML %j with its line', (text, fault) => {
    expect(faultsOf(text, 'yaml')[0]).toMatch(fault);
  });

  it.each([
    ['{"a": 1,}', /^1:9 a name in double quotes/],
    ['// x\n{}', /^1:1 comments are not allowed in .json/],
    ['{\n"a": word}', /^2:6 a word stands here/],
    ['{"a" 1}', /^1:6 a colon is expected/],
    ['{"a": [1 2]}', /^1:10 a comma is missing/],
    ['{"a": [1', /^1:9 a closing `]`/],
    ['{"a": 1', /^1:8 a closing `}`/],
    ['{"a": "x', /^1:7 a closing quote/],
    ['{} {}', /^1:4 the content ended/],
    ['{"a": 1, "a": 2}', /^1:10 is there twice/],
    ['{"a": "\\q"}', /^1:7 is not valid JSON here/],
  ])('refuses the JSON %j with its line', (text, fault) => {
    expect(faultsOf(text, 'json')[0]).toMatch(fault);
  });

  it('does not repeat the text in any fault', () => {
    const texts = [
      'a: CANARY: x',
      'a: "CANARY',
      'a: *CANARY',
      'a: !CANARY b',
      'CANARY\nb: 1',
      'a: @CANARY',
      '{"a": CANARY}',
    ];
    for (const text of texts) {
      const faults = [...faultsOf(text, 'yaml'), ...faultsOf(text, 'json')];
      expect(faults.length).toBeGreaterThan(0);
      expect(faults.join()).not.toContain('CANARY');
    }
  });

  it('leaves prototypes alone', () => {
    for (const { value: read, problems } of [
      parseSource('__proto__: { polluted: 1 }\nconstructor: { prototype: { polluted: 1 } }', 'yaml'),
      parseSource('{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}', 'json'),
    ]) {
      expect(problems.map(({ path, text }) => [path, text])).toEqual([
        [['__proto__'], 'is not a name that can be used'],
      ]);
      expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
      expect(Object.keys(read as object)).toEqual(['constructor']);
      expect({}).not.toHaveProperty('polluted');
    }
  });

  it('does not expand merge keys', () => {
    expect(parseSource('<<: { a: 1 }', 'yaml').value).toEqual({ '<<': { a: 1 } });
  });

  it('refuses content that would grow or nest without end', () => {
    const bomb = `a: &a [${'x,'.repeat(500)}]\nb: &b [${'*a,'.repeat(50)}]\nc: [${'*b,'.repeat(40)}]`;
    const endless = 'a: &a [*a]';
    const deepYaml = 'a: ' + '['.repeat(40) + ']'.repeat(40);
    for (const text of [bomb, endless, deepYaml])
      expect(faultsOf(text, 'yaml')[0]).toContain('more than 32 levels');
    expect(faultsOf('['.repeat(100_000), 'json')[0]).toContain('more than 32 levels');
    expect(faultsOf('['.repeat(100_000), 'yaml')[0]).toMatch(/more than 32 levels|nested too deeply/);
  });
});
