import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import processDefault, { env as namedEnv } from 'node:process';
import { inspect } from 'node:util';
import { Worker } from 'node:worker_threads';
import { installEnv } from '#keymux/interceptors/env.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acmeConfig, memoryStore } from '../../manager/acme.js';

const real = process.env;
let manager: KeyManager;
let uninstall: () => unknown;

function install(keys: Record<string, string>): void {
  Object.assign(process.env, keys);
  manager = new KeyManager({ cwd: '/nonexistent', config: acmeConfig(), store: memoryStore() });
  uninstall = installEnv(manager);
}

beforeEach(() => install({ ACME_API_KEY: 'key-one', ACME_API_KEY_2: 'key-two' }));

afterEach(async () => {
  uninstall();
  await manager.shutdown();
  for (const name of Object.keys(process.env))
    if (/^(ACME|FINNHUB|PLAIN)_/.test(name)) delete process.env[name];
});

function lose(keyId: string): void {
  manager.report(keyId, { kind: 'rejected', scope: 'key', executed: 'no' });
}

describe('a managed name', () => {
  it('answers with the best key of the moment, by whatever way process.env is reached', async () => {
    const { env } = process;
    const read = [
      () => process.env['ACME_API_KEY'],
      () => env['ACME_API_KEY'],
      () => processDefault.env['ACME_API_KEY'],
      () => (createRequire(import.meta.url)('node:process') as NodeJS.Process).env['ACME_API_KEY'],
      () => ({ ...process.env })['ACME_API_KEY'],
      () => (JSON.parse(JSON.stringify(process.env)) as NodeJS.ProcessEnv)['ACME_API_KEY'],
      () => Object.entries(process.env).find(([name]) => name === 'ACME_API_KEY')?.[1],
      () => Reflect.get(process.env, 'ACME_API_KEY') as string,
      () => Object.getOwnPropertyDescriptor(process.env, 'ACME_API_KEY')?.value as string,
      () => /ACME_API_KEY: '([^']+)'/.exec(inspect(process.env))?.[1],
    ];
    expect(read.map((ask) => ask())).toEqual(read.map(() => 'key-one'));
    lose('acme/main');
    expect(read.map((ask) => ask())).toEqual(read.map(() => 'key-two'));
    const imported = (await import('node:process')).env;
    expect(imported['ACME_API_KEY']).toBe('key-two');
    // Vitest gives each file its own view of named imports; the live binding is what syncBuiltinESMExports renews.
    expect(namedEnv).toBeDefined();
  });

  it('is there for `in`, keys, destructuring and hasOwn', () => {
    const { ACME_API_KEY } = process.env;
    expect(ACME_API_KEY).toBe('key-one');
    expect('ACME_API_KEY' in process.env).toBe(true);
    expect(Object.hasOwn(process.env, 'ACME_API_KEY')).toBe(true);
    expect(Object.keys(process.env)).toContain('ACME_API_KEY');
  });

  it('is gone after delete, until it is set again', () => {
    delete process.env['ACME_API_KEY'];
    expect(process.env['ACME_API_KEY']).toBeUndefined();
    expect('ACME_API_KEY' in process.env).toBe(false);
    expect(Object.keys(process.env)).not.toContain('ACME_API_KEY');
    process.env['ACME_API_KEY'] = 'key-three';
    expect(process.env['ACME_API_KEY']).toBe('key-three');
  });

  it('reads back what was assigned while that key works, and goes on with the others when it does not', () => {
    process.env['ACME_API_KEY'] = 'key-three';
    expect(process.env['ACME_API_KEY']).toBe('key-three');
    lose('acme/main');
    expect(process.env['ACME_API_KEY']).toBe('key-two');
  });

  it('learns keys that Object.defineProperty and Object.assign bring', () => {
    Object.defineProperty(process.env, 'ACME_API_KEY', {
      value: 'key-four',
      configurable: true,
      enumerable: true,
      writable: true,
    });
    expect(process.env['ACME_API_KEY']).toBe('key-four');
    Object.assign(process.env, { ACME_API_KEY_3: 'key-five' });
    lose('acme/main');
    lose('acme/2');
    expect(process.env['ACME_API_KEY']).toBe('key-five');
  });

  it('learns keys of a provider that had none, also from process.loadEnvFile and dotenv', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'keymux-env-'));
    const file = join(directory, 'keys.env');
    writeFileSync(file, 'FINNHUB_API_KEY=c9loaded\nFINNHUB_API_KEY_2=c9second\n');
    process.loadEnvFile(file);
    expect(process.env['FINNHUB_API_KEY']).toBe('c9loaded');
    await new Promise((resolve) => queueMicrotask(() => resolve(undefined)));
    expect(manager.inspect().keys.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['finnhub/main', 'finnhub/2']),
    );
    lose('finnhub/main');
    expect(process.env['FINNHUB_API_KEY']).toBe('c9second');
    const { config } = await import('dotenv');
    writeFileSync(file, 'ACME_API_KEY=key-dotenv\n');
    config({ path: file, override: true, quiet: true });
    expect(process.env['ACME_API_KEY']).toBe('key-dotenv');
    rmSync(directory, { recursive: true, force: true });
  });

  it('reaches child processes with the key of the moment', () => {
    lose('acme/main');
    const print = ['-e', 'process.stdout.write(process.env.ACME_API_KEY)'];
    expect(execFileSync(process.execPath, print, { encoding: 'utf8' })).toBe('key-two');
    expect(execFileSync(process.execPath, print, { encoding: 'utf8', env: process.env })).toBe('key-two');
  });

  it('reaches workers that are given the environment', async () => {
    lose('acme/main');
    const code = 'require("worker_threads").parentPort.postMessage(process.env.ACME_API_KEY)';
    const worker = new Worker(code, { eval: true, env: { ...process.env } });
    const answer = await new Promise((resolve) => worker.once('message', resolve));
    await worker.terminate();
    expect(answer).toBe('key-two');
  });

  it('gives the key that returns first while every key is out', () => {
    manager.report('acme/main', {
      kind: 'rate-limited',
      scope: 'key',
      executed: 'no',
      retryAt: manager.now() + 60_000,
    });
    manager.disable('acme/2');
    expect(process.env['ACME_API_KEY']).toBe('key-one');
  });
});

