import type { ProviderDefinition } from '../core/provider.js';
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
