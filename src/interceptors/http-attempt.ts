/** One attempt: a request of node:http whose events and bytes pass through here. */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Lease } from '../manager/lease.js';
import type { HttpSocket, Request, Send } from './http-internals.js';
import { internalsOf, setHidden } from './http-internals.js';
import { isBeforeConnection } from './network-failure.js';
import type { SocketGate } from './socket-gate.js';

export interface Circumstances {
  /** `_send` as it is without keymux. */
  readonly send: Send;
  readonly maxBodyBytes: number;
  readonly gate: SocketGate | undefined;
  /** Returns what `emit` is to return. */
  onEvent(attempt: HttpAttempt, event: string | symbol, args: unknown[]): boolean;
}

/** What went over the wire, so that it can go once more. */
interface Wire {
  /** As the application made it. */
  readonly head: string;
  /** What follows the head, chunk sizes and all; undefined once it is too long to be kept. */
  body: Buffer[] | undefined;
  bodyBytes: number;
  readonly shouldKeepAlive: boolean;
  readonly last: boolean;
  /** The idle time-out of the connection. Milliseconds; 0: none. */
  idleMs: number;
}

function wireOf(request: Request): Wire {
  const { _header, shouldKeepAlive, _last } = request;
  return { head: _header ?? '', body: [], bodyBytes: 0, shouldKeepAlive, last: _last, idleMs: 0 };
}

type Emit = (this: ClientRequest, event: string | symbol, ...args: unknown[]) => boolean;

export class HttpAttempt {
  readonly isFirst: boolean;
  readonly request: Request;
  lease: Lease | undefined;
  error: { readonly error: unknown } | undefined;
  isClosed = false;
  isUpgraded = false;
  onLeft: (() => void) | undefined;
  readonly #circumstances: Circumstances;
  readonly #emit: Emit;
  readonly #wire: Wire;
  /** The head that goes out in place of the visible one. */
  #pendingHead: string | undefined;
  #mode: 'direct' | 'parked' | 'dropping' | 'complete' = 'direct';
  #isErrorTold = false;

