/** Connections to providers, by origin. */
import type { Dispatcher } from 'undici';
import { Pool } from 'undici';
import { runOwned } from '../manager/ownership.js';

interface UpstreamLimits {
  /** For a connection to stand, TLS included. Milliseconds. */
  readonly connectMs: number;
}

/** How long an idle connection is kept, unless the provider says less. Milliseconds. */
const KEEP_ALIVE_MS = 30_000;
/**
 * How long a connection is used. Milliseconds. Servers end one of HTTP/2 by GOAWAY after so many requests (nginx: 1000,
 * `keepalive_requests`), upon which undici (7.30) breaks off the answer that it carries: it is left before that.
 */
const CONNECTION_LIFE_MS = 30_000;

export class Upstreams {
  readonly #limits: UpstreamLimits;
  readonly #pools = new Map<string, Pool>();

  constructor(limits: UpstreamLimits) {
    this.#limits = limits;
  }

  /** `origin` as `new URL(…).origin` writes it. */
  to(origin: string): Dispatcher {
    let pool = this.#pools.get(origin);
    if (pool === undefined) {
      pool = new Pool(origin, {
        allowH2: true,
        // One request at a time: over HTTP/2 undici lets one that has a body wait for the end of the one before it.
        pipelining: 1,
        clientTtl: CONNECTION_LIFE_MS,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connect: { timeout: this.#limits.connectMs },
      });
      this.#pools.set(origin, pool);
    }
    return pool;
  }

  /** Breaks off what is still under way. */
  async close(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
}

/** There while anything in this process is patched (`interceptors/patches.ts`). */
const PATCHES = Symbol.for('keymux.patches');

/** Sends what already carries its key. Where nothing is patched nobody has to be told, which spares a context. */
export function sendOwned<T>(send: () => T): T {
  return PATCHES in globalThis ? runOwned(send) : send();
}
