/** Another origin, which keeps every byte of the heads and bodies that it gets. */
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Certificate } from '#keymux/testing/self-signed-certificate.js';

export interface Foreign {
  readonly port: number;
  /** One text for each request. */
  readonly received: string[];
  close(): Promise<void>;
}

export async function startForeign(tls?: Certificate): Promise<Foreign> {
  const received: string[] = [];
  const headOf = ({ method, url, rawHeaders }: IncomingMessage): string =>
    [method, url, ...rawHeaders].join('\n');
  const serve = (request: IncomingMessage, response: http.ServerResponse): void => {
    void text(request).then((body) => {
      received.push(`${headOf(request)}\n\n${body}`);
      response.end('{"foreign":true}');
    });
  };
  const server = tls === undefined ? http.createServer(serve) : https.createServer({ ...tls }, serve);
  server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    received.push(headOf(request));
    socket.on('error', () => {});
    socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    received,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The keys that can be read in a text, plain, percent-encoded or as part of Basic authentication. */
export function keysIn(received: string, keys: ReadonlyMap<string, string>): string[] {
  const basic = [...received.matchAll(/basic ([\w+/=-]+)/gi)].map(([, encoded = '']) =>
    Buffer.from(encoded, 'base64').toString(),
  );
  const readable = [received, unescape(received), ...basic].join('\n');
  return [...keys].filter(([key]) => readable.includes(key)).map(([, name]) => name);
}

/** Unlike `decodeURIComponent` it never throws. */
function unescape(text: string): string {
  return text.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}
