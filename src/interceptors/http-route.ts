/** Where a request of node:http may go: to the provider that it was made for, or to others of the same protocol. */
import type { ClientRequest } from 'node:http';
import type { Socket } from 'node:net';
import type { Lease } from '../manager/lease.js';
import type { Crossing, ManagedOrigin, Translation } from '../manager/managed-origins.js';
import { originRefused } from '../manager/destinations.js';
import type { Pool } from '../manager/pool.js';
import { judgeConnection } from './connection-trust.js';
import type { FoundHead } from './http-head.js';
import type { Request, Send } from './http-internals.js';
import type { Wire } from './http-wire.js';
import { reportOwnError } from './pass-through.js';
import type { SocketGate } from './socket-gate.js';

/** Makes a request of the application anew. */
export interface Maker {
  /** `connection` is used if its agent has it free. */
  again(connection: Socket | null): ClientRequest;
  /** To another origin; it has none of the application's headers. */
  elsewhere(method: string, translation: Translation): ClientRequest;
}

export interface HttpRequest {
  /** The request that the application holds. */
  readonly request: Request;
  readonly found: FoundHead;
  readonly origin: string;
  readonly managed: ManagedOrigin;
  /** Absent where nobody knows how the request was made. */
  readonly maker?: Maker | undefined;
  readonly gate?: SocketGate | undefined;
  /** `_send` as it is without this. */
  readonly send: Send;
}

export class Route {
  readonly #http: HttpRequest;
  readonly #crossing: Crossing | undefined;

  constructor(http: HttpRequest) {
    const { maker, managed, found } = http;
    this.#http = http;
    this.#crossing =
      maker !== undefined && managed.crossing?.covers(found.path) === true ? managed.crossing : undefined;
  }

  /** Whether others can answer the request, once its body is known. */
  get mayCross(): boolean {
    return this.#crossing !== undefined;
  }

  /** The keys that may answer, and the ids of providers that cannot, although the pool has keys of them. */
  contenders(wire: Wire): { readonly pool: Pool; readonly unfit?: ReadonlySet<string> } {
    const { pool, provider } = this.#http.managed;
    const crossing = this.#crossing;
    if (crossing === undefined) return { pool };
    const others = crossing.pool.contenders.map(({ member }) => member.provider.id);
    try {
      const unfit = wire.isKept
        ? crossing.unfit(this.#http.found.path, wire.body)
        : new Set(others.filter((id) => id !== provider.id));
      return { pool: crossing.pool, unfit };
    } catch (error) {
      reportOwnError(error);
      return { pool };
    }
  }

  /**
   * Undefined where the lease is for the provider that the request was made for.
   * @throws `KEYMUX_ORIGIN_REFUSED`
   */
  translate(wire: Wire, lease: Lease): Translation | undefined {
    const translation = this.#crossing?.translate(this.#http.found.path, wire.body, lease);
    if (translation === undefined) return undefined;
    const { id, mode } = lease.member.provider;
    const { origin } = translation;
    const fault = mode === 'virtual' ? judgeConnection(origin, {}) : undefined;
    if (fault !== undefined)
      throw originRefused(
        { provider: id, origin, fault },
        `The request was not sent to ${origin} with a key of ${id} (mode: virtual): ${fault}.`,
        'Leave the check of certificates switched on.',
      );
    return translation;
  }

  /** Makes the request once more; over the same connection, if that is free. */
  make(translation: Translation | undefined, previous: Socket | null): ClientRequest {
    // Without one nothing is repeated, and nothing crosses.
    const maker = this.#http.maker as Maker;
    return translation === undefined
      ? maker.again(previous)
      : maker.elsewhere(this.#http.found.method, translation);
  }
}
