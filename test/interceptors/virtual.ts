/** A manager for `acme` with `mode: virtual`: its real keys are in files, and the application holds the virtual one. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { virtualKeysOf } from '#keymux/manager/virtual-keys.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeyManagerOptions } from '#keymux/manager/options.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { onTestFinished } from 'vitest';

/** An empty folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'keymux-virtual-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Options of a provider whose keys are these texts, each in a file of its own. */
export function virtualProvider(keys: readonly string[], folder = temporaryFolder()): object {
  const listed = keys.map((text, index) => {
    const path = join(folder, `${index}.key`);
    writeFileSync(path, text, { mode: 0o600 });
    return { id: `k${index}`, value: `file:${path}` };
  });
  return { mode: 'virtual', keys: listed };
}

export interface Virtual {
  readonly manager: KeyManager;
  /** What the application holds. */
  readonly key: string;
}

/** A manager that is not tied into the process. */
export function plainManager(
  providers: Readonly<Record<string, object>>,
  env: Readonly<Record<string, string>> = {},
): KeyManager {
  const manager = new KeyManager({
    env,
    cwd: '/nonexistent',
    config: { providers } as NonNullable<KeyManagerOptions['config']>,
    store: createMemoryStore({ now: () => performance.now(), onNotice: () => {} }),
    random: () => 0,
    drainMs: 1,
  });
  onTestFinished(() => manager.shutdown());
  return manager;
}

/** A manager of the provider `acme` with this key in the environment. */
export function directManager(origin: string, key: string, provider: object = {}): KeyManager {
  return plainManager({ acme: { baseUrl: origin, ...provider } }, { ACME_API_KEY: key });
}

export function virtualManager(
  origin: string,
  keys: readonly string[] = ['key-one'],
  provider: object = {},
): Virtual {
  const manager = plainManager({ acme: { baseUrl: origin, ...virtualProvider(keys), ...provider } });
  return { manager, key: virtualKeyOf(manager) };
}

export function virtualKeyOf(manager: KeyManager, provider = 'acme'): string {
  const key = virtualKeysOf(manager).of(provider);
  if (key === undefined) throw new Error(`${provider} is not virtual`);
  return key.text;
}
