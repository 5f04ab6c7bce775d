/** A key manager of its own for one test, with the providers that it talks to. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileContent } from '../config/file-content.js';
import { KeymuxError } from '../core/errors.js';
import type { Store } from '../core/ports.js';
import { MinimalMultiKeyManager } from '../interceptors/process-manager.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { KeyManagerOptions } from '../manager/options.js';
import { createKeyManager } from '../manager/registry.js';
import { createMemoryStore } from '../stores/memory.js';
import type { FakeClock } from './fake-clock.js';
import { createFakeClock, seededRandom } from './fake-clock.js';
import type { Simulator } from './simulator-api.js';
import { configured, startProviders, variablesOf } from './test-providers.js';
import type { TestProvider } from './test-providers.js';

/** What an isolated manager is made of. */
export interface TestManagerOptions extends Pick<
  KeyManagerOptions,
  'name' | 'secretSources' | 'logger' | 'fetch' | 'decisions'
> {
  /**
   * Simulated providers, by the id under which the manager knows them. One of the catalogue speaks in its own words;
   * any other is a generic one unless it has a `flavour`. Each key's id is its name in the script.
   */
  readonly providers?: Readonly<Record<string, TestProvider>>;
  /** Services, limits and whatever else `keymux.config.*` may say; joined with `providers`. */
  readonly config?: FileContent;
  /** More variables than those of the keys. The real environment is not read. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** `memory` by default; `sqlite`: a file in the folder of this test. Otherwise as `config` says. */
  readonly store?: Store | 'memory' | 'sqlite';
  /**
   * Default: a clock that stands still until it is advanced. `real`: the wall clock, which no test can advance; the only
   * one where the store is not in memory, since such stores keep their own time.
   */
  readonly clock?: FakeClock | 'real';
  /** For all that is left to chance. Default: 1. */
  readonly seed?: number;
  /**
   * Makes it the manager of the process (`MinimalMultiKeyManager`), which answers `process.env` and intercepts
   * requests. One that is there already is shut down. Default: false.
   */
  readonly intercept?: boolean;
  /** How long requests under way are waited for in the end. Milliseconds. Default: 0. */
  readonly drainMs?: number;
}

/** A manager, its providers and its time. Everything is gone, and put back, when it is disposed of. */
export interface TestManager extends AsyncDisposable {
  readonly manager: KeyManager;
  /**
   * The time of the manager and of its simulated providers. `advance` and `set` also wake requests that wait. With
   * `clock: 'real'` both throw `KEYMUX_USAGE`.
   */
  readonly clock: FakeClock;
  /** What the manager reads as its environment, keys included. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The working directory and state folder of the manager; empty at first. */
  readonly directory: string;
  /** What the manager warned of, in order, unless the test brought a `logger`. */
  readonly warnings: readonly string[];
  /** Throws `KEYMUX_USAGE` for an id that was not given. */
  simulator(provider: string): Simulator;
  /** Shuts manager and simulators down and removes the folder. May be called twice. */
  dispose(): Promise<void>;
}

const live = new Set<TestManager>();

/** Disposes of every test manager that is left. */
export async function disposeTestManagers(): Promise<void> {
  for (const test of live) await test.dispose();
}

/**
 * Starts simulated providers and a manager that knows nothing else: its environment, folder, state, time and chance are
 * its own. Throws `KEYMUX_USAGE` where the manager did not take a key up or the store cannot follow the clock, and as
 * `createKeyManager` and `startSimulator` do; nothing is left behind then.
 *
 * @example
 * await using test = await createTestManager({
 *   providers: {
 *     acme: { keys: { 'key-one': { name: 'bad', always: refuse(401) }, 'key-two': { name: 'good' } } },
 *   },
 * });
 * const response = await test.manager.fetch('acme', '/quote');
 * assertAttempts(test.simulator('acme'), ['bad', 'good']);
 */
