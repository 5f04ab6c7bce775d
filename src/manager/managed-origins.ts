import type { ProviderDefinition } from '../core/provider.js';
import type { Lease } from './lease.js';
import type { Member } from './members.js';
import type { Pool } from './pool.js';

/** An origin that keys of a provider may go to. */
export interface ManagedOrigin {
  readonly provider: ProviderDefinition;
  readonly pool: Pool;
  /**
   * Whether this text is a key that may be replaced here: one of the provider's, or one that was taken out of the
   * configuration while the application still holds it.
   */
  readonly isKnownKey: (text: string) => boolean;
  /** Present where requests may go to other providers. */
  readonly crossing?: Crossing;
}

/** A request to one provider, as another one of the same protocol gets it. */
export interface Translation {
  /** Scheme, host and port. */
  readonly origin: string;
  /** Path and query. */
  readonly path: string;
  /** Names in lower case; none of these headers of the request goes along. */
  readonly dropHeaders: ReadonlySet<string>;
  /** Names in lower case; the key is among them where it goes into a header. */
  readonly setHeaders: Readonly<Record<string, string>>;
  /** Undefined where there is none. */
  readonly body: Uint8Array | undefined;
}

/** What a service with `rewrite` makes possible for requests to one of its providers. */
export interface Crossing {
  /** The keys of all its providers. */
  readonly pool: Pool;
  /** Whether requests to this path can be answered by others at all; asked before a body is collected. */
  covers(path: string): boolean;
  /** Ids of providers that cannot answer; `body` is undefined where there is none or it could not be collected. */
  unfit(path: string, body: Uint8Array | undefined): ReadonlySet<string>;
  /** The request for the lease's provider, key included; undefined where that is the provider it was made for. */
  translate(path: string, body: Uint8Array | undefined, lease: Lease): Translation | undefined;
}

/** Finds the provider of a request by scheme, host and port; nothing else about a request can choose one. */
export class ManagedOrigins {
  #byOrigin = new Map<string, ManagedOrigin>();
  /** Keys by provider, as texts; only ever added to. */
  readonly #keys = new Map<string, Set<string>>();

  /** Signed providers are left out: their signature would not match another key. */
  adopt(
    providers: Iterable<ProviderDefinition>,
    members: Iterable<Member>,
    pools: ReadonlyMap<string, Pool>,
  ): void {
    for (const { provider, credential } of members) this.#keysOf(provider.id).add(credential.secret.reveal());
    const byOrigin = new Map<string, ManagedOrigin>();
    for (const provider of providers) {
      const pool = pools.get(provider.id);
      if (pool === undefined || provider.signed) continue;
      const keys = this.#keysOf(provider.id);
      const managed: ManagedOrigin = { provider, pool, isKnownKey: (text) => keys.has(text) };
      for (const origin of provider.origins) byOrigin.set(new URL(origin).origin, managed);
    }
    this.#byOrigin = byOrigin;
  }

  /** `origin` as `new URL(…).origin` writes it: no default port, no path. */
  find(origin: string): ManagedOrigin | undefined {
    return this.#byOrigin.get(origin);
  }

  get size(): number {
    return this.#byOrigin.size;
  }

  #keysOf(provider: string): Set<string> {
    let keys = this.#keys.get(provider);
    if (keys === undefined) this.#keys.set(provider, (keys = new Set()));
    return keys;
  }
}
