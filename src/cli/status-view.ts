/** `status` for people: lines that fit into a number of columns. A state is told by symbol and word; colour adds. */
import type { Explanation, KeySnapshot, ProviderSnapshot } from '../manager/inspection.js';
import { cutToWidth, printable } from './display-width.js';
import type { FleetReport } from './fleet-report.js';
import { fleetText, leaseRows, memberRows } from './fleet-view.js';
import type { ExplanationReport, KeyStatus, StatusReport, StoreStatus } from './status-report.js';
import { renderTable } from './table.js';
import type { Cell, Column } from './table.js';
import type { Colours } from './terminal.js';
import { factText } from './why-view.js';
import { clockText, momentText, relativeText, windowText } from './time-text.js';

type Paint = (colours: Colours) => (text: string) => string;

const green: Paint = (colours) => colours.green;
const yellow: Paint = (colours) => colours.yellow;
const red: Paint = (colours) => colours.red;

export const KEY_STATES: Readonly<Record<KeySnapshot['state'], readonly [string, Paint]>> = {
  ready: ['● ready', green],
  unproven: ['○ unproven', green],
  returning: ['◐ returning', yellow],
  resting: ['◌ resting', yellow],
  'out-of-permits': ['◔ out of permits', yellow],
  rejected: ['✗ rejected', red],
  disabled: ['– disabled', red],
  expired: ['⌛ expired', red],
};

const CIRCUITS: Readonly<Record<ProviderSnapshot['circuit'], readonly [string, Paint]>> = {
  closed: ['● closed', green],
  'slow-start': ['◐ slow start', yellow],
  'half-open': ['◐ half-open', yellow],
  open: ['✗ open', red],
};

const SOURCES = { stated: 'stated', guessed: 'guessed' } as const;

export function statusLines(report: StatusReport, colours: Colours, columns: number): string[] {
  const { at, store, fleet } = report;
  const cut = (text: string): string => cutToWidth(printable(text), columns);
  const title = (text: string): string => colours.bold(cut(text));
  return [
    cut(`store     ${store.kind} (${keptText(store)})`),
    ...(store.trouble === undefined ? [] : [colours.red(cut(`          ✗ ${store.trouble}`))]),
    ...(fleet === undefined ? [] : [cut(`fleet     ${fleetText(fleet)}`)]),
    cut(`read      ${report.sources.length === 0 ? 'the environment' : report.sources.join(', ')}`),
    cut(`at        ${clockText(at, at)}`),
    ...section(title('services'), serviceRows(report, columns)),
    ...section(title('providers'), providerRows(report, colours, columns)),
    ...section(title('keys'), keyLines(report.keys, at, colours, columns)),
    ...(fleet === undefined ? [] : fleetSections(fleet, title, colours, columns)),
    ...section(
      title('notes'),
      report.notes.map((text) => cut(`- ${text}`)),
    ),
  ];
}

export function keptText({ shared, place = 'shared', prefix = 'keymux' }: StoreStatus): string {
  if (!shared) return 'this process alone, nothing is kept';
  return prefix === 'keymux' ? place : `${place}, prefix ${prefix}`;
}

function fleetSections(
  fleet: FleetReport,
  title: (text: string) => string,
  colours: Colours,
  columns: number,
): string[] {
  return [
    ...section(title('processes'), memberRows(fleet, colours, columns)),
    ...section(title('leases'), leaseRows(fleet, columns)),
  ];
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ['', title, ...lines];
}

function serviceRows({ services }: StatusReport, columns: number): string[] {
  const heads: Column[] = [
    { title: 'name' },
    { title: 'next key' },
    { title: 'strategy', dropOrder: 1 },
    { title: 'providers', dropOrder: 2 },
  ];
  const rows = services.map(({ name, next, strategy, providers }) =>
    [name, next ?? '✗ none', strategy, providers.join(', ')].map((text) => ({ text })),
  );
  return renderTable(heads, rows, columns);
}

function providerRows({ providers, at }: StatusReport, colours: Colours, columns: number): string[] {
  const heads: Column[] = [
    { title: 'name' },
    { title: 'circuit' },
    { title: 'until', dropOrder: 1 },
    { title: 'keys usable', align: 'right', dropOrder: 2 },
    { title: 'mode', dropOrder: 4 },
    { title: 'sends keys to', dropOrder: 3 },
  ];
  const rows = providers.map(({ id, circuit, until, healthScore, mode, origins }): Cell[] => {
    const [text, paint] = CIRCUITS[circuit];
    return [
      { text: id },
      { text, paint: paint(colours) },
      { text: until === undefined ? '' : momentText(until, at) },
      { text: `${Math.round(healthScore * 100)} %` },
      { text: mode },
      { text: origins.join(', ') },
    ];
  });
  return renderTable(heads, rows, columns);
}

