import { displayWidth } from '#keymux/cli/display-width.js';
import { renderTable } from '#keymux/cli/table.js';
import { describe, expect, it } from 'vitest';

const HEADS = [
  { title: 'key' },
  { title: 'uses', align: 'right', dropOrder: 1 },
  { title: 'why', dropOrder: 2 },
] as const;

const row = (...texts: string[]) => texts.map((text) => ({ text }));

describe('renderTable', () => {
  it('aligns by what is seen, not by what is stored', () => {
    expect(renderTable(HEADS, [row('日本', '5', 'ok'), row('acme', '1234', '')], 80)).toEqual([
      'key   uses  why',
      '日本     5  ok',
      'acme  1234',
    ]);
  });

  it('paints after it has measured', () => {
    const red = (text: string): string => `\u001b[31m${text}\u001b[39m`;
    const lines = renderTable(
      [{ title: 'a' }, { title: 'b' }],
      [[{ text: 'xy', paint: red }, { text: 'z' }]],
      80,
    );
    expect(lines).toEqual(['a   b', `${red('xy')}  z`]);
  });

  it('leaves out columns in their order until it fits', () => {
    const rows = [row('acme/main', '12', 'rate-limited')];
    expect(renderTable(HEADS, rows, 20)).toEqual(['key        uses', 'acme/main    12']);
    expect(renderTable(HEADS, rows, 12)).toEqual(['key', 'acme/main']);
  });

  it('cuts the widest column where nothing more can be left out', () => {
    const lines = renderTable([{ title: 'a' }, { title: 'b' }], [row('a'.repeat(30), 'b'.repeat(10))], 24);
    expect(lines).toEqual(['a             b', `${'a'.repeat(11)}…  ${'b'.repeat(10)}`]);
    expect(Math.max(...lines.map(displayWidth))).toBe(24);
  });

  it('keeps columns readable on the narrowest terminal', () => {
    expect(renderTable([{ title: 'a' }], [row('a'.repeat(30))], 3)[1]).toBe('aaaaaaa…');
  });

  it('leaves out a column in which nothing stands', () => {
    expect(renderTable(HEADS, [row('acme/main', '', '')], 80)).toEqual(['key', 'acme/main']);
    expect(renderTable(HEADS, [row('acme/main')], 80)).toEqual(['key', 'acme/main']);
  });

  it('is nothing without rows', () => {
    expect(renderTable(HEADS, [], 80)).toEqual([]);
  });
});
