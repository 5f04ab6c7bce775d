import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeManager } from './acme.js';
import type { AcmeOptions } from './acme.js';

async function serve(answer: (request: IncomingMessage, response: ServerResponse, number: number) => void) {
  const seen: { method?: string; url?: string; headers: NodeJS.Dict<string | string[]>; body: string }[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const { method, url, headers } = request;
      seen.push({ method: method!, url: url!, headers, body });
      answer(request, response, seen.length);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

function redirect(status: number, location: string) {
  return (_: IncomingMessage, response: ServerResponse) =>
    void response.writeHead(status, { location }).end();
}

function managed(origin: string, acme: AcmeOptions = {}) {
  return acmeManager({ keys: ['key-one'], baseUrl: origin, ...acme });
}

const needsBody = { errors: [{ status: 200, match: 'slow down', outcome: 'rate-limited' }] };

describe('an answer that breaks off', () => {
  it('while its beginning is looked at ends the lease, and is repeated where that is safe', async () => {
    const { origin, seen } = await serve((request, response, number) => {
      if (request.method === 'GET' && number > 1) return void response.end('{"ok":true}');
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
      response.write('{"a":', () => setImmediate(() => response.destroy()));
    });
    const manager = managed(origin, { provider: needsBody });
    expect(await (await manager.fetch('acme', '/x')).json()).toEqual({ ok: true });
    expect(seen).toHaveLength(2);
    await expect(manager.fetch('acme', '/x', { method: 'POST', body: '1' })).rejects.toThrow('terminated');
    expect(seen).toHaveLength(3);
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, failures: 2 });
  });

  it('in the hands of the application ends the lease', async () => {
    const { origin } = await serve((_, response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('begin', () => setTimeout(() => response.destroy(), 20));
    });
    const manager = managed(origin);
    const response = await manager.fetch('acme', '/x');
    await expect(response.text()).rejects.toThrow();
    await expect.poll(() => manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('because the application has enough of it ends the lease', async () => {
    const { origin } = await serve((_, response) => void response.write('begin'));
    const manager = managed(origin);
    await (await manager.fetch('acme', '/x')).body?.cancel();
    await expect.poll(() => manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('because the application aborts while it is looked at blames nobody', async () => {
    const controller = new AbortController();
    const { origin } = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"a":', () => setTimeout(() => controller.abort(), 20));
    });
    const manager = managed(origin, { provider: needsBody });
    await expect(manager.fetch('acme', '/x', { signal: controller.signal })).rejects.toMatchObject({
      name: 'AbortError',
    });
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, failures: 0 });
  });
});

describe('a stream whose beginning is looked at', () => {
  it('is held back for its first event only', async () => {
    let finish: () => void = () => {};
    const { origin } = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: one\n\n');
      finish = () => response.end('data: two\n\n');
    });
    const manager = managed(origin, { provider: needsBody });
    const response = await manager.fetch('acme', '/x');
    finish();
    expect(await response.text()).toBe('data: one\n\ndata: two\n\n');
  });
});

describe('a redirect', () => {
  it('to another origin leaves every key behind', async () => {
    const other = await serve((_, response) => void response.end('landed'));
    const { origin, seen } = await serve(redirect(302, `${other.origin}/elsewhere`));
    const manager = managed(origin);
    const headers = { authorization: 'Bearer own', cookie: 'a=b', 'x-trace': '7' };
    const response = await manager.fetch('acme', '/x', { headers });
    expect(await response.text()).toBe('landed');
    expect(seen[0]?.headers).toMatchObject({ 'x-api-key': 'key-one', ...headers });
    expect(other.seen[0]?.headers).toMatchObject({ 'x-trace': '7' });
    for (const name of ['x-api-key', 'authorization', 'cookie']) {
      expect(other.seen[0]?.headers).not.toHaveProperty(name);
    }
  });

  it('within the origins of the provider takes the key along', async () => {
    const other = await serve((_, response) => void response.end('landed'));
    const { origin, seen } = await serve((request, response) =>
      request.url === '/x'
        ? redirect(307, '/y')(request, response)
        : redirect(308, `${other.origin}/z`)(request, response),
    );
    const manager = managed(origin, { provider: { origins: [other.origin] } });
    expect(await (await manager.fetch('acme', '/x', { method: 'PUT', body: 'all of it' })).text()).toBe(
      'landed',
    );
    const last = other.seen[0];
    expect(
      [...seen, last].map((one) => [one?.method, one?.url, one?.body, one?.headers['x-api-key']]),
    ).toEqual([
      ['PUT', '/x', 'all of it', 'key-one'],
      ['PUT', '/y', 'all of it', 'key-one'],
      ['PUT', '/z', 'all of it', 'key-one'],
    ]);
  });

  it.each([
    [301, 'POST', 'GET'],
    [302, 'PUT', 'PUT'],
    [303, 'PUT', 'GET'],
    [303, 'HEAD', 'HEAD'],
    [307, 'POST', 'POST'],
  ])('%i makes of a %s a %s, as fetch does', async (status, method, expected) => {
    const { origin, seen } = await serve((request, response) =>
      request.url === '/x' ? redirect(status, '/y')(request, response) : void response.end(),
    );
    const body = method === 'HEAD' ? null : 'text';
    await (await managed(origin).fetch('acme', '/x', { method, body })).text();
    expect(seen[1]?.method).toBe(expected);
    expect(seen[1]?.body).toBe(expected === 'GET' || method === 'HEAD' ? '' : 'text');
    expect('content-type' in seen[1]!.headers).toBe(seen[1]!.body !== '');
  });

  it('is handed over where the application asked for it, or where it leads nowhere', async () => {
    const { origin } = await serve((request, response) =>
      request.url === '/x' ? redirect(302, '/y')(request, response) : void response.writeHead(304).end(),
    );
    const manager = managed(origin);
    expect((await manager.fetch('acme', '/x', { redirect: 'manual' })).status).toBe(302);
    expect((await manager.fetch('acme', '/x')).status).toBe(304);
    await expect(manager.fetch('acme', '/x', { redirect: 'error' })).rejects.toThrow('fetch failed');
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it.each([
    ['/x', 'redirect count exceeded'],
    ['http://[', 'invalid redirect URL'],
    ['file:///etc/passwd', 'URL scheme must be a HTTP(S) scheme'],
  ])('to %s is refused without telling the key', async (location, why) => {
    const { origin, seen } = await serve(redirect(302, location));
    const manager = managed(origin, { provider: { auth: { in: 'path' } } });
    const error: unknown = await manager.fetch('acme', '/{key}/x').catch((caught: unknown) => caught);
    expect(error).toMatchObject({ message: 'fetch failed', cause: { message: why } });
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('key-one');
    expect(seen.length).toBe(location === '/x' ? 21 : 1);
  });

  it('of a streaming body is refused, since it is sent once', async () => {
    const { origin } = await serve(redirect(307, '/y'));
    const init = { method: 'POST', body: new Blob(['x']).stream(), duplex: 'half' } as RequestInit;
    await expect(managed(origin).fetch('acme', '/x', init)).rejects.toMatchObject({
      cause: { message: 'a streaming body is sent once' },
    });
  });
});
