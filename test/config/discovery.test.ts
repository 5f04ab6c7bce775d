import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { folderWith, keysOf, resolveIn, resolveYaml } from './sample.js';

describe('discovery in the environment', () => {
  it('finds the key, its numbered and backup variants and the list, in that order, gaps or not', () => {
    const configuration = resolveIn(
      {},
      {
        FINNHUB_API_KEYS: 'k8, k9\nk10\tk11',
        FINNHUB_API_KEY_BACKUP_2: 'k7',
        FINNHUB_API_KEY_10: 'k4',
        FINNHUB_API_KEY_BACKUP_1: 'k6',
        FINNHUB_API_KEY_3: 'k3',
        FINNHUB_API_KEY_BACKUP: 'k5',
        FINNHUB_API_KEY_1: 'k2',
        FINNHUB_API_KEY: 'k1',
      },
    );
    expect(keysOf(configuration, 'finnhub')).toEqual([
      'main k1 env:FINNHUB_API_KEY',
      '1 k2 env:FINNHUB_API_KEY_1',
      '3 k3 env:FINNHUB_API_KEY_3',
      '10 k4 env:FINNHUB_API_KEY_10',
      'backup k5 env:FINNHUB_API_KEY_BACKUP',
      'backup-1 k6 env:FINNHUB_API_KEY_BACKUP_1',
      'backup-2 k7 env:FINNHUB_API_KEY_BACKUP_2',
      'keys-1 k8 env:FINNHUB_API_KEYS',
      'keys-2 k9 env:FINNHUB_API_KEYS',
      'keys-3 k10 env:FINNHUB_API_KEYS',
      'keys-4 k11 env:FINNHUB_API_KEYS',
    ]);
    expect(configuration.credentials.map(({ priority }) => priority)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
    ]);
    expect(configuration.notes).toEqual([]);
  });

  it('finds the keys under each name of a provider, and tells them apart by id', () => {
    const env = { GOOGLE_API_KEY: 'b', GOOGLE_API_KEY_2: 'c', GOOGLE_API_KEYS: 'd', GEMINI_API_KEY: 'a' };
    expect(keysOf(resolveIn({}, env), 'gemini')).toEqual([
      'main a env:GEMINI_API_KEY',
      'google-api-key b env:GOOGLE_API_KEY',
      'google-api-key-2 c env:GOOGLE_API_KEY_2',
      'google-api-key-keys-1 d env:GOOGLE_API_KEYS',
    ]);
  });

  it('keeps the id of a key when a more conventional name appears', () => {
    const alone = resolveIn({}, { GOOGLE_API_KEY: 'b' });
    const joined = resolveIn({}, { GOOGLE_API_KEY: 'b', GEMINI_API_KEY: 'a' });
    expect(alone.credentials[0]?.id).toBe('google-api-key');
    expect(joined.credentials.map(({ id }) => id)).toEqual(['main', 'google-api-key']);
  });

  it('leaves variables alone that are not variants', () => {
    const env = {
      FINNHUB_API_KEY_2024: 'a',
      FINNHUB_API_KEY_TEST: 'b',
      FINNHUB_API_KEYS_2: 'c',
      MY_FINNHUB_API_KEY: 'd',
    };
    const configuration = resolveIn({}, { ...env, FINNHUB_API_KEY_BACKUP_X: 'e', OTHER_2: 'f' });
    expect(configuration.credentials).toEqual([]);
    expect([...configuration.providers.keys()]).toEqual([]);
  });

  it('takes a declared name for itself, even where it looks like a variant of another', () => {
    const yaml = `
providers:
  one: { baseUrl: https://one.example, env: [SHARED_KEY] }
  two: { baseUrl: https://two.example, env: [SHARED_KEY_2, SHARED_KEYS] }`;
    const configuration = resolveYaml(yaml, { SHARED_KEY: 'a', SHARED_KEY_2: 'b', SHARED_KEYS: 'c' });
    expect(keysOf(configuration, 'one')).toEqual(['main a env:SHARED_KEY']);
    expect(keysOf(configuration, 'two')).toEqual([
      'main b env:SHARED_KEY_2',
      'shared-keys c env:SHARED_KEYS',
    ]);
  });

  it('gives a name that the file claims to the provider of the file alone', () => {
    const yaml = 'providers: { proxy: { baseUrl: https://proxy.example, env: [GOOGLE_API_KEY] } }';
    const configuration = resolveYaml(yaml, { GOOGLE_API_KEY: 'a', GEMINI_API_KEY: 'b' });
    expect(keysOf(configuration, 'proxy')).toEqual(['main a env:GOOGLE_API_KEY']);
    expect(keysOf(configuration, 'gemini')).toEqual(['main b env:GEMINI_API_KEY']);
    expect(configuration.providers.get('gemini')?.env).toEqual(['GEMINI_API_KEY']);
  });

  it('trims values and passes over empty ones', () => {
    const configuration = resolveIn(
      {},
      { FINNHUB_API_KEY: '  a \n', FINNHUB_API_KEY_2: ' ', FINNHUB_API_KEYS: ' , ,' },
    );
    expect(keysOf(configuration, 'finnhub')).toEqual(['main a env:FINNHUB_API_KEY']);
    expect(configuration.notes).toEqual([]);
  });

  it('skips template values with a note', () => {
    const configuration = resolveIn(
      {},
      { FINNHUB_API_KEY: 'your-key-here', FINNHUB_API_KEYS: 'a,your-other' },
    );
    expect(keysOf(configuration, 'finnhub')).toEqual(['keys-1 a env:FINNHUB_API_KEYS']);
    expect(configuration.notes).toEqual([
      'skipped the template value of FINNHUB_API_KEY',
      'skipped the template value of FINNHUB_API_KEYS',
    ]);
  });

  it('keeps what looks like a template where the provider accepts it as a key', () => {
    const configuration = resolveIn({}, { ALPHAVANTAGE_API_KEY: 'your-demo', FINNHUB_API_KEY: 'your-demo' });
    expect(configuration.credentials.map(({ provider }) => provider)).toEqual(['alpha_vantage']);
  });

  it('counts one key once, and names both places but not the key', () => {
    const env = { FINNHUB_API_KEY: 'same-value', FINNHUB_API_KEY_2: 'same-value' };
    const configuration = resolveIn({ '.env': 'FINNHUB_API_KEY_BACKUP=same-value' }, env);
    expect(configuration.credentials).toHaveLength(1);
    expect(configuration.notes).toEqual([
      'FINNHUB_API_KEY and FINNHUB_API_KEY_2 hold the same key; it counts once',
      'FINNHUB_API_KEY and FINNHUB_API_KEY_BACKUP (.env) hold the same key; it counts once',
    ]);
  });

  it.each([
    ['a line break', 'abc\ndef', /line break/],
    ['a control character', 'abc\u0007def', /control character/],
    ['a zero-width space', 'abc\u200bdef', /outside ASCII/],
  ])('refuses a value with %s, without telling it', (_, value, reason) => {
    const configuration = resolveIn({}, { FINNHUB_API_KEY: value });
    expect(configuration.credentials).toEqual([]);
    expect(configuration.notes).toEqual([expect.stringMatching(reason)]);
    expect(configuration.notes.join()).toContain('FINNHUB_API_KEY');
    expect(configuration.notes.join()).not.toContain('abc');
  });

  it('gives each key its own bucket, and one bucket to all where the egress address is counted', () => {
    const env = { FINNHUB_API_KEYS: 'a,b', METERED_API_KEYS: 'c,d' };
    expect(resolveIn({}, env).credentials.map(({ bucket }) => bucket)).toEqual([
      'keys-1',
      'keys-2',
      'egress',
      'egress',
    ]);
  });
});

