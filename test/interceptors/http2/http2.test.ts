import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { virtualKeyOf, virtualProvider } from '../virtual.js';
import { BAD_BAD_GOOD, KEYS, answers, manage, provider } from './provider.js';
import { answerTo, ask, connect, send } from './streams.js';

function disable(manager: KeyManager, count: number): void {
  for (const { id } of manager.inspect().keys.slice(0, count)) manager.disable(id);
}

describe('a stream of node:http2', () => {
  it('gets the key that is selected now, and what comes of it counts', async () => {
    const { origin, seen } = await provider(BAD_BAD_GOOD);
    const manager = manage(origin);
    const session = connect(origin);
    expect([await ask(session), await ask(session), await ask(session), await ask(session)]).toEqual([
      429, 401, 200, 200,
    ]);
    expect(seen()).toEqual(['key-limited', 'key-revoked', 'key-good', 'key-good']);
    expect(manager.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0, 0, 0]);
  });

  it('is not repeated, and a refusal tells SDKs not to multiply attempts once nothing is left', async () => {
    const { origin, seen } = await provider({ 'key-one': answers.limited });
    manage(origin, { keys: ['key-one'] });
    const headers = await answerTo(send(connect(origin), { authorization: 'Bearer key-one' }));
    expect(headers[':status']).toBe(429);
    expect(seen()).toEqual(['key-one']);
  });

  it.each([
    ['the path', { in: 'query', name: 'k' }, { ':path': '/a?k=key-limited' }, ':path', '/a?k=key-good'],
    ['a header of its own', { in: 'header', name: 'x-key' }, { 'X-Key': 'key-limited' }, 'x-key', 'key-good'],
    ['a list of values', { in: 'header', name: 'x-key' }, { 'x-key': ['key-limited'] }, 'x-key', 'key-good'],
    [
      'basic credentials',
      { in: 'basic' },
      { authorization: `Basic ${btoa('key-limited:')}` },
      'authorization',
      `Basic ${btoa('key-good:')}`,
    ],
  ])('carries the key in %s', async (_where, auth, headers, name, expected) => {
    const { origin, requests } = await provider({});
    const manager = manage(origin, { provider: { auth } });
    disable(manager, 2);
    const stream = connect(origin).request(headers);
    await answerTo(stream);
    expect(requests[0]?.[name]).toBe(expected);
  });

  // Node 24 and later take a flat list.
  if (Number(process.versions.node.split('.')[0]) >= 24) {
    it('takes its headers as a list', async () => {
      const { origin, seen } = await provider(BAD_BAD_GOOD);
      manage(origin);
      const session = connect(origin);
      const list = [':method', 'GET', ':path', '/', 'Authorization', 'Bearer key-limited'];
      expect([await ask(session, list), await ask(session, list), await ask(session, list)]).toEqual([
        429, 401, 200,
      ]);
      expect(seen()).toEqual(KEYS);
    });
  }

  it('shows the headers as the application gave them, and leaves these alone', async () => {
    const { origin, seen } = await provider(BAD_BAD_GOOD);
    manage(origin);
    const session = connect(origin);
    await ask(session);
    const headers = { authorization: 'Bearer key-limited', [http2.sensitiveHeaders]: ['authorization'] };
    const stream = session.request(headers);
    expect(stream.sentHeaders).toMatchObject({ authorization: 'Bearer key-limited', ':path': '/' });
    expect(Reflect.get(stream.sentHeaders, http2.sensitiveHeaders)).toEqual(['authorization']);
    expect(headers.authorization).toBe('Bearer key-limited');
    await answerTo(stream);
    expect(seen()).toEqual(['key-limited', 'key-revoked']);
  });

  it('passes without a known key, without headers and with headers that Node refuses', async () => {
    const { origin, requests } = await provider({});
    manage(origin);
    const session = connect(origin);
    expect(await ask(session, { authorization: 'Bearer somebody-else' })).toBe(200);
    await answerTo(session.request());
    expect(requests.map(({ authorization }) => authorization)).toEqual(['Bearer somebody-else', undefined]);
    expect(() => session.request('nonsense' as never)).toThrow(/headers/);
    expect(() => send(session, { ':nonsense': '1' })).toThrow();
  });

  it('passes as it is where keymux fails', async () => {
    const { origin, requests } = await provider({});
    manage(origin);
    let reads = 0;
    const headers = {
      authorization: 'Bearer key-limited',
      get 'x-note'() {
        reads += 1;
        if (reads === 1) throw new Error('not yet');
        return 'read';
      },
    };
    await answerTo(connect(origin).request(headers));
    expect(requests[0]).toMatchObject({ authorization: 'Bearer key-limited', 'x-note': 'read' });
  });

  it('lets one of two managers of the same origin choose', async () => {
    const { origin, seen } = await provider(BAD_BAD_GOOD);
    const managers = [manage(origin), manage(origin)];
    const session = connect(origin);
    expect([await ask(session), await ask(session), await ask(session)]).toEqual([429, 401, 200]);
    expect(seen()).toEqual(KEYS);
    const uses = managers.map((manager) => manager.inspect().keys.reduce((sum, key) => sum + key.uses, 0));
    expect(uses.sort()).toEqual([0, 3]);
  });

  it('judges a 200 by its body, which reaches the application untouched', async () => {
    const { origin, seen } = await provider({ 'key-limited': answers.soft });
    manage(origin, {
      provider: { errors: [{ status: 200, json: '$.Note', match: 'frequency', outcome: 'rate-limited' }] },
    });
    const session = connect(origin);
    const stream = send(session);
    let body = '';
    for await (const chunk of stream.setEncoding('utf8')) body += chunk as string;
    expect(body).toBe('{"Note":"call frequency"}');
    expect(await ask(session)).toBe(200);
    expect(seen()).toEqual(['key-limited', 'key-revoked']);
  });
});