const KEY_COLUMNS: readonly Column[] = [
  { title: 'key' },
  { title: 'state' },
  { title: 'until', dropOrder: 2 },
  { title: 'deadline', dropOrder: 6 },
  { title: 'why', dropOrder: 4 },
  { title: 'uses', align: 'right', dropOrder: 3 },
  { title: 'failed', align: 'right', dropOrder: 5 },
  { title: 'left', align: 'right', dropOrder: 1 },
  { title: 'limit', dropOrder: 7 },
  { title: 'last used', dropOrder: 8 },
  { title: 'bucket', dropOrder: 10 },
  { title: 'found in', dropOrder: 9 },
];

export function keyLines(
  keys: readonly KeyStatus[],
  now: number,
  colours: Colours,
  columns: number,
): string[] {
  const rows = keys.map((key): Cell[] => {
    const [state, paint] = KEY_STATES[key.state];
    return [
      { text: key.id },
      { text: state, paint: paint(colours) },
      { text: key.until === undefined ? '' : momentText(key.until, now) },
      { text: key.source === undefined ? '' : SOURCES[key.source] },
      { text: reasonOf(key, now) },
      { text: String(key.uses) },
      { text: String(key.failures) },
      { text: key.permitsLeft === undefined ? '' : String(key.permitsLeft) },
      { text: limitsText(key) },
      { text: key.lastUsedAt === undefined ? '' : relativeText(key.lastUsedAt, now) },
      { text: bucketText(key) },
      { text: key.foundIn },
    ];
  });
  return renderTable(KEY_COLUMNS, rows, columns);
}

/** The deadline's source has a column of its own. */
function reasonOf({ reason, expiresAt }: KeyStatus, now: number): string {
  if (reason === undefined) return expiresAt === undefined ? '' : `expires ${momentText(expiresAt, now)}`;
  return reason.replace(/, until a time .*$/, '');
}

/** How it became one is told where it is not the key's own. */
function bucketText({ bucket, bucketSource }: KeyStatus): string {
  return bucketSource === 'own' ? bucket : `${bucket} (${bucketSource})`;
}

/** `3 of 5/min, 20/day`: what is left where there are several windows; of a single one the column before tells. */
function limitsText({ limits }: KeyStatus): string {
  return limits
    .map(({ requests, perMs, stated, left }) => {
      const limit = `${stated ?? requests}/${windowText(perMs)}`;
      return left === undefined || limits.length === 1 ? limit : `${left} of ${limit}`;
    })
    .join(', ');
}

const CANDIDATE_COLUMNS: readonly Column[] = [
  { title: '' },
  { title: 'key' },
  { title: 'because' },
  { title: 'known from', dropOrder: 4 },
  { title: 'until', dropOrder: 3 },
  { title: 'last used', dropOrder: 2 },
  { title: 'found in', dropOrder: 1 },
  { title: 'shared bucket', dropOrder: 0 },
];

export function explanationLines(
  { service, strategy, at, next, candidates }: ExplanationReport,
  colours: Colours,
  columns: number,
): string[] {
  const verdict =
    next === undefined ? `✗ no key of ${service} can be used now` : `● ${next} serves the next request`;
  const paint = next === undefined ? colours.red : colours.green;
  const rows = candidates.map((candidate): Cell[] => [
    symbolOf(candidate, next, colours),
    { text: candidate.key },
    { text: candidate.because },
    { text: candidate.fact === undefined ? '' : factText(candidate.fact) },
    { text: candidate.until === undefined ? '' : momentText(candidate.until, at) },
    { text: candidate.lastUsedAt === undefined ? '' : relativeText(candidate.lastUsedAt, at) },
    { text: candidate.foundIn },
    { text: candidate.bucket === undefined ? '' : `${candidate.bucket.name} (${candidate.bucket.source})` },
  ]);
  return [
    paint(cutToWidth(printable(verdict), columns)),
    cutToWidth(`${service}: in the order of preference, strategy ${strategy}`, columns),
    ...renderTable(CANDIDATE_COLUMNS, rows, columns),
  ];
}

function symbolOf(
  { key, usable }: Explanation['candidates'][number],
  next: string | undefined,
  colours: Colours,
): Cell {
  if (key === next) return { text: '●', paint: colours.green };
  return usable ? { text: '○', paint: colours.green } : { text: '✗', paint: colours.red };
}
