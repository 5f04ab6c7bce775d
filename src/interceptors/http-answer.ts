/** Answers of node:http: amended, made up, held back, or read to their end for nobody. */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Refusal } from '../manager/refusal.js';
import type { ResponseHead } from '../providers/response-head.js';
import { DRAIN_BYTES, DRAIN_MS, isWorthDraining } from './discard.js';
import { setHidden } from './http-internals.js';
import { wireHeaders } from './refusal-headers.js';

export function headOf(answer: IncomingMessage, method: string, path: string): ResponseHead {
  return {
    status: answer.statusCode ?? 0,
    header: (name) => {
      const value = answer.headers[name];
      return Array.isArray(value) ? value.join(', ') : value;
    },
    method,
    path,
  };
}

export function setHeaders(answer: IncomingMessage, headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) {
    const raw = answer.rawHeaders;
    for (let at = raw.length - 2; at >= 0; at -= 2) if (raw[at]?.toLowerCase() === name) raw.splice(at, 2);
    raw.push(name, value);
    answer.headers[name] = value;
  }
}

/** An answer that came over no connection. */
export function refusalAnswer(refusal: Refusal, request: ClientRequest): IncomingMessage {
  const answer = createAnswer(detachedSocket(), {
    statusCode: refusal.status,
    statusMessage: refusal.statusText,
    httpVersion: '1.1',
    httpVersionMajor: 1,
    httpVersionMinor: 1,
    complete: true,
    req: request,
  });
  setHeaders(answer, wireHeaders(refusal));
  if (request.method !== 'HEAD') answer.push(refusal.body);
  answer.push(null);
  return answer;
}

/**
 * The same answer, read ahead as far as a stream keeps: the connection of a short one is free while it is decided
 * what becomes of it.
 */
export function readAhead(answer: IncomingMessage): IncomingMessage {
  const { statusCode, statusMessage, httpVersion, httpVersionMajor, httpVersionMinor, req } =
    answer as IncomingMessage & { req: unknown };
  const head = { statusCode, statusMessage, httpVersion, httpVersionMajor, httpVersionMinor, req };
  const copy = createAnswer(detachedSocket(), head);
  copy.rawHeaders.push(...answer.rawHeaders);
  copy.headers = answer.headers;
  answer.on('data', (chunk: Uint8Array) => {
    if (!copy.push(chunk)) answer.pause();
  });
  answer.on('end', () => {
    Object.assign(copy, {
      complete: answer.complete,
      rawTrailers: answer.rawTrailers,
      trailers: answer.trailers,
    });
    copy.push(null);
  });
  answer.on('error', (error) => copy.destroy(error));
  setHidden(copy, '_read', () => answer.resume());
  copy.once('close', () => answer.destroy());
  return copy;
}

function createAnswer(socket: Socket, members: object): IncomingMessage {
  const http = process.getBuiltinModule('node:http');
  return Object.assign(new http.IncomingMessage(socket), members);
}

/** Answers have a socket, also when they are no longer read from one. */
function detachedSocket(): Socket {
  const net = process.getBuiltinModule('node:net');
  return new net.Socket();
}

/** Reads a short answer to its end, so that its connection can be used again; breaks off a long one. */
export function discardAnswer(answer: IncomingMessage): void {
  answer.on('error', () => {});
  if (!isWorthDraining(answer.headers['content-length'])) {
    answer.destroy();
    return;
  }
  let bytes = 0;
  answer.on('data', (chunk: Uint8Array) => {
    bytes += chunk.length;
    if (bytes > DRAIN_BYTES) answer.destroy();
  });
  const timer = setTimeout(() => answer.destroy(), DRAIN_MS).unref();
  answer.once('close', () => clearTimeout(timer));
}
