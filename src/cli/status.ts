import type { Command } from 'commander';
import { KeymuxError } from '../core/errors.js';
import { findGateway } from './gateway-client.js';
import { LiveStatus } from './live-status.js';
import { withManager } from './opened-manager.js';
import type { OpenedManager } from './opened-manager.js';
import { statusReport } from './status-report.js';
import { statusLines } from './status-view.js';
import { coloursFor, print, printJson, stdoutColumns, warn } from './terminal.js';
import type { Colours } from './terminal.js';
import { watchScreen } from './watch-screen.js';
import { FIRST_CHOICE, choiceAfter, watchLines } from './watch-view.js';

interface StatusOptions {
  readonly watch?: true;
  readonly json?: true;
}

export function registerStatus(program: Command): void {
  program
    .command('status')
    .summary('services, providers, keys and what is left of their limits')
    .description('Shows services, providers and keys as all running programs see them.')
    .option('-w, --watch', 'a live view; s sorts, f shows trouble only, q or Ctrl-C ends it')
    .option('--json', 'one JSON document')
    .action(async (options: StatusOptions) => {
      process.exitCode = await runStatus(options);
    });
}

async function runStatus({ watch, json }: StatusOptions): Promise<number> {
  if (watch === true && json === true) {
    throw new KeymuxError('KEYMUX_USAGE', '--json prints one document, and --watch never ends.', {
      fix: 'Leave one of them out.',
    });
  }
  const colours = coloursFor(process.stdout);
  // A screen that is drawn anew shows the trouble itself.
  const onTrouble = watch === true && process.stdout.isTTY ? () => {} : tell;
  return withManager(
    async (opened) => {
      if (watch === true) {
        return watchStatus(opened, colours);
      }
      const report = await statusReport(opened);
      if (json === true) printJson(report);
      else print(statusLines(report, colours, stdoutColumns()).join('\n'));
      return 0;
    },
    { onTrouble },
  );
}

/** On a terminal a live view; into a pipe the same report again and again. */
async function watchStatus(opened: OpenedManager, colours: Colours): Promise<number> {
  const gateway = await findGateway(opened.manager.configuration, process.env).catch(() => undefined);
  const live = new LiveStatus(() => statusReport(opened), gateway);
  let choice = FIRST_CHOICE;
  return watchScreen({
    refresh: () => live.refresh(),
    lines: (window) => {
      if (process.stdout.isTTY) return watchLines(live, choice, colours, window);
      return live.report === undefined ? [] : statusLines(live.report, colours, window.columns);
    },
    onKey: (key) => (choice = choiceAfter(choice, key)),
  });
}

function tell({ message, fix }: { readonly message: string; readonly fix: string }): void {
  warn(message, fix);
}
