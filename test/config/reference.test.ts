import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readEnvironment } from '#keymux/config/environment.js';
import { type ReadKey, readReference, splitWords } from '#keymux/config/reference.js';
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
    ['vault:a', 'not known', 'vault:a'],
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
