import { describe, expect, it } from 'vitest';
import { plot } from '../../bench/plot.mjs';
import { reportFiles } from '../../bench/report.mjs';

const line = (name: string, median: number) => ({
  name,
  unit: 'µs',
  min: median,
  median,
  p25: median - 1,
  p75: median + 1,
  p99: median + 2,
});
const widths = (svg: string): number[] =>
  [...svg.matchAll(/<rect class="\w+" x="\d+" y="\d+" width="([^"]*)"/g)].map(([, width]) => Number(width));

describe('plot', () => {
  it('draws bars by their medians, also where they are below nothing', () => {
    const [first = 0, half = 0, below] = widths(plot('t', [line('a', 20), line('b', 10), line('c', -3)]));
    expect(first / half).toBeCloseTo(2, 1);
    expect(below).toBe(0);
    expect(widths(plot('t', [line('a', 0)]))[0]).toBeGreaterThanOrEqual(0);
  });

  it('shows what is small beside what is large, and says how', () => {
    const svg = plot('t', [line('a', 2), line('b', 2_000)]);
    expect(widths(svg)[0]).toBeGreaterThan(20);
    expect(svg).toContain('each step to the right is a multiple');
  });

  it('takes text for text', () => {
    expect(plot('<script>&', [line('a"<b>', 1)])).not.toMatch(/<script>|<b>/);
  });
});

describe('reportFiles', () => {
  it('holds every figure and every table, and names only files that are there', () => {
    const figure = { what: 'cost | time', measured: 1.234_5, target: 2, unit: 'µs', met: true };
    const files = reportFiles({
      date: '2026-01-01',
      machine: { cpu: 'c', cores: 2, memoryGb: 8, node: 'v20', system: 'linux x64' },
      benchmarks: [
        { name: 'one', groups: { first: [line('keymux', 3)], second: [line('peer', 4)] }, figures: [figure] },
      ],
    });
    const text = files.get('report.md') ?? '';
    expect(text).toContain('| cost \\| time | < 2 µs | 1.23 µs | met | `one` |');
    const named = [...text.matchAll(/\]\(([^)]*\.svg)\)/g)].map(([, name]) => name);
    expect(named).toEqual(['one-1.svg', 'one-2.svg']);
    expect([...files.keys()]).toEqual(['report.md', ...named]);
  });
});
