import http, { ServerResponse } from 'node:http';
import type { IncomingMessage, Server } from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { KeyScript, OutageKind, OutageOptions } from './script-key.js';
import type { Action } from './script.js';
import { perform } from './simulator-answer.js';
import type { Simulator, SimulatorOptions, WaitOptions } from './simulator-api.js';
import type { SimulatorEvents } from './simulator-events.js';
import type { Exchange, RequestBody } from './simulator-exchange.js';
import { flavourRequest, NO_BODY, readBody } from './simulator-exchange.js';
import { acceptFeed, acceptsUpgrade, runFeed } from './simulator-feed.js';
import type { SimulatedKey } from './simulator-key.js';
import { SimulatedProvider } from './simulator-provider.js';
import type { Execution, Overshoot, RequestRecord } from './simulator-records.js';
import type { WebSocketPeer } from './simulator-websocket.js';
import { CLOSE } from './simulator-websocket.js';

const DEFAULT_WAIT_MS = 10_000;
/** Long enough that an idle connection is not closed under a test: only scripted faults are to happen. */
const KEEP_ALIVE_MS = 60_000;

/** The sockets of the simulator, and what users hold of it. */
export class SimulatorServer implements Simulator {
  readonly #provider: SimulatedProvider;
  readonly #server: Server;
  readonly #secure: boolean;
  readonly #sockets = new Set<Socket>();
  readonly #exchanges = new Set<Exchange>();
  readonly #peers = new Map<WebSocketPeer, string | undefined>();
  #port = 0;
  #closed: Promise<void> | undefined;

  constructor(options: SimulatorOptions) {
    this.#provider = new SimulatedProvider(options);
    this.#secure = options.tls !== undefined;
    this.#server = options.tls === undefined ? http.createServer() : https.createServer({ ...options.tls });
    this.#server.keepAliveTimeout = KEEP_ALIVE_MS;
    this.#server.requestTimeout = 0;
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('clientError', (_error, socket) => socket.destroy());
    this.#server.on('request', (request, response) => void this.#serve(request, response));
    this.#server.on('upgrade', (request, socket: Socket, head) => void this.#upgrade(request, socket, head));
    this.on('change', ({ change, key }) => {
      if (change === 'revoke') this.#closePeersOf(key);
    });
  }

  listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, '127.0.0.1', () => {
        this.#port = (this.#server.address() as AddressInfo).port;
        this.#provider.timeline.start();
        resolve();
      });
    });
  }

  get port(): number {
    return this.#port;
  }

  get origin(): string {
    return `${this.#secure ? 'https' : 'http'}://127.0.0.1:${this.#port}`;
  }

  get webSocketOrigin(): string {
    return `${this.#secure ? 'wss' : 'ws'}://127.0.0.1:${this.#port}`;
  }

  get requests(): readonly RequestRecord[] {
    return this.#provider.ledger.requests;
  }

  get overshoots(): readonly Overshoot[] {
    return this.#provider.ledger.overshoots;
  }

  get executions(): ReadonlyMap<string, Execution> {
    return this.#provider.ledger.executions;
  }

  get duplicates(): readonly Execution[] {
    return this.#provider.ledger.duplicates();
  }

  get keys(): readonly SimulatedKey[] {
    return this.#provider.keys.all();
  }

  key(name: string): SimulatedKey {
    return this.#provider.keys.byName(name);
  }

  addKey(text: string, script: KeyScript = {}): SimulatedKey {
    return this.#provider.addKey(text, script);
  }

  outage(how: OutageKind = 503, options: OutageOptions = {}): void {
    this.#provider.outage(how, options);
  }

  recover(): void {
    this.#provider.recover();
  }

  dropConnections(): void {
    for (const exchange of this.#exchanges) exchange.cut = true;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  on<Name extends keyof SimulatorEvents>(
    name: Name,
    listener: (event: SimulatorEvents[Name]) => void,
  ): () => void {
    return this.#provider.hub.on(name, listener);
  }

  waitFor(
    condition: (simulator: Simulator) => boolean,
    { timeoutMs = DEFAULT_WAIT_MS }: WaitOptions = {},
  ): Promise<void> {
    return this.#provider.hub.waitFor(
      () => condition(this),
      timeoutMs,
      () => this.#progress(),
    );
  }

  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#provider.timeline.clear();
      this.#provider.hub.abandonWaiters();
      this.#server.close(() => resolve());
      this.dropConnections();
      for (const { abort } of this.#exchanges) abort.abort();
    });
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #progress(): string {
    const keys = this.keys.map(({ name, seen, executed }) => `${name} ${seen} seen, ${executed} executed`);
    return [`${this.#provider.ledger.arrived} requests`, ...keys].join('; ');
  }

  #closePeersOf(keyName: string | undefined): void {
    for (const [peer, owner] of this.#peers) {
      if (owner === keyName) peer.close(CLOSE.policy, 'the key was revoked');
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const exchange = this.#begin(request, false);
    response.on('close', () => this.#end(exchange, response.writableFinished));
    response.on('error', () => exchange.abort.abort());
    const isEarly =
      typeof exchange.decision.behaviour === 'object' && exchange.decision.behaviour.early === true;
    const body = isEarly ? NO_BODY : await readBody(request);
    if (body === undefined) return;
    await this.#answer(this.#provider.settle(exchange, body), { exchange, request, response, socket, body });
  }

  async #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const exchange = this.#begin(request, true);
    socket.on('error', () => exchange.abort.abort());
    // The HTTP server leaves an upgraded socket half open when the client ends its side.
    socket.on('end', () => socket.end());
    const action = this.#provider.settle(exchange, NO_BODY);
    if (acceptsUpgrade(action)) return this.#feed(action, exchange, request, socket, head);
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.on('finish', () => socket.end());
    socket.on('close', () => this.#end(exchange, response.writableFinished));
    // Without a reader the end of the client's side would never be noticed.
    socket.resume();
    await this.#answer(action, { exchange, request, response, socket, body: NO_BODY });
  }

  async #feed(
    action: Action & { do: 'ok' | 'echo' | 'stream' },
    exchange: Exchange,
    request: IncomingMessage,
    socket: Socket,
    head: Buffer,
  ): Promise<void> {
    const keyName = exchange.key?.name ?? 'unknown';
    const peer = acceptFeed(request, socket, head, keyName);
    exchange.record.status = 101;
    this.#peers.set(peer, exchange.key?.name);
    socket.on('close', () => {
      this.#peers.delete(peer);
      this.#end(exchange, true);
    });
    try {
      await runFeed(action, peer, keyName, exchange.abort.signal, () => {
        exchange.cut = true;
        socket.destroySoon();
      });
    } catch {
      // A wait was ended: the client is gone, or the simulator closes.
      socket.destroy();
    }
  }

  async #answer(action: Action, { exchange, request, response, socket, body }: AnswerParts): Promise<void> {
    const { record } = exchange;
    const provider = this.#provider;
    try {
      await perform(action, {
        request,
        response,
        socket,
        flavour: provider.flavour,
        facts: flavourRequest(exchange, body),
        body: body.text,
        headers: provider.headersFor(exchange),
        limit: exchange.decision.limit,
        signal: exchange.abort.signal,
        onStatus: (status) => {
          record.status = status;
        },
        onCut: () => {
          exchange.cut = true;
        },
      });
    } catch (error) {
      if (exchange.abort.signal.aborted) return;
      record.status = 500;
      answerFault(response, error);
    }
  }

  #begin(request: IncomingMessage, webSocket: boolean): Exchange {
    const exchange = this.#provider.enter(request, webSocket);
    this.#exchanges.add(exchange);
    return exchange;
  }

  #end(exchange: Exchange, complete: boolean): void {
    this.#exchanges.delete(exchange);
    exchange.record.aborted = !complete && !exchange.cut;
    exchange.abort.abort();
    this.#provider.leave(exchange);
  }
}

interface AnswerParts {
  readonly exchange: Exchange;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly socket: Socket;
  readonly body: RequestBody;
}

/** A script that cannot be carried out, such as a header with a line break, shows in the answer. */
function answerFault(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(500, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ error: { message: `The script cannot be carried out: ${String(error)}` } }));
}
