import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { isatty } from 'node:tty';
import { systemCodeOf } from '../config/environment.js';
import type { Redactor } from '../core/redaction.js';
import { EXIT } from './exit-codes.js';
import { OUTPUTS, isRedacted, passRedacted } from './redacted-streams.js';

const FORWARDED = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;
/** What the terminal itself sends to every process in the foreground. */
const FROM_TERMINAL: ReadonlySet<NodeJS.Signals> = new Set<NodeJS.Signals>(['SIGINT', 'SIGQUIT']);

/** The program did not start. */
export interface StartFailure {
  readonly exitCode: number;
  readonly message: string;
  readonly fix: string;
}

/**
 * Runs a program on the streams of this process until it ends, and hands signals on. Resolves with its exit code
 * (128 + number where a signal ended it), or with why it did not start.
 *
 * With a redactor, output that goes to no terminal passes through it, and what the program left running is waited for as
 * long as it holds that output open.
 */
export function runToEnd(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  redactor?: Redactor,
): Promise<number | StartFailure> {
  return new Promise((resolve) => {
    let child: ChildProcess | undefined;
    const stopForwarding = forwardSignals(() => child);
    let passed: Promise<unknown> = Promise.resolve();
    const end = (result: number | StartFailure): void => {
      void passed.then(() => {
        stopForwarding();
        resolve(result);
      });
    };
    let started: ChildProcess;
    try {
      started = child = spawn(command, args, { stdio: stdioFor(redactor), env });
      if (redactor !== undefined) passed = passOutputs(started, redactor);
    } catch (error) {
      end(startFailure(command, error));
      return;
    }
    started.on('error', (error) => {
      // With a process there, it is only a signal that could not be delivered.
      if (started.pid === undefined) end(startFailure(command, error));
    });
    started.once('exit', (code, signal) => {
      end(signal === null ? (code ?? EXIT.failure) : EXIT.signal + constants.signals[signal]);
    });
  });
}

function stdioFor(redactor: Redactor | undefined): StdioOptions {
  if (redactor === undefined) return 'inherit';
  return ['inherit', ...OUTPUTS.map((output) => (isRedacted(output) ? 'pipe' : 'inherit'))];
}

function passOutputs({ stdout, stderr }: ChildProcess, redactor: Redactor): Promise<unknown> {
  const sources = [stdout, stderr];
  return Promise.all(
    OUTPUTS.map(async (output, index) => {
      const source = sources[index] ?? undefined;
      if (source !== undefined) await passRedacted(source, output, redactor);
    }),
  );
}

function forwardSignals(childOf: () => ChildProcess | undefined): () => void {
  // Not `process.stdin.isTTY`, which opens a stream on the input: that belongs to the child.
  const hasTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
  const forward = (signal: NodeJS.Signals): void => {
    if (hasTerminal && FROM_TERMINAL.has(signal)) return;
    childOf()?.kill(signal);
  };
  for (const signal of FORWARDED) process.on(signal, forward);
  return () => {
    for (const signal of FORWARDED) process.off(signal, forward);
  };
}

function startFailure(command: string, error: unknown): StartFailure {
  const program = `The program ${JSON.stringify(basename(command))}`;
  const code = systemCodeOf(error);
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    const where = command.includes('/') ? 'at that path' : 'in any folder of PATH';
    return {
      exitCode: EXIT.notFound,
      message: `${program} was not found ${where}.`,
      fix: 'Check its spelling, or install it; everything after `--` is the command line to run.',
    };
  }
  return {
    exitCode: EXIT.notExecutable,
    message: `${program} cannot be executed (${code}).`,
    fix: 'Make it executable (`chmod +x`, and a first line such as `#!/bin/sh`), or name what runs it: `keymux run -- sh FILE`.',
  };
}
