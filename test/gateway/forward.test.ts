import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { virtualKeyFor } from '#keymux/config/virtual-key.js';
import { installUndici } from '#keymux/interceptors/undici.js';
import { virtualKeysOf } from '#keymux/manager/virtual-keys.js';
import { echo, ok, redirect, refuse, reply, silence, stream } from '#keymux/testing/script.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import { CHAT, chat, forwarded, TOKEN, until } from './forwarded.js';

interface Heard {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

async function heardBy(response: Response): Promise<Heard> {
  return (await response.json()) as Heard;
}

describe('a forwarded request', () => {
  it('goes to the provider with a key of ours, and its answer names who served it', async () => {
    const { url, seen, ended } = await forwarded({
      providers: { acme: { keys: { 'key-one': { always: echo() } } } },
    });
    const response = await fetch(url + CHAT, chat());
    expect(response.status).toBe(200);
    const heard = await heardBy(response);
    expect(heard.path).toBe('/v1/chat/completions');
    expect(heard.headers['authorization']).toBe('Bearer key-one');
    expect(JSON.stringify(heard)).not.toContain(TOKEN);
    expect(JSON.parse(heard.body)).toEqual({ model: 'gpt-simulated' });
    expect(seen('acme')).toEqual(['key-one']);
    expect(response.headers.get('x-keymux-provider')).toBe('acme');
    expect(response.headers.get('x-keymux-key')).toBe(ended[0]?.key);
    expect(response.headers.get('x-request-id')).toBe(ended[0]?.requestId);
    expect(ended).toHaveLength(1);
  });

  it('goes on with the next key after a refusal', async () => {
    const keys = { 'key-one': { always: refuse(429, { retryAfterSeconds: 60 }) }, 'key-two': {} };
    const { url, seen, ended } = await forwarded({ providers: { acme: { keys } } });
    const response = await fetch(url + CHAT, chat({ stream: true }));
    expect(response.status).toBe(200);
    expect(await response.text()).toContain('[DONE]');
    expect(seen('acme')).toEqual(['key-one', 'key-two']);
    expect(ended.map(({ end, attempts }) => [end, attempts])).toEqual([['answered', 2]]);
  });

  it('goes to where the provider is, whose host it names', async () => {
    const { url, simulator, manager } = await forwarded({
      providers: { acme: { keys: { 'key-one': { always: echo() } } } },
    });
    const { origin } = simulator('acme');
    const response = await fetch(`${url}/acme/a%20b//c/../d?x=%2F`, { method: 'PATCH', body: 'x' });
    const heard = await heardBy(response);
    expect(heard.headers['host']).toBe(new URL(origin).host);
    expect(heard.path).toBe('/a%20b//d?x=%2F');
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('is refused in the form of a provider where every key is out', async () => {
    const keys = { 'key-one': { always: refuse(401) } };
    const { url, ended } = await forwarded({ providers: { acme: { keys } } });
    expect((await fetch(url + CHAT, chat())).status).toBe(401);
    const response = await fetch(url + CHAT, chat());
    expect(response.status).toBe(401);
    expect(response.headers.get('x-should-retry')).toBe('false');
    expect(response.headers.get('x-request-id')).toBe(ended[1]?.requestId);
    const { error } = (await response.json()) as { error: { code: string; type: string } };
    expect(error).toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY', type: 'keymux' });
    expect(ended.map(({ end }) => end)).toEqual(['failed', 'refused']);
  });

  it('is told that a provider cannot be reached, by its name and that of the key', async () => {
    const { url, manager } = await forwarded({
      providers: {
        acme: {
          keys: { 'key-one': {} },
          provider: { baseUrl: 'http://127.0.0.1:1', retry: { deadlineMs: 1 } },
        },
      },
    });
    const response = await fetch(url + CHAT, chat());
    expect(response.status).toBe(502);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect(error.code).toBe('KEYMUX_PROVIDER_UNREACHABLE');
    expect(error.message).toContain('acme could not be reached: ECONNREFUSED (key acme/');
    expect(response.headers.get('x-keymux-provider')).toBe('acme');
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('to HEAD of a dead provider has no body either', async () => {
    const provider = { baseUrl: 'http://127.0.0.1:1', retry: { deadlineMs: 1 } };
    const { url } = await forwarded({ providers: { acme: { keys: { 'key-one': {} }, provider } } });
    const response = await fetch(`${url}/acme/x`, { method: 'HEAD' });
    expect(response.status).toBe(502);
    expect(await response.text()).toBe('');
  });

  it('waits no longer than its provider may take for the head of an answer', async () => {
    const { url } = await forwarded({
      providers: { acme: { keys: { 'key-one': { always: silence() } } } },
      limits: { headersMs: 1_000 },
    });
    const response = await fetch(`${url}/acme/v1/orders`, chat());
    expect(response.status).toBe(504);
    expect(await response.text()).toContain('KEYMUX_TIMEOUT');
  });

  it('is not taken for a request of the program where the process is patched', async () => {
    const { url, manager, seen } = await forwarded({
      providers: {
        acme: { keys: { 'key-one': { always: refuse(429, { retryAfterSeconds: 60 }) }, 'key-two': {} } },
      },
    });
    const undo = installUndici(manager);
    onTestFinished(() => void undo());
    expect((await fetch(url + CHAT, chat())).status).toBe(200);
    expect(seen('acme')).toEqual(['key-one', 'key-two']);
    expect(manager.inspect().keys.map(({ uses }) => uses)).toEqual([1, 1]);
  });
});

describe('a key goes where its provider wants it', () => {
  it.each([
    [{ in: 'header', name: 'X-Api-Key' }, { 'x-api-key': 'key one' }, '/x?a=1'],
    [{ in: 'basic', field: 'username' }, { authorization: `Basic ${btoa('key one:')}` }, '/x?a=1'],
    [{ in: 'query', name: 'token' }, {}, '/x?a=1&token=key%20one'],
  ] as const)('%j', async (auth, headers, path) => {
    const { url } = await forwarded({
      providers: {
        acme: { keys: { 'key one': { always: echo() } }, simulator: { auth }, provider: { auth } },
      },
      manager: { env: { ACME_API_KEY: 'key one' } },
    });
    const heard = await heardBy(
      await fetch(`${url}/acme/x?a=1`, { headers: { authorization: `Bearer ${TOKEN}` } }),
    );
    expect(heard.headers).toMatchObject(headers);
    expect(heard.path).toBe(path);
    expect(JSON.stringify(heard)).not.toContain(TOKEN);
  });

  it('into the path, for a placeholder or a virtual key', async () => {
    const auth = { in: 'path' } as const;
    const { url, manager, simulator } = await forwarded({
      providers: {
        acme: {
          keys: { 'key-one': { always: echo() } },
          simulator: { auth },
          provider: { auth },
        },
      },
    });
    const virtual = virtualKeyFor('acme', 'another application', Buffer.from('secret'));
    expect(virtualKeysOf(manager).accept('acme', virtual)).toBe(true);
    for (const place of ['{key}', '%7Bkey%7D', virtual]) {
      const heard = await heardBy(await fetch(`${url}/acme/${place}/x`));
      expect(heard.path).toBe('/key-one/x');
    }
    expect(simulator('acme').requests).toHaveLength(3);
  });
});

describe('a redirect', () => {
  it.each([
    [
      'elsewhere, without the key',
      'https://elsewhere.example/?k=key-one',
      'https://elsewhere.example/?k={key}',
    ],
    ['within the provider, to the gateway', '/v2/next?a=1', '/acme/v2/next?a=1'],
    ['to what is no URL, as it is', 'http://[', 'http://['],
  ])('is handed on: %s', async (_, location, expected) => {
    const { url, seen } = await forwarded({
      providers: { acme: { keys: { 'key-one': { always: redirect(location) } } } },
    });
    const response = await fetch(`${url}/acme/v1/x`, { redirect: 'manual' });
    expect(response.status).toBe(302);
    expect(response.headers.get('location')).toBe(expected);
    expect(seen('acme')).toHaveLength(1);
  });

  it('out of the base of the provider leads to the provider', async () => {
    const upstream = http.createServer((_, response) => response.writeHead(302, { location: '/out' }).end());
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void upstream.close());
    const origin = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    const provider = { baseUrl: `${origin}/base/` };
    const { url } = await forwarded({ providers: { acme: { keys: { 'key-one': {} }, provider } } });
    const response = await fetch(`${url}/acme/x`, { redirect: 'manual' });
    expect(response.headers.get('location')).toBe(`${origin}/out`);
  });
});

describe('a service whose providers have paths and models of their own', () => {
  const crossing = (first: object, keepBytes = 1_048_576): Parameters<typeof forwarded>[0] => ({
    providers: {
      openai: {
        keys: { 'sk-one': first },
        provider: { protocol: { name: 'openai', pathPrefix: '/v1' }, retry: { maxBodyBytes: keepBytes } },
      },
      groq: {
        keys: { 'gsk-one': { always: echo() } },
        provider: { protocol: { name: 'openai', pathPrefix: '/openai/v1' } },
      },
    },
    service: { rewrite: { models: [{ openai: 'gpt-x', groq: 'llama-y' }] } },
  });

  it.each(['/llm/v1/chat/completions', '/llm/chat/completions'])('gets %s there', async (path) => {
    const { url, seen } = await forwarded(crossing({ always: refuse(429, { retryAfterSeconds: 60 }) }));
    const response = await fetch(
      url + path,
      chat({ model: 'gpt-x' }, { 'openai-organization': 'org', 'x-odd': 'sk-one' }),
    );
    const heard = await heardBy(response);
    expect(heard.path).toBe('/openai/v1/chat/completions');
    expect(JSON.parse(heard.body)).toEqual({ model: 'llama-y' });
    expect(heard.headers['authorization']).toBe('Bearer gsk-one');
    expect(heard.headers['openai-organization']).toBeUndefined();
    expect(heard.headers['x-odd']).toBeUndefined();
    expect(response.headers.get('x-keymux-provider')).toBe('groq');
    expect([seen('openai'), seen('groq')]).toEqual([['sk-one'], ['gsk-one']]);
  });

  it('stays with the first one where a model has no other name, or the body is too long to be read', async () => {
    const options = crossing({ always: refuse(429, { retryAfterSeconds: 60 }) }, 200_000);
    const { url, seen } = await forwarded(options);
    expect((await fetch(url + CHAT, chat({ model: 'gpt-z' }))).status).toBe(429);
    expect((await fetch(url + CHAT, chat({ model: 'gpt-x', x: 'a'.repeat(300_000) }))).status).toBe(429);
    expect(seen('groq')).toEqual([]);
  });

  it('sends what has no body, and hands redirects of the first one on', async () => {
    const { url } = await forwarded(crossing({ always: redirect('/v1/other') }));
    const response = await fetch(`${url}/llm/models`, { redirect: 'manual' });
    expect(response.headers.get('location')).toBe('/llm/v1/other');
  });
});

describe('a provider without a key', () => {
  it('is asked nothing, and its caller is told what is missing', async () => {
    const { url, seen } = await forwarded({ providers: { acme: { keys: {} } } });
    const response = await fetch(`${url}/acme/v1/models`);
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(await response.text()).toContain('KEYMUX_NO_USABLE_KEY');
    expect(seen('acme')).toEqual([]);
  });
});

describe('a caller with a token of the gateway', () => {
  it('is named where the use of keys is counted', async () => {
    const { url, manager } = await forwarded({
      providers: { acme: { keys: { 'key-one': {} } } },
      by: 'ci',
    });
    const watch = manager.accesses.watch();
    onTestFinished(() => watch.stop());
    await (await fetch(url + CHAT, chat())).text();
    expect(watch.drain()).toMatchObject([{ way: 'request', by: 'gateway token ci', count: 1 }]);
  });
});

describe('draining', () => {
  it('lets requests under way finish, on connections that are not used again', async () => {
    const { url, forwarding } = await forwarded({
      providers: { acme: { keys: { 'key-one': { always: ok({ delayMs: 200 }) } } } },
    });
    const asked = fetch(url + CHAT, chat());
    await until(() => forwarding.size === 1);
    await forwarding.drain(10_000);
    const response = await asked;
    expect(response.status).toBe(200);
    expect(response.headers.get('connection')).toBe('close');
    expect(forwarding.size).toBe(0);
    const late = await fetch(url + CHAT, chat());
    expect([200, 503]).toContain(late.status);
  });

  it('cuts those off that are left after that time', async () => {
    const { url, forwarding, manager } = await forwarded({
      providers: { acme: { keys: { 'key-one': { always: stream({ ends: 'stalled' }) } } } },
    });
    const response = await fetch(url + CHAT, chat({ stream: true }));
    await forwarding.drain(1);
    await expect(response.text()).rejects.toThrow();
    await until(() => forwarding.size === 0);
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });
});

describe('a provider that offers HTTP/2', () => {
  it('gets its requests so, whatever they carry', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    const server = http2.createSecureServer({ ...createCertificate(), allowHTTP1: true });
    const versions: string[] = [];
    server.on('request', (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => {
      versions.push(request.httpVersion);
      const isBad = request.headers.authorization === 'Bearer key-one';
      response.writeHead(isBad ? 401 : 200, { 'content-type': 'text/plain' });
      if (isBad) response.end();
      else request.pipe(response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const baseUrl = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { url } = await forwarded({
      providers: { acme: { keys: { 'key-one': {}, 'key-two': {} }, provider: { baseUrl } } },
    });
    const long = 'a'.repeat(300_000);
    const bodies = await Promise.all(
      ['short', long].map(async (body) => (await fetch(`${url}/acme/x`, { method: 'POST', body })).text()),
    );
    expect(bodies.map((body) => body.length)).toEqual(['short'.length, long.length]);
    expect(new Set(versions)).toEqual(new Set(['2.0']));
    expect(versions.length).toBeGreaterThanOrEqual(3);
  });
});

describe('what a provider says of the caller', () => {
  it('is told as it is', async () => {
    const { url } = await forwarded({
      providers: { acme: { keys: { 'key-one': { always: reply(422, { body: { a: 1 } }) } } } },
    });
    const response = await fetch(url + CHAT, chat());
    expect(response.status).toBe(422);
    expect(await response.json()).toEqual({ a: 1 });
  });
});
