/** Bytes both ways: unbuffered, at the pace of whoever is slower, and no longer than somebody wants them. */
import { once } from 'node:events';
import http from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { echo, refuse, silence, stream } from '#keymux/testing/script.js';
import { CHAT, chat, forwarded, TOKEN, until } from './forwarded.js';
import type { Forwarded, ForwardedOptions } from './forwarded.js';

/** A provider whose answers are written by hand. */
async function behind(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  options: Partial<ForwardedOptions> & { readonly keys?: readonly string[]; readonly provider?: object } = {},
): Promise<Forwarded> {
  const server = http.createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { keys = ['key-one'], provider, ...rest } = options;
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return forwarded({
    ...rest,
    providers: {
      acme: { keys: Object.fromEntries(keys.map((key) => [key, {}])), provider: { baseUrl, ...provider } },
    },
  });
}

function send(url: string, options: http.RequestOptions = {}): http.ClientRequest {
  const request = http.request(url, { agent: false, headers: { 'x-api-key': TOKEN }, ...options });
  request.on('error', () => {});
  return request;
}

async function answerTo(request: http.ClientRequest): Promise<IncomingMessage> {
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  answer.on('error', () => {});
  return answer;
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of answer) text += String(chunk);
  return text;
}

const CHUNK = Buffer.alloc(65_536, 'x');
/** More than sockets buffer on their own. */
const FLOOD_BYTES = 64 * 1_048_576;

/** Writes as fast as it may, and counts what went out. */
function flood(target: NodeJS.WritableStream, counter: { bytes: number }): void {
  const more = (): void => {
    while (counter.bytes < FLOOD_BYTES) {
      counter.bytes += CHUNK.length;
      if (!target.write(CHUNK)) return void target.once('drain', more);
    }
    target.end();
  };
  more();
}

