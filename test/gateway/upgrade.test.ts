import { once } from 'node:events';
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import WebSocket, { WebSocketServer } from 'ws';
import { ok, refuse, reply, reset, silence, stream } from '#keymux/testing/script.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import { forwarded, TOKEN, until } from './forwarded.js';
import type { Forwarded, ForwardedOptions } from './forwarded.js';

const AUTH = { in: 'header', name: 'x-api-key' } as const;

function feeds(keys: ForwardedOptions['providers'][string]['keys'], more: object = {}): Promise<Forwarded> {
  return forwarded({
    providers: {
      acme: { keys, simulator: { flavour: 'generic', auth: AUTH }, provider: { auth: AUTH, ...more } },
    },
  });
}

function open({ url }: Forwarded, path = '/acme/feed', protocols: string[] = []): WebSocket {
  const socket = new WebSocket(url.replace('http', 'ws') + path, protocols, {
    headers: { 'x-api-key': TOKEN },
  });
  socket.on('error', () => {});
  onTestFinished(() => socket.terminate());
  return socket;
}

/** The handshake as it is answered. */
async function handshake(socket: WebSocket): Promise<IncomingMessage> {
  const [message] = (await once(socket, 'upgrade')) as [IncomingMessage];
  return message;
}

async function refusal(
  socket: WebSocket,
): Promise<{ status: number; text: string; headers: http.IncomingHttpHeaders }> {
  const [, message] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
  let text = '';
  for await (const chunk of message) text += String(chunk);
  return { status: message.statusCode ?? 0, text, headers: message.headers };
}

