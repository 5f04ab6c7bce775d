import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import { describe, expect, it } from 'vitest';
import { errorSchema } from '#keymux/gateway/error-body.js';
import type { Door } from './door.js';
import { CANARY, RawClient, TOKENS, exchange, openDoor, statusOf } from './door.js';
import { ownServer } from './own-server.js';

const HOST = 'Host: 127.0.0.1';
const AUTH = `Authorization: Bearer ${TOKENS.use}`;

/** A whole request after which the connection ends; `more` stands between head and end. */
function request(line: string, ...more: readonly string[]): string {
  return [`${line} HTTP/1.1`, HOST, AUTH, 'Connection: close', ...more, '', ''].join('\r\n');
}

/** Nothing of what a refused client sent may be in what it gets. */
async function refused(door: Door, bytes: string): Promise<number> {
  const answer = await exchange(door, bytes);
  expect(answer).not.toContain('canary');
  expect(answer).toMatch(/\r\nconnection: close\r\n/i);
  const body = answer.slice(answer.indexOf('\r\n\r\n') + 4);
  expect(JSON.parse(body)).toMatchObject({ error: { type: 'keymux', code: expect.any(String) } });
  expect(door.forwarded).toEqual([]);
  expect(door.upgraded).toEqual([]);
  return statusOf(answer);
}

