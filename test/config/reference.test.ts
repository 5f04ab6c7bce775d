import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readEnvironment } from '#keymux/config/environment.js';
import {
  type ReadKey,
  readReference,
  readReferenceLater,
  readSetting,
  splitWords,
} from '#keymux/config/reference.js';
import { errorOf, folderWith, isTemplateValue } from './sample.js';

function read(reference: string, folder = folderWith(), env: Record<string, string> = {}): ReadKey {
  const environment = readEnvironment({ PATH: process.env.PATH, ...env }, folder);
  return readReference(reference, { environment, folder, keyId: 'acme/main', isTemplateValue });
}

function reveal(reference: string, folder?: string, env?: Record<string, string>): string {
  return read(reference, folder, env).secret.reveal();
}

const node = `'${process.execPath}'`;

describe('readReference', () => {
  it('reads a variable of the environment or of .env, trimmed', () => {
    expect(reveal('env:A', undefined, { A: ' one ' })).toBe('one');
    expect(reveal('env:A', folderWith({ '.env': 'A=two' }))).toBe('two');
  });

  it('reads a file next to the configuration, trimmed', () => {
    const folder = folderWith({ 'keys/acme': '\uFEFFfrom file\r\n' });
    expect(reveal('file:keys/acme', folder)).toBe('from file');
    expect(reveal(`file:${join(folder, 'keys/acme')}`)).toBe('from file');
  });

  it.runIf(process.platform !== 'win32')('remarks upon a file that others can read', () => {
    const folder = folderWith({ open: 'k', closed: 'k' });
    chmodSync(join(folder, 'open'), 0o640);
    expect(read('file:open', folder).notes).toEqual([
      expect.stringContaining(`${join(folder, 'open')} can be read by other users`),
    ]);
    expect(read('file:closed', folder).notes).toEqual([]);
  });

  it('takes what a command prints, trimmed, and starts it in the folder of the configuration', () => {
    const folder = folderWith({ 'print.mjs': 'console.log("from-" + process.argv[2] + process.env.A)' });
    expect(reveal(`exec:${node} print.mjs 'co mmand'`, folder, { A: '!' })).toBe('from-co mmand!');
  });

  it('does not pass NODE_OPTIONS on, which could start keymux within the command without end', () => {
    const folder = folderWith({ 'print.mjs': 'console.log(String(process.env.NODE_OPTIONS))' });
    expect(reveal(`exec:${node} print.mjs`, folder, { NODE_OPTIONS: '--import ./gone.mjs' })).toBe(
      'undefined',
    );
  });

  it.each([
    ['env:UNSET', 'the variable is not set', 'env:UNSET'],
    ['env:EMPTY', 'it is empty', 'env:EMPTY'],
    ['env:TEMPLATE', 'template', 'env:TEMPLATE'],
    ['env:LINES', 'line break', 'env:LINES'],
    ['file:gone', 'ENOENT', 'file:gone'],
    ['file:folder', 'not a regular file', 'file:folder'],
    ['file:large', 'larger than 64 KiB', 'file:large'],
    ['exec:keymux-no-such-program a', 'not found', 'exec:keymux-no-such-program'],
    [`exec:${node} -e process.exit(3)`, 'exit code 3', process.execPath],
    [`exec:${node} -e "process.kill(process.pid,'SIGTERM')"`, 'could not be run', process.execPath],
    [`exec:${node} -e "console.log('CANARY'.repeat(20000))"`, '64 KiB', process.execPath],
    [`exec:${node} -e ''`, 'it is empty', process.execPath],
    ['exec:  ', 'the command is empty', 'exec:'],
    ["exec:print 'CANARY", 'quote', 'exec:'],
    ['cloud:CANARY', 'not known', 'its reference'],
    [exec('{ value: "" }'), 'it is empty', process.execPath],
    [exec('{ value: "k", ttlMs: -1 }'), 'no time', process.execPath],
    [exec('{ value: "k", expiresAt: "soon" }'), 'no time', process.execPath],
    [exec('{ value: "k", expiresAt: 1 }'), 'has expired', process.execPath],
  ])('explains why %s gives no key', (reference, reason, named) => {
    const folder = folderWith({ large: 'CANARY'.repeat(20_000) });
    mkdirSync(join(folder, 'folder'));
    const env = { EMPTY: ' ', TEMPLATE: 'your-CANARY', LINES: 'CANARY\nCANARY' };
    const error = errorOf(() => read(reference, folder, env));
    expect(error.code).toBe('KEYMUX_SECRET_UNREADABLE');
    expect(error.message).toContain(reason);
    expect(error.message).toContain('acme/main');
    expect(error.fix).toContain(named);
    expect(`${error.message} ${error.fix} ${String(error.cause)}`).not.toContain('CANARY');
  });

  it('leaves out what a failing command printed', () => {
    const folder = folderWith({
      'fail.mjs': 'console.log("CANARY"); console.error("CANARY"); process.exit(1)',
    });
    const error = errorOf(() => read(`exec:${node} fail.mjs --token CANARY`, folder));
    expect(JSON.stringify([error.message, error.fix, error.stack])).not.toContain('CANARY');
    expect(error.cause).toBeUndefined();
  });

  it('ends a command that takes too long', () => {
    const folder = folderWith({ 'hang.mjs': 'setInterval(() => {}, 1000)' });
    const environment = readEnvironment({}, folder);
    const context = { environment, folder, keyId: 'acme/main', isTemplateValue, commandTimeoutMs: 300 };
    const error = errorOf(() => readReference(`exec:${node} hang.mjs`, context));
    expect(error.message).toContain('within 0.3 s');
  });
});

