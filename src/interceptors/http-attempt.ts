/** One attempt: a request of node:http whose events and bytes pass through here. */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Lease } from '../manager/lease.js';
import type { Translation } from '../manager/managed-origins.js';
import type { AnswerBody } from './http-answer-body.js';
import { hideUntilConnected, withoutSocket } from './hidden-head.js';
import type { HttpSocket, Request, Send } from './http-internals.js';
import { internalsOf, setHidden } from './http-internals.js';
import { Stamp } from './http-stamp.js';
import type { TimeLimit } from './http-time-limit.js';
import { Wire } from './http-wire.js';
import { isBeforeConnection } from './network-failure.js';
import type { SocketGate } from './socket-gate.js';

export interface AttemptOwner {
  /** `_send` as it is without keymux. */
  readonly send: Send;
  readonly maxBodyBytes: number;
  /** Of the first attempt. */
  readonly gate: SocketGate | undefined;
  /** Returns what `emit` is to return. */
  onEvent(attempt: HttpAttempt, event: string | symbol, args: unknown[]): boolean;
  /** The application destroys its request, which is that of the first attempt. */
  onDestroy(error?: Error): void;
}

type Emit = (this: ClientRequest, event: string | symbol, ...args: unknown[]) => boolean;
type Destroy = (this: ClientRequest, error?: Error) => ClientRequest;
type OnSent = (error?: Error | null) => void;

/**
 * What happens to the bytes: they go `direct`ly; wait `parked` for a key; are `collected` until it is known where they
 * go; are dropped; or are all there and go at once.
 */
type Mode = 'direct' | 'parked' | 'collected' | 'dropped' | 'complete';

export class HttpAttempt {
  readonly isFirst: boolean;
  readonly request: Request;
  readonly wire: Wire;
  lease: Lease | undefined;
  /** Where it goes, if not to the provider that the request was made for. */
  destination: Translation | undefined;
  limit: TimeLimit | undefined;
  /** As it came from the provider. */
  answer: IncomingMessage | undefined;
  answerBody: AnswerBody | undefined;
  error: { readonly error: unknown } | undefined;
  /** What it means is being decided. */
  isInDoubt = false;
  isClosed = false;
  isUpgraded = false;
  onLeft: (() => void) | undefined;
  readonly #owner: AttemptOwner;
  readonly #emit: Emit;
  readonly #destroy: Destroy;
  #mode: Mode = 'direct';
  /** The head that goes out in place of the visible one. */
  #pendingHead: string | undefined;
  /** What follows it, in the mode `complete`. */
  #content: Uint8Array | undefined;
  #onCollected: () => void = () => {};
  #callbacks: OnSent[] = [];

