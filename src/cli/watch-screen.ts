import { constants } from 'node:os';
import { EXIT } from './exit-codes.js';

const EVERY_MS = 1_000;
/** The alternate screen, so that what stood there before is back afterwards; without a cursor. */
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_REST_OF_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';
const ENDING_KEYS = new Set(['q', 'Q', '\u0003', '\u0004']);

/** The lines of one frame, each no wider than `columns`. */
export type Draw = (columns: number) => Promise<readonly string[]>;

/**
 * Draws every second, and when the window changes, until `q`, Ctrl-C or a signal; resolves with the exit code. Where
 * stdout is no terminal, frames follow one another instead. The terminal is restored however it ends.
 */
export async function watchScreen(draw: Draw): Promise<number> {
  const ending = new Ending();
  const restore = process.stdout.isTTY ? takeTerminal() : () => {};
  process.once('exit', restore);
  try {
    while (!ending.hasCome) {
      await drawFrame(draw);
      await ending.orPause();
    }
    return ending.code;
  } finally {
    ending.stopListening();
    process.off('exit', restore);
    restore();
  }
}

async function drawFrame(draw: Draw): Promise<void> {
  const { stdout } = process;
  if (!stdout.isTTY) {
    stdout.write(`${(await draw(Number.POSITIVE_INFINITY)).join('\n')}\n\n`);
    return;
  }
  const lines = fitToHeight(await draw(stdout.columns), stdout.rows);
  stdout.write(`${HOME}${lines.map((line) => line + CLEAR_REST_OF_LINE).join('\r\n')}${CLEAR_BELOW}`);
}

/** No more lines than there are rows; the last one then says how many are hidden. */
export function fitToHeight(lines: readonly string[], rows: number): readonly string[] {
  if (lines.length <= rows) return lines;
  const shown = Math.max(0, rows - 1);
  return [...lines.slice(0, shown), `… ${lines.length - shown} more rows`];
}

function takeTerminal(): () => void {
  process.stdout.write(ENTER);
  if (readsKeys()) process.stdin.setRawMode(true);
  let taken = true;
  return () => {
    if (!taken) return;
    taken = false;
    if (readsKeys()) process.stdin.setRawMode(false);
    process.stdout.write(LEAVE);
  };
}

function readsKeys(): boolean {
  return process.stdout.isTTY && process.stdin.isTTY;
}

/** Waits for the end, which a key or a signal brings, and for what asks for a new frame. */
class Ending {
  hasCome = false;
  code: number = EXIT.ok;
  #wake: () => void = () => {};
  readonly #onKey = (key: Buffer): void => {
    if ([...key.toString()].some((each) => ENDING_KEYS.has(each))) this.#end(EXIT.ok);
  };
  readonly #onResize = (): void => this.#wake();
  readonly #onInterrupt = (): void => this.#end(EXIT.ok);
  readonly #onTerminate = (): void => this.#end(EXIT.signal + constants.signals.SIGTERM);
  readonly #onHangUp = (): void => this.#end(EXIT.signal + constants.signals.SIGHUP);

  constructor() {
    process.on('SIGINT', this.#onInterrupt);
    process.on('SIGTERM', this.#onTerminate);
    process.on('SIGHUP', this.#onHangUp);
    process.stdout.on('resize', this.#onResize);
    if (readsKeys()) process.stdin.on('data', this.#onKey);
  }

  async orPause(): Promise<void> {
    if (this.hasCome) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, EVERY_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  stopListening(): void {
    process.off('SIGINT', this.#onInterrupt);
    process.off('SIGTERM', this.#onTerminate);
    process.off('SIGHUP', this.#onHangUp);
    process.stdout.off('resize', this.#onResize);
    // A terminal that is still read would keep the process alive.
    if (readsKeys()) process.stdin.off('data', this.#onKey).pause();
  }

  #end(code: number): void {
    this.hasCome = true;
    this.code = code;
    this.#wake();
  }
}
