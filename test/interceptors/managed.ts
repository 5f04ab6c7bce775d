/** A provider on a real socket, and a manager that takes care of requests to it. */
import { installHttp } from '#keymux/interceptors/http.js';
import { installUndici } from '#keymux/interceptors/undici.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeyManagerOptions } from '#keymux/manager/options.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import type { KeyScript } from '#keymux/testing/script-key.js';
import { refuse } from '#keymux/testing/script.js';
import type { Simulator, SimulatorOptions } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { onTestFinished } from 'vitest';

export interface ManagedOptions {
  /** By the text of the key; the first one is the one that the application holds. */
  readonly keys: Readonly<Record<string, KeyScript>>;
  readonly simulator?: SimulatorOptions;
  /** Options of the provider `acme` in the configuration. */
  readonly provider?: object;
  readonly manager?: KeyManagerOptions;
}

export interface Managed {
  readonly simulator: Simulator;
  readonly manager: KeyManager;
  readonly origin: string;
  /** Names of the keys in the order in which the provider saw them. */
  seen(): (string | undefined)[];
  /** As if no key had ever been refused. */
  forget(): void;
}

export async function managed(options: ManagedOptions): Promise<Managed> {
  const keys = Object.keys(options.keys);
  const scripts = Object.entries(options.keys).map(([text, script]) => [text, { name: text, ...script }]);
  const simulator = await startSimulator({
    ...options.simulator,
    keys: Object.fromEntries(scripts) as Record<string, KeyScript>,
  });
  onTestFinished(() => simulator.close());
  const manager = managerFor(simulator.origin, keys, options);
  return {
    simulator,
    manager,
    origin: simulator.origin,
    seen: () => simulator.requests.map(({ key }) => key),
    forget: () => {
      for (const { id } of manager.inspect().keys) manager.reset(id);
    },
  };
}

export function managerFor(
  origin: string,
  keys: readonly string[],
  { provider = {}, manager: options = {} }: Pick<ManagedOptions, 'provider' | 'manager'> = {},
): KeyManager {
  const config = {
    providers: { acme: { baseUrl: origin, env: ['ACME_API_KEY'], ...provider } },
  } as NonNullable<KeyManagerOptions['config']>;
  const manager = new KeyManager(
    {
      env: { ACME_API_KEYS: keys.join(',') },
      cwd: '/nonexistent',
      config,
      store: createMemoryStore({ now: () => performance.timeOrigin + performance.now(), onNotice: () => {} }),
      random: () => 0,
      // Many tests look at the head of an answer only.
      drainMs: 1,
      ...options,
    },
    {
      integrate: (instance) => {
        const undos = [installHttp(instance), installUndici(instance)];
        return () => {
          for (const undo of undos.reverse()) void undo();
        };
      },
    },
  );
  onTestFinished(() => manager.shutdown());
  return manager;
}

/** Resolves as soon as the condition holds; no event tells of what happens within a request. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

/** The first key is over its limit, the second one is revoked, the third one works. */
export const BAD_BAD_GOOD = {
  'key-limited': { always: refuse(429, { retryAfterSeconds: 60 }) },
  'key-revoked': { always: refuse(401) },
  'key-good': {},
} as const satisfies Record<string, KeyScript>;

export const CAPTURED = 'key-limited';

export function bearer(key: string = CAPTURED): { authorization: string } {
  return { authorization: `Bearer ${key}` };
}