describe('a WebSocket', () => {
  it('passes both ways with a key of ours, and its handshake names it', async () => {
    const gateway = await feeds({ 'key-one': {} });
    const socket = open(gateway);
    const opened = once(socket, 'open');
    const message = await handshake(socket);
    expect(message.headers['x-keymux-key']).toMatch(/^acme\//);
    expect(message.headers['x-request-id']).toBe(gateway.ended[0]?.requestId);
    await opened;
    expect(gateway.forwarding.size).toBe(1);
    socket.send('hello');
    const [answer] = (await once(socket, 'message')) as [Buffer];
    expect(answer.toString()).toContain('key-one');
    const [record] = gateway.simulator('acme').requests;
    expect(record).toMatchObject({ webSocket: true, key: 'key-one', path: '/feed', status: 101 });
    expect(JSON.stringify(record?.headers)).not.toContain(TOKEN);
    socket.close();
    await once(socket, 'close');
    await until(() => gateway.forwarding.size === 0);
    expect(gateway.manager.inspect().keys[0]).toMatchObject({ inFlight: 0, state: 'ready' });
    expect(gateway.ended.map(({ end }) => end)).toEqual(['answered']);
  });

  it.each([
    ['limited', refuse(429, { retryAfterSeconds: 60 })],
    ['revoked', refuse(401)],
    ['reset', reset('before-headers')],
  ])('goes on with the next key where the first one is %s', async (_, behaviour) => {
    const gateway = await feeds({ 'key-one': { always: behaviour }, 'key-two': {} });
    const socket = open(gateway);
    await once(socket, 'open');
    expect(gateway.seen('acme')).toEqual(['key-one', 'key-two']);
    expect(gateway.ended).toMatchObject([{ end: 'answered', attempts: 2 }]);
  });

  it('that is refused by every key is told so', async () => {
    const limited = { always: refuse(429, { retryAfterSeconds: 60 }) };
    const gateway = await feeds({ 'key-one': limited, 'key-two': limited });
    const { status, headers } = await refusal(open(gateway));
    expect(status).toBe(429);
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    expect(headers['x-keymux-key']).toMatch(/^acme\//);
    const again = await refusal(open(gateway));
    expect(again.status).toBe(429);
    expect(again.text).toContain('KEYMUX_NO_USABLE_KEY');
    expect(gateway.seen('acme')).toHaveLength(2);
    await until(() => gateway.forwarding.size === 0);
  });

  it('that the caller asked for in the wrong way is told in the words of the provider', async () => {
    const gateway = await feeds({ 'key-one': { always: reply(404, { body: 'no such feed' }) } });
    expect(await refusal(open(gateway))).toMatchObject({ status: 404, text: 'no such feed' });
  });

  it('whose provider is not there, or says nothing, is told so in time', async () => {
    const gateway = await feeds({ 'key-one': { always: silence() } }, { stream: { firstByteMs: 100 } });
    const { status, text } = await refusal(open(gateway));
    expect(status).toBe(504);
    expect(text).toContain('key acme/');
    const nowhere = await feeds(
      { 'key-one': {} },
      { baseUrl: 'http://127.0.0.1:1', retry: { deadlineMs: 1 } },
    );
    expect((await refusal(open(nowhere))).status).toBe(502);
  });

  it('is closed to its caller when the provider closes it', async () => {
    const gateway = await feeds({ 'key-one': {} });
    const socket = open(gateway);
    await once(socket, 'open');
    gateway.simulator('acme').dropConnections();
    await once(socket, 'close');
    await until(() => gateway.forwarding.size === 0);
  });

  it('is closed to its provider when the caller goes, also before it stands', async () => {
    const gateway = await feeds({ 'key-one': { always: silence() } });
    const socket = open(gateway);
    socket.on('error', () => {});
    await gateway.simulator('acme').waitFor(({ requests }) => requests.length === 1);
    socket.terminate();
    await gateway.simulator('acme').waitFor(({ requests }) => requests[0]?.aborted === true);
    await until(() => gateway.forwarding.size === 0);
    expect(gateway.seen('acme')).toEqual(['key-one']);
    expect(gateway.manager.inspect().keys[0]?.inFlight).toBe(0);
    await until(() => gateway.ended.length === 1);
    expect(gateway.ended[0]?.end).toBe('aborted');
  });

  it('is cut when the time to drain is over', async () => {
    const gateway = await feeds({ 'key-one': { always: stream({ everyMs: 1 }) } });
    const socket = open(gateway);
    await once(socket, 'open');
    await gateway.forwarding.drain(1);
    await once(socket, 'close');
    await until(() => gateway.forwarding.size === 0);
  });

  it('gives no token away that stands in a subprotocol', async () => {
    const seen: (string | undefined)[] = [];
    const upstream = http.createServer();
    upstream.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
      seen.push(request.headers['sec-websocket-protocol']);
      socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
    });
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void upstream.close());
    const baseUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    const gateway = await feeds({ 'key-one': {} }, { baseUrl });
    await refusal(open(gateway, '/acme/feed', ['realtime', `openai-insecure-api-key.${TOKEN}`]));
    await refusal(open(gateway, '/acme/feed', [`openai-insecure-api-key.${TOKEN}`]));
    await refusal(open(gateway, '/acme/feed', ['one', 'two']));
    expect(seen).toEqual(['realtime', undefined, 'one,two']);
  });

  it('is the only thing that a connection may become', async () => {
    const gateway = await feeds({ 'key-one': { always: ok() } });
    const socket = net.connect(gateway.port, '127.0.0.1');
    let text = '';
    socket.on('data', (data) => (text += data.toString()));
    socket.write('GET /acme/x HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n');
    await once(socket, 'end');
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(gateway.seen('acme')).toEqual([]);
  });

  it('may lead to a provider that is reached over TLS', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    const server = https.createServer(createCertificate());
    const sockets = new WebSocketServer({ server });
    sockets.on('connection', (socket, request) => socket.send(String(request.headers['x-api-key'])));
    const gateway = await feeds({ 'key-one': {} }, { baseUrl: await originOf(server, 'https') });
    const socket = open(gateway);
    const [text] = (await once(socket, 'message')) as [Buffer];
    expect(text.toString()).toBe('key-one');
    socket.close();
    await until(() => gateway.forwarding.size === 0);
    sockets.close();
  });

  it('loses nothing that either side says too early', async () => {
    // The provider speaks in the same packet as its answer, and sends back whatever comes.
    const server = http.createServer();
    server.on('upgrade', (_request: IncomingMessage, socket: Duplex) => {
      void delay(50).then(() => {
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nhello ',
        );
        socket.on('error', () => {}).pipe(socket);
      });
    });
    const gateway = await feeds({ 'key-one': {} }, { baseUrl: await originOf(server, 'http') });
    const caller = net.connect(gateway.port, '127.0.0.1');
    onTestFinished(() => void caller.destroy());
    let text = '';
    caller.on('data', (data) => (text += data.toString()));
    const head = ['GET /acme/feed HTTP/1.1', 'host: x', 'connection: upgrade', 'upgrade: websocket', '', ''];
    caller.write(`${head.join('\r\n')}`);
    // More pieces than are kept while nobody listens: the caller has to wait.
    for (let piece = 0; piece < 40; piece += 1) {
      caller.write(`${piece},`);
      await delay(1);
    }
    const said = `${Array.from({ length: 40 }, (_, piece) => piece).join(',')},`;
    await until(() => text.endsWith(said));
    expect(text).toMatch(/^HTTP\/1\.1 101 [^]*\r\n\r\nhello 0,1,2,/);
  });

  it('that ends on the side of its caller before it stands costs no key', async () => {
    const gateway = await feeds({ 'key-one': { always: silence() } });
    const caller = net.connect(gateway.port, '127.0.0.1');
    caller.on('error', () => {});
    caller.end('GET /acme/feed HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
    await until(() => gateway.ended.length === 1);
    expect(gateway.ended[0]?.end).toBe('aborted');
    await until(() => gateway.forwarding.size === 0);
    expect(gateway.manager.inspect().keys[0]).toMatchObject({ inFlight: 0, state: 'unproven' });
  });

  it.each<[string, string, (socket: Duplex) => void]>([
    ['longer than any refusal', 'EMSGSIZE', (socket) => socket.write('x'.repeat(1_200_000))],
    ['cut off in its midst', 'ECONNRESET', (socket) => socket.write('half', () => socket.destroy())],
  ])('whose refusal is %s is told so', async (_, code, rest) => {
    const server = http.createServer();
    server.on('upgrade', (_request: IncomingMessage, socket: Duplex) => {
      socket.on('error', () => {});
      socket.write('HTTP/1.1 404 Not Found\r\ncontent-length: 2000000\r\n\r\n');
      rest(socket);
    });
    const gateway = await feeds(
      { 'key-one': {} },
      { baseUrl: await originOf(server, 'http'), retry: { maxAttempts: 1 } },
    );
    const { status, text } = await refusal(open(gateway));
    expect(status).toBe(502);
    expect(text).toContain('KEYMUX_ANSWER_INCOMPLETE');
    expect(text).toContain(code);
    await until(() => gateway.forwarding.size === 0);
    expect(gateway.manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('goes on with the next key where an answer that is none of a WebSocket says in its body why', async () => {
    const gateway = await feeds(
      { 'key-one': { always: reply(400, { body: { Note: 'call frequency' } }) }, 'key-two': {} },
      {
        errors: [
          { status: 400, json: '$.Note', match: 'call frequency', outcome: 'rate-limited', scope: 'key' },
        ],
      },
    );
    await once(open(gateway), 'open');
    expect(gateway.seen('acme')).toEqual(['key-one', 'key-two']);
  });

  it('is told that all keys rest, where the last one to be asked is dead', async () => {
    const limited = { always: refuse(429, { retryAfterSeconds: 60 }) };
    const gateway = await feeds({ 'key-one': limited, 'key-two': { always: refuse(401) } });
    const { status, headers, text } = await refusal(open(gateway));
    expect(gateway.seen('acme')).toEqual(['key-one', 'key-two']);
    expect(status).toBe(429);
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    expect(text).toContain('KEYMUX_NO_USABLE_KEY');
  });

  it.each([
    ['whole', '{"no":"socket"}', 200, '{"no":"socket"}'],
    ['in part', '{"no":', 502, 'KEYMUX_ANSWER_INCOMPLETE'],
  ])(
    'that gets an ordinary answer %s from a provider whose answers are awaited is told so',
    async (...row) => {
      const [, body, status, text] = row;
      const server = http.createServer();
      server.on('upgrade', (_request: IncomingMessage, socket: Duplex) => {
        socket.end(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n${body}`);
      });
      const gateway = await feeds(
        { 'key-one': {} },
        {
          baseUrl: await originOf(server, 'http'),
          stream: { commit: 'complete' },
          retry: { maxAttempts: 1 },
        },
      );
      const told = await refusal(open(gateway));
      expect(told.status).toBe(status);
      expect(told.text).toContain(text);
      await until(() => gateway.forwarding.size === 0);
      expect(gateway.manager.inspect().keys[0]?.inFlight).toBe(0);
    },
  );

  it('whose caller goes before the next attempt is tried no further', async () => {
    const gateway = await feeds({ 'key-one': { always: refuse(503) }, 'key-two': {} });
    let ofCaller: Duplex | undefined;
    gateway.server.on('upgrade', (_, socket: Duplex) => (ofCaller = socket));
    gateway.manager.on('failover', () => void ofCaller?.destroy());
    open(gateway);
    await until(() => gateway.ended.length === 1);
    expect(gateway.ended[0]?.end).toBe('aborted');
    await until(() => gateway.manager.inspect().keys.every(({ inFlight }) => inFlight === 0));
    expect(gateway.seen('acme')).toEqual(['key-one']);
    expect(gateway.forwarding.size).toBe(0);
  });

  it('for a service goes on with the next provider, at its own path', async () => {
    const speaking = (pathPrefix: string, key: ForwardedOptions['providers'][string]['keys']) => ({
      keys: key,
      simulator: { flavour: 'generic' as const, auth: AUTH },
      provider: { auth: AUTH, protocol: { name: 'openai', pathPrefix } },
    });
    const gateway = await forwarded({
      providers: {
        acme: speaking('/v1', { 'key-one': { always: refuse(429, { retryAfterSeconds: 60 }) } }),
        other: speaking('/other/v1', { 'key-two': {} }),
      },
      service: { rewrite: { models: [] } },
      by: 'ci',
    });
    const watch = gateway.manager.accesses.watch();
    onTestFinished(() => watch.stop());
    const message = await handshake(open(gateway, '/llm/v1/realtime'));
    expect(message.headers['x-keymux-key']).toMatch(/^other\//);
    expect(gateway.simulator('other').requests).toMatchObject([{ path: '/other/v1/realtime', status: 101 }]);
    expect(watch.drain()).toMatchObject([{ by: 'gateway token ci' }, { by: 'gateway token ci' }]);
  });
});

async function originOf(server: net.Server, scheme: 'http' | 'https'): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