describe('the head of an answer', () => {
  it('is judged with all values of a header', async () => {
    const { origin, seen } = await provider({ 'key-limited': answers.cookies });
    const header = { name: 'set-cookie', match: '^a=1, b=2$' };
    manage(origin, { provider: { errors: [{ status: 403, header, outcome: 'rate-limited' }] } });
    const session = connect(origin);
    expect([await ask(session), await ask(session)]).toEqual([403, 200]);
    expect(seen()).toEqual(['key-limited', 'key-revoked']);
  });
});

describe('the end of a stream', () => {
  it('counts as a failure of the provider where the connection fails', async () => {
    const { origin } = await provider({ 'key-limited': answers.reset });
    const manager = manage(origin);
    const session = connect(origin);
    for (let time = 0; time < 5; time += 1)
      await expect(once(send(session), 'response')).rejects.toMatchObject({ code: 'ERR_HTTP2_STREAM_ERROR' });
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, uses: 5 });
    // Five in a row open the circuit.
    await expect(once(send(session), 'response')).rejects.toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY' });
  });

  it('counts as one also where the answer breaks off', async () => {
    const { origin, requests } = await provider({ 'key-limited': answers.broken });
    manage(origin);
    const session = connect(origin);
    for (let time = 0; time < 5; time += 1) {
      const stream = send(session);
      const failed = new Promise((resolve) => stream.once('error', resolve));
      const [headers] = (await once(stream.resume(), 'response')) as [object];
      expect(headers).toMatchObject({ ':status': 200 });
      expect(await failed).toMatchObject({ code: 'ERR_HTTP2_STREAM_ERROR' });
    }
    expect(requests.length).toBe(5);
    await expect(once(send(session), 'response')).rejects.toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY' });
  });

  it('counts for nobody where the application goes away', async () => {
    const { origin, requests } = await provider({ 'key-limited': answers.silent });
    const manager = manage(origin);
    const stream = send(connect(origin));
    while (requests.length === 0) await new Promise(setImmediate);
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await once(stream, 'close');
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, uses: 1, state: 'unproven' });
  });

  it('gives the permit back where nothing was sent', async () => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    server.close();
    await once(server, 'close');
    const origin = `http://127.0.0.1:${port}`;
    const manager = manage(origin, { provider: { limits: [{ requests: 1, per: 'day' }] } });
    for (let time = 0; time < 3; time += 1) {
      const stream = send(connect(origin));
      await expect(once(stream, 'response')).rejects.toThrow();
    }
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, uses: 3 });
  });

  it('lets go of the key where the session takes no more streams', async () => {
    const { origin } = await provider({});
    const manager = manage(origin);
    const session = connect(origin);
    await ask(session);
    session.close();
    await new Promise<void>((resolve) => {
      // A stream that fails (Node 26) or an exception.
      try {
        send(session).once('error', () => resolve());
      } catch {
        resolve();
      }
    });
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });
});

