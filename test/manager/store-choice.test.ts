import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { text } from 'node:stream/consumers';
import { fingerprint } from '#keymux/manager/members.js';
import type { RedisDefinition, StoreDefinition } from '#keymux/config/configuration.js';
import { Secret } from '#keymux/core/secret.js';
import { createClientFor } from '#keymux/manager/redis-store.js';
import { chooseStore, fingerprintKeyFor } from '#keymux/manager/store-choice.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { memoryStore } from './acme.js';

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'keymux-choice-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const options = { now: Date.now, onNotice: () => {} };

function sqliteAt(path: string) {
  const definition = { type: 'sqlite', path } as const;
  const store = chooseStore(definition, options);
  onTestFinished(() => store.close());
  return { store, definition };
}

function redisAt(url: string, secret?: string): RedisDefinition {
  const definition = { type: 'redis', url: new Secret(url), address: url, prefix: 'keymux' } as const;
  return secret === undefined ? definition : { ...definition, secret: new Secret(secret) };
}

function keyAt(path: string): Uint8Array {
  const { store, definition } = sqliteAt(path);
  return fingerprintKeyFor(store, definition);
}

describe('the store', () => {
  it('is the one that the configuration names', async () => {
    const path = join(directory(), 'state.db');
    expect(sqliteAt(path).store).toMatchObject({ kind: 'sqlite', shared: true });
    expect(chooseStore({ type: 'memory' }, options)).toMatchObject({ kind: 'memory', shared: false });
    const redis = chooseStore(redisAt('redis://127.0.0.1:1'), options);
    onTestFinished(() => redis.close());
    expect(redis).toMatchObject({ kind: 'redis', shared: true });
  });

  it('gets the certificates that the configuration names', async () => {
    const missing = join(directory(), 'missing.pem');
    const tls = { ca: missing, cert: missing, key: missing, serverName: 'redis.internal' };
    const client = createClientFor({ ...redisAt('rediss://127.0.0.1:1'), tls });
    onTestFinished(() => client.close());
    await expect(client.connect(5_000)).rejects.toMatchObject({
      code: 'KEYMUX_CONFIG_INVALID',
      message: expect.stringContaining(missing) as string,
    });
    const plain = createClientFor({ ...redisAt('rediss://127.0.0.1:1'), tls: {} });
    onTestFinished(() => plain.close());
    await expect(plain.connect(1_000)).rejects.toMatchObject({ code: 'KEYMUX_STORE_UNAVAILABLE' });
  });
});

describe('the key of the fingerprints', () => {
  it('is made beside the state file, for its owner alone, and found again', () => {
    const folder = join(directory(), 'deep', 'state');
    const key = keyAt(join(folder, 'state.db'));
    expect(key).toHaveLength(32);
    expect(key.some((byte) => byte !== 0)).toBe(true);
    expect(readdirSync(folder)).toEqual(['fingerprint.key']);
    expect(statSync(join(folder, 'fingerprint.key')).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(Buffer.from(keyAt(join(folder, 'state.db')))).toEqual(Buffer.from(key));
  });

  it('is one for all processes that start together', async () => {
    const folder = directory();
    const member = fileURLToPath(new URL('./members/fingerprinter.mjs', import.meta.url));
    const told = await Promise.all(
      Array.from({ length: 6 }, () => {
        const child = spawn(process.execPath, [member, join(folder, 'state.db')], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        return text(child.stdout);
      }),
    );
    const made = readFileSync(join(folder, 'fingerprint.key')).toString('hex');
    expect(told).toEqual(Array.from({ length: 6 }, () => made));
    expect(readdirSync(folder)).toEqual(['fingerprint.key']);
  });

  it('is none where the directory is of no use, so that the program goes on', () => {
    const file = join(directory(), 'a-file');
    writeFileSync(file, '');
    expect(Buffer.from(keyAt(join(file, 'state.db')))).toEqual(Buffer.alloc(32));
  });

  it('is made anew where the file is damaged, which is set aside and told of', () => {
    const folder = directory();
    mkdirSync(folder, { recursive: true });
    const file = join(folder, 'fingerprint.key');
    writeFileSync(file, 'short');
    const store = chooseStore({ type: 'sqlite', path: join(folder, 'state.db') }, options);
    onTestFinished(() => store.close());
    const notices: string[] = [];
    const definition = { type: 'sqlite', path: join(folder, 'state.db') } as const;
    const made = fingerprintKeyFor(store, definition, ({ kind, message }) =>
      notices.push(`${kind}: ${message}`),
    );
    expect(Buffer.from(made)).toEqual(readFileSync(file));
    expect(made).toHaveLength(32);
    const [aside] = readdirSync(folder).filter((name) => name.includes('.damaged-'));
    expect(readFileSync(join(folder, aside ?? ''), 'utf8')).toBe('short');
    expect(notices).toEqual([expect.stringMatching(/^set-aside: .*fingerprint\.key is damaged/)]);
    expect(Buffer.from(fingerprintKeyFor(store, definition))).toEqual(Buffer.from(made));
  });

  it('lies in the state directory of the user where the store chose its place', () => {
    const folder = directory();
    const before = process.env['KEYMUX_STATE_DIR'];
    process.env['KEYMUX_STATE_DIR'] = folder;
    onTestFinished(() => {
      if (before === undefined) delete process.env['KEYMUX_STATE_DIR'];
      else process.env['KEYMUX_STATE_DIR'] = before;
    });
    const store = chooseStore({ type: 'sqlite' }, options);
    onTestFinished(() => store.close());
    fingerprintKeyFor(store, { type: 'sqlite' });
    expect(readdirSync(folder)).toEqual(['fingerprint.key']);
  });

  it('is not needed where nothing is kept', () => {
    expect(Buffer.from(fingerprintKeyFor(memoryStore(), { type: 'memory' }))).toEqual(Buffer.alloc(32));
  });

  it('is the same on all hosts of a Redis, and known to nobody else where they have a secret', () => {
    const store = chooseStore(redisAt('redis://127.0.0.1:1'), options);
    onTestFinished(() => store.close());
    const keyOf = (definition: StoreDefinition): string =>
      Buffer.from(fingerprintKeyFor(store, definition)).toString('hex');
    const plain = keyOf(redisAt('redis://a'));
    expect(plain).toMatch(/^[0-9a-f]{64}$/);
    expect(keyOf(redisAt('redis://b'))).toBe(plain);
    // A program that passes in a client of its own may have no such configuration.
    expect(keyOf({ type: 'sqlite' })).toBe(plain);
    const secret = keyOf(redisAt('redis://a', 'sixteen-or-longer'));
    expect(keyOf(redisAt('redis://b', 'sixteen-or-longer'))).toBe(secret);
    expect(new Set([plain, secret, keyOf(redisAt('redis://a', 'another-of-sixteen'))]).size).toBe(3);
  });

  it('decides how a key is called, which tells nothing of it', () => {
    const [one, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
    const name = fingerprint('key-one', one);
    expect(name).toMatch(/^[0-9a-f]{32}$/);
    expect(fingerprint('key-one', one)).toBe(name);
    expect(fingerprint('key-two', one)).not.toBe(name);
    expect(fingerprint('key-one', other)).not.toBe(name);
  });
});