/** Resolves when a number has not grown for a while. */
async function settled(read: () => number): Promise<number> {
  for (let last = -1, quiet = 0; quiet < 20;) {
    const now = read();
    quiet = now === last ? quiet + 1 : 0;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return read();
}

describe('an answer', () => {
  it('passes event by event', async () => {
    const parts: ServerResponse[] = [];
    const { url } = await behind((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: 1\n\n');
      parts.push(response);
    });
    const request = send(`${url}/acme/x`);
    request.end();
    const answer = await answerTo(request);
    const [first] = (await once(answer, 'data')) as [Buffer];
    expect(first.toString()).toBe('data: 1\n\n');
    parts[0]?.write('data: 2\n\n');
    const [second] = (await once(answer, 'data')) as [Buffer];
    expect(second.toString()).toBe('data: 2\n\n');
    parts[0]?.end();
    await once(answer, 'end');
    expect(answer.complete).toBe(true);
  });

  it('shows its head before there is a body', async () => {
    const { url } = await behind((_, response) => {
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      response.flushHeaders();
    });
    const request = send(`${url}/acme/x`);
    request.end();
    expect((await answerTo(request)).statusCode).toBe(200);
    request.destroy();
  });

  it('comes no faster than it is read, and whole in the end', async () => {
    const sent = { bytes: 0 };
    const { url, forwarding } = await behind(({ method }, response) => {
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      if (method === 'HEAD') response.end();
      else flood(response, sent);
    });
    const request = send(`${url}/acme/x`);
    request.end();
    const answer = await answerTo(request);
    answer.pause();
    expect(await settled(() => sent.bytes)).toBeLessThan(FLOOD_BYTES);
    // Another one is not slowed.
    const other = send(`${url}/acme/x`, { method: 'HEAD' });
    other.end();
    expect((await answerTo(other)).statusCode).toBe(200);
    other.destroy();
    let received = 0;
    for await (const chunk of answer) received += (chunk as Buffer).length;
    expect(received).toBe(FLOOD_BYTES);
    await until(() => forwarding.size === 0);
  });

  it('that is read slowly is not taken for one that stalls', async () => {
    const sent = { bytes: 0 };
    const { url } = await behind(
      (_, response) => {
        response.writeHead(200, { 'content-type': 'application/octet-stream' });
        flood(response, sent);
      },
      { provider: { stream: { idleMs: 100 } } },
    );
    const request = send(`${url}/acme/x`);
    request.end();
    const answer = await answerTo(request);
    answer.pause();
    await settled(() => sent.bytes);
    let received = 0;
    for await (const chunk of answer) received += (chunk as Buffer).length;
    expect(received).toBe(FLOOD_BYTES);
  });

  it('keeps its encoding, and loses what concerns one connection only', async () => {
    const { url } = await behind((request, response) => {
      response.writeHead(203, 'Fine', [
        ['Content-Encoding', 'x-odd'],
        ['Connection', 'x-nominated'],
        ['X-Nominated', '1'],
        ['Keep-Alive', 'timeout=9'],
        ['Proxy-Authenticate', 'Basic'],
        ['Alt-Svc', 'h3=":443"'],
        ['Set-Cookie', 'a=1'],
        ['Set-Cookie', 'b=2'],
        ['X-Request-Id', 'theirs'],
        ['X-Keymux-Key', 'forged'],
        ['X-Echo', String(request.headers['authorization'])],
        ['X-Accept', String(request.headers['accept-encoding'])],
      ] as never);
      response.end('body');
    });
    const request = send(`${url}/acme/x`, { headers: { 'accept-encoding': 'x-odd', 'x-api-key': TOKEN } });
    request.end();
    const answer = await answerTo(request);
    expect([answer.statusCode, answer.statusMessage]).toEqual([203, 'Fine']);
    const { headers } = answer;
    expect(headers['content-encoding']).toBe('x-odd');
    expect(headers['x-accept']).toBe('x-odd');
    expect(headers['set-cookie']).toEqual(['a=1', 'b=2']);
    expect(headers['x-keymux-upstream-request-id']).toBe('theirs');
    expect(headers['x-request-id']).not.toBe('theirs');
    expect(headers['x-keymux-key']).toMatch(/^acme\//);
    expect(headers['x-echo']).toBe('Bearer {key}');
    for (const name of ['x-nominated', 'proxy-authenticate', 'alt-svc'])
      expect(headers[name]).toBeUndefined();
    expect(headers['keep-alive']).not.toBe('timeout=9');
    expect(await textOf(answer)).toBe('body');
  });

  it.each([204, 304])('%i has no body', async (status) => {
    const { url } = await behind((_, response) => response.writeHead(status).end());
    const response = await fetch(`${url}/acme/x`);
    expect(response.status).toBe(status);
    expect(await response.text()).toBe('');
  });

  it('to HEAD has a length and no body', async () => {
    const { url } = await behind((_, response) => response.writeHead(200, { 'content-length': 7 }).end());
    const response = await fetch(`${url}/acme/x`, { method: 'HEAD' });
    expect(response.headers.get('content-length')).toBe('7');
    expect(await response.text()).toBe('');
  });

  it('that breaks off is no whole one for a client of HTTP/1.0 either', async () => {
    const { port } = await behind((_, response) => {
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      response.write('half');
      setTimeout(() => response.destroy(), 20);
    });
    const socket = net.connect(port, '127.0.0.1');
    let text = '';
    socket.on('data', (data) => (text += data.toString()));
    socket.write('GET /acme/x HTTP/1.0\r\n\r\n');
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
    expect(text).toContain('200 OK');
  });
});

describe('a caller that goes away', () => {
  it.each([
    ['before an answer', silence()],
    ['within an answer', stream({ ends: 'stalled', after: 1 })],
  ])('%s ends the request there, blames nobody and begins nothing', async (_, behaviour) => {
    const { url, simulator, seen, manager, forwarding, ended } = await forwarded({
      providers: { acme: { keys: { 'key-one': { always: behaviour }, 'key-two': {} } } },
    });
    const caller = new AbortController();
    const asked = fetch(url + CHAT, { ...chat(), signal: caller.signal });
    await simulator('acme').waitFor(({ requests }) => requests.length === 1);
    if (behaviour.do === 'stream') await asked;
    caller.abort();
    await expect(asked.then((response) => response.text())).rejects.toThrow();
    await simulator('acme').waitFor(({ requests }) => requests[0]?.aborted === true);
    await until(() => forwarding.size === 0);
    expect(seen('acme')).toEqual(['key-one']);
    expect(manager.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
    expect(manager.inspect().keys.every(({ state }) => state !== 'resting')).toBe(true);
    expect(ended).toHaveLength(1);
  });

  it('while a key is waited for gets none', async () => {
    const limits = [{ requests: 1, perMs: 60_000 }];
    const { url, seen, forwarding } = await forwarded({
      providers: {
        acme: {
          keys: { 'key-one': {} },
          provider: { limits, retry: { maxWaitMs: 80_000, deadlineMs: 90_000 } },
        },
      },
    });
    expect((await fetch(url + CHAT, chat())).status).toBe(200);
    const caller = new AbortController();
    const asked = fetch(url + CHAT, { ...chat(), signal: caller.signal });
    await until(() => forwarding.size === 1);
    caller.abort();
    await expect(asked).rejects.toThrow();
    await until(() => forwarding.size === 0);
    expect(seen('acme')).toEqual(['key-one']);
  });

  it('in the pause before the next attempt ends it there', async () => {
    const { url, simulator, seen, forwarding, ended } = await forwarded({
      providers: { acme: { keys: { 'key-one': { always: refuse(503, { retryAfterSeconds: 1 }) } } } },
    });
    const caller = new AbortController();
    const asked = fetch(url + CHAT, { method: 'GET', signal: caller.signal });
    await simulator('acme').waitFor(({ requests }) => requests[0]?.endedAt !== undefined);
    await new Promise((resolve) => setTimeout(resolve, 50));
    caller.abort();
    await expect(asked).rejects.toThrow();
    await until(() => forwarding.size === 0);
    expect(seen('acme')).toEqual(['key-one']);
    expect(ended.map(({ end }) => end)).toEqual(['aborted']);
  });
});

describe('the body of a request', () => {
  it('is sent on as it comes', async () => {
    const { url } = await behind((request, response) => request.pipe(response));
    const request = send(`${url}/acme/x`, { method: 'POST' });
    request.write('one');
    const answer = await answerTo(request);
    const [first] = (await once(answer, 'data')) as [Buffer];
    expect(first.toString()).toBe('one');
    request.end('two');
    expect(await textOf(answer)).toBe('two');
  });

  it('is taken no faster than the provider reads it', async () => {
    const sent = { bytes: 0 };
    const waiting: IncomingMessage[] = [];
    const { url } = await behind((request, response) => {
      waiting.push(request);
      request.on('end', () => response.end('got it'));
    });
    const request = send(`${url}/acme/x`, { method: 'POST' });
    flood(request, sent);
    expect(await settled(() => sent.bytes)).toBeLessThan(FLOOD_BYTES);
    waiting[0]?.resume();
    expect(await textOf(await answerTo(request))).toBe('got it');
    expect(sent.bytes).toBe(FLOOD_BYTES);
  });

  it.each([
    ['of a known length', { 'content-length': '200000' }],
    ['in chunks', {}],
  ])('(%s) is sent again whole, though the first answer came before its end', async (_, headers) => {
    const bodies: string[] = [];
    const { url } = await behind(
      (request, response) => {
        if (request.headers.authorization === 'Bearer key-one') return void response.writeHead(401).end();
        let body = '';
        request.on('data', (chunk: Buffer) => (body += chunk.toString()));
        request.on('end', () => {
          bodies.push(body);
          response.end('ok');
        });
      },
      { keys: ['key-one', 'key-two'] },
    );
    const request = send(`${url}/acme/x`, { method: 'POST', headers });
    const half = 'a'.repeat(100_000);
    request.write(half);
    await new Promise((resolve) => setTimeout(resolve, 50));
    request.end('b'.repeat(100_000));
    const answer = await answerTo(request);
    expect(answer.statusCode).toBe(200);
    expect(bodies).toEqual([half + 'b'.repeat(100_000)]);
  });

  it('that is too long to be kept is sent once', async () => {
    let count = 0;
    const { url } = await behind(
      (request, response) => {
        count += 1;
        request.resume().on('end', () => response.writeHead(401).end());
      },
      { keys: ['key-one', 'key-two'], provider: { retry: { maxBodyBytes: 100_000 } } },
    );
    const response = await fetch(`${url}/acme/x`, { method: 'POST', body: 'a'.repeat(200_000) });
    expect(response.status).toBe(401);
    expect(count).toBe(1);
  });

  it.each([
    ['as its length says', false],
    ['as it turns out', true],
  ])('is refused where it is too long, %s', async (_, isChunked) => {
    let received = 0;
    const { url, forwarding, manager } = await behind(
      (request, response) => {
        request.on('data', (chunk: Buffer) => (received += chunk.length));
        request.on('end', () => response.end());
      },
      { limits: { maxBodyBytes: 100_000 } },
    );
    const request = send(`${url}/acme/x`, {
      method: 'POST',
      headers: isChunked ? {} : { 'content-length': 200_000 },
    });
    request.write(Buffer.alloc(50_000));
    request.end(Buffer.alloc(150_000));
    const answer = await answerTo(request);
    expect(answer.statusCode).toBe(413);
    expect(await textOf(answer)).toContain('100000 bytes');
    expect(received).toBeLessThanOrEqual(100_000);
    await until(() => forwarding.size === 0);
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('of which nobody wants the rest is read a while, so that the answer is seen, and the connection goes on', async () => {
    const { url } = await behind((_, response) => response.writeHead(400, { connection: 'close' }).end('no'));
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const request = send(`${url}/acme/x`, { method: 'POST', agent });
    request.write(Buffer.alloc(100_000));
    const answer = await answerTo(request);
    expect(answer.statusCode).toBe(400);
    expect(await textOf(answer)).toBe('no');
    request.end(Buffer.alloc(100_000));
    const next = send(`${url}/acme/x`, { agent });
    next.end();
    expect((await answerTo(next)).statusCode).toBe(400);
  });
});

describe('a request', () => {
  it('shows its provider no token of its caller and nothing of this connection', async () => {
    const { url } = await forwarded({
      providers: {
        acme: {
          keys: { 'key-one': { always: echo() } },
          simulator: { auth: { in: 'query', name: 'apikey' } },
          provider: { auth: { in: 'query', name: 'apikey' } },
        },
      },
    });
    const request = send(`${url}/acme/x?a=1&apikey=${TOKEN}&b=%2F&%61pikey=${TOKEN}`, {
      headers: {
        Authorization: `Bearer ${TOKEN}`,
        'X-Api-Key': TOKEN,
        'Api-Key': TOKEN,
        'X-Goog-Api-Key': TOKEN,
        'Proxy-Authorization': TOKEN,
        'X-Keymux-Token': TOKEN,
        Connection: 'keep-alive, x-secret',
        'X-Secret': TOKEN,
        TE: 'trailers',
        Expect: '100-continue',
        'X-Forwarded-For': '10.0.0.1',
        'User-Agent': 'me',
      },
    });
    request.end();
    const answer = await answerTo(request);
    const text = await textOf(answer);
    expect(text).not.toContain(TOKEN);
    const heard = JSON.parse(text) as { path: string; headers: Record<string, string> };
    expect(heard.path).toBe('/x?a=1&b=%2F&apikey=key-one');
    expect(heard.headers).toMatchObject({ 'x-forwarded-for': '10.0.0.1', 'user-agent': 'me' });
    for (const name of ['te', 'expect', 'x-secret', 'authorization'])
      expect(heard.headers[name]).toBeUndefined();
  });

  it('that no provider can be sent is told so, and no key suffers', async () => {
    const { port, manager, seen } = await forwarded({ providers: { acme: { keys: { 'key-one': {} } } } });
    const socket = net.connect(port, '127.0.0.1');
    let text = '';
    socket.on('data', (data) => (text += data.toString()));
    socket.write('GET /acme/\xe9\u{1f600} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    await once(socket, 'close');
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(seen('acme')).toEqual([]);
    expect(manager.inspect().keys.every(({ state }) => state !== 'resting')).toBe(true);
  });
});
