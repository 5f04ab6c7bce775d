import type { ServiceDefinition } from '../config/configuration.js';
import type { ProviderDefinition } from '../core/provider.js';
import { holdsAny, ServiceCrossing } from './crossing.js';
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
  /** Whether such a key stands anywhere in a text. */
  readonly holdsKey: (text: string) => boolean;
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
  /** Whether a header's value holds a key of the first provider; such a one does not go along, whatever its name. */
  readonly holdsKey: (value: string) => boolean;
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
  /**
   * Whether a text, such as the value of a header, holds a key of the provider that the request was made for; such a
   * header does not go along, whatever its name.
   */
  holdsKey(text: string): boolean;
  /** The request for the lease's provider, key included; undefined where that is the provider it was made for. */
  translate(path: string, body: Uint8Array | undefined, lease: Lease): Translation | undefined;
}

interface Pools {
  /** By service. */
  readonly pools: ReadonlyMap<string, Pool>;
  /** A pool of this provider's keys and no others. */
  poolOfProvider(id: string): Pool | undefined;
}

/** Finds the provider of a request by scheme, host and port; nothing else about a request can choose one. */
export class ManagedOrigins {
  #byOrigin = new Map<string, ManagedOrigin>();
  #crossings: readonly ServiceCrossing[] = [];
  /** Keys by provider, as texts; only ever added to. */
  readonly #keys = new Map<string, Set<string>>();

  /** Signed providers are left out: their signature would not match another key. */
  adopt(
    providers: Iterable<ProviderDefinition>,
    members: Iterable<Member>,
    pools: Pools,
    services: Iterable<ServiceDefinition>,
  ): void {
    for (const { provider, credential } of members) this.#keysOf(provider.id).add(credential.secret.reveal());
    const byOrigin = new Map<string, ManagedOrigin>();
    const known = new Map([...providers].map((provider) => [provider.id, provider]));
    this.#crossings = this.#crossingsOf(services, known, pools);
    for (const provider of known.values()) {
      const pool = pools.poolOfProvider(provider.id);
      if (pool === undefined || provider.signed) continue;
      const keys = this.#keysOf(provider.id);
      const crossing = this.#crossings.find(({ home }) => home.id === provider.id);
      const managed: ManagedOrigin = {
        provider,
        pool,
        isKnownKey: (text) => keys.has(text),
        holdsKey: (text) => holdsAny(keys, text),
        ...(crossing === undefined ? {} : { crossing }),
      };
      for (const origin of provider.origins) byOrigin.set(new URL(origin).origin, managed);
    }
    this.#byOrigin = byOrigin;
  }

  /** Another text that stands for a key of this provider: a virtual key. */
  addKey(provider: string, text: string): void {
    this.#keysOf(provider).add(text);
  }

  /** `origin` as `new URL(…).origin` writes it: no default port, no path. */
  find(origin: string): ManagedOrigin | undefined {
    return this.#byOrigin.get(origin);
  }

  /** What requests to a service by its name cross with: they are made for its first provider. */
  crossingOf(service: string): ServiceCrossing | undefined {
    return this.#crossings.find(({ pool }) => pool.service === service);
  }

  get size(): number {
    return this.#byOrigin.size;
  }

  /** One for each provider of each service with `rewrite`, in the order of the service. */
  #crossingsOf(
    services: Iterable<ServiceDefinition>,
    providers: ReadonlyMap<string, ProviderDefinition>,
    { pools }: Pools,
  ): ServiceCrossing[] {
    return [...services].flatMap(({ name, providers: ids, rewrite }) => {
      const pool = pools.get(name);
      if (rewrite === undefined || pool === undefined) return [];
      return ids.flatMap((id) => {
        const home = providers.get(id);
        return home === undefined ? [] : [new ServiceCrossing(home, pool, rewrite, this.#keysOf(id))];
      });
    });
  }

  #keysOf(provider: string): Set<string> {
    let keys = this.#keys.get(provider);
    if (keys === undefined) this.#keys.set(provider, (keys = new Set()));
    return keys;
  }
}