/** A command that prints this as JSON. */
function exec(answer: string): string {
  return `exec:${node} -p 'JSON.stringify(${answer})'`;
}

describe('what a command prints', () => {
  const at = Date.now() + 3_600_000;

  it.each([
    [exec(`{ value: " one ", expiresAt: ${at} }`), 'one', at],
    [exec(`{ value: "one", expiresAt: new Date(${at}) }`), 'one', at],
    [exec('{ value: "one" }'), 'one', undefined],
    [exec('{ token: "one" }'), '{"token":"one"}', undefined],
    [`exec:${node} -p "'{ one'"`, '{ one', undefined],
  ])('is the key, or says how long it is good: %s', async (reference, key, expiresAt) => {
    const folder = folderWith();
    const context = contextOf(folder);
    const read = readReference(reference, context);
    expect(read.secret.reveal()).toBe(key);
    expect(read.expiresAt).toBe(expiresAt);
    expect((await readReferenceLater(reference, context)).secret.reveal()).toBe(key);
  });

  it('is good for the time that it states', () => {
    const { expiresAt = 0 } = readReference(exec('{ value: "one", ttlMs: 60000 }'), contextOf(folderWith()));
    expect(expiresAt - Date.now()).toBeGreaterThan(30_000);
    expect(expiresAt - Date.now()).toBeLessThanOrEqual(60_000);
  });

  it.each([
    [`exec:${node} -e process.exit(3)`, 'exit code 3'],
    ['exec:keymux-no-such-program CANARY', 'not found'],
    [`exec:${node} -e "console.log('CANARY'.repeat(20000))"`, '64 KiB'],
    [`exec:${node} -e "setInterval(() => {}, 1000)"`, 'within 2 s'],
    [`exec:${node} -e "process.kill(process.pid,'SIGTERM')"`, 'could not be run'],
  ])('is explained in the same words where nobody waits for it: %s', async (reference, reason) => {
    const context = { ...contextOf(folderWith()), commandTimeoutMs: 2_000 };
    const error: unknown = await readReferenceLater(reference, context).catch((fault: unknown) => fault);
    expect(error).toMatchObject({ code: 'KEYMUX_SECRET_UNREADABLE' });
    expect(String(error)).toContain(reason);
    expect(String(error)).not.toContain('CANARY');
  });
});

describe('a command', () => {
  it('gets neither what .env adds nor the key of the vault', () => {
    const folder = folderWith({ '.env': 'LD_PRELOAD=./evil.so\nTOKEN_SERVER=https://evil.example' });
    const env = { KEYMUX_VAULT_KEY: 'CANARY', MY_VAULT: 'CANARY', OWN: 'own' };
    const print = `exec:${node} -p 'JSON.stringify(Object.keys(process.env))'`;
    const context = contextOf(folder, env);
    const vault = { path: '/v', key: 'env:MY_VAULT', folder };
    const names = readReference(print, { ...context, vault }).secret.reveal();
    expect(JSON.parse(names)).toEqual(expect.arrayContaining(['OWN', 'KEYMUX_VAULT_KEY']));
    expect(names).not.toMatch(/LD_PRELOAD|TOKEN_SERVER|MY_VAULT/);
    expect(readReference(print, context).secret.reveal()).not.toContain('KEYMUX_VAULT_KEY');
  });
});

describe('the vault', () => {
  it('is told with its own code and fix where it cannot be opened', () => {
    const folder = folderWith();
    const error = errorOf(() => readReference('vault:acme/spare', contextOf(folder)));
    expect(error.code).toMatch(/^KEYMUX_VAULT_/);
    expect(error.message).toContain('The key acme/main (vault:acme/spare) is left out: ');
    expect(error.message).toContain(join(folder, 'keymux.vault'));
    const setting = { ...contextOf(folder), option: 'store.secret' };
    expect(errorOf(() => readSetting('vault:x', setting)).message).toContain('store.secret (vault:x)');
  });

  it('does not lend its own key', () => {
    const context = contextOf(folderWith(), { KEYMUX_VAULT_KEY: 'CANARY' });
    const error = errorOf(() => readReference('env:KEYMUX_VAULT_KEY', context));
    expect(error.message).toContain('the variable holds the key of the vault');
  });
});

function contextOf(folder: string, env: Readonly<Record<string, string>> = {}) {
  const environment = readEnvironment({ PATH: process.env.PATH, ...env }, folder);
  return { environment, folder, keyId: 'acme/main', isTemplateValue };
}

describe('splitWords', () => {
  it.each([
    ['a  b\tc', ['a', 'b', 'c']],
    [' a ', ['a']],
    [`'a b' "c 'd' \\"e\\"" f\\ g`, ['a b', `c 'd' "e"`, 'f g']],
    [`a'b'"c"d`, ['abcd']],
    [`a '' ""`, ['a', '', '']],
    [`"a\\n"`, ['a\\n']],
    ['$(x) | y > z', ['$(x)', '|', 'y', '>', 'z']],
    ['', []],
    [`'open`, undefined],
    [`"open\\"`, undefined],
    ['end\\', undefined],
  ])('splits %j', (command, words) => {
    expect(splitWords(command)).toEqual(words);
  });
});
