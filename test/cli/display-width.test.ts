import { cutToWidth, displayWidth, printable } from '#keymux/cli/display-width.js';
import { describe, expect, it } from 'vitest';

describe('displayWidth', () => {
  it.each([
    ['', 0],
    ['plain', 5],
    ['● ready', 7],
    ['日本', 4],
    ['한글', 4],
    ['e\u0301', 1],
    ['👩‍👩‍👧', 2],
    ['\u0007', 0],
    ['\u001b[31mred\u001b[39m', 3],
  ])('counts the columns of %j', (text, width) => {
    expect(displayWidth(text)).toBe(width);
  });
});

describe('cutToWidth', () => {
  it('leaves what fits', () => {
    expect(cutToWidth('acme/main', 9)).toBe('acme/main');
  });

  it('says with an ellipsis that something is missing', () => {
    expect(cutToWidth('acme/main', 5)).toBe('acme…');
  });

  it('never stands wider than it may', () => {
    expect(cutToWidth('日本語', 4)).toBe('日…');
    expect(displayWidth(cutToWidth('日本語', 4))).toBe(3);
    expect(cutToWidth('日本語', 1)).toBe('…');
    expect(cutToWidth('日本語', 0)).toBe('');
  });
});

describe('printable', () => {
  it('takes out what would steer the terminal', () => {
    expect(printable('a\u001b[2Jb\nc\u0007')).toBe('ab c ');
  });
});
