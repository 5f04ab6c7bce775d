import { basename } from 'node:path';
import type { Command } from 'commander';
import { installPropagation } from '../interceptors/child-processes.js';
import { readConfiguration } from '../manager/discovery.js';
import { childEnvironment, virtualProviders } from './child-environment.js';
import { runToEnd } from './child-process.js';
import type { StartFailure } from './child-process.js';
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
    .option('--gateway', 'for a program in any language: set its base URLs to a gateway of its own')
    .passThroughOptions()
    .action(async (command: string, args: string[], { verbose = false, gateway = false }: RunOptions) => {
      const result = await (gateway ? runThroughGateway : runProgram)(command, args, verbose);
      process.exitCode = typeof result === 'number' ? result : result.exitCode;
      if (typeof result !== 'number') warn(result.message, result.fix);
    });
}

interface RunOptions {
  readonly verbose?: boolean;
  readonly gateway?: boolean;
}

async function runThroughGateway(...words: Parameters<typeof runProgram>): ReturnType<typeof runProgram> {
  const { runBesideGateway } = await import('./gateway-run.js');
  return runBesideGateway(...words);
}

async function runProgram(
  command: string,
  args: readonly string[],
  verbose: boolean,
): Promise<number | StartFailure> {
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
  return runToEnd(command, args, env);
}

/** Programs that are written in Node, and so turn virtual keys into real ones. */
const NODE_PROGRAMS = /^(?:node|npm|npx|pnpm|pnpx|yarn|tsx|ts-node|nodemon)(?:\.\w+)?$/;

function virtualNote(providers: readonly string[]): string {
  return `the keys of ${providers.join(', ')} are virtual: they work in Node programs only, and to any other they are of no use`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