export async function createTestManager(options: TestManagerOptions = {}): Promise<TestManager> {
  const { providers = {} } = options;
  const inner = clockFor(options);
  const directory = mkdtempSync(join(tmpdir(), 'keymux-test-'));
  const simulators = new Map<string, Simulator>();
  const warnings: string[] = [];
  let manager: KeyManager | undefined;
  const release = async (): Promise<void> => {
    try {
      await manager?.shutdown();
      await Promise.all([...simulators.values()].map((simulator) => simulator.close()));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };
  try {
    await startProviders(providers, inner, simulators);
    const env = { ...variablesOf(providers, options.config), ...options.env };
    const all = managerOptions(options, { env, directory, simulators, clock: inner, warnings });
    if (options.intercept === true) await MinimalMultiKeyManager.resetInstance();
    manager = options.intercept === true ? MinimalMultiKeyManager.instance(all) : createKeyManager(all);
    await manager.ready;
    checkKeys(manager, providers);
    return kept(manager, { env, directory, simulators, clock: inner, warnings }, release);
  } catch (error) {
    await release();
    throw error;
  }
}

/** Absent: the wall clock. */
function clockFor(options: TestManagerOptions): FakeClock | undefined {
  const { clock, store = options.config?.store?.type ?? 'memory' } = options;
  const kind = typeof store === 'object' ? store.kind : store;
  if (kind === 'memory') return clock === 'real' ? undefined : (clock ?? createFakeClock());
  if (clock === undefined || clock === 'real') return undefined;
  throw new KeymuxError('KEYMUX_USAGE', `A ${kind} store keeps its own time, which no test can move.`, {
    fix: 'Leave `clock` away, or test with a store in memory.',
  });
}

interface Parts {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly directory: string;
  readonly simulators: ReadonlyMap<string, Simulator>;
  /** Absent: the wall clock. */
  readonly clock: FakeClock | undefined;
  readonly warnings: string[];
}

function managerOptions(options: TestManagerOptions, parts: Parts): KeyManagerOptions {
  const { name, secretSources, logger, fetch, decisions, seed = 1, drainMs = 0 } = options;
  const { env, directory, simulators, clock, warnings } = parts;
  const now = clock?.now;
  const wanted = options.store ?? (options.config?.store === undefined ? 'memory' : undefined);
  const config = configured(options.providers ?? {}, options.config, simulators);
  return {
    ...(name === undefined ? {} : { name }),
    ...(secretSources === undefined ? {} : { secretSources }),
    ...(fetch === undefined ? {} : { fetch }),
    ...(decisions === undefined ? {} : { decisions }),
    ...(now === undefined ? {} : { clock: now }),
    ...(typeof wanted === 'object' ? { store: wanted } : {}),
    ...(wanted === 'memory'
      ? { store: createMemoryStore({ now: now ?? Date.now, onNotice: () => {} }) }
      : {}),
    config:
      wanted === 'sqlite'
        ? { ...config, store: { type: 'sqlite', path: join(directory, 'state.sqlite') } }
        : config,
    logger: logger ?? { warn: (message) => void warnings.push(message), info: () => {} },
    env,
    cwd: directory,
    random: seededRandom(seed),
    drainMs,
  };
}

function checkKeys(manager: KeyManager, providers: Readonly<Record<string, TestProvider>>): void {
  const { credentials, notes } = manager.configuration;
  for (const [id, { keys = {} }] of Object.entries(providers)) {
    const wanted = Object.keys(keys).length;
    const taken = credentials.filter(({ provider }) => provider === id).length;
    if (taken >= wanted) continue;
    throw new KeymuxError(
      'KEYMUX_USAGE',
      `Of ${wanted} keys of ${id} the manager took up ${taken}: ${notes.join(' ') || 'no reason is known.'}`,
      { fix: 'Give each key a text of its own that does not look like a placeholder.' },
    );
  }
}

function kept(manager: KeyManager, parts: Parts, release: () => Promise<void>): TestManager {
  const { env, directory, simulators, clock, warnings } = parts;
  let released: Promise<void> | undefined;
  const test: TestManager = {
    manager,
    clock: clock === undefined ? realClock(manager) : wakingClock(clock, manager),
    env,
    directory,
    warnings,
    simulator(provider) {
      const simulator = simulators.get(provider);
      if (simulator !== undefined) return simulator;
      throw new KeymuxError('KEYMUX_USAGE', `This test has no provider ${provider}.`, {
        fix: `Name it in \`providers\`; there are: ${[...simulators.keys()].join(', ') || 'none'}.`,
      });
    },
    dispose() {
      live.delete(test);
      return (released ??= release());
    },
    [Symbol.asyncDispose]: () => test.dispose(),
  };
  live.add(test);
  return test;
}

/** The manager sets real timers for its deadlines; when its time jumps, it has to look anew. */
function wakingClock(clock: FakeClock, manager: KeyManager): FakeClock {
  const wake = (): void => {
    if (manager.closed) return;
    manager.table.bumpGeneration();
    const { services, providers } = manager.configuration;
    for (const service of services.keys()) manager.findPool(service)?.room.wakeAll();
    for (const provider of providers.keys()) manager.poolOfProvider(provider)?.room.wakeAll();
  };
  return {
    now: clock.now,
    advance(ms) {
      const time = clock.advance(ms);
      wake();
      return time;
    },
    set(epochMs) {
      clock.set(epochMs);
      wake();
    },
  };
}

function realClock(manager: KeyManager): FakeClock {
  const refuse = (): never => {
    throw new KeymuxError('KEYMUX_USAGE', 'The wall clock cannot be moved.', {
      fix: "Leave `clock: 'real'` away, or wait for what is to happen.",
    });
  };
  return { now: () => manager.now(), advance: refuse, set: refuse };
}
