import type { KnownProvider } from '../core/provider.js';

/**
 * A limit that the provider publishes. For people and for suggestions: never enforced by itself, since nobody but
 * the user knows the tier. `requests` where requests are counted, else `amount` in words (`8 credits`).
 */
export type KnownLimit = {
  readonly tier: string;
  /** The window, such as `minute`, `day` or `10 seconds`. */
  readonly per: string;
  /** When and where it was read; `null` where no dated source is known. */
  readonly asOf: string | null;
} & ({ readonly requests: number } | { readonly amount: string });

/**
 * What the program acts upon. `baseUrl` is an origin without a path, so that paths are always the provider's own.
 * `signed` also marks providers whose key is one of a pair or a session, since their requests must not be touched
 * either.
 */
export interface CatalogueEntry extends KnownProvider {
  /** Variables that hold a key and its secret. They change together or not at all, so they are no `env`. */
  readonly pairedEnv?: readonly string[];
}

/** What is known of a provider for people. */
export interface ProviderFacts {
  readonly knownLimits: readonly KnownLimit[];
  /** What the provider says on several keys for one person; `null`: not found, which is no permission. */
  readonly poolTerms: string | null;
  readonly notes: readonly string[];
  /** URLs, or `owner/repository:path`. */
  readonly sources: readonly string[];
  /** Facts of this entry that have no source yet. */
  readonly fromMemory: readonly string[];
}
