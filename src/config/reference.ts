import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { KeymuxError } from '../core/errors.js';
import { Secret } from '../core/secret.js';
import { type Environment, systemCodeOf } from './environment.js';
import { keyFault } from './key-text.js';
import { isVirtualKey } from './virtual-key.js';

const DEFAULT_COMMAND_TIMEOUT_MS = 10_000;
const LARGEST_ANSWER_BYTES = 65_536;

interface ReferencePlace {
  readonly environment: Environment;
  /** `file:` paths and `exec:` commands start from here: the folder of the configuration file. */
  readonly folder: string;
  /** Variables that commands do not get. */
  readonly withheld?: ReadonlySet<string>;
  /** Default: 10,000. Milliseconds. */
  readonly commandTimeoutMs?: number;
}

export interface ReferenceContext extends ReferencePlace {
  /** `provider/id`, for messages. */
  readonly keyId: string;
  readonly isTemplateValue: (value: string) => boolean;
}

export interface SettingContext extends ReferencePlace {
  /** The option whose value is wanted, for messages: `store.url`. */
  readonly option: string;
}

/** How the failure to read a reference is told. */
interface Reading extends ReferencePlace {
  readonly unreadable: (reference: string, reason: string) => KeymuxError;
}

export interface ReadKey {
  readonly secret: Secret;
  readonly notes: readonly string[];
}

interface Answer {
  readonly text: string;
  readonly notes?: readonly string[];
}

/**
 * Reads the key that a reference names: `env:NAME`, `file:PATH` or `exec:COMMAND`. A command is split into words as
 * a shell would (quotes and backslashes) and run without one; it has 10 s, and what it prints is never repeated.
 * @throws `KEYMUX_SECRET_UNREADABLE`
 */
export function readReference(reference: string, context: ReferenceContext): ReadKey {
  const unreadable: Reading['unreadable'] = (stated, reason) => unreadableKey(stated, context.keyId, reason);
  const answer = readTrimmed(reference, { ...context, unreadable });
  const { text } = answer;
  if (context.isTemplateValue(text)) throw unreadable(reference, 'it holds a template value, not a key');
  if (isVirtualKey(text)) throw unreadable(reference, 'it is a virtual key, which stands for a real one');
  const fault = keyFault(text);
  if (fault !== undefined) throw unreadable(reference, fault);
  return { secret: new Secret(text), notes: answer.notes ?? [] };
}

/**
 * Reads the same references where another setting is secret too.
 * @throws `KEYMUX_SECRET_UNREADABLE`
 */
export function readSetting(reference: string, context: SettingContext): ReadKey {
  const unreadable: Reading['unreadable'] = (stated, reason) =>
    unreadableSetting(stated, context.option, reason);
  const answer = readTrimmed(reference, { ...context, unreadable });
  return { secret: new Secret(answer.text), notes: answer.notes ?? [] };
}

function readTrimmed(reference: string, context: Reading): Answer {
  const answer = readText(reference, context);
  const text = answer.text.trim();
  if (text === '') throw context.unreadable(reference, 'it is empty');
  return { ...answer, text };
}

function readText(reference: string, context: Reading): Answer {
  const colon = reference.indexOf(':');
  const rest = reference.slice(colon + 1);
  switch (reference.slice(0, colon)) {
    case 'env':
      return readVariable(rest, context);
    case 'file':
      return readKeyFile(rest, context);
    case 'exec':
      return runCommand(rest, context);
    default:
      throw context.unreadable(reference, 'this kind of reference is not known');
  }
}

function readVariable(name: string, context: Reading): Answer {
  const variable = context.environment.variables.get(name);
  if (variable === undefined) throw context.unreadable(`env:${name}`, 'the variable is not set');
  return { text: variable.value };
}

function readKeyFile(stated: string, context: Reading): Answer {
  const reference = `file:${stated}`;
  const path = resolve(context.folder, stated);
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw context.unreadable(reference, 'it is not a regular file');
    if (stat.size > LARGEST_ANSWER_BYTES) throw context.unreadable(reference, 'it is larger than 64 KiB');
    const text = readFileSync(path, 'utf8').replace(/^\uFEFF/, '');
    const isOpen = process.platform !== 'win32' && (stat.mode & 0o077) !== 0;
    return {
      text,
      notes: isOpen ? [`${path} can be read by other users; chmod 600 would keep the key private`] : [],
    };
  } catch (error) {
    if (error instanceof KeymuxError) throw error;
    throw context.unreadable(reference, `the file cannot be read (${systemCodeOf(error)})`);
  }
}

function runCommand(command: string, context: Reading): Answer {
  const words = splitWords(command);
  const [program, ...args] = words ?? [];
  // Arguments stay out of messages: a token may be among them.
  const reference = `exec:${program ?? ''}`;
  if (words === undefined) throw context.unreadable('exec:', 'a quote in the command is not closed');
  if (program === undefined) throw context.unreadable(reference, 'the command is empty');
  const timeout = context.commandTimeoutMs ?? DEFAULT_COMMAND_TIMEOUT_MS;
  try {
    // Loaded when needed: most programs have no such reference, and the module costs a start milliseconds.
    const text = process.getBuiltinModule('node:child_process').execFileSync(program, args, {
      cwd: context.folder,
      env: commandEnvironment(context),
      encoding: 'utf8',
      timeout,
      killSignal: 'SIGKILL',
      maxBuffer: LARGEST_ANSWER_BYTES,
      stdio: ['ignore', 'pipe', 'ignore'],
      windowsHide: true,
    });
    return { text };
  } catch (error) {
    throw context.unreadable(reference, commandFault(error, timeout));
  }
}

function commandEnvironment({ environment, withheld }: Reading): NodeJS.Dict<string> {
  const given = [...environment.variables].filter(([name]) => withheld?.has(name) !== true);
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
  const status: unknown = error instanceof Error && 'status' in error ? error.status : undefined;
  return typeof status === 'number' ? `it ended with exit code ${status}` : `it could not be run (${code})`;
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

function unreadableKey(reference: string, keyId: string, reason: string): KeymuxError {
  return new KeymuxError(
    'KEYMUX_SECRET_UNREADABLE',
    `The key ${keyId} (${reference}) is left out: ${reason}.`,
    { fix: `Make ${reference} give the key, or remove the entry.` },
  );
}

function unreadableSetting(reference: string, option: string, reason: string): KeymuxError {
  return new KeymuxError('KEYMUX_SECRET_UNREADABLE', `${option} (${reference}) cannot be read: ${reason}.`, {
    fix: `Make ${reference} give the value of ${option}.`,
  });
}
