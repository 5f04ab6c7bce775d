/** The gateway's adapter of the attempt engine: a caller's HTTP request becomes one to a provider. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { KeyManager } from '../manager/key-manager.js';
import type { Breakable, ForwardContext } from './forward-request.js';
import { ForwardedRequest } from './forward-request.js';
import type { Forwarding } from './forwarding.js';
import type { ForwardTarget } from './target.js';
import { ForwardedUpgrade } from './upgrade.js';
import { Upstreams } from './upstreams.js';

/** How long and how large forwarded requests and answers may be. */
export interface ForwardingLimits {
  /** Of a caller's request. Bytes. */
  readonly maxBodyBytes: number;
  /** For a connection to a provider to stand, TLS included. Milliseconds. */
  readonly connectMs: number;
  /** For the head of an answer, where the provider's `stream.firstByteMs` says nothing else. Milliseconds. */
  readonly headersMs: number;
  /** The longest pause within an answer, where the provider's `stream.idleMs` says nothing else. Milliseconds. */
  readonly pauseMs: number;
}

const DEFAULT_FORWARDING_LIMITS: ForwardingLimits = {
  maxBodyBytes: 536_870_912,
  connectMs: 10_000,
  headersMs: 600_000,
  pauseMs: 300_000,
};

interface ForwardingOptions {
  readonly manager: KeyManager;
  readonly limits?: Partial<ForwardingLimits>;
}

export function createForwarding({ manager, limits }: ForwardingOptions): Forwarding {
  return new Forwarder(manager, { ...DEFAULT_FORWARDING_LIMITS, ...limits });
}

class Forwarder implements Forwarding, ForwardContext {
  readonly manager: KeyManager;
  readonly limits: ForwardingLimits;
  readonly upstreams: Upstreams;
  readonly active = new Set<Breakable>();
  isDraining = false;
  #onIdle: () => void = () => {};

  constructor(manager: KeyManager, limits: ForwardingLimits) {
    this.manager = manager;
    this.limits = limits;
    this.upstreams = new Upstreams(limits);
  }

  get size(): number {
    return this.active.size;
  }

  forward(request: IncomingMessage, response: ServerResponse, target: ForwardTarget): void {
    new ForwardedRequest(this, request, response, target).begin();
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, target: ForwardTarget): void {
    new ForwardedUpgrade(this, request, socket, head, target).begin();
  }

  left(one: Breakable): void {
    this.active.delete(one);
    if (this.isDraining && this.active.size === 0) this.#onIdle();
  }

  async drain(graceMs: number): Promise<void> {
    this.isDraining = true;
    if (this.active.size > 0) await this.#idleWithin(graceMs);
    for (const one of this.active) one.breakOff();
    await this.upstreams.close();
  }

  #idleWithin(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
