import { describe, expect, it } from 'vitest';
import { isVirtualKey, virtualKeyFor } from '#keymux/config/virtual-key.js';
import { errorOf, keysOf, resolveIn, resolveYaml } from './sample.js';

const VIRTUAL = virtualKeyFor('acme', '/', new Uint8Array(32));
const node = `'${process.execPath}'`;

function acme(keys: string, more = ''): string {
  return `providers: { acme: { baseUrl: "http://127.0.0.1:9", mode: virtual, keys: [${keys}] ${more} } }`;
}

function problemsOf(yaml: string): string {
  return errorOf(() => resolveYaml(yaml)).message;
}

describe('mode: virtual', () => {
  it('takes keys from files and commands, and remembers where they can be read again', () => {
    const configuration = resolveIn({
      'keymux.config.yaml': acme(`{ id: a, value: "file:one.key" }, { id: b, value: "exec:${node} -p 2+2" }`),
      'one.key': 'CANARY-one',
    });
    expect(keysOf(configuration, 'acme').map((key) => key.split(' ', 2))).toEqual([
      ['a', 'CANARY-one'],
      ['b', '4'],
    ]);
    expect(configuration.credentials.map(({ source }) => source)).toEqual([
      { reference: 'file:one.key', folder: configuration.folder },
      { reference: `exec:${node} -p 2+2`, folder: configuration.folder },
    ]);
    expect(configuration.notes).toEqual([]);
  });

  it('does not say where keys of direct providers can be read', () => {
    const { credentials } = resolveIn({
      'keymux.config.yaml': acme('{ id: a, value: "file:one.key" }').replace('virtual', 'direct'),
      'one.key': 'k',
    });
    expect(credentials).toHaveLength(1);
    expect(credentials[0]).not.toHaveProperty('source');
  });

  it('discovers nothing, and says which variables hold a key all the same', () => {
    const configuration = resolveIn(
      { 'keymux.config.yaml': acme(''), '.env': 'ACME_API_KEY_2=CANARY-two' },
      { ACME_API_KEY: 'CANARY-one', ACME_API_KEY_BACKUP: VIRTUAL },
    );
    expect(configuration.credentials).toEqual([]);
    expect(configuration.notes).toEqual([
      expect.stringMatching(/^env:ACME_API_KEY holds a key that is not used.*take it out of there$/),
      expect.stringMatching(/^\.env:ACME_API_KEY_2 holds a key that is not used/),
      'acme has no usable key: add one to providers.acme.keys',
    ]);
    expect(configuration.notes.join()).not.toContain('CANARY');
  });

  it('keeps what its variables hold from commands', () => {
    const print = `${node} -p process.env.ACME_API_KEY_2+process.env.OTHER`;
    const configuration = resolveIn(
      { 'keymux.config.yaml': acme(`{ id: a, value: "exec:${print}" }`) },
      { ACME_API_KEY_2: 'CANARY', OTHER: 'other' },
    );
    expect(configuration.credentials[0]?.secret.reveal()).toBe('undefinedother');
  });

  it('refuses keys that the program could read, and whatever contradicts it', () => {
    const problems = problemsOf(
      acme('{ id: a, value: "env:ACME_API_KEY" }', ', discover: true, signed: true'),
    );
    expect(problems).toContain('keys[0].value cannot be an environment variable with `mode: virtual`');
    expect(problems).toContain('discover cannot be true beside `mode: virtual`');
    expect(problems).toContain('mode cannot be `virtual`: requests are signed');
  });

  it('is refused where the catalogue knows that requests are signed', async () => {
    const { catalogue } = await import('#keymux/providers/catalogue.js');
    const { readConfigurationFile } = await import('#keymux/config/file.js');
    const file = { 'keymux.config.yaml': 'providers: { binance: { mode: virtual } }' };
    const read = () => resolveIn(file, {}, { catalogue, readFile: readConfigurationFile });
    expect(errorOf(read).message).toContain('requests are signed');
  });

  it('leaves a provider alone that is direct', () => {
    const { credentials } = resolveIn(
      { 'keymux.config.yaml': acme('').replace('virtual', 'direct') },
      { ACME_API_KEY: 'one' },
    );
    expect(credentials).toHaveLength(1);
  });
});

describe('a virtual key in the wrong place', () => {
  it('is no key, in the environment or behind a reference', () => {
    const direct =
      'providers: { acme: { baseUrl: "http://127.0.0.1:9", keys: [{ id: a, value: "file:a.key" }] } }';
    const { credentials, notes } = resolveIn(
      { 'keymux.config.yaml': direct, 'a.key': VIRTUAL },
      { ACME_API_KEY: VIRTUAL, ACME_API_KEYS: `one,${VIRTUAL}` },
    );
    expect(isVirtualKey(VIRTUAL)).toBe(true);
    expect(credentials.map(({ secret }) => secret.reveal())).toEqual(['one']);
    expect(notes).toEqual([
      expect.stringContaining('acme/a (file:a.key) is left out: it is a virtual key'),
      'skipped the virtual key of ACME_API_KEY: it is of use in its own application only',
      'skipped the virtual key of ACME_API_KEYS: it is of use in its own application only',
    ]);
    expect(notes.join()).not.toContain(VIRTUAL);
  });
});
