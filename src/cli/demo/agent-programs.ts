/** Starts the agents' programs and reads what they, and keymux inside them, have to say. */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { EventName, KeymuxEvents } from '../../manager/events.js';
import { PRELOAD_PATH } from '../preload-path.js';
import type { Agent } from './cast.js';
import { programsOf } from './cast.js';

/** One line of an agent's stdout. */
export interface AgentReport {
  readonly agent: string;
  readonly of: number;
  readonly ok: number;
  readonly lost: number;
  /** The piece of work that just ended, and what went wrong with it. */
  readonly id?: string;
  readonly error?: string;
}

export type KeymuxNews = {
  [Name in EventName]: { readonly name: Name; readonly event: KeymuxEvents[Name] };
}[EventName];

export interface ProgramEnd {
  readonly agents: readonly Agent[];
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
  /** It was told to end: the demo was interrupted, its time was up, or another program had crashed. */
  readonly wasStopped: boolean;
}

export interface ProgramListeners {
  onReport(report: AgentReport): void;
  onNews(news: KeymuxNews): void;
}

export interface ProgramOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
  /** Without keymux, to see what the day does to a program on its own. */
  readonly isBare: boolean;
  /** Ends all programs. */
  readonly signal: AbortSignal;
}

const OBSERVER = fileURLToPath(new URL('./observer.cjs', import.meta.url));
/** All that programs get of the environment of this one: a real key of yours must never meet a simulator. */
const PASSED_ON = ['PATH', 'HOME', 'TMPDIR', 'TEMP', 'TMP', 'SystemRoot', 'USERPROFILE', 'NODE_V8_COVERAGE'];
const KEPT_STDERR = 4_000;
const KILL_AFTER_MS = 2_000;

/** Runs all agents to their end; resolves when every program has ended. One that crashes ends the others. */
export function runPrograms(
  cast: readonly Agent[],
  options: ProgramOptions,
  listeners: ProgramListeners,
): Promise<ProgramEnd[]> {
  const crash = new AbortController();
  const signal = AbortSignal.any([options.signal, crash.signal]);
  return Promise.all(
    programsOf(cast).map(async ({ agents, args }) => {
      const result = await runProgram(agents, args, { ...options, signal }, listeners);
      if (result.code !== 0) crash.abort();
      return result;
    }),
  );
}

async function runProgram(
  agents: readonly Agent[],
  args: readonly string[],
  { env, folder, isBare, signal }: ProgramOptions,
  listeners: ProgramListeners,
): Promise<ProgramEnd> {
  const preloads = isBare ? [] : ['--require', PRELOAD_PATH, '--require', OBSERVER];
  const child = spawn(process.execPath, [...preloads, ...args], {
    cwd: folder,
    env: { ...inheritedEnv(), ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const [, stdout, stderr, news] = child.stdio;
  readJsonLines<AgentReport>(stdout, (report) => listeners.onReport(report));
  readJsonLines<KeymuxNews>(news as Readable, (event) => listeners.onNews(event));
  let errors = '';
  stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-KEPT_STDERR);
  });
  const stop = (): void => end(child);
  const kill = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', stop, { once: true });
  // Ahead of those who remove the files that it writes.
  process.prependOnceListener('exit', kill);
  const [code, endedBy] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  process.off('exit', kill);
  signal.removeEventListener('abort', stop);
  return { agents, code, signal: endedBy, stderr: errors, wasStopped: signal.aborted };
}

function inheritedEnv(): Record<string, string> {
  return Object.fromEntries(
    PASSED_ON.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** Asks it to end, and makes it end where it does not. */
function end(child: ChildProcess): void {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
  child.on('close', () => clearTimeout(timer));
}

function readJsonLines<T>(input: Readable | null, onValue: (value: T) => void): void {
  if (input === null) return;
  createInterface({ input }).on('line', (line) => {
    const value = parsed<T>(line);
    if (value !== undefined) onValue(value);
  });
}

/** Something else on stdout, such as a library's chatter, is not ours to judge. */
function parsed<T>(line: string): T | undefined {
  try {
    return JSON.parse(line) as T;
  } catch {
    return undefined;
  }
}
