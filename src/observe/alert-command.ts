/** Hands one alert to a program, as JSON on its input. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { basename } from 'node:path';
import { systemCodeOf } from '../config/environment.js';
import { onProcessExit } from '../manager/process-exit.js';
import { Undelivered } from './alert-outbox.js';
import type { AlertPayload } from './alert-payload.js';

/** How long a program may take. Milliseconds. */
const DEADLINE_MS = 10_000;
/** All that it gets of the environment: no key, no token, and not the preload of keymux. */
const GIVEN = [
  'PATH',
  'HOME',
  'USER',
  'LANG',
  'LC_ALL',
  'TZ',
  'TMPDIR',
  'SystemRoot',
  'windir',
  'TEMP',
  'PATHEXT',
];

export interface CommandContext {
  /** Where it runs. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Default: 10,000. Milliseconds. */
  readonly deadlineMs?: number | undefined;
}

/** What to call it in messages: its arguments may hold a token. */
export function commandName(command: readonly string[]): string {
  return `the command ${basename(command[0] ?? '')}`;
}

/** Rejects with `Undelivered`. One that takes too long is ended with everything in its process group. */
export function runCommand(
  command: readonly string[],
  payload: AlertPayload,
  { folder, env, deadlineMs = DEADLINE_MS }: CommandContext,
  signal: AbortSignal,
): Promise<void> {
  const [program = '', ...args] = command;
  return new Promise((resolve, reject) => {
    let fault: string | undefined;
    const fail = (reason: string, mayRetry: boolean): void => reject(new Undelivered(reason, { mayRetry }));
    const child = spawn(program, args, {
      cwd: folder,
      env: givenOf(env),
      stdio: ['pipe', 'ignore', 'ignore'],
      // A process group of its own, which can be ended as a whole.
      detached: process.platform !== 'win32',
      windowsHide: true,
    });
    const end = (reason: string): void => {
      fault ??= reason;
      killGroup(child);
    };
    const timer = setTimeout(() => end(`it did not end within ${deadlineMs / 1_000} s`), deadlineMs);
    const onAbort = (): void => end('keymux stopped');
    signal.addEventListener('abort', onAbort, { once: true });
    const forget = onProcessExit(() => killGroup(child));
    const over = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      forget();
    };
    child.once('error', (error) => {
      over();
      fail(`it cannot be run (${systemCodeOf(error)})`, false);
    });
    child.once('exit', (code, killed) => {
      over();
      if (fault !== undefined) fail(fault, false);
      else if (code === 0) resolve();
      else fail(`it ended with ${code === null ? `signal ${String(killed)}` : `exit code ${code}`}`, true);
    });
    // A program that does not read its input may still do its work.
    child.stdin.on('error', () => {});
    child.stdin.end(`${JSON.stringify(payload)}\n`);
  });
}

function givenOf(env: CommandContext['env']): Record<string, string> {
  return Object.fromEntries(
    GIVEN.flatMap((name) => {
      const value = env[name];
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === 'win32') child.kill('SIGKILL');
    else process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}
