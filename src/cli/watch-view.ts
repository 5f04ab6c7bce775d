/** `status --watch` for people: one screen, as large as the window. A state is told by symbol and word; colour adds. */
import { cutToWidth, printable } from './display-width.js';
import { fleetText } from './fleet-view.js';
import type { LiveStatus } from './live-status.js';
import type { News } from './status-news.js';
import type { KeyStatus, StatusReport } from './status-report.js';
import { KEY_STATES, keptText } from './status-view.js';
import { renderTable } from './table.js';
import type { Cell, Column } from './table.js';
import type { Colours } from './terminal.js';
import { clockText, durationText, relativeText } from './time-text.js';

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

const SORTS = ['as configured', 'trouble first', 'busiest first', 'least left first'] as const;

export interface WatchChoice {
  readonly sort: (typeof SORTS)[number];
  readonly onlyTrouble: boolean;
}

export const FIRST_CHOICE: WatchChoice = { sort: 'as configured', onlyTrouble: false };

/** What a key on the keyboard changes; the same object where it changes nothing. */
export function choiceAfter(choice: WatchChoice, key: string): WatchChoice {
  if (key === 'f') return { ...choice, onlyTrouble: !choice.onlyTrouble };
  if (key !== 's') return choice;
  const next = (SORTS.indexOf(choice.sort) + 1) % SORTS.length;
  return { ...choice, sort: SORTS[next] ?? SORTS[0] };
}

const LEAST_NEWS = 3;
const BAR_WIDTH = 8;

const KEY_COLUMNS: readonly Column[] = [
  { title: 'key' },
  { title: 'state' },
  { title: 'until', dropOrder: 2 },
  { title: 'deadline', dropOrder: 5 },
  { title: 'left', dropOrder: 1 },
  { title: 'req/s', align: 'right', dropOrder: 3 },
  { title: 'fail/s', align: 'right', dropOrder: 4 },
  { title: 'latency', align: 'right', dropOrder: 6 },
  { title: 'uses', align: 'right', dropOrder: 8 },
  { title: 'failed', align: 'right', dropOrder: 9 },
  { title: 'why', dropOrder: 7 },
];

/** Lines for the whole window; empty before the first look. */
export function watchLines(
  live: LiveStatus,
  choice: WatchChoice,
  colours: Colours,
  size: ScreenSize,
): string[] {
  const { report } = live;
  if (report === undefined) return [];
  const { columns } = size;
  const head = headLines(report, colours, columns);
  const foot = colours.dim(cutToWidth(footText(choice), columns));
  const room = Math.max(1, size.rows - head.length - 1);
  const keys = keyLines(live, report, choice, colours, columns);
  const newsRoom = Math.min(live.news.length, Math.max(LEAST_NEWS, room - keys.length - 1));
  const keyRoom = Math.max(1, room - (newsRoom === 0 ? 0 : newsRoom + 1));
  const shownKeys = cutRows(keys, keyRoom, 'more keys');
  const newsLines =
    newsRoom === 0
      ? []
      : ['', ...live.news.slice(-newsRoom).map((news) => newsLine(news, report.at, colours, columns))];
  const body = [...head, ...shownKeys, ...newsLines].slice(0, Math.max(0, size.rows - 1));
  const filler = Array.from({ length: Math.max(0, size.rows - 1 - body.length) }, () => '');
  return [...body, ...filler, foot];
}

function headLines(report: StatusReport, colours: Colours, columns: number): string[] {
  const { at, store, fleet, services, providers } = report;
  const cut = (text: string): string => cutToWidth(printable(text), columns);
  const out = providers.filter(({ circuit }) => circuit !== 'closed');
  return [
    colours.bold(cut(`keymux  ${clockText(at, at)}  ${store.kind} (${keptText(store)})`)),
    ...(store.trouble === undefined ? [] : [colours.red(cut(`✗ ${store.trouble}`))]),
    ...(fleet === undefined ? [] : [cut(`fleet: ${fleetText(fleet)}`)]),
    cut(`next: ${services.map(({ name, next }) => `${name} → ${next ?? '✗ none'}`).join(' · ')}`),
    ...(out.length === 0
      ? []
      : [colours.yellow(cut(`circuits: ${out.map(({ id, circuit }) => `◐ ${id} ${circuit}`).join(' · ')}`))]),
    '',
  ];
}

function footText({ sort, onlyTrouble }: WatchChoice): string {
  return `q quit · s sort: ${sort} · f show: ${onlyTrouble ? 'trouble only' : 'all keys'}`;
}

