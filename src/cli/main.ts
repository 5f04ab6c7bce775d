import { Command, CommanderError } from 'commander';
import { packageVersion } from '../manager/package-version.js';
import { registerAllow } from './allow.js';
import { registerAudit } from './audit.js';
import { registerDoctor } from './doctor.js';
import { EXIT, exitCodeOf } from './exit-codes.js';
import { registerExplain } from './explain.js';
import { registerInit } from './init.js';
import { registerKeys } from './keys.js';
import { registerReplay } from './replay.js';
import { registerRun } from './run.js';
import { registerScan } from './scan.js';
import { registerServe } from './serve.js';
import { registerStatus } from './status.js';
import { printError } from './terminal.js';
import { usageError } from './usage-error.js';
import { registerVault } from './vault.js';
import { registerWhy } from './why.js';

/** Runs one command line (without the program's own name) and sets `process.exitCode`. */
export async function runCli(args: readonly string[]): Promise<void> {
  process.stdout.on('error', endWithReader);
  process.stderr.on('error', () => {});
  try {
    await leavePreload();
    await createProgram().parseAsync(args, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return;
    const shown = error instanceof CommanderError ? usageError(error) : error;
    if (shown !== undefined) printError(shown);
    process.exitCode = shown === undefined ? EXIT.usage : exitCodeOf(shown);
  }
}

function createProgram(): Command {
  const program = new Command('keymux')
    .description('One name, many keys: the next request works.')
    .version(packageVersion(), '-V, --version')
    .enablePositionalOptions()
    .exitOverride()
    .showSuggestionAfterError()
    // What is wrong is told by `printError`, as everything else is.
    .configureOutput({ outputError: () => {} });
  registerInit(program);
  registerRun(program);
  registerServe(program);
  registerDemo(program);
  registerStatus(program);
  registerExplain(program);
  registerWhy(program);
  registerReplay(program);
  registerKeys(program);
  registerVault(program);
  registerAllow(program);
  registerAudit(program);
  registerScan(program);
  registerDoctor(program);
  return program.addHelpText('after', HELP_END);
}

const HELP_END = `
Exit codes: 0 ok, 2 usage, 3 configuration, 4 vault locked, 5 integrity, 6 no usable key, 7 denied by policy,
8 leak found, 9 audit broken; \`run\` passes on the program's own.
Start with: keymux init, then: keymux run -- node agent.js`;

/** The demo loads simulators, which no other command needs. */
function registerDemo(program: Command): void {
  program
    .command('demo')
    .summary('unmodified agents survive a bad day of their providers')
    .description('Runs unmodified agents against simulated providers that fail, and counts what is lost.')
    .option('--keep', 'leave the dashboard open at the end')
    .option('--json', 'print the summary as one JSON document')
    .action(async (options: { readonly keep?: true; readonly json?: true }) => {
      const { runDemo } = await import('./demo.js');
      process.exitCode = await runDemo({ keep: options.keep === true, json: options.json === true });
    });
}

/** Whoever reads the output has seen enough, as in `keymux status | head`. */
function endWithReader(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit();
  throw error;
}

/**
 * Below `keymux run` this process loaded the preload too, which answers `process.env` with the best keys; here the
 * variables are wanted as they are.
 */
async function leavePreload(): Promise<void> {
  if (!(Symbol.for('keymux.process-manager') in globalThis)) return;
  const { MinimalMultiKeyManager } = await import('../interceptors/process-manager.js');
  await MinimalMultiKeyManager.resetInstance();
}
