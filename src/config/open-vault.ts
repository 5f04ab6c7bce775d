/** Opens a vault in the middle of synchronous code. */
import { createRequire } from 'node:module';
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { VaultDefinition } from './configuration.js';
import type { Environment } from './environment.js';
import type { Decrypted, VaultKey } from './vault-cipher.js';
import { lockedVault } from './vault-errors.js';
import { readVaultFile, stampOf } from './vault-file.js';
import { readVaultKey } from './vault-key.js';
import { accessWith, contentFrom, opened } from './vault-opened.js';
import type { VaultErrand } from './vault-worker.js';

/** A passphrase takes seconds by design; the most that a file may ask for takes ten on a slow machine. */
const LONGEST_OPENING_MS = 60_000;

/** A vault that was decrypted. Its values stay in memory as long as this is held. */
export interface OpenVault {
  readonly path: string;
  /** Names of the entries, sorted. */
  names(): readonly string[];
  /** The value under a name; undefined where there is none. */
  get(name: string): string | undefined;
  /** 32 bytes for another purpose, such as sealing the store: the same for everybody who can open this vault. */
  deriveKey(purpose: string): Uint8Array;
}

const kept = new Map<string, { readonly stamp: string; readonly vault: OpenVault }>();
const require = createRequire(import.meta.url);

/**
 * Opens a vault without waiting for anything, as reading a configuration does. What was opened is kept by the process
 * and opened anew where the file changed.
 * @throws `KEYMUX_VAULT_LOCKED`, `KEYMUX_VAULT_DAMAGED`
 */
export function openVault(definition: VaultDefinition, environment: Environment): OpenVault {
  const { path, key, folder } = definition;
  const place = JSON.stringify([path, key, folder]);
  const known = kept.get(place);
  if (known !== undefined && known.stamp === stampOf(path)) return known.vault;
  kept.delete(place);
  const { armour, stamp } = readVaultFile(path);
  const access = accessWith(definition, environment, readVaultKey(definition, environment));
  const vault = opened(access, contentFrom(decryptAside(armour, access.key, path), access));
  kept.set(place, { stamp, vault });
  return vault;
}

/** What decrypts is asynchronous, so it runs in a thread of its own, and this one stands still meanwhile. */
function decryptAside(armour: string, key: VaultKey, path: string): Decrypted {
  const { port1, port2 } = new MessageChannel();
  const done = new Int32Array(new SharedArrayBuffer(4));
  const errand: VaultErrand = { armour, key, port: port2, done };
  // Neither arguments nor variables of the program: a preload would open the vault, and so on without end.
  const worker = new Worker(require.resolve('#keymux/config/vault-worker.cjs'), {
    workerData: errand,
    transferList: [port2],
    execArgv: [],
    argv: [],
    env: {},
  });
  worker.unref();
  worker.on('error', () => {});
  Atomics.wait(done, 0, 0, LONGEST_OPENING_MS);
  const answer = receiveMessageOnPort(port1) as { readonly message: Decrypted } | undefined;
  port1.close();
  if (answer !== undefined) return answer.message;
  void worker.terminate();
  throw lockedVault(
    path,
    'it could not be opened within a minute',
    'Look whether this machine is overloaded.',
  );
}
