import { AsyncLocalStorage } from 'node:async_hooks';
import { KeymuxError } from '../core/errors.js';
import { KeyManager } from './key-manager.js';
import type { KeyManagerOptions } from './options.js';

/** A key manager of your own, for dependency injection; nothing global is touched. Throws `KEYMUX_INIT_FAILED`. */
export function createKeyManager(options: KeyManagerOptions = {}): KeyManager {
  return new KeyManager(options);
}

/** Named managers with configurations of their own in one process. */
export interface KeyManagerRegistry {
  /** Throws `KEYMUX_USAGE` where there is none of that name. */
  get(name: string): KeyManager;
  /** Throws `KEYMUX_USAGE` where one of that name is in use. */
  create(name: string, options?: Omit<KeyManagerOptions, 'name'>): KeyManager;
  has(name: string): boolean;
}

interface Shared {
  readonly managers: Map<string, KeyManager>;
  readonly scope: AsyncLocalStorage<KeyManager>;
  /** The manager of the process, if there is one. */
  fallback: (() => KeyManager) | undefined;
}

const SHARED = Symbol.for('keymux.registry');

/** One registry per thread, found by every copy of the package. */
function shared(): Shared {
  const holder = globalThis as { [SHARED]?: Shared | undefined };
  return (holder[SHARED] ??= { managers: new Map(), scope: new AsyncLocalStorage(), fallback: undefined });
}

/** The registry of named managers. Each thread has one, which all copies of the package share. */
export const keyManagers: KeyManagerRegistry = {
  get(name) {
    const manager = shared().managers.get(name);
    if (manager !== undefined && !manager.closed) return manager;
    throw new KeymuxError('KEYMUX_USAGE', `There is no key manager named "${name}".`, {
      fix: `Create it first: keyManagers.create(${JSON.stringify(name)}, options).`,
    });
  },
  create(name, options = {}) {
    if (this.has(name)) {
      throw new KeymuxError('KEYMUX_USAGE', `A key manager named "${name}" is in use.`, {
        fix: 'Shut it down first, or take another name.',
      });
    }
    const { managers } = shared();
    for (const [other, { closed }] of managers) if (closed) managers.delete(other);
    const manager = createKeyManager({ ...options, name });
    managers.set(name, manager);
    return manager;
  },
  has(name) {
    return shared().managers.get(name)?.closed === false;
  },
};

/**
 * Shuts all of this thread down, for tests.
 * @internal
 */
export async function shutDownNamedManagers(): Promise<void> {
  const { managers } = shared();
  const all = [...managers.values()];
  managers.clear();
  await Promise.all(all.map((manager) => manager.shutdown()));
}

/** Code below `work`, also what it awaits, finds this manager with `getApiManager()`. */
export function runWithKeyManager<T>(manager: KeyManager, work: () => T): T {
  return shared().scope.run(manager, work);
}

/** Says which manager `getApiManager()` falls back on. */
export function setProcessManager(instance: () => KeyManager): void {
  shared().fallback = instance;
}

/** The named manager; without a name the one of the scope, or else the one of the process. */
export function getApiManager(name?: string): KeyManager {
  if (name !== undefined) return keyManagers.get(name);
  const { scope, fallback } = shared();
  const manager = scope.getStore() ?? fallback?.();
  if (manager !== undefined) return manager;
  throw new KeymuxError('KEYMUX_USAGE', 'There is no key manager in this scope.', {
    fix: 'Call MinimalMultiKeyManager.instance(), or run the code inside runWithKeyManager(manager, …).',
  });
}
