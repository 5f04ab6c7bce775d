/** The recipes of docs/frameworks.md, written out and started as a reader would. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { refuse, startSimulator } from '#keymux/testing.js';
import type { Simulator, SimulatorOptions } from '#keymux/testing.js';

const FOLDER = fileURLToPath(new URL('installed/', import.meta.url));
const GUIDE = readFileSync(new URL('../../docs/frameworks.md', import.meta.url), 'utf8');
const KEYMUX = new URL('installed/node_modules/keymux/dist/', import.meta.url);
const PRELOAD = fileURLToPath(new URL('register.cjs', KEYMUX));
/** A code block whose first line is a comment with the name of its file. */
const FILE = /^```\w+\n(?:\/\/|#) (\S+)\n(.*?)^```$/gms;
/** Says at the end whether the manager was shut down by then. */
const WITNESS = `data:text/javascript,${encodeURIComponent(
  `import { MinimalMultiKeyManager } from ${JSON.stringify(new URL('index.js', KEYMUX).href)};
   const manager = MinimalMultiKeyManager.instance();
   process.on('exit', () => console.log('keymux was shut down: ' + manager.closed));`,
)}`;

/** What every recipe meets: a key that is out of allowance, a revoked one, and then the good one. */
export const KEYS = {
  'key-that-ran-out': { name: 'first', always: refuse(429, { retryAfterSeconds: 60 }) },
  'key-that-was-revoked': { name: 'second', always: refuse(401) },
  'key-that-works': { name: 'third' },
} as const;

/** The simulator of one test. */
export async function provider(options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = await startSimulator({ keys: KEYS, ...options });
  onTestFinished(() => simulator.close());
  return simulator;
}

/** `key status` of each request, as the provider counted them. */
export function seenBy(simulator: Simulator): readonly string[] {
  return simulator.requests.map(({ key, status }) => `${key} ${status}`);
}

/** The files that stand under a heading of the guide, by name. */
export function filesUnder(heading: string): ReadonlyMap<string, string> {
  const section = GUIDE.split(/^## /m).find((text) => text.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`docs/frameworks.md has no heading "${heading}".`);
  return new Map([...section.matchAll(FILE)].map(([, name = '', text = '']) => [name, text]));
}

/** One recipe in a folder of its own, below the packages that it needs; without a heading, an empty folder. */
export class Recipe {
  readonly folder: string;
  readonly #env: Readonly<Record<string, string>>;

  constructor(heading: string | undefined, env: Readonly<Record<string, string>>) {
    mkdirSync(join(FOLDER, '.tmp'), { recursive: true });
    this.folder = mkdtempSync(join(FOLDER, '.tmp/recipe-'));
    // Next.js looks for its packages no higher than the home directory, so that this one is elsewhere.
    const home = mkdtempSync(join(tmpdir(), 'keymux-home-'));
    onTestFinished(() => {
      for (const folder of [this.folder, home]) rmSync(folder, { recursive: true, force: true });
    });
    if (heading !== undefined) for (const [name, text] of filesUnder(heading)) this.write(name, text);
    const { PATH = '' } = process.env;
    this.#env = {
      PATH,
      HOME: home,
      KEYMUX_STATE_DIR: join(home, 'state'),
      ...env,
    };
  }

  write(name: string, text: string): void {
    const path = join(this.folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text, { mode: 0o600 });
  }

  /** Changes what a reader would change: an address, say. */
  edit(name: string, change: (text: string) => string): void {
    this.write(name, change(readFileSync(join(this.folder, name), 'utf8')));
  }

  /** `node --import keymux/register`, with a witness that tells whether keymux was shut down. */
  start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
    return this.startBare(['--import', PRELOAD, '--import', WITNESS, ...args], env);
  }

  /** Node without the preload. */
  startBare(args: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
    const child = spawn(process.execPath, args, {
      cwd: this.folder,
      env: { ...this.#env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new Program(child);
  }
}

/** A process, and what it prints. */
export class Program {
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  #output = '';

  constructor(child: ChildProcess) {
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    }
    this.ended = once(child, 'close').then(([code, signal]: (string | number | null)[]) => {
      if (code === 0) return this.#output;
      throw new Error(`It ended with ${code ?? signal}:\n${this.#output}`);
    });
    // Whoever waits for the end is told; one that ends before somebody waits is no unhandled rejection.
    this.ended.catch(() => {});
    onTestFinished(async () => {
      child.kill('SIGKILL');
      await this.ended.catch(() => {});
    });
  }

  /** Resolves when something listens there. Rejects with the output when the program ends before. */
  async listens(port: number): Promise<void> {
    const isUp = async (): Promise<void> => {
      while (!(await answers(port))) await new Promise((resolve) => setTimeout(resolve, 50));
    };
    await Promise.race([
      isUp(),
      this.ended.then((output) => Promise.reject(new Error(`It ended before it listened:\n${output}`))),
    ]);
  }

  /** Asks it to end, and resolves with all that it printed; rejects where it does not end with 0. */
  stop(): Promise<string> {
    this.#child.kill('SIGTERM');
    return this.ended;
  }
}

async function answers(port: number): Promise<boolean> {
  try {
    // A connection of its own, which does not hold up the end of the server.
    const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } });
    await response.arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
