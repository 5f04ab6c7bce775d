import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LEARN, stage } from './commands.js';

/** Each command is a process that starts. */
const TIMEOUT_MS = 120_000;

describe('no command says a key', { timeout: TIMEOUT_MS }, () => {
  it('while it looks at keys, changes them and runs a program with them', async () => {
    const { project, sinks, canaries, run } = await stage();
    const decisions = { KEYMUX_DECISIONS: project.path('decisions') };
    const preload = { NODE_DEBUG: 'keymux,timer', KEYMUX_DEBUG: '1', ...decisions };
    expect(await run(['run', '--verbose', '--', process.execPath, '-e', LEARN], preload)).toBe(0);
    for (const args of [
      ['status'],
      ['status', '--json'],
      ['explain', 'data'],
      ['explain', 'data', '--json'],
      ['keys', 'list'],
      ['keys', 'list', '--json'],
      ['keys', 'disable', 'acme/main'],
      ['keys', 'enable', 'acme/main'],
      ['keys', 'reset', 'acme/main'],
      ['keys', 'add', 'acme/spare', '--value', 'env:ACME_API_KEY_2'],
      ['keys', 'retire', 'acme/spare'],
      ['why', '--last', '5', '--from', 'decisions'],
      ['why', '--last', '5', '--from', 'decisions', '--json'],
      ['replay', 'decisions', '--set', 'services.data.strategy=round-robin'],
      ['replay', 'decisions', '--json'],
      ['doctor'],
      ['doctor', '--json'],
      ['init', '--print'],
      ['init', '--yes'],
    ])
      await run(args);
    sinks.addFiles('project', project.folder, (path) => path === '.env');
    sinks.expectNone(
      canaries,
      'keymux status: stdout',
      'keymux doctor: stdout',
      'project: store/state.db',
      /^project: decisions/,
      /^project: state\/anomalies\//,
    );
    const said = sinks.places.filter((place) => place.endsWith('stdout'));
    expect(said.length).toBeGreaterThan(15);
  });

  it('nor one that was typed or pasted where none belongs', async () => {
    const { project, sinks, canaries, typed, plain, run } = await stage();
    const [odd, even] = [typed.text, plain.text];
    for (const args of [
      [odd],
      [`--${odd}`],
      ['status', odd],
      ['status', `--${even}`],
      ['explain', odd],
      ['explain', even],
      ['keys', odd],
      ['keys', 'disable', odd],
      ['keys', 'disable', `acme/${even}`],
      ['keys', 'add', `acme/${even}`, '--value', 'env:ACME_API_KEY'],
      ['keys', 'add', `${odd}/x`, '--value', 'env:ACME_API_KEY'],
      ['keys', 'add', 'acme/x', '--value', odd],
      ['keys', 'add', 'acme/x', '--value', `env:${even}`],
      ['keys', 'retire', `acme/${odd}`],
      ['why', odd],
      ['why', '--last', even],
      ['replay', '.env'],
      ['why', '--last', '1', '--from', '.env'],
      ['replay', 'decisions', '--set', odd],
      ['replay', 'decisions', '--set', `${even}=1`],
      ['serve', '--port', odd],
      ['run', `--${odd}`, '--', process.execPath],
    ])
      expect(await run(args), args.join(' ')).not.toBe(0);
    sinks.addFiles('project', project.folder, (path) => path === '.env');
    sinks.expectNone(
      [...canaries, typed, plain],
      'keymux explain <typed>: stderr',
      'keymux replay .env: stderr',
    );
  });

  it('nor one that stands in addresses which a person is to allow', async () => {
    const { project, sinks, canaries, typed, plain, run } = await stage();
    const at = encodeURIComponent(typed.text);
    writeFileSync(
      project.path('keymux.config.yaml'),
      `alerts:
  - { when: exhausted, webhook: 'https://hooks.example/services/${plain.text}?token=${at}' }
store: { type: redis, url: 'redis://user:${at}@redis.example:6379/0' }
`,
    );
    for (const args of [
      ['status'],
      ['allow'],
      ['allow', '--json'],
      ['allow', '--yes'],
      ['allow', '--list', '--json'],
      ['allow', '--revoke'],
    ])
      await run(args);
    sinks.addFiles('project', project.folder, (path) => /^(?:\.env|keymux\.config\.yaml)$/.test(path));
    sinks.expectNone([...canaries, typed, plain], 'keymux allow: stdout', 'keymux allow --yes: stdout');
  });

  it('nor one of a configuration that is at fault', async () => {
    const { project, sinks, canaries, typed, run } = await stage();
    const faults = {
      'a key as the value': `providers:\n  acme:\n    keys: [{ id: main, value: '${typed.text}' }]\n`,
      'a key in the syntax': `providers:\n  acme: {{{ ${typed.text}\n`,
      'a key as an option': `providers:\n  acme:\n    "${typed.text.replaceAll('"', '')}": 1\n`,
    };
    for (const [fault, text] of Object.entries(faults)) {
      writeFileSync(project.path('keymux.config.yaml'), text);
      for (const args of [
        ['status'],
        ['doctor'],
        ['keys', 'list'],
        ['run', '--', process.execPath, '-e', '0'],
        ['serve', '--port', '0'],
      ])
        expect(await run(args, { KEYMUX_DEBUG: '1' }), `${fault}: ${args.join(' ')}`).not.toBe(0);
    }
    sinks.expectNone([...canaries, typed], 'keymux status: stderr', 'keymux doctor: std');
  });
});
