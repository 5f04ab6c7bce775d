import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { virtualKeyFor } from '#keymux/config/virtual-key.js';
import type { Caller } from '#keymux/gateway/access.js';
import { targetOf } from '#keymux/gateway/target.js';
import { createAccess, isStrongVirtualKey } from '#keymux/gateway/token-access.js';
import { findTokens, ownTokenFile } from '#keymux/gateway/token-file.js';
import { makeToken, readTokens } from '#keymux/gateway/tokens.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { virtualKeysOf } from '#keymux/manager/virtual-keys.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { TOKENS, openDoor, testManager } from './door.js';
import { exchange, statusOf } from './door.js';

const SECRET = new Uint8Array(32).fill(7);

function asker(manager: KeyManager): (url: string, headers?: Record<string, string>) => Caller {
  const access = createAccess(manager, readTokens(Object.values(TOKENS).join(','), 'test'));
  return (url, headers = {}) => {
    const target = targetOf(manager, url);
    return access.callerOf(headers, target.kind === 'forward' ? target : undefined);
  };
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'keymux-tokens-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

describe('a token', () => {
  const { use } = TOKENS;

  it.each([
    ['as a bearer', '/acme/x', { authorization: `Bearer ${use}` }],
    ['as a bearer in small letters', '/acme/x', { authorization: `bearer  ${use}` }],
    ['with a scheme of the provider', '/acme/x', { authorization: `token ${use}` }],
    ['alone', '/acme/x', { authorization: use }],
    ['in the usual headers', '/acme/x', { 'x-api-key': use }],
    ['in its own header', '/acme/x', { 'x-keymux-token': use, authorization: 'Bearer other' }],
    ['as a user', '/acme/x', { authorization: `Basic ${btoa(`${use}:`)}` }],
    ['as a password', '/acme/x', { authorization: `basic ${btoa(`me:${use}`)}` }],
    ['as all of a basic text', '/acme/x', { authorization: `Basic ${btoa(use)}` }],
    ["in the provider's header", '/other/x', { 'x-other-key': use }],
    ["in the provider's parameter", `/acme/x?a=1&apikey=${use}`, {}],
    ['in a place of any provider of a service', `/data/x?apikey=${use}`, {}],
    ['as a subprotocol', '/acme/x', { 'sec-websocket-protocol': `realtime, openai-insecure-api-key.${use}` }],
  ])('is found %s', (_where, url, headers) => {
    expect([...asker(testManager())(url, headers).roles]).toEqual(['use']);
  });

  it.each([
    ['in the place of another provider', '/other/x', { apikey: use }],
    ['in the parameter of another provider', `/other/x?apikey=${use}`, {}],
    ['in the path, where it would go on to the provider', `/pathly/${use}/x`, {}],
    ['without its last letter', '/acme/x', { authorization: `Bearer ${use.slice(0, -1)}` }],
    ['without a value', '/acme/x?apikey=', { authorization: '' }],
    ['as no subprotocol', '/acme/x', { 'sec-websocket-protocol': use }],
  ])('is not known %s', (_where, url, headers) => {
    expect(asker(testManager())(url, headers as Record<string, string>)).toMatchObject({
      name: 'nobody',
      roles: new Set(),
    });
  });

  it('has one role, 256 random bits, and shows itself to nobody', () => {
    const [one, two] = [makeToken('read'), makeToken('read')];
    expect(one.secret.reveal()).toMatch(/^kmx_read_[\w-]{43}$/);
    expect(one.secret.equals(two.secret)).toBe(false);
    expect(inspect(one, { depth: 9 }) + JSON.stringify(one)).not.toContain('kmx_');
  });
});

describe('the virtual key of a provider', () => {
  it('may be used for that provider alone', async () => {
    const door = await openDoor();
    const text = virtualKeyFor('acme', 'test', SECRET);
    const asking = (path: string, header: string): string =>
      [`GET ${path} HTTP/1.1`, 'Host: localhost', header, 'Connection: close', '', ''].join('\r\n');
    expect(statusOf(await exchange(door, asking('/acme/x', `X-Api-Key: ${text}`)))).toBe(401);
    virtualKeysOf(door.manager).accept('acme', text);
    const status = async (path: string): Promise<number> =>
      statusOf(await exchange(door, asking(path, `X-Api-Key: ${text}`)));
    expect(await status('/acme/x')).toBe(200);
    expect(await status('/other/x')).toBe(403);
    expect(await status('/data/x')).toBe(403);
    expect(await status('/nothing/x')).toBe(404);
    await exchange(door, asking('/-/api/keys', `X-Api-Key: ${text}`));
    expect(door.callers).toEqual([
      { name: 'virtual key of acme', provider: 'acme', roles: new Set(['use']) },
    ]);
  });

  it('may be used for a service whose requests are made for that provider', async () => {
    const protocol = { name: 'openai', pathPrefix: '/v1' };
    const provider = (value: string): object => ({
      baseUrl: 'http://127.0.0.1:9',
      auth: { in: 'header', name: 'x-key' },
      protocol,
      keys: [{ id: 'main', value }],
    });
    const manager = testManager({
      store: { type: 'memory' },
      services: { chat: { providers: ['acme', 'other'], rewrite: { models: [] } } },
      providers: { acme: provider('env:ACME'), other: provider('env:OTHER') },
    });
    const [home, second] = ['acme', 'other'].map((id) => ({ id, text: virtualKeyFor(id, 'test', SECRET) }));
    for (const { id = '', text = '' } of [home ?? {}, second ?? {}]) virtualKeysOf(manager).accept(id, text);
    const ask = asker(manager);
    expect(ask('/chat/v1/x', { 'x-key': home?.text ?? '' }).provider).toBe('acme');
    expect(ask('/chat/v1/x', { 'x-key': second?.text ?? '' }).provider).toBe('other');
  });

  it('may stand in the path where the provider wants it there', () => {
    const manager = testManager();
    const text = virtualKeyFor('pathly', 'test', SECRET);
    virtualKeysOf(manager).accept('pathly', text);
    expect(asker(manager)(`/pathly/v3/${text}/x?a=1`).provider).toBe('pathly');
    expect(asker(manager)(`/acme/v3/${text}`).roles.size).toBe(0);
  });

  it.each([
    ['openai', true],
    ['stripe', true],
    ['fred', true],
    ['any other', true],
    ['alpha_vantage', false],
    ['nasdaq_data_link', false],
  ])('of %s can be guessed, or not: %s', (provider, isStrong) => {
    const text = virtualKeyFor(provider, 'test', SECRET);
    expect(isStrongVirtualKey(text)).toBe(isStrong);
    const manager = testManager();
    virtualKeysOf(manager).accept(provider, text);
    expect(asker(manager)('/acme/x', { 'x-api-key': text }).roles.size).toBe(isStrong ? 1 : 0);
  });

  it('is no text that only looks like one', () => {
    expect(isStrongVirtualKey('sk-plain')).toBe(false);
  });
});

describe('a list of tokens', () => {
  const { use, admin } = TOKENS;

  it('has names, remarks, commas and lines', () => {
    const text = `# of the team, not a token\nci=${use}, ${admin}\n\n`;
    expect(readTokens(text, 'test').map(({ name, role }) => [name, role])).toEqual([
      ['ci', 'use'],
      ['admin-2', 'admin'],
    ]);
    expect(readTokens(use, 'test')[0]?.name).toBe('use');
  });

  it.each([
    '',
    '# nothing',
    'kmx_use_tooshort',
    `kmx_root_${'x'.repeat(30)}`,
    'canary-key-of-a-provider',
    `a b=${use}`,
  ])('says what is wrong with %j, without repeating it', (text) => {
    expect(() => readTokens(text, 'THE_SOURCE')).toThrow(
      expect.objectContaining({
        code: 'KEYMUX_CONFIG_INVALID',
        message: expect.stringMatching(
          /^THE_SOURCE holds (no token|something else than a token \(entry 1\))\.$/,
        ),
      }),
    );
  });
});

describe('where tokens are found', () => {
  it('is a file of this user, made at the first start and kept', () => {
    const env = { KEYMUX_STATE_DIR: join(folder(), 'keymux') };
    const first = findTokens(env);
    const path = ownTokenFile(env);
    expect(first.places).toEqual([path]);
    expect(first.tokens.map(({ name, role }) => [name, role])).toEqual([
      ['use', 'use'],
      ['read', 'read'],
      ['admin', 'admin'],
    ]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(env.KEYMUX_STATE_DIR).mode & 0o777).toBe(0o700);
    expect(readdirSync(env.KEYMUX_STATE_DIR)).toEqual(['gateway-tokens']);
    chmodSync(path, 0o644);
    expect(findTokens(env).tokens.map(({ secret }) => secret.reveal())).toEqual(
      first.tokens.map(({ secret }) => secret.reveal()),
    );
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('is the environment, and a file that was named', () => {
    const file = join(folder(), 'tokens');
    writeFileSync(file, TOKENS.admin, { mode: 0o600 });
    const env = { KEYMUX_GATEWAY_TOKENS: TOKENS.use, KEYMUX_STATE_DIR: '/nowhere' };
    expect(findTokens(env)).toMatchObject({ places: ['KEYMUX_GATEWAY_TOKENS'], tokens: [{ role: 'use' }] });
    const both = findTokens(env, file);
    expect(both.places).toEqual(['KEYMUX_GATEWAY_TOKENS', file]);
    expect(both.tokens.map(({ role }) => role)).toEqual(['use', 'admin']);
    expect(both.open).toBeUndefined();
    chmodSync(file, 0o644);
    expect(findTokens({}, file)).toMatchObject({ places: [file], open: file });
  });

  it('is said where it cannot be read or made', () => {
    const place = folder();
    expect(() => findTokens({}, join(place, 'missing'))).toThrow(
      expect.objectContaining({
        code: 'KEYMUX_CONFIG_UNREADABLE',
        message: expect.stringContaining('(ENOENT)'),
      }),
    );
    writeFileSync(join(place, 'file'), '');
    expect(() => findTokens({ KEYMUX_STATE_DIR: join(place, 'file') })).toThrow(
      expect.objectContaining({ code: 'KEYMUX_CONFIG_UNREADABLE' }),
    );
  });

  it('is the same for all that start at once', async () => {
    const env = { KEYMUX_STATE_DIR: join(folder(), 'keymux') };
    const all = await Promise.all(
      Array.from({ length: 8 }, () => Promise.resolve().then(() => findTokens(env))),
    );
    expect(new Set(all.map(({ tokens }) => tokens[0]?.secret.reveal())).size).toBe(1);
    expect(readFileSync(ownTokenFile(env), 'utf8')).toMatch(/^# Tokens of the keymux gateway/);
  });
});
