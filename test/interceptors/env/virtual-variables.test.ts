import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { virtualKeyFor } from '#keymux/config/virtual-key.js';
import { installEnv } from '#keymux/interceptors/env.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { acmeConfig, memoryStore } from '../../manager/acme.js';
import { temporaryFolder, virtualKeyOf, virtualProvider } from '../virtual.js';

const NAME = 'ACME_API_KEY';
const REAL = 'canary-real';

const real = process.env;
let warnings: string[];
let undos: (() => unknown)[];

beforeEach(() => {
  warnings = [];
  undos = [];
  vi.spyOn(process, 'emitWarning').mockImplementation((warning) => void warnings.push(String(warning)));
});

afterEach(async () => {
  for (const undo of undos.reverse()) await undo();
  vi.restoreAllMocks();
  for (const name of Object.keys(real)) if (/^ACME_|^OTHER_/.test(name)) delete real[name];
});

interface Installed {
  readonly manager: KeyManager;
  readonly key: string;
  /** Of the configuration; to be changed before `manager.reload()`. */
  readonly provider: { mode: string; env?: string[]; keys?: unknown };
  uninstall(): void;
}

function install(env: Record<string, string> = {}, more: object = {}): Installed {
  Object.assign(real, env);
  const config = acmeConfig({ provider: { ...virtualProvider(['key-one']), ...more } });
  const manager = new KeyManager({ cwd: '/nonexistent', config, store: memoryStore() });
  const uninstall = installEnv(manager);
  undos.push(
    () => manager.shutdown(),
    () => uninstall(),
  );
  const provider = (config as { providers: { acme: Installed['provider'] } }).providers.acme;
  return { manager, key: virtualKeyOf(manager), provider, uninstall: () => void uninstall() };
}

