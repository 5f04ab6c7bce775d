import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request as rawRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeymuxError } from '#keymux/core/errors.js';
import { ApiRefusal, answerOf } from '#keymux/gateway/api-refusal.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeConfig, acmeEnv, acmeManager, memoryStore } from '../manager/acme.js';
import { CANARY, ownServer } from './own-server.js';

const errorOf = (json: Record<string, unknown> | undefined): Record<string, unknown> =>
  (json?.['error'] ?? {}) as Record<string, unknown>;

describe('the health route', () => {
  it('needs no token and tells one word', async () => {
    let isDraining = false;
    const { ask, manager } = await ownServer({ isDraining: () => isDraining });
    const well = await ask('/health', { token: 'none' });
    expect([well.status, well.json]).toEqual([200, { status: 'ok' }]);
    isDraining = true;
    const draining = await ask('/health', { token: 'none' });
    expect([draining.status, draining.json]).toEqual([503, { status: 'draining' }]);
    isDraining = false;
    await manager.shutdown();
    expect((await ask('/health', { token: 'none' })).json).toEqual({ status: 'draining' });
  });

  it('says so where the store is lost', async () => {
    const manager = new KeyManager({
      env: acmeEnv(['key-one']),
      cwd: '/nonexistent',
      config: { ...acmeConfig(), store: { type: 'sqlite', path: '/dev/null/state.db' } },
      logger: { warn: () => {}, info: () => {} },
    });
    onTestFinished(() => manager.shutdown());
    await manager.ready;
    const { ask } = await ownServer({ manager });
    expect((await ask('/health', { token: 'none' })).json).toEqual({ status: 'degraded' });
  });
});

describe('who may do what', () => {
  it.each([
    ['/api/state', 'GET'],
    ['/api/openapi.json', 'GET'],
    ['/metrics', 'GET'],
    ['/events', 'GET'],
    ['/api/reload', 'POST'],
    ['/api/keys/acme/main', 'DELETE'],
    ['/nothing', 'GET'],
  ])('asks for a token: %s', async (path, method) => {
    const { ask } = await ownServer();
    const answer = await ask(path, { method, token: 'none' });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="keymux"');
    expect(errorOf(answer.json)).toMatchObject({
      code: 'KEYMUX_ACCESS_DENIED',
      message: 'This needs a token.',
    });
    expect((await ask(path, { method, token: 'use' })).status).toBe(403);
  });

  it('lets a reader look and change nothing', async () => {
    const { ask, manager } = await ownServer();
    expect((await ask('/api/state', { token: 'read' })).status).toBe(200);
    const refused = await ask('/api/keys/acme/main/disable', { method: 'POST', token: 'read' });
    expect(refused.status).toBe(403);
    expect(errorOf(refused.json)).toMatchObject({
      code: 'KEYMUX_ACCESS_DENIED',
      fix: 'Use a token with the role admin.',
    });
    expect(manager.getApiKey('acme')).toBe(`${CANARY}-one`);
  });
});

