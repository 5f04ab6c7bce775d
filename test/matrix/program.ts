/** The client program in a process of its own, with keymux loaded into it or without. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ProgramKind, Sites } from './sites.js';

const PROGRAM = fileURLToPath(new URL('../clients/program.mjs', import.meta.url));
const PRELOAD = new URL('../../dist/register.cjs', import.meta.url).href;
const FORGET = new URL('./forget.mjs', import.meta.url).href;

export interface Outcome {
  /** The text of the answer, or its status. */
  readonly answer?: string | number;
  readonly error?: { readonly message: string };
}

interface Message {
  readonly id?: number;
  readonly outcomes?: readonly Outcome[];
  readonly event?: string;
}

export interface Program {
  /** Runs a command of the program (see test/clients/program.mjs). */
  do(command: string, details: object): Promise<readonly Outcome[]>;
  /** Answers what the program waits for. */
  reply(word: string): void;
  /** What it wrote to standard error. */
  errors(): string;
  close(): Promise<void>;
}

export function startProgram(sites: Sites, kind: ProgramKind): Program {
  const { NODE_V8_COVERAGE: coverage = '', NODE_OPTIONS: _options, ...inherited } = process.env;
  const isManaged = kind !== 'bare';
  const child = fork(PROGRAM, [], {
    execArgv: isManaged ? ['--import', PRELOAD, '--import', FORGET] : [],
    env: {
      ...inherited,
      NODE_V8_COVERAGE: isManaged ? coverage : '',
      ...sites.environment(kind),
    },
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  });
  const waiting = new Map<number, PromiseWithResolvers>();
  let errors = '';
  let ids = 0;
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text));
  let tellReady = (): void => {};
  const ready = new Promise<void>((resolve) => (tellReady = resolve));
  child.on('message', ({ id, outcomes, event }: Message) => {
    if (event === 'ready') tellReady();
    if (event === 'first') {
      sites.openGates();
      child.send({ reply: 'first' });
    }
    if (id !== undefined && outcomes !== undefined) waiting.get(id)?.resolve(outcomes);
  });
  let ended: Error | undefined;
  child.on('exit', (code) => {
    ended = new Error(`The program ended with ${code}: ${errors}`);
    tellReady();
    for (const { reject } of waiting.values()) reject(ended);
  });
  return {
    async do(command, details) {
      await ready;
      if (ended !== undefined) throw ended;
      const id = (ids += 1);
      const answered = new Promise<readonly Outcome[]>((resolve, reject) =>
        waiting.set(id, { resolve, reject }),
      );
      child.send({ id, command, ...details });
      try {
        return await answered;
      } finally {
        waiting.delete(id);
      }
    },
    reply: (word) => void child.send({ reply: word }),
    errors: () => errors,
    async close() {
      if (ended !== undefined) return;
      const exited = once(child, 'exit');
      child.disconnect();
      await exited;
    },
  };
}

interface PromiseWithResolvers {
  resolve(outcomes: readonly Outcome[]): void;
  reject(error: Error): void;
}