describe('with every key out', () => {
  it('a stream fails without being sent', async () => {
    const { origin, seen } = await provider({ 'key-one': answers.limited });
    manage(origin, { keys: ['key-one'] });
    const session = connect(origin);
    const headers = { authorization: 'Bearer key-one' };
    expect(await ask(session, headers)).toBe(429);
    const stream = send(session, headers);
    const [error] = (await once(stream, 'error')) as [Error];
    expect(error).toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY', retryAt: expect.any(Number) });
    expect(error.message).not.toContain('key-one');
    expect(seen()).toEqual(['key-one']);
    await expect(once(send(session, headers), 'response')).rejects.toMatchObject({
      code: 'KEYMUX_NO_USABLE_KEY',
    });
  });

  it('a stream fails at once also where others would wait', async () => {
    const { origin, seen } = await provider({ 'key-one': answers.limitedBriefly });
    manage(origin, { keys: ['key-one'], provider: { retry: { maxWaitMs: 25_000 } } });
    const session = connect(origin);
    const headers = { authorization: 'Bearer key-one' };
    expect(await ask(session, headers)).toBe(429);
    await expect(once(send(session, headers), 'response')).rejects.toMatchObject({
      code: 'KEYMUX_NO_USABLE_KEY',
      retryAt: expect.any(Number) as number,
    });
    expect(seen()).toEqual(['key-one']);
  });

  it('fails a stream of a session that is still connecting', async () => {
    const { origin, seen } = await provider({});
    const manager = manage(origin, { keys: ['key-one'] });
    disable(manager, 1);
    const stream = send(connect(origin), { authorization: 'Bearer key-one' });
    await expect(once(stream, 'response')).rejects.toMatchObject({ code: 'KEYMUX_NO_USABLE_KEY' });
    expect(seen()).toEqual([]);
  });
});

describe('where a stream goes', () => {
  it('is told by what the session connects to', async () => {
    const [managed, other] = [await provider(BAD_BAD_GOOD), await provider({})];
    const manager = manage(managed.origin);
    disable(manager, 1);
    const elsewhere = connect(managed.origin, { port: other.port } as object);
    await ask(elsewhere);
    expect(other.seen()).toEqual(['key-limited']);
    const back = connect(other.origin, { port: managed.port } as object);
    await ask(back, { ':authority': `127.0.0.1:${managed.port}` });
    expect(managed.seen()).toEqual(['key-revoked']);
  });

  it('is not a request that names another host', async () => {
    const { origin, seen, port } = await provider({});
    const manager = manage(origin);
    disable(manager, 1);
    const session = connect(origin);
    await ask(session, { ':authority': 'elsewhere.example' });
    await ask(session, { host: 'elsewhere.example' });
    await ask(session, { ':authority': `127.0.0.1:${port}` });
    await ask(connect(origin, { servername: 'elsewhere.example' } as object));
    expect(seen()).toEqual(['key-limited', 'key-limited', 'key-revoked', 'key-limited']);
  });

  it('may be another origin of the same provider', async () => {
    const { origin, seen } = await provider({});
    const manager = manage(origin, { provider: { origins: ['http://other.example'], allowInsecure: true } });
    disable(manager, 1);
    await ask(connect(origin), { ':authority': 'other.example' });
    expect(seen()).toEqual(['key-revoked']);
  });

  it('is unknown where a path decides it', async () => {
    const { origin, port } = await provider({});
    const manager = manage(origin);
    const session = connect(origin, {
      path: '/nonexistent/socket',
      createConnection: () => net.connect(port, '127.0.0.1'),
    } as object);
    await ask(session);
    expect(manager.inspect().keys[0]?.uses).toBe(0);
  });

  it('is taken from a URL, from options alone and from a connection of its own', async () => {
    const { origin, port } = await provider({});
    const manager = manage(origin);
    const parts = { protocol: 'http:', hostname: '127.0.0.1', port };
    const sessions = [
      http2.connect(new URL(origin)),
      http2.connect(parts as never),
      http2.connect({ host: '127.0.0.1', port } as never, { protocol: 'http:' }),
      http2.connect(origin, { createConnection: () => net.connect(port, '127.0.0.1') }),
    ];
    for (const session of sessions) {
      onTestFinished(() => session.destroy());
      await ask(session);
    }
    expect(manager.inspect().keys[0]?.uses).toBe(4);
  });

  it('is nowhere for a tunnel', async () => {
    const { origin } = await provider({});
    const manager = manage(origin);
    const stream = send(connect(origin), { ':method': 'CONNECT', ':authority': 'example.com:443' });
    await answerTo(stream);
    expect(manager.inspect().keys[0]?.uses).toBe(0);
  });
});

