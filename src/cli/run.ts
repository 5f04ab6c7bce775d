import { basename } from 'node:path';
import type { Command } from 'commander';
import { installPropagation } from '../interceptors/child-processes.js';
import { readConfiguration } from '../manager/discovery.js';
import { childEnvironment, virtualProviders } from './child-environment.js';
import { runToEnd } from './child-process.js';
import type { StartFailure } from './child-process.js';
import { PRELOAD_PATH } from './preload-path.js';
import { redactorOfRun, secretsOf } from './run-redactor.js';
import { hideSecrets, note, warn } from './terminal.js';

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
    .option('--redact', 'take keys out of what it prints, except to a terminal')
    .passThroughOptions()
    .action(async (command: string, args: string[], options: RunOptions) => {
      const result = await (options.gateway === true ? runThroughGateway : runProgram)(
        command,
        args,
        options,
      );
      process.exitCode = typeof result === 'number' ? result : result.exitCode;
      if (typeof result !== 'number') warn(result.message, result.fix);
    });
}

export interface RunOptions {
  readonly verbose?: true;
  readonly gateway?: true;
  readonly redact?: true;
}

async function runThroughGateway(...words: Parameters<typeof runProgram>): ReturnType<typeof runProgram> {
  const { runBesideGateway } = await import('./gateway-run.js');
  return runBesideGateway(...words);
}

async function runProgram(
  command: string,
  args: readonly string[],
  { verbose, redact }: RunOptions,
): Promise<number | StartFailure> {
  const configuration = readConfiguration({});
  hideSecrets(() => secretsOf(configuration));
  installPropagation(PRELOAD_PATH);
  const env = await childEnvironment(configuration, process.env);
  if (verbose === true) {
    const { credentials, providers } = configuration;
    note(
      `starting a program with ${count(credentials.length, 'key')} of ${count(providers.size, 'provider')}`,
    );
  }
  const virtual = virtualProviders(configuration);
  if (virtual.length > 0 && !NODE_PROGRAMS.test(basename(command))) note(virtualNote(virtual));
  return runToEnd(command, args, env, redact === true ? redactorOfRun(configuration) : undefined);
}

/** Programs that are written in Node, and so turn virtual keys into real ones. */
const NODE_PROGRAMS = /^(?:node|npm|npx|pnpm|pnpx|yarn|tsx|ts-node|nodemon)(?:\.\w+)?$/;

function virtualNote(providers: readonly string[]): string {
  return `the keys of ${providers.join(', ')} are virtual: they work in Node programs only, and to any other they are of no use`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
