import { join } from 'node:path';
import type { Configuration } from '../config/configuration.js';
import { KeyManager } from '../manager/key-manager.js';
import type { StoreEvent } from '../manager/events.js';
import type { Audit } from '../observe/audit.js';
import { stateDirectory } from '../stores/sqlite/state-directory.js';
import { secretsOf } from './run-redactor.js';
import { hideSecrets, warn } from './terminal.js';

/** Something the store had to tell. */
export interface Trouble extends StoreEvent {
  /** `degraded`: nothing is shared any more. `state-set-aside`: a damaged file was, and a new one is in use. */
  readonly kind: 'degraded' | 'state-set-aside';
}

export interface OpenedManager {
  readonly manager: KeyManager;
  /** Those that last: a lost store that is back is none any more. */
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
    { recovery: 'lazy', observer: true, ...(configuration === undefined ? {} : { configuration }) },
  );
  let troubles: Trouble[] = [];
  for (const kind of ['degraded', 'state-set-aside'] as const) {
    manager.on(kind, (event) => {
      if (troubles.some(({ message }) => message === event.message)) return;
      const trouble = { ...event, kind };
      troubles.push(trouble);
      onTrouble(trouble);
    });
  }
  manager.on('restored', () => {
    troubles = troubles.filter(({ kind }) => kind !== 'degraded');
  });
  const opened: OpenedManager = {
    manager,
    get troubles() {
      return troubles;
    },
  };
  const audit = manager.configuration.audit === undefined ? undefined : await keepAudit(manager);
  try {
    await manager.recovered();
    hideSecrets(() => secretsOf(manager.configuration));
    return await work(opened);
  } finally {
    await manager.shutdown();
    if (audit !== undefined) endAudit(audit, manager.configuration);
  }
}

/** Leaves nothing where nothing happens, as with commands that only look. */
async function keepAudit(manager: KeyManager): Promise<Audit> {
  const { startAudit } = await import('../observe/audit.js');
  return startAudit(manager, { application: 'keymux' });
}

/** Throws where a trail that must not fail could not be written; otherwise that is a warning. */
function endAudit(audit: Audit, configuration: Configuration): void {
  audit.stop();
  const { trouble } = audit;
  if (trouble === undefined) return;
  if (configuration.audit?.failClosed === true) throw trouble;
  warn(trouble.message, trouble.fix);
}

/** Where the state of this configuration is kept, without a password; undefined where nothing outlives a process. */
export function placeOfState({ store }: Configuration): string | undefined {
  if (store.type === 'memory') return undefined;
  if (store.type === 'redis') return store.address;
  return store.path ?? join(stateDirectory(process.env), 'state.db');
}