describe('.env', () => {
  it('adds what the environment lacks, quotes and comments understood', () => {
    const file =
      '\uFEFF# mine\nFINNHUB_API_KEY="from file"\nexport GEMINI_API_KEY=\'quoted\' # why\nGOOGLE_API_KEY=plain\n';
    const configuration = resolveIn({ '.env': file }, { FINNHUB_API_KEY: 'from-process' });
    expect(keysOf(configuration, 'finnhub')).toEqual(['main from-process env:FINNHUB_API_KEY']);
    expect(keysOf(configuration, 'gemini')).toEqual([
      'main quoted .env:GEMINI_API_KEY',
      'google-api-key plain .env:GOOGLE_API_KEY',
    ]);
    expect(configuration.sources).toEqual([join(configuration.folder, '.env')]);
  });

  it('does not bring back a variable that the environment empties', () => {
    expect(resolveIn({ '.env': 'FINNHUB_API_KEY=a' }, { FINNHUB_API_KEY: '' }).credentials).toEqual([]);
  });

  it('refuses a quoted value over several lines with a note', () => {
    const configuration = resolveIn({ '.env': 'FINNHUB_API_KEY="abc\ndef"' });
    expect(configuration.notes).toEqual([expect.stringContaining('FINNHUB_API_KEY (.env)')]);
  });

  it('passes over a folder of that name, which is a Python environment', () => {
    const folder = folderWith();
    mkdirSync(join(folder, '.env'));
    const configuration = resolveIn({}, {}, { cwd: folder, home: folder });
    expect(configuration.notes).toEqual([]);
    expect(configuration.sources).toEqual([]);
  });

  it.runIf(process.platform !== 'win32')('does not wait for a pipe', () => {
    const folder = folderWith();
    execFileSync('mkfifo', [join(folder, '.env')]);
    const configuration = resolveIn({}, {}, { cwd: folder, home: folder });
    expect(configuration.notes).toEqual([expect.stringContaining('not a regular file')]);
  });

  it('passes over a file that is too large, with a note', () => {
    const configuration = resolveIn({ '.env': `A=${'x'.repeat(1_048_577)}\nFINNHUB_API_KEY=a` });
    expect(configuration.credentials).toEqual([]);
    expect(configuration.notes).toEqual([expect.stringContaining('larger than 1 MiB')]);
  });

  it('passes over a folder that cannot be read, with a note', () => {
    const folder = folderWith({ file: '' });
    const configuration = resolveIn({}, {}, { cwd: join(folder, 'file'), home: folder, file: false });
    expect(configuration.notes).toEqual([expect.stringContaining('ENOTDIR')]);
  });
});
