/** Everything that a run needs before its first agent: folder, hosts, provider, store, configuration. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Arrival } from './evidence.js';
import { createHosts } from './hosts.js';
import type { Hosts } from './hosts.js';
import type { Plan } from './plan.js';
import { Cleanup, Started } from './processes.js';
import { createRedisActor } from './store-redis.js';
import type { StoreActor } from './store-actor.js';
import { createSqliteActor, whyNoDisk } from './store-sqlite.js';
import type { SqliteActor } from './store-sqlite.js';

export interface SimulatorReport {
  readonly arrivals: readonly Arrival[];
  readonly changes: readonly { readonly change: 'bad' | 'good'; readonly key: string; readonly at: number }[];
}

export interface Stage {
  readonly cleanup: Cleanup;
  readonly hosts: Hosts | undefined;
  readonly store: StoreActor;
  readonly sqlite: SqliteActor | undefined;
  /** What every agent finds in its environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Has the simulator do something; resolves with its answer. */
  simulate(order: string, rest?: Readonly<Record<string, unknown>>): Promise<unknown>;
  report(): Promise<SimulatorReport>;
}

/** A program of `actors/`, wherever this module was bundled to. */
export function actorPath(file: string): string {
  return join(packageRoot(), 'test', 'chaos', 'actors', file);
}

export function preloadPath(): string {
  return join(packageRoot(), 'dist', 'register.cjs');
}

function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

/** Takes away by itself whatever it made where it cannot make all of it. */
export async function setStage(plan: Plan): Promise<Stage> {
  const cleanup = new Cleanup();
  try {
    return await build(plan, cleanup);
  } catch (error) {
    await cleanup.run();
    throw error;
  }
}

async function build(plan: Plan, cleanup: Cleanup): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), `keymux-chaos-${process.pid}-`));
  cleanup.add(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 }));
  const hosts = plan.hosts.length === 0 ? undefined : createHosts(plan.hosts, cleanup);
  const provider = new Provider(hosts, cleanup);
  const texts = plan.keys.map(({ name }) => ({
    name,
    text: `km-${name}-${randomBytes(16).toString('hex')}`,
  }));
  const scripts = plan.keys.map(({ name, limits }, index) => [texts[index]?.text, { name, limits }]);
  const { origin } = (await provider.ask('start', {
    keys: Object.fromEntries(scripts),
    ...(hosts === undefined ? {} : { address: hosts.providerAddress }),
  })) as { origin: string };
  const { store, sqlite } = await createStore(plan, { folder, hosts, cleanup });
  const file = join(folder, 'keymux.config.json');
  writeFileSync(file, JSON.stringify(configurationFor(plan, origin, store)));
  const keys = texts.map(({ name, text }) => [`ACME_API_KEY${name === 'main' ? '' : `_${name}`}`, text]);
  return {
    cleanup,
    hosts,
    store,
    sqlite,
    env: {
      KEYMUX_CONFIG: file,
      KEYMUX_STATE_DIR: join(folder, 'state'),
      ACME_URL: origin,
      ...(Object.fromEntries(keys) as Record<string, string>),
    },
    simulate: (order, rest) => provider.ask(order, rest),
    report: async () => (await provider.ask('report')) as SimulatorReport,
  };
}

interface StorePlace {
  readonly folder: string;
  readonly hosts: Hosts | undefined;
  readonly cleanup: Cleanup;
}

async function createStore(
  plan: Plan,
  { folder, hosts, cleanup }: StorePlace,
): Promise<Pick<Stage, 'store' | 'sqlite'>> {
  const members = plan.agents.length;
  if (plan.store === 'sqlite') {
    const lockerProgram = actorPath('locker.mjs');
    const hasOwnDisk = whyNoDisk() === undefined;
    const sqlite = createSqliteActor({ folder, lockerProgram, members, cleanup, hasOwnDisk });
    return { store: sqlite, sqlite };
  }
  const redis = await createRedisActor({ folder, members, cleanup, hosts });
  if (!plan.startsWithoutStore) await redis.start();
  return { store: redis, sqlite: undefined };
}

function configurationFor(plan: Plan, origin: string, store: StoreActor): Record<string, unknown> {
  const provider = {
    baseUrl: origin,
    auth: { in: 'header', name: 'authorization', scheme: 'Bearer' },
    env: ['ACME_API_KEY'],
    limits: plan.keys[0]?.limits,
    strategy: plan.strategy,
    retry: { maxWaitMs: plan.maxWaitMs, deadlineMs: 2.5 * plan.maxWaitMs },
    ...(plan.hosts.length === 0 ? {} : { allowInsecure: true }),
  };
  return { providers: { acme: provider }, store: store.configuration };
}

/** The process of the simulator, which answers each message. */
class Provider {
  readonly #process: Started;
  readonly #waiting = new Map<number, (answer: unknown) => void>();
  #asked = 0;

  constructor(hosts: Hosts | undefined, cleanup: Cleanup) {
    this.#process = new Started({
      program: process.execPath,
      args: [actorPath('simulator.mjs')],
      namespace: hosts?.providerNamespace,
      talks: true,
    });
    cleanup.add(
      () => this.#process.kill(),
      () => this.#process.signal('SIGKILL'),
    );
    this.#process.child.on('message', ({ n, answer }: { n: number; answer: unknown }) => {
      this.#waiting.get(n)?.(answer);
      this.#waiting.delete(n);
    });
  }

  ask(order: string, rest: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    this.#asked += 1;
    const n = this.#asked;
    return new Promise((resolve, reject) => {
      this.#waiting.set(n, resolve);
      void this.#process.ended.then(() =>
        reject(new Error(`The simulator ended: ${this.#process.stderr.trim()}`)),
      );
      this.#process.child.send({ n, order, ...rest });
    });
  }
}
