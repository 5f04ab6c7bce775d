/** Real processes with managers of their own over one store, and a provider in another process that judges them. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startRedis } from '../stores/redis-server.js';

export const STORES = ['sqlite', 'redis'] as const;
export type StoreName = (typeof STORES)[number];

export interface Limit {
  readonly requests: number;
  readonly perMs: number;
}

/** What the judge counted of one key. */
export interface Verdict {
  readonly key: string;
  readonly spent: number;
  /** The largest count in any rolling window. */
  readonly most: number;
}

export interface Provider {
  readonly keys: number;
  readonly limits: readonly Limit[];
}

export interface Spending {
  readonly service: string;
  /** `fetch`: by HTTP, to the simulator; `till`: acquired, and spent on a plain socket. */
  readonly way: 'fetch' | 'till';
  readonly atATime: number;
  readonly timeoutMs?: number;
  /** Between one permit and the next. Milliseconds. */
  readonly pauseMs?: number;
}

/** A program that answers calls, one reply each, in any order. */
export class Program {
  readonly child: ChildProcess;
  readonly exited: Promise<void>;
  readonly #calls = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  #nextId = 0;
  readonly #ready: Promise<unknown>;

  constructor(name: string, argument: unknown, { env = {}, preload }: ProgramOptions = {}) {
    const file = fileURLToPath(new URL(`./members/${name}.mjs`, import.meta.url));
    this.child = fork(file, [JSON.stringify(argument)], {
      execArgv:
        preload === undefined ? [] : ['--import', new URL(`./members/${preload}.mjs`, import.meta.url).href],
      // It is killed at the end, and so writes no coverage; measuring it would only make it slow.
      env: { ...process.env, NODE_V8_COVERAGE: '', ...env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.exited = new Promise((resolve) => this.child.once('exit', () => resolve()));
    this.#ready = this.#expectReply();
    this.child.on('message', (message) => this.#hear(message as Reply));
    this.child.once('exit', (code, signal) => {
      for (const { reject } of this.#calls.values()) {
        reject(new Error(`${name} ended before it answered: ${String(code ?? signal)}`));
      }
    });
  }

  /** What it says when it is ready. */
  ready<T>(): Promise<T> {
    return this.#ready as Promise<T>;
  }

  call<T>(call: string, ...args: unknown[]): Promise<T> {
    this.child.send({ id: this.#nextId, call, args });
    return this.#expectReply();
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  #expectReply<T>(): Promise<T> {
    const id = this.#nextId++;
    return new Promise<T>((resolve, reject) => this.#calls.set(id, { resolve, reject }));
  }

  #hear({ id, result, error }: Reply): void {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (error === undefined) call?.resolve(result as never);
    else call?.reject(new Error(error));
  }
}

interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly preload?: string;
}

export interface MemberOptions {
  /** Milliseconds that its wall clock is wrong by. */
  readonly skewMs?: number;
  /** Its wall clock jumps there and back this often. Milliseconds. */
  readonly jumpEveryMs?: number;
  /** Whether it counts the permits that it spends without a lease, for `stale`. */
  readonly watchesLeases?: boolean;
}

interface Place {
  readonly origins: Readonly<Record<string, string>>;
  readonly port: number;
}

/** One store, one judge, and the members that were started. Stop it when the test is over. */
export class FleetOfProcesses {
  readonly store:
    { readonly type: 'sqlite'; readonly path: string } | { readonly type: 'redis'; readonly url: string };
  readonly #providers: Readonly<Record<string, Provider>>;
  readonly #directory: string;
  readonly #judge: Program;
  readonly #place: Place;
  readonly #cleanUp: () => Promise<void>;
  readonly #members: Program[] = [];

  private constructor(
    store: FleetOfProcesses['store'],
    providers: Readonly<Record<string, Provider>>,
    directory: string,
    judge: Program,
    place: Place,
    cleanUp: () => Promise<void>,
  ) {
    this.store = store;
    this.#providers = providers;
    this.#directory = directory;
    this.#judge = judge;
    this.#place = place;
    this.#cleanUp = cleanUp;
  }

  static async start(
    kind: StoreName,
    providers: Readonly<Record<string, Provider>>,
  ): Promise<FleetOfProcesses> {
    const directory = mkdtempSync(join(tmpdir(), 'keymux-fleet-'));
    const redis = kind === 'redis' ? await startRedis() : undefined;
    const ids = Object.keys(providers);
    const keys = ids.map((id) => [id, keyTexts(id, providers).map(([, text]) => text)]);
    const judge = new Program('judge', Object.fromEntries(keys));
    const place = await judge.ready<Place>();
    const store =
      redis === undefined
        ? { type: 'sqlite' as const, path: join(directory, 'state.db') }
        : { type: 'redis' as const, url: redis.url };
    return new FleetOfProcesses(store, providers, directory, judge, place, async () => {
      await judge.kill();
      await redis?.stop();
      rmSync(directory, { recursive: true, force: true });
    });
  }

  /** Starts so many processes at once, and waits until each has opened the store. */
  async members(count: number, options: MemberOptions = {}): Promise<readonly Program[]> {
    const { skewMs, jumpEveryMs, watchesLeases = false } = options;
    const started = Array.from({ length: count }, () => {
      return new Program(
        'member',
        {
          config: { store: this.store, providers: this.#configuration() },
          env: Object.fromEntries(
            Object.keys(this.#providers).flatMap((id) => keyTexts(id, this.#providers)),
          ),
          cwd: this.#directory,
          till: this.#place.port,
          watchesLeases,
        },
        skewMs === undefined
          ? {}
          : {
              preload: 'skewed-clock',
              env: { KEYMUX_SKEW_MS: String(skewMs), KEYMUX_JUMP_EVERY_MS: String(jumpEveryMs ?? 0) },
            },
      );
    });
    this.#members.push(...started);
    await Promise.all(started.map((member) => member.ready()));
    return started;
  }

  /** What the judge counted of each key. */
  verdicts(limit: Limit): Promise<readonly Verdict[]> {
    return this.#judge.call('verdict', limit);
  }

  /** How many permits the judge counted in all. */
  spent(): Promise<number> {
    return this.#judge.call('spent');
  }

  async stop(): Promise<void> {
    for (const { child } of this.#members) child.kill('SIGCONT');
    await Promise.all(this.#members.map((member) => member.kill()));
    await this.#cleanUp();
  }

  #configuration(): Record<string, object> {
    return Object.fromEntries(
      Object.entries(this.#providers).map(([id, { limits }]) => [
        id,
        {
          baseUrl: this.#place.origins[id],
          auth: { in: 'header', name: 'x-api-key' },
          env: [`${id.toUpperCase()}_API_KEY`],
          limits,
          retry: { maxWaitMs: 30_000, deadlineMs: 60_000 },
        },
      ]),
    );
  }
}

function keyTexts(id: string, providers: Readonly<Record<string, Provider>>): [name: string, text: string][] {
  return Array.from({ length: providers[id]?.keys ?? 0 }, (_, index) => {
    const suffix = index === 0 ? '' : `_${String(index + 1)}`;
    return [`${id.toUpperCase()}_API_KEY${suffix}`, `${id}-key-${String(index + 1)}`];
  });
}

/** All members spend until none of them gets anything more. */
export async function spendAll(members: readonly Program[], spending: Spending): Promise<number> {
  let total = 0;
  for (;;) {
    const granted = await Promise.all(members.map((member) => member.call<number>('spend', spending)));
    const sum = granted.reduce((a, b) => a + b, 0);
    if (sum === 0) return total;
    total += sum;
  }
}