describe('other names', () => {
  it('behave as in a plain environment', () => {
    process.env['PLAIN_NAME'] = 'one';
    expect(process.env['PLAIN_NAME']).toBe('one');
    expect(real['PLAIN_NAME']).toBe('one');
    (process.env as Record<string, unknown>)['PLAIN_NUMBER'] = 7;
    expect(process.env['PLAIN_NUMBER']).toBe('7');
    expect('PLAIN_NOTHING' in process.env).toBe(false);
    expect(process.env['PLAIN_NOTHING']).toBeUndefined();
    expect(delete process.env['PLAIN_NAME']).toBe(true);
    expect(Object.keys(process.env)).not.toContain('PLAIN_NAME');
    expect(Object.prototype.toString.call(process.env)).toBe('[object Object]');
    expect(() => Object.freeze(process.env)).toThrow(TypeError);
    expect(Object.getOwnPropertyDescriptor(process.env, 'PATH')).toEqual(
      Object.getOwnPropertyDescriptor(real, 'PATH'),
    );
  });

  it('keep a further key of the provider readable as it is', () => {
    expect(process.env['ACME_API_KEY_2']).toBe('key-two');
  });
});

describe('afterwards', () => {
  it('the original environment and functions are back', () => {
    const patched = process.env;
    expect(patched).not.toBe(real);
    uninstall();
    expect(process.env).toBe(real);
    expect(Object.getOwnPropertyDescriptor(process, 'env')).toMatchObject({ value: real });
    expect(process.env['ACME_API_KEY']).toBe('key-one');
    expect(process.loadEnvFile.name).toBe('loadEnvFile');
  });
});