describe('keys', () => {
  it('are disabled, enabled and reset', async () => {
    const { ask, manager } = await ownServer();
    const disabled = await ask('/api/keys/acme/main/disable', { method: 'POST' });
    expect(disabled.json).toMatchObject({ id: 'acme/main', state: 'disabled' });
    expect(manager.getApiKey('data')).toBe(`${CANARY}-two`);
    expect((await ask('/api/keys/acme/main/enable', { method: 'POST' })).json).toMatchObject({
      state: 'unproven',
    });
    manager.report('acme/main', 'rejected');
    expect((await ask('/api/keys/acme/main/reset', { method: 'POST' })).json).toMatchObject({
      state: 'unproven',
    });
    const unknown = await ask('/api/keys/acme/other/reset', { method: 'POST' });
    expect([unknown.status, errorOf(unknown.json)['code']]).toEqual([404, 'KEYMUX_UNKNOWN_KEY']);
  });

  it('come by reference or as they are, and go', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'keymux-api-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    writeFileSync(join(directory, 'spare.key'), `${CANARY}-file\n`, { mode: 0o600 });
    const manager = acmeManager({ keys: [`${CANARY}-one`], options: { cwd: directory } });
    const { ask } = await ownServer({ manager });
    const added = await ask('/api/keys', {
      json: { provider: 'acme', id: 'spare', value: 'file:spare.key', priority: 0, weight: 2, bucket: 'b' },
    });
    expect(added.status).toBe(201);
    expect(added.json).toMatchObject({ keptIn: 'memory', key: { id: 'acme/spare', bucket: 'acme/b' } });
    expect(manager.getApiKey('acme')).toBe(`${CANARY}-file`);
    const open = await ask('/api/keys', { json: { provider: 'acme', id: 'open', secret: `${CANARY}-open` } });
    expect(open.status).toBe(201);
    const retired = await ask('/api/keys/acme/spare', { method: 'DELETE' });
    expect([retired.status, retired.json]).toEqual([202, { id: 'acme/spare', inFlight: 0 }]);
    expect(manager.inspect().keys.map(({ id }) => id)).toEqual(['acme/main', 'acme/open']);
    expect((await ask('/api/keys/acme/spare', { method: 'DELETE' })).status).toBe(404);
  });

  it.each<[string, unknown, number, RegExp]>([
    ['an id that is taken', { provider: 'acme', id: 'main', secret: 'x-key' }, 409, /acme\/main already/],
    ['no key at all', { provider: 'acme', id: 'spare' }, 400, /either a reference or the key/],
    [
      'a command',
      { provider: 'acme', id: 'spare', value: 'exec:id' },
      400,
      /body is not as described: value/,
    ],
    ['a key as reference', { provider: 'acme', id: 'spare', value: `${CANARY}-x` }, 400, /: value\./],
    ['a key as id', { provider: 'acme', id: `${CANARY} X`, secret: 'x-key' }, 400, /: id\./],
    ['an unknown option', { provider: 'acme', id: 'spare', secret: 'x-key', [`${CANARY}`]: 1 }, 400, /./],
    ['a variable that is not set', { provider: 'acme', id: 'spare', value: 'env:NOT_SET' }, 422, /not set/],
    ['a list', [], 400, /not as described/],
  ])('are refused with %s', async (_, json, status, message) => {
    const { ask, manager } = await ownServer();
    const refused = await ask('/api/keys', { json });
    expect(refused.status).toBe(status);
    expect(errorOf(refused.json)).toMatchObject({
      code: expect.stringMatching(/^KEYMUX_/) as string,
      message: expect.stringMatching(message) as string,
      fix: expect.stringMatching(/\w/) as string,
    });
    expect(manager.inspect().keys).toHaveLength(2);
  });

  it('do not come in the open over a network', async () => {
    const { ask, manager } = await ownServer({ from: '10.1.2.3' });
    const refused = await ask('/api/keys', {
      json: { provider: 'acme', id: 'open', secret: `${CANARY}-open` },
    });
    expect(refused.status).toBe(403);
    expect(errorOf(refused.json)).toMatchObject({
      fix: expect.stringContaining('Replace that key') as string,
    });
    expect(manager.inspect().keys).toHaveLength(2);
    const referred = await ask('/api/keys', {
      json: { provider: 'acme', id: 'spare', value: 'env:NOT_SET' },
    });
    expect(referred.status).toBe(422);
  });

  it('lose no request while they come and go under load', async () => {
    const seen = new Map<string, number>();
    const provider = createServer((request, response) => {
      const key = String(request.headers['x-api-key']);
      seen.set(key, (seen.get(key) ?? 0) + 1);
      setTimeout(() => response.end('ok'), 5);
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void provider.close());
    await new Promise((resolve) => provider.once('listening', resolve));
    const baseUrl = `http://127.0.0.1:${(provider.address() as AddressInfo).port}`;
    const manager = acmeManager({ keys: [`${CANARY}-one`, `${CANARY}-two`], baseUrl });
    const { ask } = await ownServer({ manager });
    let isOver = false;
    const statuses: number[] = [];
    const callers = Array.from({ length: 8 }, async () => {
      while (!isOver) {
        const answer = await manager.fetch('acme', '/');
        await answer.text();
        statuses.push(answer.status);
      }
    });
    const reached = async (key: string): Promise<void> =>
      expect.poll(() => seen.get(`${CANARY}-${key}`) ?? 0, { timeout: 10_000 }).toBeGreaterThan(3);
    await reached('one');
    await ask('/api/keys', { json: { provider: 'acme', id: 'new', secret: `${CANARY}-new`, priority: 0 } });
    await reached('new');
    expect((await ask('/api/keys/acme/main', { method: 'DELETE' })).status).toBe(202);
    const retired = await ask('/api/keys/acme/new', { method: 'DELETE' });
    await reached('two');
    await expect.poll(() => manager.retiring).toEqual([]);
    const before = seen.get(`${CANARY}-new`);
    const count = statuses.length;
    await expect.poll(() => statuses.length).toBeGreaterThan(count + 20);
    isOver = true;
    await Promise.all(callers);
    expect(retired.json?.['inFlight']).toBeGreaterThan(0);
    expect(seen.get(`${CANARY}-new`)).toBe(before);
    expect(new Set(statuses)).toEqual(new Set([200]));
  });
});

