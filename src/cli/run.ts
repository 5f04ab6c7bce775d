import { basename } from 'node:path';
import type { Command } from 'commander';
import { installPropagation } from '../interceptors/child-processes.js';
import { readConfiguration } from '../manager/discovery.js';
import { childEnvironment, virtualProviders } from './child-environment.js';
import { runToEnd } from './child-process.js';
import { PRELOAD_PATH } from './preload-path.js';
import { note, warn } from './terminal.js';

export function registerRun(program: Command): void {
  program
    .command('run')
    .summary('run a program, unchanged, with keys that work')
    .description(
      'Runs a program with its keys taken care of. Everything after -- is its own; its signals and exit code are passed on.',
    )
    .usage('[options] -- <command> [args...]')
    .argument('<command>', 'the program')
    .argument('[args...]', 'what it gets')
    .option('-v, --verbose', 'say on stderr what is started')
    .passThroughOptions()
    .action(async (command: string, args: string[], options: { readonly verbose?: true }) => {
      process.exitCode = await runProgram(command, args, options.verbose === true);
    });
}

async function runProgram(command: string, args: readonly string[], verbose: boolean): Promise<number> {
  const configuration = readConfiguration({});
  installPropagation(PRELOAD_PATH);
  const env = await childEnvironment(configuration, process.env);
  if (verbose) {
    const { credentials, providers } = configuration;
    note(
      `starting a program with ${count(credentials.length, 'key')} of ${count(providers.size, 'provider')}`,
    );
  }
  const virtual = virtualProviders(configuration);
  if (virtual.length > 0 && !NODE_PROGRAMS.test(basename(command))) note(virtualNote(virtual));
  const result = await runToEnd(command, args, env);
  if (typeof result === 'number') return result;
  warn(result.message, result.fix);
  return result.exitCode;
}

/** Programs that are written in Node, and so turn virtual keys into real ones. */
const NODE_PROGRAMS = /^(?:node|npm|npx|pnpm|pnpx|yarn|tsx|ts-node|nodemon)(?:\.\w+)?$/;

function virtualNote(providers: readonly string[]): string {
  return `the keys of ${providers.join(', ')} are virtual: they work in Node programs only, and to any other they are of no use`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
