import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ASK, LEARN, stage } from './commands.js';
import type { Staged } from './commands.js';
import { makeCanary } from './canary.js';

/** It seals the store and what is usual, too. */
const VAULT = "vault: { key: 'file:vault.key' }\n";
const KEYS = "    keys: [{ id: kept, value: 'vault:acme/kept' }]\n    discover: false\n";

/** What a person keeps there: the file of variables, and the key of the vault. */
const isOurs = (path: string): boolean => /^(?:\.env|vault\.key|new\.key)$/.test(path);

async function filled(): Promise<Staged & { readonly kept: ReturnType<typeof makeCanary> }> {
  const staged = await stage(VAULT, KEYS);
  const kept = makeCanary('kept');
  expect(await staged.run(['vault', 'init'])).toBe(0);
  expect(await staged.run(['vault', 'set', 'acme/kept'], {}, kept.text)).toBe(0);
  return { ...staged, kept };
}

/** Each command is a process that starts. */
const TIMEOUT_MS = 120_000;

describe('a key in a vault', { timeout: TIMEOUT_MS }, () => {
  it('is said by no command but the one that is asked to, and stands in no file', async () => {
    const { project, sinks, canaries, run, kept } = await filled();
    for (const args of [
      ['vault', 'get', 'acme/kept', '--json'],
      ['vault', 'list', '--json'],
      ['vault', 'import'],
      ['vault', 'import', '--json'],
      ['vault', 'rotate'],
      ['vault', 'accept', '--yes'],
      ['status'],
      ['keys', 'list', '--json'],
      ['run', '--', process.execPath, '-e', LEARN],
    ])
      await run(args, { KEYMUX_DEBUG: '1' });
    const identity = readFileSync(project.path('vault.key'), 'utf8')
      .split('\n')
      .find((line) => line.startsWith('AGE-'));
    sinks.addFiles('project', project.folder, isOurs);
    sinks.expectNone(
      [...canaries, kept, { name: 'identity', text: identity ?? '' }],
      'keymux vault get acme/kept --json: stdout',
      'keymux vault rotate: stderr',
      'project: keymux.vault',
      'project: store/state.db',
      /^project: state\/vaults\//,
      /^project: state\/anomalies\//,
    );
    const revealed = project.start(['vault', 'get', 'acme/kept', '--reveal']);
    revealed.process.stdin?.end();
    expect((await revealed.ended).stdout.trimEnd()).toBe(kept.text);
  });

  it('nor its passphrase, is said when it is locked, damaged or asked for by a wrong name', async () => {
    const { project, sinks, canaries, typed, plain, run, kept } = await filled();
    const path = project.path('keymux.vault');
    const armour = readFileSync(path, 'latin1');
    const wrong = { KEYMUX_WRONG: typed.text };
    for (const [args, env, input] of [
      [['vault', 'get', typed.text], {}, ''],
      [['vault', 'get', plain.text], {}, ''],
      [['vault', 'remove', plain.text], {}, ''],
      [['vault', 'get', 'acme/kept', '--key', 'env:KEYMUX_WRONG'], wrong, ''],
      [['vault', 'get', 'acme/kept', '--key', typed.text], {}, ''],
      [['vault', 'get', 'acme/kept', '--key', `env:${plain.text}`], {}, ''],
      [['vault', 'get', 'acme/kept', '--key', `exec:/nonexistent ${plain.text}`], {}, ''],
      [['vault', 'set', 'acme/x', typed.text], {}, plain.text],
      [['vault', 'recipients', 'add', typed.text], {}, ''],
      [['vault', 'export', '--to', typed.text], {}, ''],
    ] as const)
      expect(await run(args, { KEYMUX_DEBUG: '1', ...env }, input), args.join(' ')).not.toBe(0);
    for (const damaged of [
      armour.slice(0, 300),
      armour.replace(/[A-Z]/, 'a'),
      `${kept.text}\n${armour}`,
      kept.text,
    ]) {
      writeFileSync(path, damaged, { mode: 0o600 });
      await run(['vault', 'list'], { KEYMUX_DEBUG: '1' });
    }
    sinks.expectNone(
      [...canaries, kept, typed, plain],
      'keymux vault get <typed>: stderr',
      'keymux vault list: stderr',
    );
  });
});

describe('a key in what a program prints or a file holds', { timeout: TIMEOUT_MS }, () => {
  it('is taken out of its output, in every encoding that is promised', async () => {
    const { project, sinks, canaries } = await stage();
    const print = `const keys = [process.env.ACME_API_KEY, process.env.ACME_API_KEY_2];
      for (const key of keys)
        for (const form of [key, JSON.stringify(key), encodeURIComponent(key), btoa('user:' + key), btoa('us' + key), Buffer.from(key).toString('hex'), Buffer.from(key).toString('base64url')]) {
          console.log('out', form, 'end');
          console.error('err', form, 'end');
        }
      for (const letter of keys.join(' ')) process.stdout.write(letter);
      throw new Error('refused ' + keys[0]);`;
    const running = project.start(['run', '--redact', '--', process.execPath, '-e', print]);
    running.process.stdin?.end();
    const { code, stdout, stderr } = await running.ended;
    expect([code, stdout.match(/\[keymux:acme\/main\].* end/g)?.length]).toEqual([1, 7]);
    sinks.add('stdout', stdout);
    sinks.add('stderr', stderr);
    sinks.expectNone(canaries, 'stdout', 'stderr');
  });

  it('is found there, and not shown', async () => {
    const { project, sinks, canaries, plain, run } = await stage();
    const [bad] = canaries;
    writeFileSync(project.path('notes.txt'), `a\nkey: ${bad?.text}\n`);
    writeFileSync(project.path('log.json'), `{"authorization":"Basic ${btoa(`user:${bad?.text}`)}"}`);
    writeFileSync(project.path('other.js'), `const apiKey = '${plain.text.replace('sk-', 'sk-proj-')}';\n`);
    for (const args of [['scan'], ['scan', '--json'], ['scan', 'notes.txt', 'log.json']])
      expect(await run(args)).toBe(8);
    sinks.expectNone([...canaries, plain], 'keymux scan: stdout', 'keymux scan --json: stdout');
  });

  it('is in no record of the audit trail, and no answer about it', async () => {
    const { project, sinks, canaries, run } = await stage('audit: { path: ./audit }\n');
    expect(await run(['run', '--', process.execPath, '-e', ASK])).toBe(0);
    await run(['keys', 'disable', 'acme/main']);
    for (const args of [
      ['audit', 'tail'],
      ['audit', 'export'],
      ['audit', 'export', '--format', 'csv'],
      ['audit', 'verify'],
      ['audit', 'verify', '--json'],
    ])
      expect(await run(args), args.join(' ')).toBe(0);
    sinks.addFiles('project', project.folder, isOurs);
    sinks.expectNone(canaries, 'keymux audit tail: stdout', /^project: audit\//);
  });
});
