/** `keymux demo`: unmodified agents on a bad day of simulated providers, and an honest count of what was lost. */
import { rmSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { runPrograms } from './demo/agent-programs.js';
import { badDay } from './demo/bad-day.js';
import { castFor, isInstalled } from './demo/cast.js';
import type { Display } from './demo/display.js';
import { LineDisplay, LiveDisplay, SILENT } from './demo/display.js';
import type { Stage } from './demo/stage.js';
import { setStage } from './demo/stage.js';
import { summaryText } from './demo/summary-text.js';
import { Tally } from './demo/tally.js';
import type { Summary } from './demo/tally.js';
import { EXIT } from './exit-codes.js';
import { coloursFor, note, print, printJson } from './terminal.js';

export interface DemoOptions {
  /** Leave the simulators running until Ctrl-C. Default false. */
  readonly keep?: boolean;
  /** One JSON document at the end, and nothing else on stdout. Default false. */
  readonly json?: boolean;
  /** Run the agents without keymux, to see what the day does to them. Default false. */
  readonly bare?: boolean;
  /** Whether an npm package is there for the agents. Default: as it is. */
  readonly isInstalled?: (packageName: string) => boolean;
  /** What is not done by then is lost. Milliseconds. Default 27,000. */
  readonly deadlineMs?: number;
}

/** A program that was killed just now may hold on to a file for a moment. */
const REMOVAL = { recursive: true, force: true, maxRetries: 5, retryDelay: 50 } as const;

const DEADLINE_MS = 27_000;

/**
 * Resolves with the exit code: 0 only if no request was lost, no limit overshot, no order carried out twice, and every
 * staged fault really happened.
 */
export async function runDemo(options: DemoOptions = {}): Promise<number> {
  using interruption = new Interruption();
  const stage = await setStage(badDay());
  const removeFolder = (): void => rmSync(stage.folder, REMOVAL);
  process.once('exit', removeFolder);
  try {
    const summary = await perform(stage, options, interruption.signal);
    if (interruption.signal.aborted) return interruption.exitCode;
    if (options.json === true) printJson(summary);
    else print(summaryText(summary, coloursFor(process.stdout)));
    if (options.keep === true) {
      note(keepText(stage));
      await interruption.come();
    }
    return summary.ok ? EXIT.ok : EXIT.failure;
  } finally {
    await stage.close();
    process.off('exit', removeFolder);
  }
}

async function perform(stage: Stage, options: DemoOptions, interrupted: AbortSignal): Promise<Summary> {
  const cast = castFor(options.isInstalled ?? isInstalled);
  const tally = new Tally(cast);
  const display = displayFor(stage, tally, options);
  const startedAt = performance.now();
  try {
    const ends = await runPrograms(
      cast,
      {
        env: stage.env,
        folder: stage.folder,
        isBare: options.bare === true,
        signal: AbortSignal.any([interrupted, AbortSignal.timeout(options.deadlineMs ?? DEADLINE_MS)]),
      },
      {
        onReport(report) {
          tally.addReport(report);
          display.onReport(report);
        },
        onNews(news) {
          tally.addNews(news);
          display.onNews(news);
        },
      },
    );
    const durationMs = Math.round(performance.now() - startedAt);
    return tally.summarize(stage, ends, { bare: options.bare === true, durationMs });
  } finally {
    display.stop();
  }
}

function displayFor({ simulators }: Stage, tally: Tally, { json }: DemoOptions): Display {
  const { stdout } = process;
  if (json === true) return SILENT;
  if (!stdout.isTTY) return new LineDisplay(stdout, tally);
  return new LiveDisplay(
    stdout,
    tally,
    simulators.map(({ provider }) => provider),
    coloursFor(stdout),
  );
}

const PROGRAM = fileURLToPath(new URL('../bin.js', import.meta.url));

function keepText({ envFile, folder }: Stage): string {
  return [
    'the providers are still there. In another terminal:',
    `  node --env-file=${envFile} ${PROGRAM} status --watch`,
    `State and configuration are in ${folder}; Ctrl-C ends all of it.`,
  ].join('\n');
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Ctrl-C and its like: the first one ends the demo in order. */
class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.exitCode = EXIT.signal + constants.signals[signal];
    this.#controller.abort();
  };
  exitCode: number = EXIT.failure;

  constructor() {
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** For who sees that none came yet. */
  come(): Promise<void> {
    return new Promise((resolve) => {
      this.signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
  }
}
