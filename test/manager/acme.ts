/** A provider of our own, `acme`, and managers for it. */
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeyManagerOptions, KeyManagerSeams } from '#keymux/manager/options.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { onTestFinished } from 'vitest';

export interface AcmeOptions {
  readonly keys?: readonly string[];
  readonly baseUrl?: string;
  readonly provider?: object;
  readonly services?: object;
  readonly options?: KeyManagerOptions;
  readonly seams?: KeyManagerSeams;
}

export function memoryStore() {
  return createMemoryStore({ now: () => performance.timeOrigin + performance.now(), onNotice: () => {} });
}

export function acmeConfig({
  baseUrl = 'http://127.0.0.1:9',
  provider = {},
  services = {},
}: AcmeOptions = {}) {
  return {
    services,
    providers: {
      acme: { baseUrl, auth: { in: 'header', name: 'x-api-key' }, env: ['ACME_API_KEY'], ...provider },
    },
  } as NonNullable<KeyManagerOptions['config']>;
}

export function acmeEnv(keys: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    keys.map((key, index) => [index === 0 ? 'ACME_API_KEY' : `ACME_API_KEY_${index + 1}`, key]),
  );
}

/** A manager over the keys, shut down when the test is over. The first key is `acme/main`, then `acme/2` … */
export function acmeManager(acme: AcmeOptions = {}): KeyManager {
  const manager = new KeyManager(
    {
      env: acmeEnv(acme.keys ?? ['key-one', 'key-two']),
      cwd: '/nonexistent',
      config: acmeConfig(acme),
      store: memoryStore(),
      random: () => 0,
      ...acme.options,
    },
    acme.seams,
  );
  onTestFinished(() => manager.shutdown());
  return manager;
}
