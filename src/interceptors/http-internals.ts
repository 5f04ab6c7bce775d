/**
 * What node:http does not document and has kept through Node 20 to 26: the head of a request is a text, `_send` puts
 * it before the first bytes, and bytes wait in `outputData` until `_flush` hands them to the socket.
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

export type Send = (
  this: ClientRequest,
  data: string | Uint8Array,
  encoding?: BufferEncoding | null,
  callback?: ((error?: Error | null) => void) | null,
  byteLength?: number,
) => boolean;

export interface RequestInternals {
  _header: string | null;
  readonly _headerSent: boolean;
  _send: Send;
  _flush(this: ClientRequest): void;
  _last: boolean;
  _closed: boolean;
  /** Listens to time-outs of the connection. */
  timeoutCb: (() => void) | null;
  outputSize: number;
  outputData: { data: string | Uint8Array; readonly callback?: ((error?: Error | null) => void) | null }[];
  res: IncomingMessage | null;
  destroyed: boolean;
  socket: Socket;
}

/** Whether somebody, this copy of keymux or another, takes care of what the request sends. */
export function isTakenOver(request: ClientRequest): boolean {
  return Object.hasOwn(request, '_send');
}

export type Request = ClientRequest & RequestInternals;

export function internalsOf(request: ClientRequest): Request {
  return request as Request;
}

export interface HttpSocket extends Socket {
  /** The request that it works for. */
  _httpMessage?: ClientRequest | null;
  /** A TLS handshake that is not over. */
  secureConnecting?: boolean;
}

/** Sets a member of one object, not to be seen when it is printed. */
export function setHidden(object: object, name: PropertyKey, value: unknown): void {
  Object.defineProperty(object, name, { value, configurable: true, enumerable: false, writable: true });
}
