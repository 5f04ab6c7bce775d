import { statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Configuration } from '../../config/configuration.js';
import { KeymuxError } from '../../core/errors.js';
import { placeOfState, withManager } from '../opened-manager.js';
import type { OpenedManager, Trouble } from '../opened-manager.js';
import { failed, passed, warned } from './check.js';
import type { Check } from './check.js';

const OTHERS = 0o077;

/** Who may read the state; looked at before the store tightens what is its own. Undefined where there are no modes. */
export function modeCheck(configuration: Configuration): Check | undefined {
  const { store } = configuration;
  const place = placeOfState(configuration);
  if (store.type !== 'sqlite' || place === undefined || process.platform === 'win32') return undefined;
  const folder = dirname(place);
  const files = [place, `${place}-wal`, `${place}-shm`, join(folder, 'fingerprint.key')];
  // A folder that the configuration names may hold other things, which others may need.
  const open = (store.path === undefined ? [folder] : []).concat(files).filter(isOpenToOthers);
  if (open.length === 0) return passed('state-modes', `${folder} is this user's alone`);
  const names = open.map((path) => (path === folder ? folder : basename(path))).join(', ');
  return warned('state-modes', `Other users can reach ${names}.`, `Run: chmod go-rwx ${open.join(' ')}`);
}

function isOpenToOthers(path: string): boolean {
  try {
    return (statSync(path).mode & OTHERS) !== 0;
  } catch {
    // What is not there, or cannot be reached, is for the check of the store.
    return false;
  }
}

/** Opens the store and writes: takes a permit of a bucket of its own, and gives it back. */
export async function storeCheck(configuration: Configuration): Promise<Check> {
  const troubles: Trouble[] = [];
  const store = configuration.store.type;
  const onTrouble = (trouble: Trouble): void => void troubles.push(trouble);
  try {
    await withManager(tryStore, { configuration, onTrouble });
  } catch (error) {
    if (!(error instanceof KeymuxError)) throw error;
    return failed('store', error.message, error.fix);
  }
  const [trouble] = troubles;
  if (trouble?.kind === 'degraded') return failed('store', trouble.message, trouble.fix);
  if (trouble !== undefined) return warned('store', trouble.message, trouble.fix);
  const place = placeOfState(configuration);
  return place === undefined
    ? passed('store', `${store}: limits and cooldowns are each process' own, and end with it`)
    : passed('store', `${store} opens and writes: ${place}`);
}

async function tryStore({ manager: { store } }: OpenedManager): Promise<void> {
  const bucket = 'keymux/doctor';
  const request = { bucket, windows: [], want: 1, ttlMs: 1_000, slackMs: 0 };
  const { leaseId } = await store.lease(request);
  await store.settle([{ bucket, leaseId, spent: 0, countedAt: 0, returned: 1 }]);
}
