/** Processes of a run: started, followed line by line, and gone at its end, whatever that is. */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

/** What was made, to be taken away in the opposite order: at the end, and where the run is interrupted. */
export class Cleanup {
  readonly #steps: { readonly asynchronous: () => Promise<void> | void; readonly atExit: () => void }[] = [];
  readonly #onExit = (): void => {
    for (const step of this.#steps.splice(0).reverse()) step.atExit();
  };

  constructor() {
    process.on('exit', this.#onExit);
  }

  /** `atExit` must be synchronous; default: the step itself. */
  add(step: () => Promise<void> | void, atExit: () => void = () => void step()): void {
    this.#steps.push({ asynchronous: step, atExit });
  }

  async run(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      await step.asynchronous();
    }
    process.off('exit', this.#onExit);
  }
}

/** Runs a command of the system to its end. Throws with what it said. */
export function command(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}: ${stderr.trim()}`);
  return stdout;
}

export interface Spawned {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The network namespace to start it in. */
  readonly namespace?: string | undefined;
  /** Called with each line that is JSON, of stdout and of file descriptor 3. */
  readonly onLine?: (line: unknown) => void;
  /** Opens a channel for messages. */
  readonly talks?: boolean;
}

const KEPT_STDERR = 600;
/** All that programs get of the environment of this one. */
const PASSED_ON = ['PATH', 'HOME', 'TMPDIR', 'NODE_V8_COVERAGE'];

/** A process that this run started; only such ones are ever sent a signal. */
export class Started {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
  stderr = '';

  constructor({ program, args, env, namespace, onLine, talks }: Spawned) {
    const [file, ...rest] =
      namespace === undefined ? [program, ...args] : ['ip', 'netns', 'exec', namespace, program, ...args];
    const stdio = ['pipe', 'pipe', 'pipe', 'pipe', ...(talks === true ? (['ipc'] as const) : [])] as const;
    this.child = spawn(file ?? program, rest, { env: { ...inherited(), ...env }, stdio: [...stdio] });
    // 'ip netns exec' replaces itself by the program, so that the process id is that of the program.
    for (const stream of [this.child.stdout, this.child.stdio[3]]) {
      createInterface({ input: stream as Readable }).on('line', (line) => onLine?.(parsed(line)));
    }
    this.child.stdin?.on('error', () => {});
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-KEPT_STDERR);
    });
    this.ended = once(this.child, 'close').then(
      () => {},
      () => {},
    );
  }

  get isRunning(): boolean {
    return this.child.pid !== undefined && this.child.exitCode === null && this.child.signalCode === null;
  }

  signal(name: NodeJS.Signals): void {
    if (this.isRunning) this.child.kill(name);
  }

  tell(order: unknown): void {
    this.child.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended;
  }
}

export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function inherited(): Record<string, string> {
  return Object.fromEntries(
    PASSED_ON.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return line;
  }
}