  constructor(request: Request, circumstances: Circumstances, previous?: HttpAttempt) {
    this.isFirst = previous === undefined;
    this.request = request;
    this.#circumstances = circumstances;
    this.#wire = previous === undefined ? wireOf(request) : previous.#wire;
    ({ emit: this.#emit } = request as { emit: Emit });
    setHidden(request, '_send', this.#onSend);
    setHidden(request, 'emit', this.#onEmit);
  }

  get body(): readonly Buffer[] | undefined {
    return this.#wire.body;
  }

  /** The attempt that follows, through another request. */
  succeedBy(request: ClientRequest): HttpAttempt {
    return new HttpAttempt(internalsOf(request), this.#circumstances, this);
  }

  emitOn(target: ClientRequest, event: string | symbol, args: unknown[]): boolean {
    return this.#emit.call(target, event, ...args);
  }

  // --- bytes --------------------------------------------------------------------------------------------------

  /** Holds back what is written from now on, until `sendHead`. */
  park(): void {
    this.#mode = 'parked';
    this.#circumstances.gate?.shut();
    setHidden(this.request, '_flush', () => {});
  }

  /** The first bytes may go; undefined leaves the head as it is. */
  sendHead(head: string | undefined, lease: Lease | undefined): void {
    this.lease = lease;
    const { request } = this;
    if (this.#mode !== 'parked') {
      this.#pendingHead = head;
      return;
    }
    this.#mode = 'direct';
    Reflect.deleteProperty(request, '_flush');
    const [first] = request.outputData;
    if (first !== undefined && head !== undefined && typeof first.data === 'string') {
      first.data = head + first.data.slice(this.#wire.head.length);
    }
    this.#circumstances.gate?.open();
    if (request.socket as HttpSocket | null) request._flush();
  }

  /** Sends head and body at once, as they went out before. */
  sendAll(head: string, lease: Lease): void {
    const { request } = this;
    this.lease = lease;
    this.#pendingHead = head;
    this.#mode = 'complete';
    request._header = this.#wire.head;
    request.shouldKeepAlive = this.#wire.shouldKeepAlive;
    request._last = this.#wire.last;
    if (this.#wire.idleMs > 0) request.setTimeout(this.#wire.idleMs);
    request.end();
  }

  readonly #onEmit = (event: string | symbol, ...args: unknown[]): boolean => {
    const { request } = this;
    const isNews = event === 'response' || event === 'error';
    if (isNews) this.#wire.idleMs = (request.socket as HttpSocket | null)?.timeout ?? this.#wire.idleMs;
    // Node itself listens to a request; nobody else does to one that the application does not know.
    else if (!this.isFirst) this.emitOn(request, event, args);
    return this.#circumstances.onEvent(this, event, args);
  };

  readonly #onSend: Send = (data, encoding, callback, byteLength) => {
    const { request } = this;
    switch (this.#mode) {
      case 'dropping':
        if (typeof callback === 'function') process.nextTick(callback);
        return true;
      case 'complete':
        return this.#sendWithHead(
          this.#wire.bodyBytes === 0 ? '' : Buffer.concat(this.#wire.body ?? []),
          null,
          callback,
        );
      case 'parked':
        this.#record(data, encoding);
        return this.#withoutSocket(() =>
          this.#circumstances.send.call(request, data, encoding, callback, byteLength),
        );
      case 'direct':
        this.#record(data, encoding);
        return request._headerSent
          ? this.#circumstances.send.call(request, data, encoding, callback, byteLength)
          : this.#sendWithHead(data, encoding, callback, byteLength);
    }
  };

  /** The head with the key is in place for this one call only: nobody who looks at the request finds the key. */
  #sendWithHead(...args: Parameters<Send>): boolean {
    const { request } = this;
    const visible = request._header;
    request._header = this.#pendingHead ?? visible;
    this.#pendingHead = undefined;
    try {
      return this.#circumstances.send.apply(request, args);
    } finally {
      request._header = visible;
    }
  }

  /** A request that is not its socket's current one keeps its bytes in `outputData`. */
  #withoutSocket(send: () => boolean): boolean {
    const socket = this.request.socket as HttpSocket | null;
    if (socket?._httpMessage !== this.request) return send();
    socket._httpMessage = null;
    try {
      return send();
    } finally {
      socket._httpMessage = this.request;
    }
  }

  #record(data: string | Uint8Array, encoding: BufferEncoding | null | undefined): void {
    if (this.#wire.body === undefined || data.length === 0) return;
    const bytes = typeof data === 'string' ? Buffer.from(data, encoding ?? 'utf8') : Buffer.from(data);
    this.#wire.bodyBytes += bytes.length;
    if (this.#wire.bodyBytes > this.#circumstances.maxBodyBytes) this.#wire.body = undefined;
    else this.#wire.body.push(bytes);
  }

  // --- endings ------------------------------------------------------------------------------------------------

  /** What was written, and what will be, goes nowhere; to the application it looks sent. */
  dropOutput(): void {
    this.#mode = 'dropping';
    this.#circumstances.gate?.shut();
    const { request } = this;
    setHidden(request, '_flush', () => {});
    const dropped = request.outputData;
    request.outputData = [];
    request.outputSize = 0;
    process.nextTick(() => {
      for (const { callback } of dropped) callback?.();
      if (request.writableNeedDrain) this.emitOn(request, 'drain', []);
    });
  }

  /** Lets go of a connection over which nothing was sent and nothing will be. */
  releaseSocket(): void {
    if (this.lease === undefined) (this.request.socket as HttpSocket | null)?.destroy();
  }

  destroy(app: Request, error: Error | undefined): ClientRequest {
    app.destroyed = true;
    this.request.destroy(error);
    return app;
  }

  /** An error reaches the application once. */
  isErrorNew(): boolean {
    const isNew = !this.#isErrorTold;
    this.#isErrorTold = true;
    return isNew;
  }

  /** Whether the error came before anything could be sent. */
  isUnsent(error: unknown): boolean {
    const socket = this.request.socket as HttpSocket | null;
    return isBeforeConnection(error) || socket === null || socket.secureConnecting === true;
  }

  /** The application's request speaks for this one from now on. */
  lendTo(app: Request, answer: IncomingMessage): void {
    const { request } = this;
    app.res = answer;
    app.reusedSocket = request.reusedSocket;
    if (request.socket as HttpSocket | null) app.socket = request.socket;
  }
}
