import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { INCIDENTS, keysOf, readRecording, replay } from './recorded-traffic.js';

/** `scripts/anomaly-figures.mjs` asks for more of them, for longer ones, and for the figures. */
const ASKS_FIGURES = process.env['KEYMUX_ANOMALY_SEEDS'] !== undefined;
const SEEDS = Array.from(
  { length: Number(process.env['KEYMUX_ANOMALY_SEEDS'] ?? 1) },
  (_, index) => index + 1,
);
/** Quiet hours are judged after two. */
const WEEKS = ASKS_FIGURES ? 8 : 3;
const LONG_MS = ASKS_FIGURES ? 600_000 : 60_000;

const recording = readRecording();

function figure(...cells: readonly (string | number)[]): void {
  if (ASKS_FIGURES) process.stdout.write(`FIGURE | recorded: ${cells.join(' | ')} |\n`);
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
}

describe('the recording', () => {
  const path = new URL('recorded-traffic.jsonl', import.meta.url);
  const lines = readFileSync(path, 'utf8').trim().split('\n');

  it('holds ids and counts alone', () => {
    const ids =
      /^\{"slot":\d+,"program":"[a-z]+"(?:,"(?:attempt|request|access)":\{(?:,?"[\w/-]+ [a-z-]+":\d+)+\})+\}$/;
    expect(lines.filter((line) => !ids.test(line))).toEqual([]);
    expect(lines.join('\n').length).toBeLessThan(200_000);
  });

  it('knows of refusals, of requests that were rescued, and of programs that stood still', () => {
    const text = lines.join('\n');
    for (const happened of ['rate-limited', 'quota-exhausted', ' answered', ' environment'])
      expect(text).toContain(happened);
    expect(keysOf(recording)).toEqual(expect.arrayContaining(['llm/2', 'market/2', 'news/2']));
    const [workday, sunday] = recording.map((day) =>
      day.flat().filter(({ program }) => program === 'quotes'),
    );
    expect(workday?.length).toBeGreaterThan(0);
    expect(sunday).toEqual([]);
  });
});

describe('over weeks like the recorded days', () => {
  it(
    'false alarms are rare',
    () => {
      const found = SEEDS.flatMap((seed) => replay(recording, seed, WEEKS, {}).falseAlarms);
      const months = (SEEDS.length * keysOf(recording).length * WEEKS * 7) / 30;
      const perMonth = (['rate', 'hours', 'new-caller'] as const).map(
        (kind) => Math.round((100 * found.filter((event) => event.kind === kind).length) / months) / 100,
      );
      figure('false alarms', ...perMonth);
      expect(Math.max(...perMonth)).toBeLessThanOrEqual(0.6);
    },
    LONG_MS,
  );

  it(
    'incidents are found while they last',
    () => {
      const delays = SEEDS.map((seed) => replay(recording, seed, WEEKS, INCIDENTS).delays);
      for (const [name, { kind }] of Object.entries(INCIDENTS)) {
        const seen = delays.flatMap((each) => each.get(name) ?? []);
        figure(
          name,
          kind,
          `${seen.length} of ${SEEDS.length}`,
          `${Math.round(median(seen) / 6_000) / 10} min`,
        );
        expect(seen, name).toHaveLength(SEEDS.length);
      }
    },
    LONG_MS,
  );
});
