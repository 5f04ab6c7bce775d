import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Secret } from '#keymux/core/secret.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { NewKey } from '#keymux/manager/key-changes.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeConfig, acmeManager, memoryStore } from './acme.js';

const idsOf = (manager: KeyManager): string[] => manager.inspect().keys.map(({ id }) => id);
const spare = (more: Partial<NewKey> = {}): NewKey => ({
  provider: 'acme',
  id: 'spare',
  secret: new Secret('key-spare'),
  ...more,
});

interface Folder {
  readonly directory: string;
  write(name: string, text: string): void;
}

function folder(): Folder {
  const directory = mkdtempSync(join(tmpdir(), 'keymux-changes-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return { directory, write: (name, text) => writeFileSync(join(directory, name), text, { mode: 0o600 }) };
}

describe('a key that is added', () => {
  it('serves after all others, or before them where it is to', () => {
    const manager = acmeManager();
    expect(manager.addKey(spare())).toBe('acme/spare');
    expect(idsOf(manager)).toEqual(['acme/main', 'acme/2', 'acme/spare']);
    expect(manager.getApiKey('acme')).toBe('key-one');
    manager.addKey(spare({ id: 'first', secret: new Secret('key-first'), priority: 0 }));
    expect(manager.getApiKey('acme')).toBe('key-first');
    expect(manager.inspect().notes.join()).toContain('acme/first was added while running');
  });

  it.each([
    ['env:SPARE_KEY', 'key-of-variable'],
    ['file:spare.key', 'key-of-file'],
    [`exec:"${process.execPath}" -p "'key-of-' + 'command'"`, 'key-of-command'],
  ])('is read from where it is: %s', (value, text) => {
    const { directory, write } = folder();
    write('spare.key', 'key-of-file\n');
    const manager = acmeManager({
      keys: [],
      options: { cwd: directory, env: { SPARE_KEY: 'key-of-variable' } },
    });
    manager.addKey({ provider: 'acme', id: 'spare', value });
    expect(manager.getApiKey('acme')).toBe(text);
  });

  it('lets a request go on that waits for one', async () => {
    const manager = acmeManager({ keys: ['key-one'] });
    manager.report('acme/main', {
      kind: 'rate-limited',
      scope: 'key',
      executed: 'no',
      retryAt: Date.now() + 5_000,
    });
    const waiting = manager.acquire('acme', { timeoutMs: 20_000 });
    manager.addKey(spare());
    const lease = await waiting;
    expect(lease.keyId).toBe('acme/spare');
    lease.end();
  });

  it.each<[string, Partial<NewKey>, string, RegExp]>([
    ['an id that is taken', { id: 'main' }, 'KEYMUX_USAGE', /There is a key acme\/main already/],
    ['a key that is there', { secret: new Secret('key-two') }, 'KEYMUX_USAGE', /acme\/2 is the same key/],
    ['a provider that is not in use', { provider: 'nobody' }, 'KEYMUX_USAGE', /provider of the new key/],
    [
      'an id that may be a key',
      { id: 'sk-Proj AbC' },
      'KEYMUX_USAGE',
      /id of the new key of acme is no name/,
    ],
    [
      'a bucket that is no name',
      { bucket: 'A B' },
      'KEYMUX_USAGE',
      /bucket of the new key of acme is no name/,
    ],
    ['a reference beside a key', { value: 'env:ACME_API_KEY' }, 'KEYMUX_USAGE', /either/],
    ['a template', { secret: new Secret('your-api-key') }, 'KEYMUX_SECRET_UNREADABLE', /template/],
    ['blanks around it', { secret: new Secret(' key ') }, 'KEYMUX_SECRET_UNREADABLE', /blanks/],
    ['a line break', { secret: new Secret('key\nother') }, 'KEYMUX_SECRET_UNREADABLE', /line break/],
  ])('is refused: %s', (_, more, code, message) => {
    const manager = acmeManager();
    const before = idsOf(manager);
    expect(() => manager.addKey(spare(more))).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) as string }),
    );
    expect(idsOf(manager)).toEqual(before);
  });

  it('is refused without a key, and from a variable where the provider is virtual', () => {
    const manager = acmeManager({
      keys: [],
      provider: { mode: 'virtual' },
      options: { env: { SPARE: 'key-spare' } },
    });
    expect(() => manager.addKey({ provider: 'acme', id: 'spare' })).toThrow('either a reference or the key');
    expect(() => manager.addKey({ provider: 'acme', id: 'spare', value: 'env:SPARE' })).toThrow(
      'its keys stand in no variable',
    );
    manager.addKey(spare({ bucket: 'shared', weight: 2 }));
    expect(manager.inspect().keys).toEqual([
      expect.objectContaining({ id: 'acme/spare', bucket: 'acme/shared', bucketSource: 'declared' }),
    ]);
  });

  it('takes up what the store knows of it', async () => {
    const store = memoryStore();
    const first = acmeManager({ keys: ['key-one', 'key-spare'], options: { store } });
    await first.ready;
    first.disable('acme/2');
    const second = acmeManager({ keys: ['key-one'], options: { store } });
    await second.ready;
    second.addKey(spare());
    await expect
      .poll(() => second.inspect().keys.find(({ id }) => id === 'acme/spare')?.state)
      .toBe('disabled');
  });

  it('stays through a reload, and gives way to the configuration', () => {
    const { directory, write } = folder();
    const configure = (keys: string): void =>
      write(
        'keymux.config.yaml',
        `providers: { acme: { baseUrl: "http://127.0.0.1:9", discover: false, keys: [${keys}] } }\n`,
      );
    configure('{ id: main, value: env:KEY_ONE }');
    const env = { KEY_ONE: 'key-one', KEY_SPARE: 'key-spare', KEY_TWO: 'key-two' };
    const manager = new KeyManager({ env, cwd: directory, store: memoryStore() });
    onTestFinished(() => manager.shutdown());
    manager.addKey(spare());
    manager.reload();
    expect(idsOf(manager)).toEqual(['acme/main', 'acme/spare']);
    configure('{ id: main, value: env:KEY_ONE }, { id: written, value: env:KEY_SPARE }');
    manager.reload();
    expect(idsOf(manager)).toEqual(['acme/main', 'acme/written']);
    manager.retireKey('acme/main');
    manager.reload();
    expect(idsOf(manager)).toEqual(['acme/written']);
    configure('{ id: main, value: env:KEY_TWO }');
    manager.reload();
    expect(manager.getApiKey('acme')).toBe('key-two');
  });
});