describe('what is sent', () => {
  it.each<[string, object, number]>([
    ['no JSON type', { headers: { 'content-type': 'text/plain' }, body: '{}' }, 415],
    ['no type', { method: 'POST' }, 415],
    ['no JSON', { headers: { 'content-type': 'application/json' }, body: `{"${CANARY}` }, 400],
    ['too much', { json: { secret: 'x'.repeat(70_000) } }, 413],
  ])('is refused: %s', async (_, asked, status) => {
    const { ask } = await ownServer();
    expect((await ask('/api/keys', asked)).status).toBe(status);
  });

  it.each([
    ['/api/state?x=1', 400],
    ['/api/series?lastMs=soon', 400],
    ['/api/series?lastMs=99999999', 400],
    ['/api/series?subjct=acme', 400],
    ['/api/services/nothing/explain', 404],
    ['/api/keys/acme/%E0%A4%A/disable', 405],
    ['/api/nothing', 404],
    ['/nothing', 404],
    ['/api/state/', 404],
    ['/dashboard/nothing.js', 404],
  ])('is answered with a reason: %s', async (path, status) => {
    const { ask } = await ownServer();
    const answer = await ask(path);
    expect([answer.status, Object.keys(answer.json ?? {})]).toEqual([status, ['error']]);
  });

  it('names the methods that there are', async () => {
    const { ask } = await ownServer();
    for (const [path, allow] of [
      ['/api/state', 'HEAD, GET'],
      ['/health', 'HEAD, GET'],
      ['/metrics', 'HEAD, GET'],
      ['/dashboard/', 'HEAD, GET'],
      ['/api/reload', 'POST'],
    ] as const) {
      const answer = await ask(path, { method: 'PUT' });
      expect([path, answer.status, answer.headers.get('allow')]).toEqual([path, 405, allow]);
    }
  });

  it('is the same without the body for HEAD', async () => {
    const { ask } = await ownServer();
    for (const path of ['/api/state', '/health', '/api/openapi.json', '/metrics', '/events']) {
      const answer = await ask(path, { method: 'HEAD' });
      expect([path, answer.status, answer.text]).toEqual([path, 200, '']);
    }
  });

  it('may end in the middle of a body', async () => {
    const { ask, origin } = await ownServer();
    const request = rawRequest(`${origin}/-/api/keys`, {
      method: 'POST',
      headers: { authorization: 'Bearer admin', 'content-type': 'application/json', 'content-length': 100 },
    });
    request.on('error', () => {});
    request.write('{');
    await new Promise<void>((resolve) =>
      request.on('socket', (socket) => socket.once('connect', () => resolve())),
    );
    request.destroy();
    expect((await ask('/health')).status).toBe(200);
  });
});

