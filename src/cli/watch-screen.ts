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

/** A window, in characters. A pipe has no end in either direction. */
export interface Window {
  readonly columns: number;
  readonly rows: number;
}

export interface Watched {
  /** Takes up what is new. */
  refresh(): Promise<void>;
  /** The lines of one frame, which fit into the window. */
  lines(window: Window): readonly string[];
  /** Somebody pressed a key that ends nothing. */
  onKey(key: string): void;
}

/**
 * Draws every second, and when a key is pressed or the window changes, until `q`, Ctrl-C or a signal; resolves with the exit code. Where
 * stdout is no terminal, frames follow one another instead. The terminal is restored however it ends.
 */
export async function watchScreen(watched: Watched): Promise<number> {
  const ending = new Ending((key) => watched.onKey(key));
  const restore = process.stdout.isTTY ? takeTerminal() : () => {};
  process.once('exit', restore);
  try {
    while (!ending.hasCome) {
      await watched.refresh();
      drawFrame(watched);
      const pause = ending.pause();
      while ((await pause.next()) === 'redraw') drawFrame(watched);
    }
    return ending.code;
  } finally {
    ending.stopListening();
    process.off('exit', restore);
    restore();
  }
}

function drawFrame(watched: Watched): void {
  const { stdout } = process;
  if (!stdout.isTTY) {
    const endless = { columns: Number.POSITIVE_INFINITY, rows: Number.POSITIVE_INFINITY };
    stdout.write(`${watched.lines(endless).join('\n')}\n\n`);
    return;
  }
  const { columns, rows } = stdout;
  const lines = watched.lines({ columns, rows });
  stdout.write(`${HOME}${lines.map((line) => line + CLEAR_REST_OF_LINE).join('\r\n')}${CLEAR_BELOW}`);
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
  readonly #onOtherKey: (key: string) => void;
  readonly #onKey = (typed: Buffer): void => {
    for (const key of typed.toString()) {
      if (ENDING_KEYS.has(key)) return this.#end(EXIT.ok);
      this.#onOtherKey(key);
    }
    this.#wake();
  };
  readonly #onResize = (): void => this.#wake();
  readonly #onInterrupt = (): void => this.#end(EXIT.ok);
  readonly #onTerminate = (): void => this.#end(EXIT.signal + constants.signals.SIGTERM);
  readonly #onHangUp = (): void => this.#end(EXIT.signal + constants.signals.SIGHUP);

  constructor(onOtherKey: (key: string) => void) {
    this.#onOtherKey = onOtherKey;
    process.on('SIGINT', this.#onInterrupt);
    process.on('SIGTERM', this.#onTerminate);
    process.on('SIGHUP', this.#onHangUp);
    process.stdout.on('resize', this.#onResize);
    if (readsKeys()) process.stdin.on('data', this.#onKey);
  }

  /** The time until the next look, cut into pieces by what asks for a new frame. */
  pause(): { next(): Promise<'redraw' | 'over'> } {
    const until = performance.now() + EVERY_MS;
    return {
      next: () =>
        new Promise((resolve) => {
          if (this.hasCome) return resolve('over');
          const timer = setTimeout(() => resolve('over'), Math.max(0, until - performance.now()));
          this.#wake = () => {
            clearTimeout(timer);
            resolve(this.hasCome ? 'over' : 'redraw');
          };
        }),
    };
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
