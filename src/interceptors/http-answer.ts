/** Answers of node:http: amended, made up, held back, or read to their end for nobody. */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Refusal } from '../manager/refusal.js';
import type { ResponseHead } from '../providers/response-head.js';
import { DRAIN_BYTES, DRAIN_MS, isWorthDraining } from '../manager/discard.js';
import { setHidden } from './http-internals.js';
import { wireHeaders } from './refusal-headers.js';

export class AnswerHead implements ResponseHead {
  readonly status: number;
  readonly method: string;
  readonly path: string;
  readonly #answer: IncomingMessage;
  /** One bit for each length, modulo 32, of a name that is there. */
  readonly #lengths: number;

  constructor(answer: IncomingMessage, method: string, path: string) {
    this.status = answer.statusCode as number;
    this.method = method;
    this.path = path;
    this.#answer = answer;
    this.#lengths = lengthsOf(answer.rawHeaders);
  }

  header(name: string): string | undefined {
    // Most of the many that are asked for are not there; to look into `headers` would make Node build them.
    if ((this.#lengths & (1 << name.length)) === 0 || !isIn(this.#answer.rawHeaders, name)) return undefined;
    const value = this.#answer.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  }
}

function lengthsOf(raw: readonly string[]): number {
  let lengths = 0;
  for (let at = 0; at < raw.length; at += 2) lengths |= 1 << (raw[at] as string).length;
  return lengths;
}

/** `name`: in lower case. */
function isIn(raw: readonly string[], name: string): boolean {
  for (let at = 0; at < raw.length; at += 2) {
    const own = raw[at] as string;
    if (own.length === name.length && own.toLowerCase() === name) return true;
  }
  return false;
}

export function setHeaders(answer: IncomingMessage, wanted: Readonly<Record<string, string>>): void {
  // Node builds `headers` when they are read first, from `rawHeaders` as they were when they came.
  const { headers, rawHeaders } = answer;
  for (const [name, value] of Object.entries(wanted)) {
    setRawHeader(rawHeaders, name, value);
    headers[name] = value;
  }
}

/** In place of the first one of that name, if there are any. */
function setRawHeader(raw: string[], name: string, value: string): void {
  let first = -1;
  for (let at = raw.length - 2; at >= 0; at -= 2) {
    if (raw[at]?.toLowerCase() !== name) continue;
    if (first !== -1) raw.splice(first, 2);
    first = at;
  }
  if (first === -1) raw.push(name, value);
  else raw[first + 1] = value;
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
