/** Keys that a command prints. */
import { systemCodeOf } from './environment.js';
import type { Answer, Reading } from './reference.js';
import { vaultVariable } from './vault-definition.js';

const DEFAULT_COMMAND_TIMEOUT_MS = 10_000;
const LARGEST_ANSWER_BYTES = 65_536;

interface Command {
  readonly program: string;
  readonly args: readonly string[];
  /** Arguments stay out of messages: a token may be among them. */
  readonly shown: string;
  readonly timeoutMs: number;
  readonly options: {
    readonly cwd: string;
    readonly env: NodeJS.Dict<string>;
    readonly encoding: 'utf8';
    readonly timeout: number;
    readonly killSignal: 'SIGKILL';
    readonly maxBuffer: number;
    readonly windowsHide: true;
  };
}

function commandOf(text: string, context: Reading): Command {
  const words = splitWords(text);
  const [program, ...args] = words ?? [];
  const shown = `exec:${program ?? ''}`;
  if (words === undefined) throw context.unreadable('exec:', 'a quote in the command is not closed');
  if (program === undefined) throw context.unreadable(shown, 'the command is empty');
  const timeoutMs = context.commandTimeoutMs ?? DEFAULT_COMMAND_TIMEOUT_MS;
  const options = {
    cwd: context.folder,
    env: commandEnvironment(context),
    encoding: 'utf8',
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: LARGEST_ANSWER_BYTES,
    windowsHide: true,
  } as const;
  return { program, args, shown, timeoutMs, options };
}

/** What a command prints. @throws what `unreadable` makes */
export function runCommand(text: string, context: Reading): Answer {
  const { program, args, shown, timeoutMs, options } = commandOf(text, context);
  let printed: string;
  try {
    // Loaded when needed: most programs have no such reference, and the module costs a start milliseconds.
    const { execFileSync } = process.getBuiltinModule('node:child_process');
    printed = execFileSync(program, args, { ...options, stdio: ['ignore', 'pipe', 'ignore'] });
  } catch (error) {
    throw context.unreadable(shown, commandFault(error, timeoutMs));
  }
  return answerOfCommand(printed, shown, context);
}

/** As `runCommand`, without holding the program up meanwhile. */
export async function runCommandLater(text: string, context: Reading): Promise<Answer> {
  const { program, args, shown, timeoutMs, options } = commandOf(text, context);
  const { execFile } = process.getBuiltinModule('node:child_process');
  const printed = await new Promise<string>((done, fail) => {
    const child = execFile(program, args, options, (error, stdout) => {
      if (error === null) done(stdout);
      else fail(context.unreadable(shown, commandFault(error, timeoutMs)));
    });
    child.stdin?.end();
    child.unref();
  });
  return answerOfCommand(printed, shown, context);
}

/** A JSON object with a `value` says how long it may be used; anything else is the key itself. */
function answerOfCommand(printed: string, shown: string, context: Reading): Answer {
  const stated = jsonObject(printed);
  if (typeof stated?.['value'] !== 'string') return { text: printed };
  const { value: text, expiresAt, ttlMs } = stated;
  const at = ttlMs === undefined ? momentOf(expiresAt) : isPositive(ttlMs) ? Date.now() + ttlMs : undefined;
  if (expiresAt === undefined && ttlMs === undefined) return { text };
  if (at === undefined) throw context.unreadable(shown, 'its `expiresAt` or `ttlMs` is no time');
  if (at <= Date.now()) throw context.unreadable(shown, 'what it gives has expired');
  return { text, expiresAt: at };
}

function jsonObject(text: string): Readonly<Record<string, unknown>> | undefined {
  if (!text.trimStart().startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}

/** Epoch milliseconds, or an ISO 8601 time. */
function momentOf(stated: unknown): number | undefined {
  const at = typeof stated === 'string' ? Date.parse(stated) : stated;
  return isPositive(at) ? at : undefined;
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0;
}

/** What `.env` adds stays out: `LD_PRELOAD`, or the address that a command sends its token to, may be among it. */
function commandEnvironment({ environment, withheld, vault }: Reading): NodeJS.Dict<string> {
  const kept = vaultVariable(vault);
  const given = [...environment.variables].filter(
    ([name, { origin }]) => !origin.startsWith('.env:') && name !== kept && withheld?.has(name) !== true,
  );
  const env = Object.fromEntries(given.map(([name, { value }]) => [name, value]));
  // A command written in Node would preload keymux, which would run the command, and so on without end.
  delete env.NODE_OPTIONS;
  return env;
}

function commandFault(error: unknown, timeoutMs: number): string {
  const code = systemCodeOf(error);
  if (code === 'ENOENT') return 'the program was not found';
  if (code === 'ETIMEDOUT') return `it did not end within ${timeoutMs / 1_000} s`;
  if (code === 'ENOBUFS') return 'it printed more than 64 KiB';
  const status = exitCodeIn(error);
  if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'it printed more than 64 KiB';
  if (error instanceof Error && 'killed' in error && error.killed === true)
    return `it did not end within ${timeoutMs / 1_000} s`;
  return typeof status === 'number' ? `it ended with exit code ${status}` : `it could not be run (${code})`;
}

/** `execFileSync` calls it `status`, `execFile` calls it `code`. */
function exitCodeIn(error: unknown): unknown {
  const { status, code } = error as { readonly status?: unknown; readonly code?: unknown };
  return status ?? code;
}

/** Words of a command line: blanks separate, quotes hold together, a backslash takes the next character as it is. */
export function splitWords(command: string): string[] | undefined {
  const words: string[] = [];
  const token = /\s+|'([^']*)'|"((?:[^"\\]|\\[^])*)"|\\([^])|([^\s'"\\]+)/gy;
  let word: string | undefined;
  while (token.lastIndex < command.length) {
    const match = token.exec(command);
    if (match === null) return undefined;
    const [whole, single, double, escaped, plain] = match;
    const text = single ?? double?.replaceAll(/\\(["\\])/g, '$1') ?? escaped ?? plain;
    if (text !== undefined) word = (word ?? '') + text;
    else if (whole !== '' && word !== undefined) {
      words.push(word);
      word = undefined;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}