describe('answers', () => {
  it('are never stored, nor read as anything else', async () => {
    const { ask } = await ownServer();
    for (const path of ['/api/state', '/health', '/metrics', '/api/nothing']) {
      const { headers } = await ask(path);
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    }
  });

  it('are asked for again only where they changed, as far as they last', async () => {
    const { ask } = await ownServer();
    for (const path of ['/api/openapi.json', '/dashboard/']) {
      const first = await ask(path);
      const etag = first.headers.get('etag') ?? '';
      expect(etag).toMatch(/^".+"$/);
      expect((await ask(path, { headers: { 'if-none-match': '"other"' } })).status).toBe(200);
      const again = await ask(path, { headers: { 'if-none-match': `"other", W/${etag}` } });
      expect([again.status, again.text]).toEqual([304, '']);
    }
  });

  it('tell metrics as Prometheus reads them', async () => {
    const { ask } = await ownServer();
    const { headers, text } = await ask('/metrics', { token: 'read' });
    expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(text).toMatch(/^# HELP keymux_/m);
  });

  it('bring the page to anybody, under a policy that lets nothing else in', async () => {
    const { ask } = await ownServer();
    const moved = await ask('/dashboard', { token: 'none' });
    expect([moved.status, moved.headers.get('location')]).toEqual([308, 'dashboard/']);
    const page = await ask('/dashboard/', { token: 'none' });
    expect([page.status, page.text]).toEqual([200, '<!doctype html>page']);
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
    expect(page.headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
  });

  it('tell nothing of errors that are not ours', async () => {
    const manager = acmeManager();
    const { ask } = await ownServer({ manager });
    Object.assign(manager, {
      inspect: () => {
        throw new Error(`${CANARY} in an error`);
      },
    });
    const answer = await ask('/api/state');
    expect([answer.status, errorOf(answer.json)['code']]).toEqual([500, 'KEYMUX_INTERNAL']);
  });

  it('have a status for each of ours', () => {
    const retryAt = 1_900_000_000_000;
    const closed = new KeymuxError('KEYMUX_CLOSED', 'Closed.', { fix: 'Open it.', retryAt });
    expect(answerOf(closed)).toEqual({
      status: 503,
      headers: {},
      body: {
        error: {
          code: 'KEYMUX_CLOSED',
          message: 'Closed.',
          fix: 'Open it.',
          retryAt,
          type: 'keymux',
          param: null,
        },
      },
    });
    expect(answerOf(new KeymuxError('KEYMUX_FENCED', 'Fenced.', { fix: 'Wait.' })).status).toBe(500);
    expect(answerOf(new ApiRefusal(418, closed)).status).toBe(418);
  });
});

describe('reload', () => {
  it('takes up the file, and leaves a faulty one aside', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'keymux-api-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const configure = (text: string): void => writeFileSync(join(directory, 'keymux.config.yaml'), text);
    const acme = 'providers: { acme: { baseUrl: "http://127.0.0.1:9", env: [ONE] } }\n';
    configure(acme);
    const env = { ONE: `${CANARY}-one`, ONE_2: `${CANARY}-two`, TWO: `${CANARY}-three` };
    const manager = new KeyManager({ env, cwd: directory, store: memoryStore() });
    onTestFinished(() => manager.shutdown());
    const { ask } = await ownServer({ manager });
    configure(acme.replace('ONE', 'TWO'));
    const reloaded = await ask('/api/reload', { method: 'POST' });
    expect(reloaded.json).toMatchObject({ keys: 1, services: 1 });
    expect(manager.getApiKey('acme')).toBe(`${CANARY}-three`);
    configure(acme.replace('env', 'envv'));
    const faulty = await ask('/api/reload', { method: 'POST' });
    expect([faulty.status, errorOf(faulty.json)['code']]).toEqual([422, 'KEYMUX_CONFIG_INVALID']);
    expect(manager.getApiKey('acme')).toBe(`${CANARY}-three`);
  });
});

describe('usage and fleet', () => {
  it('are those of all processes, and of this one alone where the store is lost', async () => {
    const store = memoryStore();
    const manager = acmeManager({ options: { store, logger: { warn: () => {}, info: () => {} } } });
    await manager.ready;
    const { ask } = await ownServer({ manager });
    manager.report('acme/main', 'success', { costUsd: 0.25 });
    manager.report('acme/2', 'network');
    const usage = async (): Promise<unknown> => (await ask('/api/usage')).json;
    await expect.poll(usage, { timeout: 10_000 }).toMatchObject({
      scope: 'fleet',
      providers: [{ provider: 'acme', requests: 2, failures: 1, costUsd: 0.25 }],
      keys: [
        { key: 'acme/main', requests: 1, failures: 0, costUsd: 0.25 },
        { key: 'acme/2', requests: 1, failures: 1, costUsd: 0 },
      ],
    });
    let error = new KeymuxError('KEYMUX_STORE_UNAVAILABLE', 'Lost.', { fix: 'Wait.' });
    Object.assign(store, { usage: () => Promise.reject(error) });
    await expect(usage()).resolves.toMatchObject({
      scope: 'process',
      providers: [{ requests: 2, failures: 1 }],
    });
    error = new KeymuxError('KEYMUX_FENCED', 'Fenced.', { fix: 'Wait.' });
    await expect(ask('/api/usage')).resolves.toMatchObject({ status: 500 });
    expect((await ask('/api/fleet')).json).toEqual({ shared: false, members: [], leases: [] });
  });
});
