/** Why a request got the keys that it got, for people. */
import type { Decision, DecisionCandidate, Fact, RequestExplanation } from '../core/decision.js';
import { cutToWidth, printable } from './display-width.js';
import { renderTable } from './table.js';
import type { Cell, Column } from './table.js';
import type { Colours } from './terminal.js';
import { clockText, durationText, momentText } from './time-text.js';

const ENDS: Readonly<Record<NonNullable<RequestExplanation['end']>, string>> = {
  answered: '● answered',
  failed: '✗ failed',
  refused: '✗ refused: no key was to be had',
  aborted: '– given up by its caller',
};

const CANDIDATE_COLUMNS: readonly Column[] = [
  { title: '' },
  { title: 'key' },
  { title: 'because' },
  { title: 'known from', dropOrder: 2 },
  { title: 'until', dropOrder: 1 },
];

export function requestLines(request: RequestExplanation, colours: Colours, columns: number): string[] {
  const { requestId, service, at, end, durationMs, attempts, complete } = request;
  const ended = end === undefined ? endOfLease(attempts) : ENDS[end];
  const took = durationMs === undefined ? '' : ` after ${durationText(durationMs)}`;
  const count = `${attempts.length} ${attempts.length === 1 ? 'attempt' : 'attempts'}`;
  const head = `${requestId}  ${service}  ${clockText(at, Date.now())}  ${ended}${took}, ${count}`;
  return [
    colours.bold(cutToWidth(printable(head), columns)),
    ...(complete ? [] : ['  earlier attempts are no longer known']),
    ...attempts.flatMap((attempt) => decisionLines(attempt, colours, columns)),
  ];
}

function endOfLease(attempts: readonly Decision[]): string {
  const last = attempts.at(-1);
  return last?.outcome?.kind ?? (last?.chosen === undefined ? ENDS.refused : 'under way');
}

function decisionLines(decision: Decision, colours: Colours, columns: number): string[] {
  const { attempt, at, strategy, chosen, outcome, waitedMs, retryAt, candidates } = decision;
  const waited = waitedMs < 1 ? '' : ` after a wait of ${durationText(waitedMs)}`;
  const next =
    retryAt === undefined ? 'nobody knows when there will be one' : `the next one ${momentText(retryAt, at)}`;
  const taken = chosen === undefined ? `no key; ${next}` : `${chosen}, ${outcomeText(outcome)}`;
  const rows = candidates
    .toSorted((a, b) => Number(b.chosen) - Number(a.chosen) || a.figures.priority - b.figures.priority)
    .map((candidate): Cell[] => [
      symbolOf(candidate, colours),
      { text: candidate.key },
      { text: candidate.because },
      { text: candidate.fact === undefined ? '' : factText(candidate.fact) },
      { text: candidate.until === undefined ? '' : momentText(candidate.until, at) },
    ]);
  return [
    cutToWidth(printable(`attempt ${attempt}${waited} (${strategy}): ${taken}`), columns),
    ...renderTable(CANDIDATE_COLUMNS, rows, columns),
  ];
}

function outcomeText(outcome: Decision['outcome']): string {
  if (outcome === undefined) return 'under way';
  const { kind, status, evidence, latencyMs } = outcome;
  const why = [status === undefined ? '' : `status ${status}`, evidence ?? ''].filter(
    (text, index, all) => text !== '' && all.indexOf(text) === index,
  );
  return `${kind}${why.length === 0 ? '' : ` (${why.join(', ')})`} in ${durationText(latencyMs)}`;
}

/** `stated by the provider 12 s before: header retry-after`. */
export function factText({ source, evidence, seen, ageMs, subject }: Fact): string {
  const known = {
    stated: 'stated by the provider',
    guessed: 'guessed',
    counted: 'counted',
    person: 'a person',
    observed: 'observed',
  }[source];
  const age = ageMs === undefined ? '' : ` ${durationText(ageMs)} before`;
  const elsewhere = seen === 'elsewhere' ? ', heard from elsewhere' : '';
  return `${known}${age}${elsewhere}${evidence === undefined ? '' : `: ${evidence}`} [${subject}]`;
}

function symbolOf({ chosen, passedOver }: DecisionCandidate, colours: Colours): Cell {
  if (chosen) return { text: '●', paint: colours.green };
  const isUsable = passedOver === 'not-preferred' || passedOver === 'unhealthy' || passedOver === 'spared';
  return isUsable ? { text: '○', paint: colours.green } : { text: '✗', paint: colours.red };
}
