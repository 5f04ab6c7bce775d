import { createRequire } from 'node:module';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { StoreDefinition, VaultDefinition } from '../config/configuration.js';
import { readEnvironment } from '../config/environment.js';
import { openVault } from '../config/lazy-vault.js';
import { createFile } from '../config/replaced-file.js';
import type { Store, StoreOptions } from '../core/ports.js';
import { createMemoryStore } from '../stores/memory.js';
import { createSealedStore } from '../stores/sealed-store.js';
import { stateDirectory } from '../stores/sqlite/state-directory.js';
import { createSqliteStore } from '../stores/sqlite/store.js';

type RedisStoreModule = typeof import('./redis-store.js');

const require = createRequire(import.meta.url);

/** What opens the vault whose key seals the store. */
export interface VaultAccess {
  readonly vault: VaultDefinition | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where `.env` is looked for. */
  readonly cwd: string;
}

/**
 * The store that is configured; sealed where there is a vault, unless `encrypt` is false. What is kept in memory only
 * needs no seal.
 * @throws `KEYMUX_VAULT_LOCKED`, `KEYMUX_VAULT_DAMAGED`
 */
export function chooseStore(definition: StoreDefinition, options: StoreOptions, access?: VaultAccess): Store {
  const vault = access?.vault;
  if (access === undefined || vault === undefined || definition.type === 'memory') {
    return plainStore(definition, options);
  }
  if (definition.encrypt === false) return plainStore(definition, options);
  const key = openVault(vault, readEnvironment(access.env, access.cwd)).deriveKey('store');
  return createSealedStore(plainStore(definition, options), key, options.onNotice);
}

/** The Redis store is loaded where it is configured only, as one CommonJS file that the build makes. */
function plainStore(definition: StoreDefinition, options: StoreOptions): Store {
  if (definition.type === 'sqlite') {
    return createSqliteStore(definition.path === undefined ? options : { ...options, path: definition.path });
  }
  if (definition.type === 'redis') {
    const { openRedisStore } = require('#keymux/manager/redis-store.cjs') as RedisStoreModule;
    return openRedisStore(definition, options);
  }
  return createMemoryStore(options);
}

const KEY_BYTES = 32;

/**
 * The secret under which keys get their fingerprints. It lives beside the state file (mode 0600), so that a key is
 * known again after a restart while the state file alone tells nothing. Hosts that share a Redis have no place in
 * common but their configuration: `store.secret`, or else a key that is no secret, see docs/security.md. Where nothing
 * is kept, fingerprints never leave the process and need no secret.
 */
export function fingerprintKeyFor(
  store: Store,
  definition: StoreDefinition,
  onNotice: StoreOptions['onNotice'] = () => {},
): Uint8Array {
  if (store.kind === 'memory') return new Uint8Array(KEY_BYTES);
  if (store.kind === 'redis') return fleetKey(definition);
  const path = definition.type === 'sqlite' ? definition.path : undefined;
  const directory = path === undefined ? stateDirectory(process.env) : dirname(path);
  const file = join(directory, 'fingerprint.key');
  const found = readKey(file);
  if (found?.length === KEY_BYTES) return found;
  if (found !== undefined) setAside(file, onNotice);
  return createKey(directory, file) ?? readWholeKey(file) ?? new Uint8Array(KEY_BYTES);
}

/** Without `store.secret` it is the same for every fleet, also for programs that pass a client of their own. */
function fleetKey(definition: StoreDefinition): Uint8Array {
  const secret = definition.type === 'redis' ? definition.secret?.reveal() : undefined;
  const { createHash } = process.getBuiltinModule('node:crypto');
  return createHash('sha256')
    .update(`keymux fingerprints\0${secret ?? ''}`)
    .digest();
}

function readKey(file: string): Uint8Array | undefined {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}

function readWholeKey(file: string): Uint8Array | undefined {
  const bytes = readKey(file);
  return bytes?.length === KEY_BYTES ? bytes : undefined;
}

/** Of several processes that meet a damaged file, one moves it away; what another put in its place goes back. */
function setAside(file: string, onNotice: StoreOptions['onNotice']): void {
  const aside = `${file}.damaged-${process.pid}-${Date.now()}`;
  try {
    renameSync(file, aside);
    if (readWholeKey(aside) === undefined) {
      onNotice({
        kind: 'set-aside',
        message: `${file} is damaged; it is kept as ${aside}.`,
        fix: 'Keys are not known again from before: put back a whole copy and restart if you have one.',
      });
      return;
    }
    linkSync(aside, file);
    rmSync(aside);
  } catch {
    // Somebody else has moved it, or put another in its place.
  }
}

/** Undefined where another process was first, or where the directory is of no use, which the store itself reports. */
function createKey(directory: string, file: string): Uint8Array | undefined {
  const { randomBytes } = process.getBuiltinModule('node:crypto');
  const fresh = randomBytes(KEY_BYTES);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return createFile(file, fresh) ? fresh : undefined;
  } catch {
    return undefined;
  }
}
