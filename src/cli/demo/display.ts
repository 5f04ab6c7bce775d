/** What is seen while the agents run: a live table on a terminal, lines anywhere else. */
import { stripVTControlCharacters } from 'node:util';
import { cutToWidth } from '../display-width.js';
import { renderTable } from '../table.js';
import type { Cell } from '../table.js';
import type { Colours } from '../terminal.js';
import type { AgentReport, KeymuxNews } from './agent-programs.js';
import type { StagedProvider } from './bad-day.js';
import type { KeyMood, KeyState, ProviderState } from './key-board.js';
import { KeyBoard } from './key-board.js';
import { elapsedText, newsText } from './news-text.js';
import type { Tally } from './tally.js';

export interface Display {
  onReport(report: AgentReport): void;
  onNews(news: KeymuxNews): void;
  /** Leaves the terminal as it was. May be called twice. */
  stop(): void;
}

export const SILENT: Display = { onReport() {}, onNews() {}, stop() {} };

/** What a display needs of `process.stdout`. */
export interface Screen {
  write(text: string): unknown;
  readonly columns?: number;
  readonly rows?: number;
}

const PROGRESS_EVERY_MS = 2_000;
/** What happened just now need not be told again. */
const REPEATED_WITHIN_MS = 1_000;

/** For pipes and logs: one line for each thing that happens, and progress now and then. */
export class LineDisplay implements Display {
  readonly #screen: Screen;
  readonly #startedAt = Date.now();
  readonly #told = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(screen: Screen, tally: Tally) {
    this.#screen = screen;
    this.#timer = setInterval(() => this.#tell(progressText(tally)), PROGRESS_EVERY_MS);
  }

  onReport({ id, error }: AgentReport): void {
    if (id !== undefined && error !== undefined) this.#tell(`LOST ${id}`);
  }

  onNews(news: KeymuxNews): void {
    const text = newsText(news);
    if (text === undefined) return;
    const now = Date.now();
    if (now - (this.#told.get(text) ?? 0) < REPEATED_WITHIN_MS) return;
    this.#told.set(text, now);
    this.#tell(text);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tell(text: string): void {
    this.#screen.write(`${elapsedText(Date.now() - this.#startedAt)}  ${text}\n`);
  }
}

function progressText(tally: Tally): string {
  const { of, ok, lost } = totals(tally);
  return `${ok} of ${of} requests answered, ${lost} lost, ${tally.events.get('failover') ?? 0} failovers`;
}

function totals({ agents }: Tally): { of: number; ok: number; lost: number } {
  const sum = { of: 0, ok: 0, lost: 0 };
  for (const { of, ok, lost } of agents) {
    sum.of += of;
    sum.ok += ok;
    sum.lost += lost;
  }
  return sum;
}

const FRAME_EVERY_MS = 125;
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';
const KEPT_NEWS = 40;
const BAR_CELLS = 20;
const USUAL_COLUMNS = 80;
const USUAL_ROWS = 24;

/** For terminals, on the alternate screen. */
export class LiveDisplay implements Display {
  readonly #screen: Screen;
  readonly #tally: Tally;
  readonly #board: KeyBoard;
  readonly #colours: Colours;
  readonly #startedAt = Date.now();
  readonly #news: string[] = [];
  readonly #timer: NodeJS.Timeout;
  #isStopped = false;

  constructor(screen: Screen, tally: Tally, providers: readonly StagedProvider[], colours: Colours) {
    this.#screen = screen;
    this.#tally = tally;
    this.#board = new KeyBoard(providers);
    this.#colours = colours;
    screen.write(ENTER);
    this.#draw();
    this.#timer = setInterval(() => this.#draw(), FRAME_EVERY_MS);
    process.once('exit', this.#leave);
  }

  onReport({ id, error }: AgentReport): void {
    if (id !== undefined && error !== undefined) this.#addNews(this.#colours.red(`LOST ${id}`));
  }

  onNews(news: KeymuxNews): void {
    this.#board.apply(news);
    const text = newsText(news);
    if (text !== undefined) this.#addNews(text);
  }

  stop(): void {
    clearInterval(this.#timer);
    process.off('exit', this.#leave);
    this.#leave();
  }

  readonly #leave = (): void => {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#screen.write(LEAVE);
  };

  #addNews(text: string): void {
    this.#news.unshift(`${elapsedText(Date.now() - this.#startedAt)}  ${text}`);
    this.#news.length = Math.min(this.#news.length, KEPT_NEWS);
  }

  #draw(): void {
    const { columns = USUAL_COLUMNS, rows = USUAL_ROWS } = this.#screen;
    const lines = this.#lines(columns).slice(0, rows);
    this.#screen.write(`${HOME}${lines.map((line) => line + CLEAR_LINE).join('\r\n')}${CLEAR_BELOW}`);
  }

  #lines(columns: number): string[] {
    const colours = this.#colours;
    const { of, ok, lost } = totals(this.#tally);
    const now = Date.now();
    const fit = (line: string): string =>
      stripVTControlCharacters(line).length <= columns
        ? line
        : cutToWidth(stripVTControlCharacters(line), columns);
    const share = of === 0 ? 0 : (ok + lost) / of;
    const elapsedMs = now - this.#startedAt;
    const remaining =
      share < 0.05 ? '' : `, about ${Math.ceil((elapsedMs * (1 - share)) / share / 1_000)} s to go`;
    const lostText = lost === 0 ? colours.green('0 lost') : colours.red(`${lost} lost`);
    return [
      colours.bold(fit('keymux demo: eleven unmodified agents on a bad day of their providers')),
      fit(
        `${elapsedText(elapsedMs).trim()}${remaining}   ${ok} of ${of} answered, ${lostText}, ` +
          `${this.#tally.events.get('failover') ?? 0} failovers`,
      ),
      '',
      ...this.#agentLines(columns),
      '',
      ...this.#board.states(now).map((state) => fit(providerLine(state, now, colours))),
      '',
      ...this.#news.map(fit),
    ];
  }

  #agentLines(columns: number): string[] {
    const { green, red, dim } = this.#colours;
    const rows = this.#tally.agents.map(({ name, client, provider, runsAs, of, ok, lost }): Cell[] => [
      { text: name },
      { text: client, paint: dim },
      { text: provider, paint: dim },
      { text: runsAs, paint: dim },
      { text: bar((ok + lost) / of), paint: lost === 0 ? green : red },
      { text: `${ok}/${of}` },
      { text: lost === 0 ? '' : `${lost} lost`, paint: red },
    ]);
    const heads = [
      { title: 'agent' },
      { title: 'client', dropOrder: 1 },
      { title: 'provider', dropOrder: 2 },
      { title: 'runs as', dropOrder: 3 },
      { title: 'progress' },
      { title: 'answered', align: 'right' as const },
      { title: '' },
    ];
    return renderTable(heads, rows, columns);
  }
}

