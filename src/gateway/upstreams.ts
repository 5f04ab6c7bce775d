/** Connections to providers, by origin. */
import type { Dispatcher } from 'undici';
import { Pool } from 'undici';
import { runOwned } from '../manager/ownership.js';

interface UpstreamLimits {
  /** For a connection to stand, TLS included. Milliseconds. */
  readonly connectMs: number;
  /** How long a connection is used. Milliseconds. Default: 30 000. */
  readonly lifeMs?: number;
}

const CONNECTION_LIFE_MS = 30_000;

/**
 * All connections to an origin end together some time after the first of them began, each when what it carries is
 * over; further requests get new ones. So none stays longer than that without use: undici (7.30) lets one of HTTP/2
 * idle for ever, and one of HTTP/1.1 for as long as the server offers. And none is used for longer: servers end one of
 * HTTP/2 by GOAWAY after so many requests (nginx: 1000, `keepalive_requests`), upon which undici breaks off the answer
 * that it carries.
 */
export class Upstreams {
  readonly #connectMs: number;
  readonly #lifeMs: number;
  readonly #pools = new Map<string, Pool>();
  /** They carry what was under way when their time was over. */
  readonly #ending = new Set<Pool>();

  constructor({ connectMs, lifeMs = CONNECTION_LIFE_MS }: UpstreamLimits) {
    this.#connectMs = connectMs;
    this.#lifeMs = lifeMs;
  }

  /** `origin` as `new URL(…).origin` writes it. For one request: ask anew for the next. */
  to(origin: string): Dispatcher {
    const known = this.#pools.get(origin);
    if (known !== undefined) return known;
    const pool = new Pool(origin, {
      allowH2: true,
      // One request at a time: over HTTP/2 undici lets one that has a body wait for the end of the one before it.
      pipelining: 1,
      keepAliveTimeout: this.#lifeMs,
      connect: { timeout: this.#connectMs },
    });
    this.#pools.set(origin, pool);
    setTimeout(() => this.#retire(origin, pool), this.#lifeMs).unref();
    return pool;
  }

  #retire(origin: string, pool: Pool): void {
    if (this.#pools.get(origin) !== pool) return;
    this.#pools.delete(origin);
    this.#ending.add(pool);
    const forget = (): void => void this.#ending.delete(pool);
    // It fails only where it was destroyed meanwhile.
    pool.close().then(forget, forget);
  }

  /** Breaks off what is still under way. */
  async close(): Promise<void> {
    const pools = [...this.#pools.values(), ...this.#ending];
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
