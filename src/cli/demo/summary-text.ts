import { renderTable } from '../table.js';
import type { Colours } from '../terminal.js';
import type { Delays, Summary } from './tally.js';

const MANY_LOSSES = 20;
const WIDEST = 100;

/** The summary for people. */
export function summaryText(summary: Summary, colours: Colours): string {
  const { agents, losses, faults, problems, replaced } = summary;
  const kinds = faults.filter(({ count }) => count > 0).length;
  const processes = agents.filter(({ runsAs }) => runsAs === 'process').length;
  const lines = [
    '',
    colours.bold(
      `${agents.length} unmodified agents (${agents.length - processes} worker threads, ${processes} processes) ` +
        `in ${(summary.durationMs / 1_000).toFixed(1)} s${summary.bare ? ', without keymux' : ''}`,
    ),
    '',
    ...figures(summary, colours),
    '',
    colours.bold(`${kinds} of ${faults.length} staged kinds of fault happened, by the providers' own count`),
    ...renderTable(
      [{ title: '' }, { title: '' }, { title: '', align: 'right' }],
      faults.map(({ name, provider, count }) => [
        { text: name },
        { text: provider },
        { text: String(count) },
      ]),
      WIDEST,
    ).slice(1),
    ...(replaced.length === 0
      ? []
      : ['', `not installed, so that a built-in client stood in: ${replaced.join(', ')}`]),
    ...(losses.length === 0 ? [] : ['', colours.bold('lost')]),
    ...losses.slice(0, MANY_LOSSES).map(({ id, why }) => `  ${id}: ${why}`),
    ...(losses.length > MANY_LOSSES ? [`  and ${losses.length - MANY_LOSSES} more`] : []),
    '',
    summary.ok
      ? colours.green('● Every request was answered, every limit kept, every order carried out once.')
      : colours.red(`✗ ${problems.join('\n✗ ')}`),
  ];
  return lines.join('\n');
}

function figures(summary: Summary, colours: Colours): string[] {
  const zero = (count: number): string => (count === 0 ? colours.green('0') : colours.red(String(count)));
  const absorbed = Object.entries(summary.absorbed);
  const total = absorbed.reduce((sum, [, count]) => sum + count, 0);
  const rows: [string, string][] = [
    ['requests', `${summary.requests} (${summary.sent} sent, repetitions included)`],
    ['requests lost', zero(summary.lost)],
    ['limits overshot', zero(summary.overshoots)],
    ['orders executed twice', zero(summary.ordersExecutedTwice)],
    ['failovers', String(summary.failovers)],
    [
      'failures absorbed',
      `${total}${total === 0 ? '' : ` (${absorbed.map(([what, n]) => `${n} ${what}`).join(', ')})`}`,
    ],
    ['limits reached without a 429', String(summary.limitsKept)],
    ['from a key’s death to success', delaysText(summary.afterKeyFailure)],
    ['from provider trouble to success', delaysText(summary.afterProviderFailure)],
  ];
  return rows.map(([what, value]) => `  ${what.padEnd(34)}${value}`);
}

function delaysText({ count, p50Ms, maxMs }: Delays): string {
  if (count === 0) return 'none';
  return `the same request: p50 ${Math.round(p50Ms)} ms, max ${Math.round(maxMs)} ms, ${count} times`;
}