describe('a variable of a virtual provider', () => {
  it('holds the virtual key in the real environment, for whoever copies or inherits it', async () => {
    const { key } = install();
    expect(key).not.toBe('key-one');
    expect(process.env[NAME]).toBe(key);
    expect(real[NAME]).toBe(key);
    expect(structuredClone({ ...process.env })[NAME]).toBe(key);
    expect(execFileSync('printenv', [NAME], { encoding: 'utf8' }).trim()).toBe(key);
    const report = process.report.getReport() as { environmentVariables: Record<string, string> };
    expect(report.environmentVariables[NAME]).toBe(key);
    const code = `require('node:worker_threads').parentPort.postMessage(process.env.${NAME})`;
    const worker = new Worker(code, { eval: true });
    expect(await new Promise((resolve) => worker.once('message', resolve))).toBe(key);
    await worker.terminate();
    expect(warnings).toEqual([]);
  });

  it('loses the real key that it held, with a warning that does not name it, and gets it back at the end', () => {
    const { key, uninstall } = install({
      [NAME]: REAL,
      [`${NAME}_2`]: `${REAL}-2`,
      [`${NAME}S`]: `${REAL}-3`,
    });
    for (const name of [NAME, `${NAME}_2`, `${NAME}S`]) {
      expect(process.env[name]).toBe(key);
      expect(real[name]).toBe(key);
    }
    expect(JSON.stringify(process.env)).not.toContain(REAL);
    const said = warnings.join('\n');
    expect(said).toContain(`${NAME}_2 held a key`);
    expect(said).toContain('Take the real key out');
    expect(said).not.toContain(REAL);
    uninstall();
    expect([real[NAME], real[`${NAME}_2`], real[`${NAME}S`]]).toEqual([REAL, `${REAL}-2`, `${REAL}-3`]);
  });

  it('is gone again at the end if it was not set, or was deleted', () => {
    const first = install();
    first.uninstall();
    expect(NAME in real).toBe(false);
    const second = install({ [NAME]: REAL });
    delete process.env[NAME];
    second.uninstall();
    expect(NAME in real).toBe(false);
  });

  it.each(['your-api-key', '', 'changeme'])('replaces %j without a word', (template) => {
    const { key } = install({ [NAME]: template });
    expect(real[NAME]).toBe(key);
    process.env[NAME] = template;
    expect(real[NAME]).toBe(key);
    expect(warnings).toEqual([]);
  });

  it('keeps the virtual key whatever the application or its tools set', () => {
    const { key } = install();
    process.env[NAME] = REAL;
    process.env[NAME] = `${REAL}-again`;
    Object.assign(process.env, { [`${NAME}_BACKUP`]: REAL });
    Object.defineProperty(process.env, `${NAME}_BACKUP_1`, {
      value: REAL,
      configurable: true,
      enumerable: true,
      writable: true,
    });
    for (const name of [NAME, `${NAME}_BACKUP`, `${NAME}_BACKUP_1`])
      expect([process.env[name], real[name]]).toEqual([key, key]);
    expect(warnings).toHaveLength(3);
    expect(warnings[0]).toContain(`${NAME} was set to a key; it keeps the virtual key of acme`);
    expect(warnings.join()).not.toContain(REAL);
    process.env[NAME] = key;
    expect(warnings).toHaveLength(3);
  });

  it('is gone after delete until it is set again', () => {
    const { manager, key } = install();
    delete process.env[NAME];
    expect([process.env[NAME], NAME in process.env, real[NAME]]).toEqual([undefined, false, undefined]);
    manager.reload();
    expect(process.env[NAME]).toBeUndefined();
    process.env[NAME] = REAL;
    expect([process.env[NAME], real[NAME]]).toEqual([key, key]);
  });

  it('overwrites what process.loadEnvFile brought', async () => {
    const { key } = install();
    const path = join(temporaryFolder(), '.env');
    writeFileSync(path, `${NAME}=${REAL}\n${NAME}_2=${REAL}\nOTHER_SETTING=1`);
    process.loadEnvFile(path);
    await Promise.resolve();
    expect([real[NAME], real[`${NAME}_2`], real['OTHER_SETTING']]).toEqual([key, key, '1']);
    expect(process.env[`${NAME}_2`]).toBe(key);
  });

  it('accepts the virtual key that another application left there, and puts its own in', () => {
    const inherited = virtualKeyFor('acme', '/of/the/parent', new Uint8Array(32));
    const { manager, key } = install({ [NAME]: inherited });
    expect(key).not.toBe(inherited);
    expect(real[NAME]).toBe(key);
    const isKnown = manager.origins.find('http://127.0.0.1:9')?.isKnownKey;
    expect([isKnown?.(inherited), isKnown?.(key), isKnown?.('other')]).toEqual([true, true, false]);
    process.env[NAME] = virtualKeyFor('acme', '/third', new Uint8Array(32));
    expect(isKnown?.(virtualKeyFor('acme', '/third', new Uint8Array(32)))).toBe(true);
    expect(real[NAME]).toBe(key);
    expect(warnings).toEqual([]);
  });

  it('answers by its other names only where they are set, and leaves those of others alone', () => {
    const env = [NAME, 'ACME_TOKEN', 'ACME_OLD_KEY'];
    const { key } = install(
      { ACME_TOKEN: REAL, OTHER_API_KEY_2: 'plain', OPENAI_API_KEYS_FILE: 'x' },
      { env },
    );
    delete real['OPENAI_API_KEYS_FILE'];
    expect([real[NAME], real['ACME_TOKEN'], real['ACME_OLD_KEY']]).toEqual([key, key, undefined]);
    expect(process.env['OTHER_API_KEY_2']).toBe('plain');
    process.env['ACME_OLD_KEY'] = REAL;
    expect(process.env['ACME_OLD_KEY']).toBe(key);
  });

  it('is no variant of a name that is declared by itself', () => {
    const keys = virtualProvider(['key-one']);
    const config = acmeConfig({ provider: keys });
    Object.assign((config as { providers: object }).providers, {
      other: { baseUrl: 'http://127.0.0.1:8', env: ['ACME_API_KEY_2'] },
      finnhub: {},
      prefix: { baseUrl: 'http://127.0.0.1:7', env: ['FINNHUB_API_KE'], ...keys },
    });
    Object.assign(real, { ACME_API_KEY_2: 'key-other' });
    const manager = new KeyManager({ cwd: '/nonexistent', config, store: memoryStore() });
    const uninstall = installEnv(manager);
    undos.push(
      () => manager.shutdown(),
      () => uninstall(),
    );
    expect(real['ACME_API_KEY_2']).toBe('key-other');
    expect(process.env['ACME_API_KEY_2']).toBe('key-other');
    expect(process.env[NAME]).toBe(virtualKeyOf(manager));
  });

  it('follows the configuration: to direct and back', () => {
    const { manager, key, provider } = install({ [NAME]: REAL });
    const { keys } = provider;
    provider.mode = 'direct';
    delete provider.keys;
    manager.reload();
    expect(real[NAME]).toBe(REAL);
    expect(process.env[NAME]).not.toBe(key);
    Object.assign(provider, { mode: 'virtual', keys });
    manager.reload();
    expect([process.env[NAME], real[NAME]]).toEqual([key, key]);
  });

  it('holds it even where no real key can be read, so that none of the environment is taken', () => {
    const { manager, key } = install({ [NAME]: REAL }, { keys: [] });
    expect(manager.inspect().keys).toEqual([]);
    expect([process.env[NAME], real[NAME]]).toEqual([key, key]);
  });
});
