import { RequestHeaders } from '#keymux/interceptors/http2-headers.js';
import { KeyFinder } from '#keymux/interceptors/key-placement.js';
import { describe, expect, it } from 'vitest';

const finder = new KeyFinder(
  [
    { in: 'header', name: 'Authorization', scheme: 'Bearer' },
    { in: 'header', name: 'X-Key' },
    { in: 'query', name: 'k' },
  ],
  (text) => text === 'old',
);
const MARK = Symbol('mark');

function read(headers: unknown): RequestHeaders {
  const read = RequestHeaders.of(headers);
  return read ?? expect.unreachable('these are headers');
}

/** The same as a record and as a flat list. */
function forms(fields: readonly (readonly [name: string, value: unknown])[]): object[] {
  return [Object.fromEntries(fields), fields.flat(1)];
}

describe('headers', () => {
  it.each([['text'], [7], [[':path', '/', 7, 'value']]])('are not %j', (headers) => {
    expect(RequestHeaders.of(headers)).toBeUndefined();
  });

  it.each([[undefined], [null], [{}], [[]]])('may be missing: %j', (headers) => {
    const { path, method, isTunnel, source } = read(headers);
    expect({ path, method, isTunnel, source }).toEqual({
      path: '/',
      method: 'GET',
      isTunnel: false,
      source: headers ?? {},
    });
    expect(read(headers).find(finder)).toBeUndefined();
  });

  it('are read by name in any case, be the value a text or a number', () => {
    for (const headers of forms([
      [':path', '/a'],
      [':method', 'POST'],
      ['X-Number', 7],
      ['x-other', true],
    ])) {
      const one = read(headers);
      expect([one.path, one.method, one.get('x-number'), one.get('x-other'), one.get('x-none')]).toEqual([
        '/a',
        'POST',
        '7',
        undefined,
        undefined,
      ]);
    }
  });

  it('are those of a tunnel where CONNECT comes without a protocol', () => {
    expect(read({ ':method': 'CONNECT' }).isTunnel).toBe(true);
    expect(read({ ':method': 'CONNECT', ':protocol': 'websocket' }).isTunnel).toBe(false);
  });

  it('are listed without pseudo-headers, each value by itself', () => {
    for (const headers of forms([
      [':path', '/'],
      ['A', ['1', 2]],
      ['b', 'text'],
      ['c', undefined],
    ])) {
      expect([...read(headers).entries()]).toEqual([
        ['A', '1'],
        ['A', '2'],
        ['b', 'text'],
        ['c', ''],
      ]);
    }
  });
});

describe('a known key', () => {
  it.each([
    ['authorization', 'Bearer old', 'Bearer new'],
    ['X-Key', 'old', 'new'],
    ['x-key', ['other', 'old', 7], ['other', 'new', 7]],
    [':path', '/a?k=old', '/a?k=new'],
  ])('is replaced in %s: %j', (name, before, after) => {
    for (const headers of forms([
      ['first', '1'],
      [name, before],
    ])) {
      Object.assign(headers, { [MARK]: ['kept'] });
      const copy: unknown = structuredClone(headers);
      const found = read(headers).find(finder);
      expect(found?.originals).toEqual(new Map([[name.toLowerCase(), before]]));
      const expected = Array.isArray(headers) ? ['first', '1', name, after] : { first: '1', [name]: after };
      const changed = found?.withKey('new') ?? {};
      expect(changed).toEqual(Object.assign(expected, { [MARK]: ['kept'] }));
      expect(Reflect.get(changed, MARK)).toEqual(['kept']);
      // The application's own object stays as it is.
      expect(structuredClone(headers)).toEqual(copy);
    }
  });

  it('is replaced wherever it stands', () => {
    const list = ['authorization', 'Bearer old', 'b', 'text', 'x-key', 'old'];
    expect(read(list).find(finder)?.withKey('new')).toEqual([
      'authorization',
      'Bearer new',
      'b',
      'text',
      'x-key',
      'new',
    ]);
  });

  it.each([
    ['x-other', 'old'],
    [':authority', 'old'],
    [':path', 7],
    ['x-key', 7],
    ['x-key', ['other', 7]],
    ['x-key', []],
  ])('is not what stands in %s: %j', (name, value) => {
    for (const headers of forms([[name, value]])) expect(read(headers).find(finder)).toBeUndefined();
  });
});

describe('without some of them, headers', () => {
  const fields = [
    ['X-Gone', '1'],
    ['b', '2'],
    ['x-gone', '3'],
    ['x-key', 'old'],
  ] as const;

  it('keep their form, the rest and what is told by symbols', () => {
    for (const headers of forms(fields)) {
      Object.assign(headers, { [MARK]: ['kept'] });
      const rest = read(headers).without(new Set(['x-gone']));
      const list = ['b', '2', 'x-key', 'old'];
      expect(rest.source).toEqual(
        Object.assign(Array.isArray(headers) ? list : { b: '2', 'x-key': 'old' }, { [MARK]: ['kept'] }),
      );
      expect(Reflect.get(rest.source, MARK)).toEqual(['kept']);
    }
  });

  it('still take a key in its place', () => {
    const [record, list] = forms(fields).map((headers) => read(headers).without(new Set(['x-gone'])));
    expect(record?.find(finder)?.withKey('new')).toEqual({ b: '2', 'x-key': 'new' });
    expect(list?.find(finder)?.withKey('new')).toEqual(['b', '2', 'x-key', 'new']);
  });
});