  constructor(request: Request, owner: AttemptOwner, previous?: HttpAttempt) {
    this.isFirst = previous === undefined;
    this.request = request;
    this.#owner = owner;
    this.wire = previous === undefined ? new Wire(request, owner.maxBodyBytes) : previous.wire;
    ({ emit: this.#emit, destroy: this.#destroy } = request as { emit: Emit; destroy: Destroy });
    new Taken(request, this);
    // Assigned, and the same for all requests: hidden members, or some of its own for each, cost microseconds.
    request._send = sendTaken;
    request.emit = emitTaken;
    if (this.isFirst) request.destroy = destroyTaken;
  }

  /** The attempt that follows, through another request. */
  succeedBy(request: ClientRequest): HttpAttempt {
    return new HttpAttempt(internalsOf(request), this.#owner, this);
  }

  emitOn(target: ClientRequest, event: string | symbol, args: unknown[]): boolean {
    return this.#emit.call(target, event, ...args);
  }

  // --- bytes --------------------------------------------------------------------------------------------------

  /** Holds back what is written from now on, until `sendHead`. */
  park(): void {
    if (this.#mode !== 'direct') return;
    this.#mode = 'parked';
    this.#shut();
  }

  /**
   * Takes in what is written from now on; to the application it looks sent. `onCollected` is called when all of it is
   * there; or when it is too long to be kept, and then it waits for `sendHead`.
   */
  collect(onCollected: () => void): void {
    this.#mode = 'collected';
    this.#onCollected = onCollected;
    this.#shut();
  }

  /** The first bytes may go; undefined leaves the head as it is. */
  sendHead(head: string | undefined): void {
    const { request } = this;
    if (this.#mode === 'collected') this.#keepForSocket(this.wire.content);
    if (this.#mode !== 'parked') {
      this.#pendingHead = head;
      return;
    }
    this.#mode = 'direct';
    Reflect.deleteProperty(request, '_flush');
    const [first] = request.outputData;
    if (first !== undefined && head !== undefined && typeof first.data === 'string') {
      first.data = head + first.data.slice(this.wire.head.length);
      if (this.#hidesKey) hideUntilConnected(request, head, this.wire.head);
    }
    this.#owner.gate?.open();
    if (request.socket as HttpSocket | null) request._flush();
  }

  /** Sends head and body at once; without `content`, the body as it went out before. */
  sendAll(head: string, content: Uint8Array = this.wire.content): void {
    const { request, wire } = this;
    this.#pendingHead = head;
    this.#content = content;
    this.#mode = 'complete';
    request._header = wire.head;
    request.shouldKeepAlive = wire.shouldKeepAlive;
    request._last = wire.last;
    if (wire.idleMs > 0) request.setTimeout(wire.idleMs);
    request.end();
  }

  /** Lets go of what was collected; returns what is to be called when it was sent elsewhere. */
  yieldBody(): OnSent {
    const callbacks = this.#callbacks;
    this.#callbacks = [];
    this.dropOutput();
    return (error) => {
      for (const callback of callbacks) callback(error);
    };
  }

  onEmit(event: string | symbol, args: unknown[]): boolean {
    const { request } = this;
    const isNews = event === 'response' || event === 'error';
    if (isNews) this.wire.idleMs = (request.socket as HttpSocket | null)?.timeout ?? this.wire.idleMs;
    // Node itself listens to a request; nobody else does to one that the application does not know.
    else if (!this.isFirst) this.emitOn(request, event, args);
    return this.#owner.onEvent(this, event, args);
  }

  onSend(...[data, encoding, callback, byteLength]: Parameters<Send>): boolean {
    const { request, wire } = this;
    const { send } = this.#owner;
    switch (this.#mode) {
      case 'dropped':
        if (typeof callback === 'function') process.nextTick(callback);
        return true;
      case 'complete':
        return this.#sendWithHead(this.#content?.length ? this.#content : '', null, callback);
      case 'collected':
        return this.#take(data, encoding, callback);
      case 'parked':
        wire.record(data, encoding);
        return withoutSocket(request, () => send.call(request, data, encoding, callback, byteLength));
      case 'direct':
        wire.record(data, encoding);
        return request._headerSent
          ? send.call(request, data, encoding, callback, byteLength)
          : this.#sendWithHead(data, encoding, callback, byteLength);
    }
  }

  #take(...[data, encoding, callback]: Parameters<Send>): boolean {
    const isFirstOfTurn = this.#callbacks.length === 0;
    this.#callbacks.push(typeof callback === 'function' ? callback : () => {});
    const overflow = this.wire.record(data, encoding);
    if (overflow !== undefined) {
      // Node decides after this call whether it has to tell when there is room again.
      process.nextTick(this.#onCollected);
      return this.#keepForSocket(overflow);
    }
    if (isFirstOfTurn) process.nextTick(() => this.#endTurn());
    return true;
  }

  #endTurn(): void {
    if (this.#mode !== 'collected') return;
    // The last one makes the request tell that it is finished.
    if (this.request.writableEnded) this.#onCollected();
    else for (const callback of this.#callbacks.splice(0)) callback();
  }

  #keepForSocket(content: Uint8Array): boolean {
    this.#mode = 'parked';
    const callbacks = this.#callbacks.splice(0);
    const onSent: OnSent = (error) => {
      for (const callback of callbacks) callback(error);
    };
    const data = content.length === 0 ? '' : content;
    return withoutSocket(this.request, () => this.#owner.send.call(this.request, data, null, onSent));
  }

  /** The head with the key is in place for this one call only: nobody who looks at the request finds the key. */
  #sendWithHead(...args: Parameters<Send>): boolean {
    const { request } = this;
    const visible = request._header;
    const head = this.#pendingHead ?? visible;
    request._header = head;
    this.#pendingHead = undefined;
    const hides = this.#hidesKey && head !== null && visible !== null;
    const isConnecting = (request.socket as HttpSocket | null)?.connecting === true;
    const send = (): boolean => this.#owner.send.apply(request, args);
    try {
      return hides && isConnecting ? withoutSocket(request, send) : send();
    } finally {
      request._header = visible;
      if (hides) hideUntilConnected(request, head, visible);
    }
  }

  /** Whether the application is not to see the key, not even while the head waits for a connection. */
  get #hidesKey(): boolean {
    return this.lease?.member.provider.mode === 'virtual';
  }

  #shut(): void {
    this.#owner.gate?.shut();
    setHidden(this.request, '_flush', () => {});
  }

  // --- the answer ---------------------------------------------------------------------------------------------

  /** From here on the provider's time runs, as soon as there is a connection. */
  awaitAnswer(): void {
    const { limit, request } = this;
    const socket = request.socket as HttpSocket | null;
    if (limit === undefined || socket === null) return;
    let written = socket.bytesWritten;
    limit.start('first-byte', () => {
      const hasMoved = socket.bytesWritten !== written;
      written = socket.bytesWritten;
      return !request.writableFinished && (hasMoved || !request.writableEnded);
    });
  }

  /**
   * Nobody else gets the connection. Clients listen to the connection that they were told of (axios passes its errors on
   * to the request), and this one's request goes on without it.
   */
  spendConnection(): void {
    if (this.isFirst) this.request.shouldKeepAlive = false;
  }

  // --- endings ------------------------------------------------------------------------------------------------

  /** What was written, and what will be, goes nowhere; to the application it looks sent. */
  dropOutput(): void {
    this.#mode = 'dropped';
    this.#shut();
    const { request } = this;
    const dropped = [...request.outputData.map(({ callback }) => callback), ...this.#callbacks];
    this.#callbacks = [];
    request.outputData = [];
    request.outputSize = 0;
    process.nextTick(() => {
      for (const callback of dropped) callback?.();
      if (request.writableNeedDrain) this.emitOn(request, 'drain', []);
    });
  }

  /** Lets go of a connection over which nothing was sent and nothing will be. */
  releaseSocket(): void {
    if (this.lease === undefined) (this.request.socket as HttpSocket | null)?.destroy();
  }

  /** Its connection is free or gone. */
  leave(): void {
    const { onLeft } = this;
    this.onLeft = undefined;
    onLeft?.();
  }

  onDestroy(error?: Error): void {
    this.#owner.onDestroy(error);
  }

  destroy(error?: Error): void {
    this.#destroy.call(this.request, error);
  }

  /** Whether the error came before anything could be sent. */
  isUnsent(error: unknown): boolean {
    const socket = this.request.socket as HttpSocket | null;
    return (
      isBeforeConnection(error) || socket === null || socket.connecting || socket.secureConnecting === true
    );
  }

  /** The application's request speaks for this one from now on. */
  lendTo(app: Request, answer: IncomingMessage): void {
    const { request } = this;
    app.res = answer;
    app.reusedSocket = request.reusedSocket;
    if (request.socket as HttpSocket | null) app.socket = request.socket;
  }
}

// --- what stands upon the request of an attempt ---------------------------------------------------------------

class Taken extends Stamp {
  readonly #attempt: HttpAttempt;

  constructor(request: ClientRequest, attempt: HttpAttempt) {
    super(request);
    this.#attempt = attempt;
  }

  static attemptOf(request: ClientRequest): HttpAttempt {
    return (request as unknown as Taken).#attempt;
  }
}

function sendTaken(
  this: ClientRequest,
  ...[data, encoding, callback, byteLength]: Parameters<Send>
): boolean {
  return Taken.attemptOf(this).onSend(data, encoding, callback, byteLength);
}

function emitTaken(this: ClientRequest, event: string | symbol, ...args: unknown[]): boolean {
  return Taken.attemptOf(this).onEmit(event, args);
}

function destroyTaken<T extends ClientRequest>(this: T, error?: Error): T {
  Taken.attemptOf(this).onDestroy(error);
  return this;
}