describe('installHttp2', () => {
  it('puts everything back', async () => {
    const { origin, seen } = await provider({});
    const before = Object.getOwnPropertyDescriptor(http2, 'connect');
    const probe = connect(origin);
    const prototype = Object.getPrototypeOf(probe) as object;
    const request = Object.getOwnPropertyDescriptor(prototype, 'request');
    const manager = manage(origin);
    disable(manager, 1);
    expect(Object.getOwnPropertyDescriptor(http2, 'connect')).not.toEqual(before);
    const session = connect(origin);
    expect(Object.getOwnPropertyDescriptor(prototype, 'request')).not.toEqual(request);
    await manager.shutdown();
    expect(Object.getOwnPropertyDescriptor(http2, 'connect')).toEqual(before);
    expect(Object.getOwnPropertyDescriptor(prototype, 'request')).toEqual(request);
    await ask(session);
    expect(seen()).toEqual(['key-limited']);
  });
});

describe('a virtual key', () => {
  async function virtual() {
    const own = await provider({});
    const manager = manage(own.origin, { provider: virtualProvider(['key-real-1', 'key-real-2']), keys: [] });
    const key = virtualKeyOf(manager);
    return { ...own, headers: { authorization: `Bearer ${key}` }, key };
  }

  it('is turned into a real one on the way', async () => {
    const { origin, seen, headers } = await virtual();
    const stream = send(connect(origin), headers);
    expect(stream.sentHeaders).toMatchObject(headers);
    expect((await answerTo(stream))[':status']).toBe(200);
    expect(seen()).toEqual(['key-real-1']);
  });

  it.each([
    [
      'a connection that the application makes',
      (port: number) => ({ createConnection: () => net.connect(port, '127.0.0.1') }),
    ],
    ['a lookup of its own', () => ({ lookup: () => {} })],
  ])('is not sent over %s', async (_what, options) => {
    const { origin, port, requests, headers } = await virtual();
    const stream = send(connect(origin, options(port)), headers);
    await expect(once(stream, 'response')).rejects.toMatchObject({ code: 'KEYMUX_ORIGIN_REFUSED' });
    expect(requests).toEqual([]);
  });

  it('is not sent over a session that keymux did not see being made', async () => {
    const own = await provider({});
    const before = connect(own.origin);
    const manager = manage(own.origin, { provider: virtualProvider(['key-real-1']), keys: [] });
    const headers = { authorization: `Bearer ${virtualKeyOf(manager)}` };
    expect(await ask(connect(own.origin), headers)).toBe(200);
    await expect(once(send(before, headers), 'response')).rejects.toMatchObject({
      code: 'KEYMUX_ORIGIN_REFUSED',
    });
    expect(own.seen()).toEqual(['key-real-1']);
  });

  it('goes to nobody else', async () => {
    const { origin, headers, requests } = await virtual();
    const other = await provider({});
    for (const [to, more] of [
      [other.origin, {}],
      [origin, { ':authority': 'elsewhere.example' }],
      [origin, { authorization: 'none', 'x-note': headers.authorization }],
    ] as const) {
      const stream = send(connect(to), { ...headers, ...more });
      await expect(once(stream, 'response')).rejects.toMatchObject({ code: 'KEYMUX_ORIGIN_REFUSED' });
    }
    expect([...requests, ...other.requests]).toEqual([]);
  });
});

describe('a redirect', () => {
  it('takes no key along to another origin, and shows none', async () => {
    const other = await provider({});
    const { origin } = await provider({
      'key-limited': (stream, { ':path': path = '' }) => {
        stream.respond({ ':status': 302, location: `${other.origin}${path}` });
        stream.end();
      },
    });
    manage(origin);
    const first = await answerTo(send(connect(origin), { ':path': '/a?k=key-limited' }));
    expect(first.location).toBe(`${other.origin}/a?k=`);
    await ask(connect(other.origin));
    expect(other.requests[0]).not.toHaveProperty('authorization');
  });
});
