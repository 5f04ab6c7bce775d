import { holdsKey, replaceKey } from '#keymux/core/written-key.js';
import { describe, expect, it } from 'vitest';

const KEY = `a/b+c "d"!'()*~&`;

describe('a key that is written somewhere', () => {
  it.each([
    ['as it is', KEY],
    ['in a path', encodeURIComponent(KEY)],
    ['in a query', new URLSearchParams({ key: KEY }).toString().slice('key='.length)],
  ])('is found and replaced %s', (_way, written) => {
    const text = `https://a.example/${written}?key=${written}`;
    expect(holdsKey(text, KEY)).toBe(true);
    expect(replaceKey(text, KEY, '{key}')).toBe('https://a.example/{key}?key={key}');
    expect(holdsKey(text, 'another')).toBe(false);
  });

  it('is replaced once, by just this text', () => {
    expect(replaceKey('a=key', 'key', '{key}')).toBe('a={key}');
    expect(replaceKey('a=key', 'key', '$&$1')).toBe('a=$&$1');
  });
});
