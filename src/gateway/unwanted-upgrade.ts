/** Clients that offer to speak HTTP/2 (`Upgrade: h2c`, as Java's does by default) and are content with HTTP/1.1. */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

const LEFT_OUT = new Set(['upgrade', 'http2-settings']);

export function wantsWebSocket({ headers }: IncomingMessage): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket';
}

/** Node has left such a connection to us: it gets the request again, without the offer (RFC 9110, 7.8). */
export function readAnew(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { method = 'GET', url = '/', rawHeaders } = request;
  const lines = [`${method} ${url} HTTP/1.1`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    if (LEFT_OUT.has(name.toLowerCase())) continue;
    const value = rawHeaders[at + 1] as string;
    lines.push(`${name}: ${name.toLowerCase() === 'connection' ? keptOptions(value) : value}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit(socket instanceof TLSSocket ? 'secureConnection' : 'connection', socket);
}

function keptOptions(value: string): string {
  const kept = value.split(',').filter((option) => !LEFT_OUT.has(option.trim().toLowerCase()));
  return kept.length === 0 ? 'keep-alive' : kept.join(',');
}
