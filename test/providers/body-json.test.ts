import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJsonPath, readJson, valuesAt } from '#keymux/providers/body-json.js';

describe('valuesAt', () => {
  const root = { a: { b: 1, 'two words': 2 }, list: [{ c: 3 }, {}, { c: [4, 5] }], none: null };

  it.each([
    ['$', [root]],
    ['$.a.b', [1]],
    ['$.a["two words"]', [2]],
    ["$['a'].b", [1]],
    ['$.list[*].c', [3, [4, 5]]],
    ['$.list[2].c[1]', [5]],
    ['$.list[9]', []],
    ['$.list.length', []],
    ['$.a[0]', []],
    ['$.a[*]', []],
    ['$.none', [null]],
    ['$.none.deeper', []],
    ['$.missing', []],
    ['$.toString', []],
    ['$.__proto__', []],
  ])('finds at %s', (path, expected) => {
    expect(valuesAt(root, parseJsonPath(path)!)).toEqual(expected);
  });

  it.each(['', 'a.b', '$.', '$..a', '$[', '$[x]', '$a', '$.a b'])(
    'finds nothing at %j, which is no path',
    (path) => {
      expect(parseJsonPath(path)).toBeUndefined();
    },
  );

  it('looks at no more than 64 elements', () => {
    const wide = Array.from({ length: 1_000 }, () => Array.from({ length: 1_000 }, (_, index) => index));
    expect(valuesAt(wide, parseJsonPath('$[*][*]')!)).toHaveLength(64);
  });
});

describe('readJson', () => {
  it.each([
    ['{"a":1}', { a: 1 }],
    ['\uFEFF \n{"a":1}', { a: 1 }],
    ['[{"a":1}]', { a: 1 }],
    ['[1,2]', [1, 2]],
    ['{"a":1}\n{"a":2}', { a: 1 }],
    ['{"a":{"b":1},"c":[1,{"d', { a: { b: 1 }, c: [1, {}] }],
    ['{"a":1,"b":tru', { a: 1 }],
    ['{"a":1,"b":', { a: 1 }],
    ['{"a":1,"b"', { a: 1 }],
    ['{"a":"beginning of a long te', { a: 'beginning of a long te' }],
    ['{"a":"x\\', { a: 'x' }],
    ['{"a":"x\\u00e', { a: 'x' }],
    ['{"a":"say \\"hi\\" {[,', { a: 'say "hi" {[,' }],
    ['{"a":[1,2', { a: [1] }],
    ['{', {}],
  ])('reads %j', (text, expected) => {
    expect(readJson(text)).toEqual(expected);
  });

  it.each(['', '  ', 'plain text', '"text"', '5', '{]', '{"a" 1, "b": 2}', '<html>'])(
    'finds no object in %j',
    (text) => {
      expect(readJson(text)).toBeUndefined();
    },
  );

  it('survives any depth', () => {
    expect(() => readJson('['.repeat(65_536))).not.toThrow();
    expect(() => readJson('{"a":'.repeat(13_000))).not.toThrow();
  });

  it('reads each prefix of an object as an object that holds nothing new', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.integer(), { noNullPrototype: true }),
        fc.nat(),
        (value, length) => {
          const text = JSON.stringify(value);
          const prefix = text.slice(0, 1 + (length % text.length));
          const found = readJson(prefix);
          expect(value).toMatchObject(found as object);
        },
      ),
    );
  });
});
