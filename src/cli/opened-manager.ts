import { join } from 'node:path';
import type { Configuration } from '../config/configuration.js';
import { KeyManager } from '../manager/key-manager.js';
import type { StoreEvent } from '../manager/events.js';
import { stateDirectory } from '../stores/sqlite/state-directory.js';

/** Something the store had to tell. */
export interface Trouble extends StoreEvent {
  /** `degraded`: nothing is shared any more. `state-set-aside`: a damaged file was, and a new one is in use. */
  readonly kind: 'degraded' | 'state-set-aside';
}

export interface OpenedManager {
  readonly manager: KeyManager;
  /** Grows. */
  readonly troubles: readonly Trouble[];
}

/**
 * Runs `work` with a manager for the working directory, on the store that running programs share, its state recovered.
 * What `work` changed is written when this resolves. `onTrouble` is told once of each thing.
 */
export async function withManager<T>(
  work: (opened: OpenedManager) => T | Promise<T>,
  options: { readonly configuration?: Configuration; readonly onTrouble: (trouble: Trouble) => void },
): Promise<T> {
  const { configuration, onTrouble } = options;
  // Lazy, so that nothing happens before somebody listens.
  const manager = new KeyManager(
    { logger: { warn: () => {}, info: () => {} } },
    { recovery: 'lazy', ...(configuration === undefined ? {} : { configuration }) },
  );
  const troubles: Trouble[] = [];
  for (const kind of ['degraded', 'state-set-aside'] as const) {
    manager.on(kind, (event) => {
      if (troubles.some(({ message }) => message === event.message)) return;
      const trouble = { ...event, kind };
      troubles.push(trouble);
      onTrouble(trouble);
    });
  }
  try {
    await manager.recovered();
    return await work({ manager, troubles });
  } finally {
    await manager.shutdown();
  }
}

/** Where the state of this configuration is kept; undefined where nothing outlives a process. */
export function placeOfState({ store }: Configuration): string | undefined {
  if (store.type !== 'sqlite') return undefined;
  return store.path ?? join(stateDirectory(process.env), 'state.db');
}
