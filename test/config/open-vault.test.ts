import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { openVault } from '#keymux/config/lazy-vault.js';
import { openVault as openVaultHere } from '#keymux/config/open-vault.js';
import { changeVault, rotateVault } from '#keymux/config/vault-write.js';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { CANARY, filledVault, refusal, withKey } from './vault-place.js';
import type { Place } from './vault-place.js';

const REGISTER = fileURLToPath(new URL('../../dist/register.cjs', import.meta.url));
const BUNDLE = fileURLToPath(new URL('../../dist/config/open-vault.cjs', import.meta.url));
const ENVIRONMENT = fileURLToPath(new URL('../../dist/config/environment.js', import.meta.url));

/** Opens the vault synchronously, wherever it is run, and prints what `report` makes of it. */
function program({ definition, folder }: Place, report: string): string {
  const env = JSON.stringify({ KEYMUX_STATE_DIR: join(folder, 'state') });
  return `
    const { openVault } = require(${JSON.stringify(BUNDLE)});
    const { readEnvironment } = require(${JSON.stringify(ENVIRONMENT)});
    const vault = openVault(${JSON.stringify(definition)}, readEnvironment(${env}, ${JSON.stringify(folder)}));
    ${report}`;
}

describe.each([
  ['as it is bundled', openVault],
  ['as a module', openVaultHere],
])('openVault, %s', (_, open) => {
  it('answers without waiting, and derives the same keys for everybody', async () => {
    const { definition, environment } = await filledVault();
    const vault = open(definition, environment);
    expect(vault.names()).toEqual(['acme/main', 'acme/spare']);
    expect(vault.get('acme/main')).toBe(`${CANARY}-main`);
    expect(vault.get('acme/none')).toBeUndefined();
    expect(vault.deriveKey('store')).toHaveLength(32);
    expect(vault.deriveKey('store')).not.toEqual(vault.deriveKey('audit'));
    expect(vault.path).toBe(definition.path);
  });

  it('keeps what it opened until the file changes', async () => {
    const { definition, environment, access } = await filledVault();
    const first = open(definition, environment);
    expect(open(definition, environment)).toBe(first);
    await changeVault(access, (draft) => draft.set('acme/new', 'x'));
    const second = open(definition, environment);
    expect(second.names()).toContain('acme/new');
    expect(first.names()).not.toContain('acme/new');
    utimesSync(definition.path, 1, 1);
    expect(open(definition, environment)).not.toBe(second);
  });

  it('refuses another key, a change and an older copy by their codes', async () => {
    const { definition, environment, access, folder } = await filledVault();
    const copy = join(folder, 'copy');
    copyFileSync(definition.path, copy);
    await changeVault(access, (draft) => draft.set('acme/new', 'x'));
    open(definition, environment);
    copyFileSync(copy, definition.path);
    expect(await refusal(() => open(definition, environment))).toMatchObject({
      code: 'KEYMUX_VAULT_DAMAGED',
    });
    const armour = readFileSync(definition.path, 'utf8');
    writeFileSync(definition.path, `${armour.slice(0, -60)}A${armour.slice(-59)}`);
    expect(await refusal(() => open(definition, environment))).toMatchObject({
      code: 'KEYMUX_VAULT_DAMAGED',
    });
    writeFileSync(join(folder, 'vault.key'), 'some other passphrase');
    expect(await refusal(() => open(definition, environment))).toMatchObject({ code: 'KEYMUX_VAULT_LOCKED' });
  });

  it('confirms a new key, whose predecessor is then forgotten', async () => {
    const { definition, environment, access } = await filledVault();
    const passphrase = { kind: 'passphrase', passphrase: 'a new passphrase' } as const;
    await rotateVault(access, withKey(access, passphrase), { workFactor: 4 });
    expect(existsSync(`${definition.path}.previous`)).toBe(true);
    const variables = new Map([
      ...environment.variables,
      ['NEW', { value: 'a new passphrase', origin: 'env:NEW' }],
    ]);
    const vault = open({ ...definition, key: 'env:NEW' }, { ...environment, variables });
    expect(vault.get('acme/spare')).toBe(`${CANARY}-spare`);
    expect(existsSync(`${definition.path}.previous`)).toBe(false);
    // While somebody writes, what is kept is left alone.
    writeFileSync(`${definition.path}.previous`, 'kept', { mode: 0o600 });
    writeFileSync(`${definition.path}.lock`, JSON.stringify([process.pid, 'elsewhere', '']));
    utimesSync(definition.path, 1, 1);
    open({ ...definition, key: 'env:NEW' }, { ...environment, variables });
    expect(statSync(`${definition.path}.previous`).size).toBe(4);
  });
});

describe('the thread that decrypts', () => {
  it('loads nothing that the program preloads, by argument or by NODE_OPTIONS', async () => {
    const place = await filledVault();
    const trace = join(place.folder, 'trace');
    const preload = join(place.folder, 'preload.cjs');
    writeFileSync(preload, `require('node:fs').appendFileSync(${JSON.stringify(trace)}, 'x')`);
    const main = join(place.folder, 'main.cjs');
    writeFileSync(main, program(place, `console.log(vault.get('acme/main').length)`));
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--require', preload, main], {
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: `--require ${preload}` },
    });
    expect([status, stdout, stderr]).toEqual([0, `${CANARY.length + 5}\n`, '']);
    // Once by each of the two, in the main thread alone; Node loads one module once.
    expect(readFileSync(trace, 'utf8')).toBe('x');
  });

  it('opens it in a worker thread, below the preload of keymux', async () => {
    const place = await filledVault();
    const main = join(place.folder, 'main.cjs');
    const inWorker = program(place, `require('node:worker_threads').parentPort.postMessage(vault.names())`);
    writeFileSync(
      main,
      program(
        place,
        `const { Worker } = require('node:worker_threads');
         new Worker(${JSON.stringify(inWorker)}, { eval: true }).on('message', (names) => console.log(...names));`,
      ),
    );
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--import', REGISTER, main], {
      encoding: 'utf8',
      cwd: place.folder,
      env: {
        ...process.env,
        KEYMUX_STATE_DIR: join(place.folder, 'state'),
        NODE_OPTIONS: `--import=${REGISTER}`,
      },
    });
    expect([status, stdout, stderr]).toEqual([0, 'acme/main acme/spare\n', '']);
  });

  it('ends, and does not keep the program alive', async () => {
    const place = await filledVault();
    const worker = new Worker(program(place, ''), { eval: true });
    expect(await new Promise((resolve) => worker.on('exit', resolve))).toBe(0);
  });
});

describe('a vault that takes too long', () => {
  it('is locked, and opens later', async () => {
    const { definition, environment } = await filledVault();
    const wait = vi.spyOn(Atomics, 'wait').mockReturnValue('timed-out');
    onTestFinished(() => wait.mockRestore());
    expect(await refusal(() => openVaultHere(definition, environment))).toMatchObject({
      code: 'KEYMUX_VAULT_LOCKED',
      message: expect.stringContaining('could not be opened within a minute') as string,
    });
    wait.mockRestore();
    expect(openVaultHere(definition, environment).get('acme/main')).toBe(`${CANARY}-main`);
  });
});
