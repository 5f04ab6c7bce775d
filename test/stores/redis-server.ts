/** A Redis server of a test's own, on a free loopback port, with a directory of its own. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface RedisServerOptions {
  /** Further arguments of the command line, such as `['--maxmemory', '2mb']`. */
  readonly args?: readonly string[];
  /** Default: one that is free. */
  readonly port?: number;
}

export interface RedisServer {
  /** `redis://127.0.0.1:<port>`. */
  readonly url: string;
  readonly port: number;
  /** Changes with each restart. */
  readonly pid: number;
  /** Ends it for good, and removes its directory. May be called twice. */
  stop(): Promise<void>;
  /** SIGKILL: nothing is saved. `restart` brings it back. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open, and nothing is answered. */
  pause(): void;
  resume(): void;
  /** Ends it, with its data saved or lost, and starts it on the same port. */
  restart(options: { readonly keepData: boolean }): Promise<void>;
}

/** Redis, or Valkey, or another server that takes the same arguments. */
const BINARY = process.env['REDIS_SERVER'] ?? 'redis-server';
const START_WITHIN_MS = 20_000;
/** Below the ports that outgoing connections get, so that nobody takes ours between an end and a restart. */
const FIRST_PORT = 12_000;
const LAST_PORT = 30_000;
const PORT_TRIALS = 50;

/** Starts a server and waits until it answers. Stop it in `afterAll`, or with `onTestFinished`. */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  for (let trial = 1; ; trial += 1) {
    const server = new Server(options.port ?? (await freePort()), options.args ?? []);
    try {
      await server.start();
      return server;
    } catch (error) {
      await server.stop();
      if (options.port !== undefined || trial === 3) throw error;
    }
  }
}

class Server implements RedisServer {
  readonly url: string;
  readonly port: number;
  readonly #args: readonly string[];
  readonly #directory: string;
  #child: ChildProcess | undefined;
  #output = '';
  readonly #killOnExit = (): void => void this.#child?.kill('SIGKILL');

  constructor(port: number, args: readonly string[]) {
    this.port = port;
    this.url = `redis://127.0.0.1:${String(port)}`;
    this.#args = args;
    this.#directory = mkdtempSync(join(tmpdir(), 'keymux-redis-'));
    process.on('exit', this.#killOnExit);
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async start(): Promise<void> {
    const standard = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.#directory];
    // One save point makes SIGTERM save; within a test it never comes to pass by itself.
    const saving = ['--save', '86400 1', '--appendonly', 'no'];
    const child = spawn(BINARY, [...standard, ...saving, ...this.#args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const failed = once(child, 'error').then(([error]) => {
      throw new Error(`${BINARY} cannot be started. \`npm test\` installs it.`, { cause: error });
    });
    failed.catch(() => {});
    child.stdout.on('data', (text: Buffer) => (this.#output += text.toString()));
    child.stderr.on('data', (text: Buffer) => (this.#output += text.toString()));
    this.#child = child;
    await Promise.race([this.#answers(child), failed]);
  }

  async stop(): Promise<void> {
    process.off('exit', this.#killOnExit);
    await this.#end('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }

  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
    // The signal is on its way only: what follows must meet a server that stands still.
    while (isRunning(this.pid));
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async restart({ keepData }: { readonly keepData: boolean }): Promise<void> {
    await this.#end(keepData ? 'SIGTERM' : 'SIGKILL');
    if (!keepData) rmSync(join(this.#directory, 'dump.rdb'), { force: true });
    await this.start();
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    child.kill('SIGCONT');
    await exited;
  }

  async #answers(child: ChildProcess): Promise<void> {
    const deadline = performance.now() + START_WITHIN_MS;
    for (;;) {
      const reply = await ping(this.port);
      if (child.exitCode !== null || child.signalCode !== null || performance.now() > deadline) {
        throw new Error(`${BINARY} did not start on port ${String(this.port)}:\n${this.#output}`);
      }
      if (reply !== '' && !reply.startsWith('-LOADING')) return;
      await delay(5);
    }
  }
}

function isRunning(pid: number): boolean {
  const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
  return !/^[TtZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
}

/** What a server answers to PING; empty where there is none. */
function ping(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    socket.setTimeout(1_000, () => socket.destroy());
    socket.once('data', (reply) => {
      resolve(reply.toString());
      socket.destroy();
    });
    socket.once('error', () => resolve(''));
    socket.once('close', () => resolve(''));
  });
}

async function freePort(): Promise<number> {
  for (let trial = 0; trial < PORT_TRIALS; trial += 1) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));
    if (await isFree(port)) return port;
  }
  throw new Error('No free port was found.');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
