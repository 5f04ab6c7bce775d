/** A server on which clients can meet everything that they have to get along with. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { gzipSync } from 'node:zlib';
import type { Certificate } from '#keymux/testing/self-signed-certificate.js';
import { WebSocketServer } from 'ws';

export interface Site {
  readonly http: string;
  readonly https: string;
  /** Nobody listens here. */
  readonly refused: string;
  /** What stood in `x-api-key`, request by request. */
  readonly keys: (string | undefined)[];
  close(): void;
}

type Serve = (request: http.IncomingMessage, response: http.ServerResponse) => void;

async function echo(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  let bytes = 0;
  for await (const chunk of request) bytes += (chunk as Buffer).length;
  const { method, url, trailers } = request;
  const headers = Object.fromEntries(
    [
      'content-length',
      'content-type',
      'transfer-encoding',
      'expect',
      'x-note',
      'connection',
      'accept-encoding',
    ].map((name) => [name, request.headers[name]]),
  );
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ method, url, headers, trailers, bytes }));
}

const pages: Readonly<Record<string, Serve>> = {
  '/echo': (request, response) => void echo(request, response).catch(() => response.destroy()),
  '/stream': (_request, response) => {
    let left = 3;
    const next = (): void => {
      if (left === 0) return void response.end();
      response.write(`part ${left};`);
      left -= 1;
      setTimeout(next, 5);
    };
    next();
  },
  '/large': (_request, response) => response.end(Buffer.alloc(1_000_000, 'x')),
  '/trailers': (_request, response) => {
    response.writeHead(200, { trailer: 'x-sum' });
    response.write('body');
    response.addTrailers({ 'x-sum': '4' });
    response.end();
  },
  '/hints': (_request, response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload' });
    response.end('hinted');
  },
  '/gzip': (_request, response) => {
    response.setHeader('content-encoding', 'gzip');
    response.end(gzipSync('squeezed'));
  },
  '/empty': (_request, response) => response.writeHead(204).end(),
  '/unchanged': (_request, response) => response.writeHead(304, { etag: '"1"' }).end(),
  '/missing': (_request, response) => response.writeHead(404, 'Nothing Here').end('missing'),
  '/moved': (_request, response) => response.writeHead(302, { location: '/echo' }).end('moved'),
  '/see-other': (_request, response) => response.writeHead(303, { location: '/echo' }).end(),
  '/moved-for-good': (_request, response) => response.writeHead(308, { location: '/echo' }).end(),
  '/cookies': (_request, response) => {
    response.setHeader('set-cookie', ['a=1', 'b=2']);
    response.end('cookies');
  },
  '/closing': (_request, response) => {
    response.setHeader('connection', 'close');
    response.end('closing');
  },
  '/early': (request, response) => {
    response.end('early');
    request.resume();
  },
  '/silent': () => {},
  '/reset-before': (request) => request.socket.resetAndDestroy(),
  '/reset-after': (_request, response) => {
    response.writeHead(200, { 'content-length': '1000' });
    response.write('beginning', () =>
      setTimeout(() => (response.socket as net.Socket).resetAndDestroy(), 250),
    );
  },
  '/cut': (_request, response) => {
    response.writeHead(200, { 'content-length': '1000' });
    response.write('beginning', () => setTimeout(() => response.socket?.end(), 20));
  },
  '/stalled': (_request, response) => void response.write('beginning'),
  '/garbage': (request) => void request.socket.end('no such protocol\r\n\r\n'),
  '/bad-chunk': (request) =>
    void request.socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'),
  '/big-head': (request) =>
    void request.socket.end(`HTTP/1.1 200 OK\r\nx-big: ${'x'.repeat(70_000)}\r\n\r\n`),
};

/** Requests are sent by then, all over; otherwise the order of `finish` and `response` would be a matter of luck. */
const THINKING_MS = 3;

function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  const [path = ''] = (request.url ?? '').split('?', 1);
  const page = pages[path];
  if (page === undefined) response.writeHead(404).end();
  else setTimeout(() => page(request, response), THINKING_MS);
}

function upgrade(request: http.IncomingMessage, socket: Duplex): void {
  socket.on('error', () => {});
  if (request.url === '/no-upgrade')
    return void socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno');
  socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nhello;');
  socket.on('data', (chunk: Buffer) => socket.end(chunk));
}

function tunnel(request: http.IncomingMessage, socket: Duplex): void {
  socket.on('error', () => {});
  if (request.url === 'nowhere:1')
    return void socket.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n');
  socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
  const [host, port] = (request.url ?? '').split(':');
  if (host === 'echo') return void socket.on('data', (chunk: Buffer) => socket.end(chunk));
  const target = net.connect(Number(port), host);
  target.on('error', () => socket.destroy());
  socket.pipe(target).pipe(socket);
}

/** One for each run, so that its connections count from the beginning. */
export async function startSite(certificate: Certificate): Promise<Site> {
  const keys: (string | undefined)[] = [];
  const servers: net.Server[] = [];
  const sockets = new Set<net.Socket>();
  const webSockets = new WebSocketServer({ noServer: true });
  webSockets.on('connection', (socket) =>
    socket.on('message', (text: Buffer) => socket.send(`${text.toString()}!`)),
  );
  const listen = async (server: http.Server): Promise<string> => {
    const connections = new WeakMap<object, number>();
    let count = 0;
    server.on('connection', (socket: net.Socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
    });
    const note = (request: http.IncomingMessage): number => {
      const key = request.headers['x-api-key'];
      keys.push(Array.isArray(key) ? key.join() : key);
      const number = connections.get(request.socket) ?? (count += 1);
      connections.set(request.socket, number);
      return number;
    };
    const serve: Serve = (request, response) => {
      response.setHeader('x-connection', note(request));
      response.sendDate = false;
      answer(request, response);
    };
    server.on('request', serve);
    server.on('checkContinue', (request: http.IncomingMessage, response: http.ServerResponse) => {
      if (request.url !== '/no-continue') response.writeContinue();
      if (request.url !== '/no-continue') return serve(request, response);
      note(request);
      response.sendDate = false;
      response.writeHead(417).end('no');
    });
    server.on('upgrade', (request: http.IncomingMessage, socket: net.Socket, head: Buffer) => {
      note(request);
      if (request.headers.upgrade !== 'websocket') return upgrade(request, socket);
      webSockets.handleUpgrade(request, socket, head, (client) =>
        webSockets.emit('connection', client, request),
      );
    });
    server.on('connect', (request: http.IncomingMessage, socket: net.Socket) => {
      note(request);
      tunnel(request, socket);
    });
    server.keepAliveTimeout = 60_000;
    await once(server.listen(0, '127.0.0.1'), 'listening');
    servers.push(server);
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const closed = net.createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as AddressInfo;
  closed.close();
  return {
    http: `http://${await listen(http.createServer())}`,
    https: `https://${await listen(https.createServer(certificate))}`,
    refused: `http://127.0.0.1:${port}`,
    keys,
    close: () => {
      for (const server of servers) server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