describe('a key that is retired', () => {
  it('is none that a reload finds as it was, or without a request', async () => {
    const { directory, write } = folder();
    const configure = (name: string): void =>
      write(
        'keymux.config.yaml',
        `providers: { acme: { baseUrl: "http://127.0.0.1:9", discover: false, keys: [{ id: main, value: env:${name} }] } }\n`,
      );
    configure('KEY_ONE');
    const env = { KEY_ONE: 'key-one', KEY_TWO: 'key-two', KEY_THREE: 'key-three' };
    const manager = new KeyManager({ env, cwd: directory, store: memoryStore() });
    onTestFinished(() => manager.shutdown());
    await manager.ready;
    const lease = await manager.acquire('acme');
    manager.reload();
    expect(manager.retiring).toEqual([]);
    configure('KEY_TWO');
    manager.reload();
    expect(manager.retiring).toEqual([{ id: 'acme/main', inFlight: 1 }]);
    lease.cancel();
    configure('KEY_THREE');
    manager.reload();
    expect(manager.retiring).toEqual([]);
  });

  it('gets no more requests while those under way finish', async () => {
    const manager = acmeManager();
    await manager.ready;
    const lease = await manager.acquire('acme');
    expect(lease.keyId).toBe('acme/main');
    expect(manager.retireKey('acme/main')).toEqual({ id: 'acme/main', inFlight: 1 });
    expect(manager.getApiKey('acme')).toBe('key-two');
    expect(idsOf(manager)).toEqual(['acme/2']);
    expect(manager.retiring).toEqual([{ id: 'acme/main', inFlight: 1 }]);
    expect(lease.apiKey).toBe('key-one');
    lease.report({ kind: 'success', scope: 'request', executed: 'yes' });
    lease.end();
    expect(manager.retiring).toEqual([]);
  });

  it('can be added again, under its own id as well', () => {
    const manager = acmeManager();
    manager.retireKey('acme/main');
    expect(manager.inspect().notes.join()).toContain('acme/main was retired while running');
    manager.addKey(spare({ id: 'main', secret: new Secret('key-one') }));
    expect(manager.getApiKey('acme')).toBe('key-one');
    expect(manager.inspect().notes.join()).not.toContain('acme/main');
    manager.retireKey('acme/main');
    manager.addKey(spare({ id: 'main', priority: 0 }));
    expect(manager.getApiKey('acme')).toBe('key-spare');
    manager.retireKey('acme/main');
    expect(idsOf(manager)).toEqual(['acme/2']);
  });

  it('must be known, and its manager open', async () => {
    const manager = acmeManager();
    expect(() => manager.retireKey('acme/other')).toThrow(
      expect.objectContaining({ code: 'KEYMUX_UNKNOWN_KEY' }),
    );
    await manager.shutdown();
    expect(() => manager.retireKey('acme/main')).toThrow(expect.objectContaining({ code: 'KEYMUX_CLOSED' }));
    expect(() => manager.addKey(spare())).toThrow(expect.objectContaining({ code: 'KEYMUX_CLOSED' }));
  });

  it('is no matter of a thread that follows another one', () => {
    const first = acmeManager();
    const config = acmeConfig();
    const follower = new KeyManager(
      { env: {}, cwd: '/nonexistent', config, store: memoryStore() },
      { table: first.table, configuration: first.configuration },
    );
    onTestFinished(() => follower.shutdown());
    expect(() => follower.retireKey('acme/main')).toThrow('main thread');
    expect(() => follower.addKey(spare())).toThrow('main thread');
  });
});
