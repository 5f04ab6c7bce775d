/**
 * The command in the process of the test, on a project of its own: what it reads and says is what a process of its own
 * would, and no start is paid for. One at a time. Not for commands that pass their output on to other programs.
 */
import { PassThrough, Writable } from 'node:stream';
import { runCli } from '#keymux/cli/main.js';
import { expect } from 'vitest';
import { CANARY } from './keymux-process.js';
import type { Project, Result } from './keymux-process.js';

type Env = Readonly<Record<string, string>>;

/** What is typed once this question was asked. */
type Answer = readonly [question: string, answer: string];

interface Surroundings {
  readonly env?: Env;
  /** What stands on stdin. Default: nothing. */
  readonly input?: string;
  /** There is a terminal, and somebody who answers each question in turn; nobody types after that. */
  readonly answers?: readonly Answer[];
}

/** Runs to the end. */
export async function keymuxHere(
  project: Project,
  args: readonly string[],
  { env = {}, input = '', answers }: Surroundings = {},
): Promise<Result> {
  const stdin = answers === undefined ? new PassThrough() : new Keyboard();
  if (answers === undefined) stdin.end(input);
  const [stdout, stderr] = [new Screen(answers !== undefined), new Screen(answers !== undefined)];
  if (answers !== undefined) void answer(stdin, stderr, answers);
  const tellWarning = ({ message }: Error): void => void stderr.write(`warning: ${message}\n`);
  process.on('warning', tellWarning);
  const leave = enter(project.folder, { ...project.env, ...env }, { stdin, stdout, stderr });
  try {
    await runCli(args);
    const code = process.exitCode;
    return { code: typeof code === 'number' ? code : 0, stdout: stdout.text, stderr: stderr.text };
  } finally {
    leave();
    process.off('warning', tellWarning);
    stdin.destroy();
  }
}

/** As `keymuxHere`, and checks that no key was said. */
export async function quietly(
  project: Project,
  args: readonly string[],
  surroundings: Surroundings = {},
): Promise<Result> {
  const result = await keymuxHere(project, args, surroundings);
  expect(result.stdout + result.stderr).not.toContain(CANARY);
  return result;
}

/** A terminal would show what is typed unless this is raw. */
class Keyboard extends PassThrough {
  readonly isTTY = true;
  isRaw = false;

  setRawMode(isRaw: boolean): this {
    this.isRaw = isRaw;
    return this;
  }
}

class Screen extends Writable {
  readonly isTTY: boolean;
  readonly columns = 200;
  text = '';

  constructor(isTTY: boolean) {
    super({
      decodeStrings: false,
      write: (chunk: string | Uint8Array, _encoding, done) => {
        this.text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
        this.emit('shown');
        done();
      },
    });
    this.isTTY = isTTY;
  }
}

/** Types each answer where its question is shown; a terminal that still shows what is typed shows it. */
async function answer(keyboard: PassThrough, screen: Screen, answers: readonly Answer[]): Promise<void> {
  let at = 0;
  for (const [question, typed] of answers) {
    while (!screen.text.includes(question, at))
      await new Promise((resolve) => void screen.once('shown', resolve));
    at = screen.text.length;
    if (keyboard instanceof Keyboard && !keyboard.isRaw) screen.write(typed);
    keyboard.write(typed);
  }
}

interface Streams {
  readonly stdin: PassThrough;
  readonly stdout: Screen;
  readonly stderr: Screen;
}

let isBusy = false;

/** Makes the process look as if it was started there; returns what takes that back. */
function enter(folder: string, env: Env, streams: Streams): () => void {
  if (isBusy) throw new Error('one command at a time: they share the process');
  isBusy = true;
  const before = { cwd: process.cwd(), env: { ...process.env }, exitCode: process.exitCode };
  const names = Object.keys(streams) as (keyof Streams)[];
  const own = names.map((name) => Object.getOwnPropertyDescriptor(process, name) ?? {});
  process.chdir(folder);
  replaceEnvironment(env);
  process.exitCode = undefined;
  for (const name of names)
    Object.defineProperty(process, name, { value: streams[name], configurable: true, enumerable: true });
  return () => {
    names.forEach((name, index) => Object.defineProperty(process, name, own[index] ?? {}));
    process.exitCode = before.exitCode;
    replaceEnvironment(before.env);
    process.chdir(before.cwd);
    isBusy = false;
  };
}

function replaceEnvironment(env: Readonly<Record<string, string | undefined>>): void {
  for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name];
  for (const [name, value] of Object.entries(env)) process.env[name] = value;
}
