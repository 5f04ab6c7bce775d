/** Keeps the real key out of what can be read of a request of node:http that waits for its connection. */
import type { HttpSocket, Request } from './http-internals.js';
import { setHidden } from './http-internals.js';

/** Members of a request that hand bytes to its socket. */
interface Writers {
  readonly _flush: (this: Request) => void;
  readonly _writeRaw: (this: Request, ...args: unknown[]) => boolean;
}

/**
 * If the head `real` waits in the request, or would in a socket that is still connecting, `visible` stands there until
 * the connection is made. Both belong to the same request.
 */
export function hideUntilConnected(request: Request, real: string, visible: string): void {
  const [first] = request.outputData;
  // The head stands at the beginning of what waits, or has gone already.
  if (typeof first?.data !== 'string' || !first.data.startsWith(real)) return;
  const rest = first.data.slice(real.length);
  first.data = visible + rest;
  const { _flush: flush, _writeRaw: writeRaw } = request as unknown as Writers;
  let isAwaited = false;
  const restore = (): void => {
    Reflect.deleteProperty(request, '_flush');
    Reflect.deleteProperty(request, '_writeRaw');
  };
  setHidden(request, '_flush', () => {
    const socket = request.socket as HttpSocket | null;
    // Without one that takes bytes, nothing happens in Node's own either.
    if (socket?.writable !== true) return;
    if (socket.connecting) {
      if (!isAwaited) socket.once('connect', () => request._flush());
      isAwaited = true;
      return;
    }
    restore();
    first.data = real + rest;
    flush.call(request);
  });
  // What follows the head waits behind it.
  setHidden(request, '_writeRaw', (...args: unknown[]) =>
    withoutSocket(request, () => writeRaw.apply(request, args)),
  );
  if ((request.socket as HttpSocket | null)?.connecting === true) request._flush();
}

/** A request that is not its socket's current one keeps its bytes in `outputData`. */
export function withoutSocket(request: Request, write: () => boolean): boolean {
  const socket = request.socket as HttpSocket | null;
  if (socket?._httpMessage !== request) return write();
  socket._httpMessage = null;
  try {
    return write();
  } finally {
    socket._httpMessage = request;
  }
}