describe('the door of the gateway', () => {
  it('lets a plain request through, as it is', async () => {
    const door = await openDoor();
    const answer = await exchange(door, `${request('POST /acme/v1/x?q=a|b', 'Content-Length: 3')}abc`);
    expect(statusOf(answer)).toBe(200);
    expect(door.forwarded).toEqual([{ path: '/v1/x?q=a|b', body: 'abc' }]);
  });

  it('answers what it was asked before it refuses what follows', async () => {
    const door = await openDoor();
    const client = new RawClient(door.address);
    client.send(['GET /acme/a HTTP/1.1', HOST, AUTH, '', ''].join('\r\n'));
    await client.saw('answered');
    client.send('nonsense\r\n\r\n');
    const answer = await client.all();
    expect(answer).toMatch(/^HTTP\/1\.1 200 [^]*answeredHTTP\/1\.1 400 /);
  });

  it.each([
    [
      'both lengths',
      request('POST /acme/x', 'Content-Length: 3', 'Transfer-Encoding: chunked') + '0\r\n\r\n',
    ],
    ['two lengths', request('POST /acme/x', 'Content-Length: 3', 'Content-Length: 3') + 'abc'],
    ['two different lengths', request('POST /acme/x', 'Content-Length: 3', 'Content-Length: 4') + 'abcd'],
    ['a list of lengths', request('POST /acme/x', 'Content-Length: 3, 3') + 'abc'],
    ['a signed length', request('POST /acme/x', 'Content-Length: +3') + 'abc'],
    ['a hexadecimal length', request('POST /acme/x', 'Content-Length: 0x3') + 'abc'],
    ['another coding', request('POST /acme/x', 'Transfer-Encoding: gzip, chunked') + '0\r\n\r\n'],
    ['an unknown coding', request('POST /acme/x', 'Transfer-Encoding: xchunked') + '0\r\n\r\n'],
    [
      'two codings',
      request('POST /acme/x', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked') + '0\r\n\r\n',
    ],
    [
      'chunks in HTTP/1.0',
      `POST /acme/x HTTP/1.0\r\n${HOST}\r\n${AUTH}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ['a folded header', request('GET /acme/x', 'X-Long: one', ' two')],
    ['a folded length', request('POST /acme/x', 'Content-Length:', ' 3') + 'abc'],
    ['a blank before the colon', request('POST /acme/x', 'Content-Length : 3') + 'abc'],
    ['a bare line feed', `GET /acme/x HTTP/1.1\n${HOST}\n${AUTH}\n\n`],
    ['a nominated token', request('GET /acme/x', 'Connection: authorization')],
    ['a nominated host', request('GET /acme/x', 'Connection: keep-alive, Host')],
    [
      'a nominated length',
      request('POST /acme/x', 'Connection: Content-Length', 'Content-Length: 3') + 'abc',
    ],
    ['two hosts', request('GET /acme/x', 'Host: 127.0.0.1')],
    ['two tokens', request('GET /acme/x', 'Authorization: Bearer other')],
    ['no host', `GET /acme/x HTTP/1.1\r\n${AUTH}\r\n\r\n`],
    ['no host in HTTP/1.0', `GET /acme/x HTTP/1.0\r\n${AUTH}\r\n\r\n`],
    ['a host that is none', `GET /acme/x HTTP/1.1\r\nHost: a b\r\n${AUTH}\r\n\r\n`],
    ['a whole address', request(`GET http://127.0.0.1/acme/${CANARY}`)],
    ['the address of another', request('GET http://example.com/acme/x')],
    ['an asterisk', request('OPTIONS *')],
    ['two slashes', request('GET //acme/x')],
    ['two slashes behind the name', request('GET /acme//x')],
    ['a way up', request('GET /acme/../other/x')],
    ['a hidden way up', request('GET /acme/%2e%2E/other')],
    ['a way up hidden twice', request('GET /acme/%252e%252e/other')],
    ['a way up behind hidden slashes', request('GET /acme/a%2f..%2f..%2fother')],
    ['a way up with parameters', request('GET /acme/..;a=b/other')],
    ['a hidden slash in the name', request('GET /acme%2fx')],
    ['a hidden dot in the name', request('GET /%2e%2e/x')],
    ['a name that is no text', request('GET /%ff/x')],
    ['a backslash', request('GET /acme\\x')],
    ['a fragment', request('GET /acme/x#y')],
    ['a hidden control character', request('GET /acme/x%00')],
    ['a broken escape', request('GET /acme/x%4')],
    ['bytes beyond ASCII', request('GET /acme/\u00e4')],
    ['no request at all', '\u0016\u0003\u0001 TLS, perhaps\r\n\r\n'],
  ])('refuses %s', async (_what, bytes) => {
    expect(await refused(await openDoor(), bytes)).toBe(400);
  });

  it.each([
    ['TRACE', request('TRACE /acme/x')],
    ['CONNECT', request('CONNECT example.com:443')],
  ])('refuses %s', async (_what, bytes) => {
    expect(await refused(await openDoor(), bytes)).toBe(405);
  });

  it('refuses a head that is too long, or has too many headers', async () => {
    const door = await openDoor();
    expect(await refused(door, request('GET /acme/x', `X-Long: ${'x'.repeat(40_000)}`))).toBe(431);
    const many = Array.from({ length: 130 }, (_, index) => `X-${index}: 1`);
    expect(await refused(door, request('GET /acme/x', ...many))).toBe(431);
  });

  it('cuts off whose chunks hold too much besides', async () => {
    const door = await openDoor();
    door.onForward = () => {};
    const head = request('POST /acme/x', 'Transfer-Encoding: chunked');
    const client = new RawClient(door.address);
    client.send(`${head}3;${'x'.repeat(40_000)}\r\nabc\r\n0\r\n\r\n`);
    await client.closed;
    expect(door.forwarded).toEqual([]);
  });

  it('answers who asks for the head alone with no body', async () => {
    const answer = await exchange(await openDoor(), request('HEAD /nothing/x'));
    expect(statusOf(answer)).toBe(404);
    expect(answer).toMatch(/\r\n\r\n$/);
  });

  it('says what to do where there is no provider at all', async () => {
    const door = await openDoor({}, { providers: {} });
    expect(await exchange(door, request('GET /acme/x'))).toContain('run `keymux init`');
  });

  it('keeps what clients may say of a connection', async () => {
    const door = await openDoor();
    const answer = await exchange(door, request('GET /acme/x', 'TE: trailers', 'Connection: TE, close'));
    expect(statusOf(answer)).toBe(200);
  });
});

describe('the name in `Host`', () => {
  const asking = (host: string): string =>
    `GET /acme/x HTTP/1.1\r\nHost: ${host}\r\n${AUTH}\r\nConnection: close\r\n\r\n`;

  it.each([
    'localhost',
    'LOCALHOST:4800',
    '127.0.0.1:80',
    '127.9.9.9',
    '[::1]:80',
    'app.localhost',
    'localhost.',
  ])('may be %s', async (host) => {
    expect(statusOf(await exchange(await openDoor(), asking(host)))).toBe(200);
  });

  it.each([
    'rebound.example.com',
    'localhost.example.com',
    '127.0.0.1.example.com',
    '10.0.0.1',
    '[::2]',
    '1.2.3',
  ])('must not be %s', async (host) => {
    expect(await refused(await openDoor(), asking(host))).toBe(421);
  });

  it('may be what was allowed', async () => {
    const door = await openDoor({ allowedHosts: ['Gateway.Example.com', '*.example.org'] });
    for (const host of ['gateway.example.com', 'a.b.example.org:1'])
      expect(statusOf(await exchange(door, asking(host)))).toBe(200);
    expect(statusOf(await exchange(door, asking('example.org')))).toBe(421);
  });
});

describe('who may ask', () => {
  const asking = (path: string, ...headers: readonly string[]): string =>
    [`GET ${path} HTTP/1.1`, HOST, 'Connection: close', ...headers, '', ''].join('\r\n');
  const withoutDate = (answer: string): string => answer.replace(/\r\nDate: [^\r]*/, '');

  it('answers all who are not known alike, whatever they sent and asked for', async () => {
    const door = await openDoor();
    const answers = await Promise.all(
      [
        asking('/acme/x'),
        asking('/no-such-name/x'),
        asking('/acme/x', 'Authorization: Bearer wrong'),
        asking('/acme/x', `Authorization: Bearer ${TOKENS.use.slice(0, -1)}`),
        asking('/acme/x', `X-Api-Key: ${CANARY}-1`),
        asking(`/acme/x?apikey=${CANARY}-1`),
        asking('/acme/x', 'Authorization: Basic !!!'),
      ].map((bytes) => exchange(door, bytes)),
    );
    expect(new Set(answers.map(withoutDate)).size).toBe(1);
    expect(statusOf(answers[0] ?? '')).toBe(401);
    expect(answers[0]).toContain('www-authenticate: Bearer realm="keymux"');
    expect(door.forwarded).toEqual([]);
  });

  it.each(['read', 'admin'] as const)('lets the role %s send nothing', async (role) => {
    const door = await openDoor();
    const answer = await exchange(door, asking('/acme/x', `Authorization: Bearer ${TOKENS[role]}`));
    expect(statusOf(answer)).toBe(403);
    expect(door.forwarded).toEqual([]);
  });

  it('names what there is to whoever may use it', async () => {
    const answer = await exchange(await openDoor(), asking('/nothing/x', AUTH));
    expect(statusOf(answer)).toBe(404);
    expect(answer).toContain('Known: data, acme, other, pathly.');
  });

  it('hands what is its own on, with who asks and what for', async () => {
    const door = await openDoor();
    const answer = await exchange(door, asking('/-/api/keys?a=1', `X-Keymux-Token: ${TOKENS.admin}`));
    expect(answer).toContain('{"path":"/api/keys","query":"a=1"}');
    await exchange(door, asking('/-'));
    expect(door.callers.map(({ name, roles }) => [name, ...roles])).toEqual([
      ['admin-3', 'admin'],
      ['nobody'],
    ]);
  });

  it.each([
    ['another origin', ['Origin: http://example.com']],
    ['no origin at all', ['Origin: null']],
    ['another port', ['Origin: http://127.0.0.1:9999']],
    ['another site', ['Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: no-cors']],
    ['a neighbour', ['Sec-Fetch-Site: same-site']],
  ])('keeps pages of %s away from what is its own', async (_what, headers) => {
    const door = await openDoor();
    expect(statusOf(await exchange(door, asking('/-/api/keys', ...headers)))).toBe(403);
    expect(door.callers).toEqual([]);
  });

  it('lets no form of another site change anything', async () => {
    const door = await openDoor();
    const form = [
      'POST /-/api/reload HTTP/1.1',
      'Host: 127.0.0.1',
      'Content-Length: 0',
      'Connection: close',
      'Sec-Fetch-Site: cross-site',
      'Sec-Fetch-Mode: navigate',
    ];
    const answer = await exchange(door, `${form.join('\r\n')}\r\n\r\n`);
    expect(statusOf(answer)).toBe(403);
    expect(answer).toContain('"code":"KEYMUX_ACCESS_DENIED"');
    expect(door.callers).toEqual([]);
  });

  it('refuses who is not known in the shape in which its own routes do', async () => {
    const door = await openDoor();
    const answer = await exchange(door, asking('/acme/x'));
    const body: unknown = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')));
    expect(errorSchema.parse(body).error.code).toBe('KEYMUX_ACCESS_DENIED');
    const { ask } = await ownServer();
    const { json } = await ask('/api/state', { token: 'none' });
    expect(errorSchema.parse(json).error.code).toBe('KEYMUX_ACCESS_DENIED');
  });

  it.each([
    ['its own page', ['Origin: http://127.0.0.1', 'Sec-Fetch-Site: same-origin']],
    ['an address that was typed', ['Sec-Fetch-Site: none', 'Sec-Fetch-Mode: navigate']],
    ['a link on another page', ['Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: navigate']],
  ])('answers %s', async (_what, headers) => {
    expect(statusOf(await exchange(await openDoor(), asking('/-/dashboard/', ...headers)))).toBe(200);
  });
});

describe('a client that is slow', () => {
  it('is cut off in the head of its request', async () => {
    const door = await openDoor({ limits: { headMs: 100 } });
    const client = new RawClient(door.address);
    client.send('GET /acme/x HTTP/1.1\r\nX-Slow: ');
    expect(statusOf(await client.all())).toBe(408);
  });

  it('is cut off where its body stops coming', async () => {
    const door = await openDoor({ limits: { bodyPauseMs: 100 } });
    door.onForward = () => {};
    const client = new RawClient(door.address);
    client.send(`${request('POST /acme/x', 'Content-Length: 10')}abc`);
    expect(statusOf(await client.all())).toBe(408);
    expect(door.forwarded).toEqual([]);
  });

  it('is cut off without a word where its answer has begun', async () => {
    const door = await openDoor({ limits: { bodyPauseMs: 100 } });
    door.onForward = (_request, response) => response.write('begun');
    const client = new RawClient(door.address);
    client.send(`${request('POST /acme/x', 'Content-Length: 10')}abc`);
    const answer = await client.all();
    expect(statusOf(answer)).toBe(200);
    expect(answer).not.toContain('408');
  });

  it('is waited for where the pause is not its own', async () => {
    const door = await openDoor({ limits: { bodyPauseMs: 50 } });
    let resume = (): void => {};
    door.onForward = (incoming, response) => {
      incoming.pause();
      let pauses = 0;
      incoming.on('timeout', () => {
        pauses += 1;
        if (pauses === 2) resume();
      });
      incoming.on('end', () => response.end('answered'));
      resume = () => void incoming.resume();
    };
    const answer = await exchange(
      door,
      `${request('POST /acme/x', 'Content-Length: 200000')}${'x'.repeat(200_000)}`,
    );
    expect(answer).toContain('answered');
  });

  it('gets no more connections than there may be', async () => {
    const door = await openDoor({ limits: { maxConnections: 1 } });
    const first = new RawClient(door.address);
    first.send(['GET /acme/a HTTP/1.1', HOST, AUTH, '', ''].join('\r\n'));
    await first.saw('answered');
    expect(await new RawClient(door.address).all()).toBe('');
  });
});

describe('a client that waits', () => {
  it('is told to go on only where its request is taken', async () => {
    const door = await openDoor();
    const client = new RawClient(door.address);
    client.send(request('POST /acme/x', 'Content-Length: 3', 'Expect: 100-continue'));
    await client.saw('100 Continue');
    client.send('abc');
    expect(await client.all()).toContain('answered');
    const refusal = request('POST /acme/x', 'Content-Length: 3', 'Expect: 100-continue').replace(
      AUTH,
      'X-No: 1',
    );
    expect(statusOf(await exchange(door, refusal))).toBe(401);
  });

  it('is told to go on below /-/ too', async () => {
    const door = await openDoor();
    const client = new RawClient(door.address);
    client.send(request('POST /-/api/x', 'Content-Length: 3', 'Expect: 100-continue'));
    await client.saw('100 Continue');
    client.send('abc');
    expect(await client.all()).toContain('"/api/x"');
  });
});

describe('an upgrade', () => {
  const UPGRADE = ['Upgrade: websocket', 'Connection: Upgrade'];
  const asking = (path: string, ...headers: readonly string[]): string =>
    [`GET ${path} HTTP/1.1`, HOST, ...headers, '', ''].join('\r\n');

  it('to a WebSocket is let through', async () => {
    const door = await openDoor();
    expect(statusOf(await exchange(door, asking('/acme/feed', AUTH, ...UPGRADE)))).toBe(101);
    expect(door.upgraded).toEqual(['/feed']);
  });

  it.each([
    [401, '/acme/feed', ['X-No: 1']],
    [403, '/acme/feed', [`Authorization: Bearer ${TOKENS.read}`]],
    [404, '/nothing/feed', [AUTH]],
    [400, '/acme/../feed', [AUTH]],
    [400, '/-/events', [AUTH]],
    [400, '/acme/feed', [AUTH, 'Content-Length: 1', 'Content-Length: 1']],
  ])('is refused with %i: %s', async (status, path, headers) => {
    expect(await refused(await openDoor(), asking(path, ...headers, ...UPGRADE))).toBe(status);
  });

  it.each(['', 'keep-alive, '])('to HTTP/2 is declined, and the request answered', async (option) => {
    const door = await openDoor();
    const head = ['POST /acme/x HTTP/1.1', HOST, AUTH, `Connection: ${option}Upgrade, HTTP2-Settings`];
    const client = new RawClient(door.address);
    client.send(
      [
        ...head,
        'Upgrade: h2c',
        'HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA',
        'Content-Length: 3',
        '',
        'ab',
      ].join('\r\n'),
    );
    client.send('c');
    await client.saw('answered');
    client.send(request('GET /acme/next'));
    await client.all();
    expect(door.forwarded).toEqual([
      { path: '/x', body: 'abc' },
      { path: '/next', body: '' },
    ]);
  });
});

describe('a gateway that ends', () => {
  it('lets an answer under way run out, takes no more, and then is gone', async () => {
    const door = await openDoor();
    const client = new RawClient(door.address);
    let finish = (): void => {};
    door.onForward = (_request, response) => {
      response.write('first');
      finish = () => void response.end('last');
    };
    client.send(request('GET /acme/x'));
    await client.saw('first');
    const idle = new RawClient(door.address);
    const closing = door.server.close(60_000);
    expect(door.server.isDraining).toBe(true);
    expect(await new RawClient(door.address).all()).toBe('');
    await idle.closed;
    finish();
    expect(await client.all()).toContain('last');
    await closing;
    await door.server.close();
  });

  it('sends away who asks once more on the same connection', async () => {
    const door = await openDoor();
    const client = new RawClient(door.address);
    let closing: Promise<void> | undefined;
    door.onForward = (_request, response) => {
      closing = door.server.close(60_000);
      setImmediate(() => response.end('answered'));
    };
    const plain = ['GET /acme/x HTTP/1.1', HOST, AUTH, '', ''].join('\r\n');
    client.send(plain + plain);
    expect(await client.all()).toMatch(/answeredHTTP\/1\.1 503 [^]*retry-after: 1/);
    await closing;
  });

  it('cuts off what does not end in time', async () => {
    const door = await openDoor();
    door.onForward = (_request, response) => response.write('for ever');
    const client = new RawClient(door.address);
    client.send(request('GET /acme/x'));
    await client.saw('for ever');
    await door.server.close(50);
    await client.closed;
  });
});

describe('where it listens', () => {
  it('says that the port is taken', async () => {
    const { port } = (await openDoor()).address;
    await expect(openDoor({ port })).rejects.toMatchObject({
      code: 'KEYMUX_USAGE',
      message: `Another program listens on port ${port} of 127.0.0.1.`,
      fix: expect.stringContaining('--port'),
    });
  });

  it('says that there is no such address', async () => {
    await expect(openDoor({ host: '192.0.2.1', insecureListen: true })).rejects.toMatchObject({
      message: 'The gateway cannot listen on port 0 of 192.0.2.1 (EADDRNOTAVAIL).',
    });
    await expect(openDoor({ port: 70_000 })).rejects.toMatchObject({ code: 'KEYMUX_USAGE' });
  });

  it.each(['0.0.0.0', '::', '192.0.2.1', 'example.com'])('refuses %s without TLS', async (host) => {
    await expect(openDoor({ host })).rejects.toMatchObject({
      code: 'KEYMUX_USAGE',
      fix: expect.stringContaining('--insecure-listen'),
    });
  });

  it('listens everywhere with TLS, or where that was said', async () => {
    expect((await openDoor({ host: '0.0.0.0', insecureListen: true })).address.origin).toMatch(
      /^http:\/\/127\.0\.0\.1:/,
    );
    const { key, cert } = createCertificate();
    expect((await openDoor({ host: '0.0.0.0', tls: { key, cert } })).address.origin).toMatch(/^https:/);
  });
});
