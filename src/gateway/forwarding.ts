/** Sends requests on to providers, with failover. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ForwardTarget } from './target.js';

export interface Forwarding {
  /** Answers, whatever happens: with a provider's answer, a refusal of ours, or a connection that is cut. */
  forward(request: IncomingMessage, response: ServerResponse, target: ForwardTarget): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, target: ForwardTarget): void;
  /** Resolves when every request under way is over, or after that time, when those left are cut off. */
  drain(graceMs: number): Promise<void>;
  /** Requests under way. */
  readonly size: number;
}
