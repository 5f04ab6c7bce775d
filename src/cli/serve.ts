import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { DEFAULT_GRACE_MS, DEFAULT_HOST, DEFAULT_PORT } from '../gateway/listening.js';

export interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly insecureListen?: true;
  readonly allowHost: readonly string[];
  readonly tokenFile?: string;
  /** Seconds. */
  readonly grace: number;
}

export function registerServe(program: Command): void {
  program
    .command('serve')
    .summary('a gateway: one address for programs in any language')
    .description(
      'Answers /<service or provider>/<path> with a key that works, until it is told to end. /-/dashboard shows what goes on.',
    )
    .option('--host <address>', 'where to listen', DEFAULT_HOST)
    .option('--port <number>', 'on which port; 0: any free one', portOf, DEFAULT_PORT)
    .option('--tls-cert <file>', 'serve HTTPS with this certificate (PEM)')
    .option('--tls-key <file>', 'and its key (PEM)')
    .option('--insecure-listen', 'listen beyond this machine without TLS')
    .option('--allow-host <name>', 'another name that it may be asked by; may be repeated', collect, [])
    .option('--token-file <file>', 'tokens of callers, one per line; default: made at the first start')
    .option(
      '--grace <seconds>',
      'how long requests under way may take at the end',
      secondsOf,
      DEFAULT_GRACE_MS / 1000,
    )
    .action(async (options: ServeOptions) => {
      const { serve } = await import('./serving.js');
      process.exitCode = await serve(options);
    });
}

function portOf(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535)
    throw new InvalidArgumentError('A port is a number from 0 to 65535.');
  return port;
}

function secondsOf(text: string): number {
  if (!/^\d{1,5}(?:\.\d+)?$/.test(text)) throw new InvalidArgumentError('Give a number of seconds.');
  return Number(text);
}

function collect(name: string, before: readonly string[]): readonly string[] {
  return [...before, name];
}
