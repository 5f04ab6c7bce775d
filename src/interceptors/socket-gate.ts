import type { Agent, ClientRequest } from 'node:http';
import { nextTick } from 'node:process';
import type { HttpSocket } from './http-internals.js';

/** As requests have it. */
export type OnSocket = (this: ClientRequest, socket: HttpSocket | undefined, error?: Error | null) => void;

interface SocketGiver {
  addRequest(request: ClientRequest, options: unknown): void;
}

/**
 * Stands between an agent and a request. While the request waits for a key it takes no connection: with few of them,
 * those that wait for a key would keep those that have one from being sent.
 */
export class SocketGate {
  readonly agent: Agent;
  /** Those with which the agent was asked for a connection. */
  readonly options: object;
  readonly #request: ClientRequest;
  #isShut = false;
  #isWaiting = false;

  constructor(request: ClientRequest, agent: Agent, options: object) {
    this.#request = request;
    this.agent = agent;
    this.options = options;
  }

  /** The agent has a connection; `onSocket` takes it. */
  receive(socket: HttpSocket | undefined, error: Error | null | undefined, onSocket: OnSocket): void {
    // An agent may have one at hand before the request is known to have to wait.
    nextTick(handOver, this, this.#request, socket, error, onSocket);
  }

  /** Whether a connection was turned away, so that the request is in nobody's queue. */
  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  shut(): void {
    this.#isShut = true;
  }

  /** Asks for a connection again if one was turned away. */
  open(): void {
    this.#isShut = false;
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    (this.agent as Agent & SocketGiver).addRequest(this.#request, this.options);
  }

  /** Whether this connection is not taken, and free for others again. */
  turnsAway(socket: HttpSocket, error: Error | null | undefined): boolean {
    if (!this.#isShut || error || this.#request.destroyed || socket.destroyed) return false;
    this.#isWaiting = true;
    // Whose request it was tells the agent whether the connection can be kept.
    socket._httpMessage ??= this.#request;
    socket.emit('free');
    return true;
  }
}

function handOver(
  gate: SocketGate,
  request: ClientRequest,
  socket: HttpSocket | undefined,
  error: Error | null | undefined,
  onSocket: OnSocket,
): void {
  if (socket === undefined || !gate.turnsAway(socket, error)) onSocket.call(request, socket, error);
}