function bar(share: number): string {
  const full = Math.round(share * BAR_CELLS);
  return '█'.repeat(full) + '░'.repeat(BAR_CELLS - full);
}

const SYMBOLS: Readonly<Record<KeyMood, string>> = {
  ready: '●',
  resting: '◌',
  dead: '✗',
  'out-of-permits': '◔',
};

function providerLine({ id, restsUntil, keys }: ProviderState, now: number, colours: Colours): string {
  const rest = restsUntil === undefined ? '' : colours.red(` down, ${secondsText(restsUntil - now)}`);
  return `${id.padEnd(14)}${keys.map((key) => keyText(key, now, colours)).join('   ')}${rest}`;
}

/** Short, so that four keys fit into a line. */
const SHORT_REASONS: Readonly<Record<string, string>> = {
  'rate-limited': 'limited',
  'quota-exhausted': 'spent',
  'limit reached': 'full',
};

function keyText({ id, mood, reason, until }: KeyState, now: number, colours: Colours): string {
  const paint = mood === 'ready' ? colours.green : mood === 'dead' ? colours.red : colours.yellow;
  const text = reason === undefined ? '' : ` ${SHORT_REASONS[reason] ?? reason}`;
  const back = mood === 'resting' && until !== undefined ? ` ${secondsText(until - now)}` : '';
  return paint(`${SYMBOLS[mood]} ${id}${text}${back}`);
}

function secondsText(ms: number): string {
  return `${(Math.max(0, ms) / 1_000).toFixed(1)} s`;
}