function keyLines(
  live: LiveStatus,
  report: StatusReport,
  choice: WatchChoice,
  colours: Colours,
  columns: number,
): string[] {
  const shown = chosenKeys(report.keys, choice, (key) => live.rateOf(key)?.requests ?? 0);
  if (shown.length === 0) return [choice.onlyTrouble ? '● no key is in trouble' : 'no key was found'];
  const rows = shown.map((key) => keyRow(key, live, report.at, colours));
  return renderTable(KEY_COLUMNS, rows, columns);
}

function keyRow(key: KeyStatus, live: LiveStatus, now: number, colours: Colours): Cell[] {
  const [state, paint] = KEY_STATES[key.state];
  const rate = live.rateOf(key.id);
  const latencyMs = live.latencyMsOf(key.id) ?? 0;
  return [
    { text: key.id },
    { text: state, paint: paint(colours) },
    { text: key.until === undefined ? '' : relativeText(key.until, now) },
    { text: key.source ?? '' },
    { text: barText(key) },
    { text: rate === undefined ? '' : rateText(rate.requests) },
    failureCell(rate?.failures, colours),
    { text: latencyMs === 0 ? '' : durationText(latencyMs) },
    { text: String(key.uses) },
    { text: String(key.failures) },
    { text: (key.reason ?? '').replace(/, until a time .*$/, '') },
  ];
}

function failureCell(failures: number | undefined, colours: Colours): Cell {
  if (failures === undefined || failures === 0) return { text: '' };
  return { text: rateText(failures), paint: colours.red };
}

function rateText(perSecond: number): string {
  return perSecond >= 100 ? perSecond.toFixed(0) : perSecond.toFixed(1);
}

type Allowance = Pick<KeyStatus, 'permitsLeft' | 'limits'>;

/** `██████░░ 45/60`: what is left of the tightest window. */
export function barText(key: Allowance): string {
  const tightest = tightestOf(key);
  if (tightest === undefined) return '';
  const { left, limit } = tightest;
  const full = Math.ceil(shareOf(tightest) * BAR_WIDTH);
  return `${'█'.repeat(full)}${'░'.repeat(BAR_WIDTH - full)} ${left}/${limit}`;
}

/** The window that has least left; the smallest, where all that is known is what is left of the tightest. */
function tightestOf({ permitsLeft, limits }: Allowance): { left: number; limit: number } | undefined {
  const windows = limits.flatMap(({ requests, stated, left = permitsLeft }) =>
    left === undefined ? [] : [{ left, limit: stated ?? requests }],
  );
  return windows.toSorted((a, b) => a.left - b.left || a.limit - b.limit)[0];
}

function shareOf({ left, limit }: { left: number; limit: number }): number {
  return Math.min(1, Math.max(0, left / limit));
}

function leftShare(key: Allowance): number {
  const tightest = tightestOf(key);
  return tightest === undefined ? 1 : shareOf(tightest);
}

const GRAVITY: Readonly<Record<KeyStatus['state'], number>> = {
  expired: 0,
  rejected: 1,
  'out-of-permits': 2,
  resting: 3,
  disabled: 4,
  returning: 5,
  unproven: 6,
  ready: 7,
};
const FIRST_WELL = GRAVITY.unproven;

/** The keys to show, in their order. */
export function chosenKeys(
  keys: readonly KeyStatus[],
  { sort, onlyTrouble }: WatchChoice,
  requestRate: (key: string) => number,
): readonly KeyStatus[] {
  const shown = onlyTrouble ? keys.filter(({ state }) => GRAVITY[state] < FIRST_WELL) : keys;
  switch (sort) {
    case 'as configured':
      return shown;
    case 'trouble first':
      return shown.toSorted((a, b) => GRAVITY[a.state] - GRAVITY[b.state]);
    case 'busiest first':
      return shown.toSorted((a, b) => requestRate(b.id) - requestRate(a.id));
    case 'least left first':
      return shown.toSorted((a, b) => leftShare(a) - leftShare(b));
  }
}

function cutRows(lines: readonly string[], rows: number, what: string): string[] {
  if (lines.length <= rows) return [...lines];
  const shown = Math.max(0, rows - 1);
  return [...lines.slice(0, shown), `… ${lines.length - shown} ${what}`];
}

function newsLine({ at, tone, text }: News, now: number, colours: Colours, columns: number): string {
  const line = cutToWidth(printable(`${clockText(at, now)}  ${text}`), columns);
  if (tone === 'plain') return line;
  return tone === 'good' ? colours.green(line) : colours.yellow(line);
}
