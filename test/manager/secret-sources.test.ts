/** Keys that come from elsewhere, in a manager that runs. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SecretSource, SecretValue } from '#keymux/config/secret-source.js';
import { KeymuxError } from '#keymux/core/errors.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeyManagerOptions } from '#keymux/manager/options.js';
import { expect, describe, it, onTestFinished } from 'vitest';
import { memoryStore } from './acme.js';

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'keymux-sources-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function managerWith(options: KeyManagerOptions): { manager: KeyManager; warnings: string[] } {
  const warnings: string[] = [];
  const manager = new KeyManager({
    env: {},
    cwd: folder(),
    store: memoryStore(),
    logger: { warn: (message) => void warnings.push(message), info: () => {} },
    ...options,
  });
  onTestFinished(() => manager.shutdown());
  return { manager, warnings };
}

function acme(...values: readonly string[]): NonNullable<KeyManagerOptions['config']> {
  const keys = values.map((value, index) => ({ id: `k${index}`, value }));
  return { providers: { acme: { baseUrl: 'http://127.0.0.1:9', keys } } };
}

function cloud(read: (reference: string) => Promise<SecretValue>): SecretSource {
  return { scheme: 'cloud', read };
}

describe('a key of a registered source', () => {
  it('joins when it arrives, which `ready` waits for', async () => {
    let answer = (_value: SecretValue): void => {};
    const asked = new Promise<SecretValue>((done) => (answer = done));
    const { manager } = managerWith({ secretSources: [cloud(() => asked)], config: acme('cloud:a') });
    let isReady = false;
    const ready = manager.ready.then(() => (isReady = true));
    expect(() => manager.getApiKey('acme')).toThrow(KeymuxError);
    await new Promise((done) => setImmediate(done));
    expect(isReady).toBe(false);
    answer({ value: 'from-the-cloud' });
    await ready;
    expect(manager.getApiKey('acme')).toBe('from-the-cloud');
  });

  it('is renewed while the program runs, and only then', async () => {
    let version = 0;
    let latest: AbortSignal | undefined;
    const renewed: SecretSource = {
      scheme: 'cloud',
      read: async (_, { signal }) => {
        latest = signal;
        return { value: `key-${++version}`, expiresAt: Date.now() + 100 };
      },
    };
    const { manager } = managerWith({ secretSources: [renewed], config: acme('cloud:a') });
    await manager.ready;
    expect(manager.getApiKey('acme')).toMatch(/^key-/);
    await expect.poll(() => manager.getApiKey('acme'), { timeout: 10_000 }).not.toMatch(/^key-[12]$/);
    expect(latest?.aborted).toBe(false);
    await manager.shutdown();
    expect(latest?.aborted).toBe(true);
  });

  it('is left out where the source fails, with the others in use and nothing of it told', async () => {
    const read = (reference: string): Promise<SecretValue> =>
      reference === 'cloud:good'
        ? Promise.resolve({ value: 'good-key' })
        : Promise.reject(new Error('CANARY in the middle'));
    const { manager, warnings } = managerWith({
      secretSources: [cloud(read)],
      config: acme('cloud:bad', 'cloud:good'),
    });
    await manager.ready;
    expect(manager.getApiKey('acme')).toBe('good-key');
    expect(manager.configuration.notes).toEqual([
      expect.stringContaining('acme/k0 (its reference) is left out: its source failed'),
    ]);
    expect(warnings).toEqual([expect.stringContaining('acme/k0')]);
    expect(warnings.join() + manager.configuration.notes.join()).not.toContain('CANARY');
  });

  it.each([
    ['cloud:a', 'direct', /keys\[0\]\.value must say where the key is.*secretSources/s],
    ['known:a', 'virtual', /keys\[0\]\.value must be `file:`, `vault:` or `exec:` with `mode: virtual`/],
  ] as const)('cannot be %s with mode %s', (value, mode, fault) => {
    const config = {
      providers: { acme: { baseUrl: 'http://127.0.0.1:9', mode, keys: [{ id: 'a', value }] } },
    };
    const known: SecretSource = { scheme: 'known', read: async () => ({ value: 'k' }) };
    expect(() => managerWith({ config, secretSources: [known] })).toThrow(fault);
  });
});

describe('a file that holds a key', () => {
  it('is followed like the configuration itself', async () => {
    const cwd = folder();
    mkdirSync(join(cwd, 'keys'));
    const file = join(cwd, 'keys/one.key');
    writeFileSync(file, 'first-key', { mode: 0o600 });
    const yaml =
      'providers: { acme: { baseUrl: "http://127.0.0.1:9", keys: [{ id: a, value: "file:keys/one.key" }] } }';
    writeFileSync(join(cwd, 'keymux.config.yaml'), yaml);
    const { manager, warnings } = managerWith({ cwd });
    await manager.ready;
    expect(manager.configuration.sources).toEqual([join(cwd, 'keymux.config.yaml'), file]);
    expect(manager.getApiKey('acme')).toBe('first-key');
    writeFileSync(file, 'second-key');
    await expect.poll(() => manager.getApiKey('acme'), { timeout: 10_000 }).toBe('second-key');
    rmSync(file);
    await expect.poll(() => warnings.join(), { timeout: 10_000 }).toContain('stays as it was');
    expect(manager.getApiKey('acme')).toBe('second-key');
  });
});

describe('a configuration that becomes another while the program runs', () => {
  it('is refused and told where nobody allowed what it does', async () => {
    const cwd = folder();
    const path = join(cwd, 'keymux.config.yaml');
    writeFileSync(path, 'providers: { acme: { baseUrl: "http://127.0.0.1:9" } }');
    const { manager, warnings } = managerWith({ cwd, env: { ACME_API_KEY: 'CANARY-key' } });
    await manager.ready;
    writeFileSync(path, 'providers: { acme: { baseUrl: "https://collect.evil.example" } }');
    await expect.poll(() => warnings.join(), { timeout: 10_000 }).toContain('collect.evil.example');
    expect(manager.resolve('acme').baseUrl).toBe('http://127.0.0.1:9');
    expect(warnings.join()).toMatch(/not used.*keymux allow/s);
    expect(warnings.join()).not.toContain('CANARY');
  });
});
