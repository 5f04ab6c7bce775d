import type { Command } from 'commander';
import { KeymuxError } from '../core/errors.js';
import type { Random } from '../core/ports.js';
import { replay } from '../core/replay.js';
import type { ReplayReport } from '../core/replay.js';
import { findDecisions } from './decision-source.js';
import { policyChangeOf } from './replay-policy.js';
import { renderTable } from './table.js';
import { print, printJson, stdoutColumns } from './terminal.js';
import { durationText } from './time-text.js';

interface ReplayOptions {
  readonly set: readonly string[];
  readonly seed: string;
  readonly json?: true;
}

export function registerReplay(program: Command): void {
  program
    .command('replay')
    .summary('take recorded decisions again under a changed policy')
    .description(
      'Reads decisions that a program wrote (KEYMUX_DECISIONS=PATH) and tells what another policy would have chosen, and what came of it as far as the record tells.',
    )
    .argument('[file]', 'a file or folder of decisions; default: those of the running gateway')
    .option(
      '--set <path=value>',
      'a setting as in the configuration, such as services.market_data.strategy=round-robin; may be repeated',
      (value: string, all: readonly string[]) => [...all, value],
      [],
    )
    .option('--seed <number>', 'for strategies that draw by chance', '1')
    .option('--json', 'one JSON document')
    .action((file: string | undefined, options: ReplayOptions) => runReplay(file, options));
}

async function runReplay(file: string | undefined, { set, seed, json }: ReplayOptions): Promise<void> {
  const { record } = await findDecisions(file);
  const report = replay(record, policyChangeOf(set, record), seeded(seed));
  if (json === true) printJson({ set, seed: Number(seed), ...report });
  else print(replayLines(report, set, stdoutColumns()).join('\n'));
}

/** The same numbers for the same seed (mulberry32). */
function seeded(seed: string): Random {
  let state = Number(seed);
  if (!Number.isSafeInteger(state)) {
    throw new KeymuxError('KEYMUX_USAGE', '--seed must be a whole number.', { fix: 'For example: --seed 7' });
  }
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function replayLines(report: ReplayReport, set: readonly string[], columns: number): string[] {
  const { requests, redirected, unknown, failedAttempts, answered, keys, spanMs, forgotten, limits } = report;
  const row = (...texts: (string | number)[]): { text: string }[] =>
    texts.map((text) => ({ text: String(text) }));
  const heads = [
    { title: '' },
    { title: 'recorded', align: 'right' },
    { title: 'replayed', align: 'right' },
    { title: '' },
  ] as const;
  const failed = `${failedAttempts.saved} saved, ${failedAttempts.added} added`;
  const ends = `${answered.gained} gained, ${answered.lost} lost`;
  const older = forgotten === 0 ? '' : `; ${forgotten} older decisions are not in it`;
  return [
    `${requests} ${requests === 1 ? 'request' : 'requests'} within ${durationText(spanMs)}${older}`,
    `policy: ${set.length === 0 ? 'as recorded' : set.join(', ')}`,
    `${redirected} would have gone to another key first; of ${unknown} the record does not tell the end`,
    '',
    ...renderTable(
      heads,
      [
        row('attempts on failing keys', failedAttempts.recorded, failedAttempts.replayed, failed),
        row('requests answered', answered.recorded, answered.replayed, ends),
        ...keys.map(({ key, recorded, replayed }) =>
          row(`attempts with ${key}`, recorded, replayed, difference(recorded, replayed)),
        ),
      ],
      columns,
    ),
    '',
    'What this replay cannot know:',
    ...limits.map((limit) => `- ${limit}`),
  ];
}

function difference(recorded: number, replayed: number): string {
  const change = replayed - recorded;
  return change === 0 ? '' : `${change > 0 ? '+' : '−'}${Math.abs(change)}`;
}
