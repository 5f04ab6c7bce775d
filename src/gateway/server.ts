/** The door of the gateway: takes connections, refuses what is odd or not allowed, and hands the rest on. */
import { createServer as createHttpServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { KeyManager } from '../manager/key-manager.js';
import type { Access, Caller } from './access.js';
import {
  DRAINING,
  FORBIDDEN,
  NO_UPGRADE,
  SLOW_BODY,
  UNKNOWN_CALLER,
  answerOfFault,
  answerOfParserError,
  refuse,
  refuseSocket,
  unknownTarget,
} from './door-answers.js';
import type { FailureAnswer } from './forward-failure.js';
import type { Forwarding } from './forwarding.js';
import type { ListeningAddress } from './listening.js';
import {
  DEFAULT_GRACE_MS,
  DEFAULT_HOST,
  DEFAULT_PORT,
  addressOf,
  listeningError,
  refuseOpenListening,
} from './listening.js';
import type { OwnRoutes } from './own-routes.js';
import type { RequestFault } from './request-faults.js';
import { hostFault, messageFault, siteFault } from './request-faults.js';
import type { GatewayLimits, ListeningOptions } from './server-options.js';
import { DEFAULT_GATEWAY_LIMITS, settingsFor } from './server-options.js';
import type { ForwardTarget, OwnTarget } from './target.js';
import { targetOf } from './target.js';
import { readAnew, wantsWebSocket } from './unwanted-upgrade.js';

export interface GatewayParts {
  readonly manager: KeyManager;
  readonly access: Access;
  readonly own: OwnRoutes;
  readonly forwarding: Forwarding;
}

export interface GatewayServer {
  /** Throws `KEYMUX_USAGE` where it cannot or must not listen there. */
  listen(): Promise<ListeningAddress>;
  /** Whether it takes no more requests. */
  readonly isDraining: boolean;
  /** Takes no more connections, lets requests under way end for so long, then cuts them off. May be called twice. */
  close(graceMs?: number): Promise<void>;
}

/** Throws `KEYMUX_USAGE` where it must not listen there. */
export function createServer(parts: GatewayParts, options: ListeningOptions = {}): GatewayServer {
  return new Door(parts, options);
}

class Door implements GatewayServer {
  readonly #parts: GatewayParts;
  readonly #server: Server;
  readonly #host: string;
  readonly #port: number;
  readonly #isSecure: boolean;
  readonly #limits: GatewayLimits;
  readonly #allowedHosts: ReadonlySet<string>;
  readonly #sockets = new Set<Socket>();
  /** Connections on which an answer is under way, and how many. */
  readonly #answering = new WeakMap<Duplex, number>();
  /** Connections that end with an answer of ours. */
  readonly #refused = new WeakSet<Duplex>();
  #closing: Promise<void> | undefined;

  constructor(parts: GatewayParts, options: ListeningOptions) {
    const {
      host = DEFAULT_HOST,
      port = DEFAULT_PORT,
      tls,
      insecureListen = false,
      allowedHosts = [],
    } = options;
    refuseOpenListening(host, tls !== undefined, insecureListen);
    this.#parts = parts;
    this.#host = host;
    this.#port = port;
    this.#isSecure = tls !== undefined;
    this.#limits = { ...DEFAULT_GATEWAY_LIMITS, ...options.limits };
    this.#allowedHosts = new Set([host, ...allowedHosts].map((name) => name.toLowerCase()));
    const settings = settingsFor(this.#limits);
    this.#server =
      tls === undefined ? createHttpServer(settings) : createHttpsServer({ ...settings, ...tls });
    this.#server.maxConnections = this.#limits.maxConnections;
    // Those beyond it would be dropped without a word; they are counted instead.
    this.#server.maxHeadersCount = 0;
    this.#listenToServer();
  }

  #listenToServer(): void {
    const server = this.#server;
    server.on('request', (request, response) => this.#onRequest(request, response, false));
    server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) =>
      this.#onRequest(request, response, true),
    );
    server.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket, head));
    server.on('connect', (request, socket) => this.#onConnect(request, socket));
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => this.#onClientError(error, socket));
    // A connection that cannot be accepted, for want of file descriptors, is no reason to end; see `listen` for others.
    server.on('error', () => {});
    server.on('connection', (socket: Socket) => {
      if (this.#sockets.has(socket)) return;
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  get isDraining(): boolean {
    return this.#closing !== undefined;
  }

  listen(): Promise<ListeningAddress> {
    const server = this.#server;
    return new Promise((resolve, reject) => {
      const fail = (error: unknown): void => reject(listeningError(this.#host, this.#port, error));
      server.once('error', fail);
      try {
        server.listen({ host: this.#host, port: this.#port }, () => {
          server.off('error', fail);
          const address = server.address();
          const port = typeof address === 'object' ? (address?.port ?? this.#port) : this.#port;
          resolve(addressOf(this.#host, port, this.#isSecure));
        });
      } catch (error) {
        fail(error);
      }
    });
  }

  close(graceMs = DEFAULT_GRACE_MS): Promise<void> {
    this.#closing ??= this.#drain(graceMs);
    return this.#closing;
  }

  async #drain(graceMs: number): Promise<void> {
    const { own, forwarding } = this.#parts;
    const server = this.#server;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    const cut = setTimeout(() => this.#cut(), graceMs);
    own.close();
    await forwarding.drain(graceMs);
    server.closeIdleConnections();
    await closed;
    clearTimeout(cut);
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  // --- requests ---------------------------------------------------------------------------------------------------

  #onRequest(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    this.#count(request.socket, response);
    const fault = this.#faultOf(request);
    if (fault !== undefined) return this.#refuse(request, response, answerOfFault(fault));
    const target = targetOf(this.#parts.manager, request.url ?? '');
    if (target.kind === 'odd') return this.#refuse(request, response, answerOfFault(oddPath(target.why)));
    if (target.kind === 'own') return this.#answerItself(request, response, target, awaitsContinue);
    const forward = target.kind === 'forward' ? target : undefined;
    const refusal = this.#refusalFor(request, forward);
    if (refusal !== undefined || forward === undefined)
      return this.#refuse(request, response, refusal ?? this.#unknown());
    this.#watchBody(request, response);
    if (awaitsContinue) response.writeContinue();
    this.#parts.forwarding.forward(request, response, forward);
  }

  #answerItself(
    request: IncomingMessage,
    response: ServerResponse,
    target: OwnTarget,
    awaitsContinue: boolean,
  ): void {
    const { headers } = request;
    const fault = siteFault({
      method: request.method ?? '',
      host: headers.host,
      origin: headers.origin,
      site: single(headers['sec-fetch-site']),
      mode: single(headers['sec-fetch-mode']),
      isSecure: this.#isSecure,
    });
    if (fault !== undefined) return this.#refuse(request, response, answerOfFault(fault));
    if (this.isDraining) response.setHeader('connection', 'close');
    this.#watchBody(request, response);
    if (awaitsContinue) response.writeContinue();
    const caller = this.#parts.access.callerOf(headers);
    void this.#parts.own.handle({ request, response, target, caller });
  }

  #refuse(request: IncomingMessage, response: ServerResponse, answer: FailureAnswer): void {
    this.#refused.add(request.socket);
    refuse(request, response, answer);
  }

  #faultOf(request: IncomingMessage): RequestFault | undefined {
    const { method = '', httpVersion, rawHeaders, headers, socket } = request;
    return (
      messageFault({ method, httpVersion, rawHeaders }, this.#limits.maxHeaders) ??
      hostFault(headers.host, { localAddress: socket.localAddress, allowed: this.#allowedHosts })
    );
  }

  /** Who is not known learns nothing, not even which names there are. */
  #refusalFor({ headers }: IncomingMessage, target: ForwardTarget | undefined): FailureAnswer | undefined {
    const caller = this.#parts.access.callerOf(headers, target);
    if (caller.roles.size === 0) return UNKNOWN_CALLER;
    if (!caller.roles.has('use')) return FORBIDDEN;
    if (target !== undefined) target.by = caller.name;
    if (target === undefined || this.#mayAsk(caller, target)) return this.isDraining ? DRAINING : undefined;
    return FORBIDDEN;
  }

  /** A virtual key asks its own provider, or a service whose requests are made for that one. */
  #mayAsk({ provider }: Caller, { pool }: ForwardTarget): boolean {
    if (provider === undefined || pool.contenders.every(({ member }) => member.provider.id === provider))
      return true;
    return this.#parts.manager.origins.crossingOf(pool.service)?.home.id === provider;
  }

  #unknown(): FailureAnswer {
    const { services, providers } = this.#parts.manager.configuration;
    return unknownTarget(new Set([...services.keys(), ...providers.keys()]));
  }

  /** A client that stops in the midst of a body would hold its connection for ever. */
  #watchBody(request: IncomingMessage, response: ServerResponse): void {
    const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers;
    if (coding === undefined && length === '0') return;
    const { socket } = request;
    const { bodyPauseMs } = this.#limits;
    socket.setTimeout(bodyPauseMs);
    request.once('end', () => socket.setTimeout(0));
    request.on('timeout', () => {
      // What is not read waits for a provider, not for the client.
      if (request.complete || request.readableLength > 0) socket.setTimeout(bodyPauseMs);
      else if (response.headersSent) socket.destroy();
      else this.#refuse(request, response, SLOW_BODY);
    });
  }

  #count(socket: Socket, response: ServerResponse): void {
    this.#answering.set(socket, (this.#answering.get(socket) ?? 0) + 1);
    response.once('close', () => this.#answering.set(socket, (this.#answering.get(socket) ?? 1) - 1));
  }

  // --- sockets ----------------------------------------------------------------------------------------------------

  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const fault = this.#faultOf(request);
    if (fault !== undefined) return refuseSocket(socket, answerOfFault(fault));
    if (!wantsWebSocket(request)) return readAnew(this.#server, request, socket, head);
    const target = targetOf(this.#parts.manager, request.url ?? '');
    if (target.kind === 'odd') return refuseSocket(socket, answerOfFault(oddPath(target.why)));
    if (target.kind === 'own') return refuseSocket(socket, NO_UPGRADE);
    const forward = target.kind === 'forward' ? target : undefined;
    const refusal = this.#refusalFor(request, forward);
    if (refusal !== undefined || forward === undefined)
      return refuseSocket(socket, refusal ?? this.#unknown());
    this.#parts.forwarding.upgrade(request, socket, head, forward);
  }

  #onConnect(request: IncomingMessage, socket: Duplex): void {
    const fault = messageFault({ method: 'CONNECT', httpVersion: request.httpVersion, rawHeaders: [] }, 0);
    if (fault !== undefined) refuseSocket(socket, answerOfFault(fault));
  }

  #onClientError({ code }: NodeJS.ErrnoException, socket: Duplex): void {
    if (this.#refused.has(socket)) return void socket.end();
    // Bytes of ours in the midst of another answer would be taken for a part of it.
    const isAnswering = (this.#answering.get(socket) ?? 0) > 0;
    if (code === 'ECONNRESET' || isAnswering || !socket.writable) socket.destroy();
    else refuseSocket(socket, answerOfParserError(code));
  }
}

function oddPath(why: string): RequestFault {
  return {
    status: 400,
    message: `The path ${why}.`,
    fix: 'Send /NAME/PATH, with the name of a service or provider.',
  };
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(',') : value;
}
