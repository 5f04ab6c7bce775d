import { KeyManager } from '../manager/key-manager.js';
import type { KeyManagerOptions, KeyManagerSeams } from '../manager/options.js';
import type { Undo } from '../manager/phases.js';
import { setProcessManager } from '../manager/registry.js';
import { fromPortable } from '../manager/thread-news.js';
import type { PortableConfiguration } from '../manager/thread-news.js';
import { sharedTable } from '../state/attach.js';
import { installPropagation } from './child-processes.js';
import { installEnv } from './env.js';
import { installHttp } from './http.js';
import { installHttp2 } from './http2.js';
import { installUndici } from './undici.js';

/** One slot per thread, found by every copy of the package that is loaded into it. */
interface Slot {
  instance: MinimalMultiKeyManager | undefined;
  closing: Promise<void> | undefined;
}

const SLOT = Symbol.for('keymux.process-manager');
const BRAND = Symbol.for('keymux.process-manager.instance');

function slot(): Slot {
  const holder = globalThis as { [SLOT]?: Slot | undefined };
  return (holder[SLOT] ??= { instance: undefined, closing: undefined });
}

/**
 * The key manager of the process: created once, when it is first asked for, however many ask, also by another copy of
 * the package; worker threads share its state. It answers `process.env` and takes care of outgoing requests.
 */
export class MinimalMultiKeyManager extends KeyManager {
  readonly [BRAND] = true;

  /** `options` count only for the call that creates it. Throws `KEYMUX_INIT_FAILED`; the next call tries again. */
  static instance(options: KeyManagerOptions = {}): MinimalMultiKeyManager {
    return instanceWith(options, {});
  }

  /** Shuts the instance down, if there is one; the next `instance()` makes a new one. */
  static async resetInstance(): Promise<void> {
    const own = slot();
    const { instance } = own;
    own.instance = undefined;
    if (instance !== undefined) own.closing = instance.shutdown();
    await own.closing;
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && BRAND in value;
  }
}

export interface ProcessSeams extends Pick<KeyManagerSeams, 'recovery'> {
  /** The preload that child processes are to load. */
  readonly preloadPath?: string;
}

export function instanceWith(options: KeyManagerOptions, seams: ProcessSeams): MinimalMultiKeyManager {
  const own = slot();
  if (own.instance !== undefined && !own.instance.closed) return own.instance;
  own.instance = new MinimalMultiKeyManager(options, {
    ...seams,
    ...inherited(),
    shareWithThreads: true,
    integrate: (manager) => integrate(manager, seams.preloadPath),
  });
  return own.instance;
}

/** What the thread that started this one shared with it. */
function inherited(): Partial<KeyManagerSeams> {
  const shared = sharedTable();
  if (shared === undefined) return {};
  return { table: shared.table, configuration: fromPortable(shared.payload as PortableConfiguration) };
}

/** Ties a manager into this thread; what was done is undone in reverse. */
function integrate(manager: KeyManager, preloadPath: string | undefined): Undo {
  const undos: Undo[] = [];
  const undoAll = (): void => {
    for (const undo of undos.splice(0).reverse()) void undo();
  };
  try {
    if (preloadPath !== undefined) undos.push(installPropagation(preloadPath));
    undos.push(installEnv(manager), installHttp(manager), installHttp2(manager), installUndici(manager));
  } catch (error) {
    undoAll();
    throw error;
  }
  return undoAll;
}

setProcessManager(() => MinimalMultiKeyManager.instance());
