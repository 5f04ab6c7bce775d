/** Decrypts one vault in a thread of its own, while the thread that asked waits. Loaded by `open-vault.ts` alone. */
import type { MessagePort } from 'node:worker_threads';
import { workerData } from 'node:worker_threads';
import { decryptArmour } from './vault-cipher.js';
import type { VaultKey } from './vault-cipher.js';

export interface VaultErrand {
  readonly armour: string;
  readonly key: VaultKey;
  /** Takes the answer, a `Decrypted`. */
  readonly port: MessagePort;
  /** One number, 1 once the answer is there. */
  readonly done: Int32Array<SharedArrayBuffer>;
}

const { armour, key, port, done } = workerData as VaultErrand;

void decryptArmour(armour, key).then((answer) => {
  port.postMessage(answer);
  Atomics.store(done, 0, 1);
  Atomics.notify(done, 0);
});
