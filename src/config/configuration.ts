import type { Credential } from '../core/credential.js';
import type { KnownProvider, ProviderDefinition } from '../core/provider.js';
import type { StrategyName } from '../core/select.js';

export type Catalogue = ReadonlyMap<string, KnownProvider>;

/** Whether a value is a placeholder from a template (`your-key-here`) and no key. */
export type TemplateTest = (value: string, demoKeys?: readonly string[]) => boolean;

export interface Rewrite {
  /**
   * Models that stand for one another: provider id to the model's name there. A request for a model that is in none
   * of them stays with its provider; one that names no model can go to any.
   */
  readonly models: readonly Readonly<Record<string, string>>[];
}

export interface ServiceDefinition {
  readonly name: string;
  /** Provider ids, the preferred one first; never empty. */
  readonly providers: readonly string[];
  readonly strategy: StrategyName;
  /** A provider whose health score (0..1) is below this is left while another one's is not. Default 0: never. */
  readonly failoverThreshold?: number;
  /** A request to one of its providers may be answered by another one of the same protocol. */
  readonly rewrite?: Rewrite;
  /** Nobody declared it: the provider of this name is its own service. */
  readonly implicit: boolean;
}

export type StoreDefinition =
  | { readonly type: 'memory' }
  /** `path` is absolute; absent, the store chooses its place in the user's state directory. */
  | { readonly type: 'sqlite'; readonly path?: string }
  | { readonly type: 'redis'; readonly url: string };

/** Everything that was configured or discovered, validated. Holds keys only inside `Secret`. */
export interface Configuration {
  /** The declared services and, under its own name, each provider whose name no declared service has. */
  readonly services: ReadonlyMap<string, ServiceDefinition>;
  /** The providers in use: a key was found, or the file or a service names them. Those of the catalogue come first. */
  readonly providers: ReadonlyMap<string, ProviderDefinition>;
  /** By provider, then by priority. */
  readonly credentials: readonly Credential[];
  readonly store: StoreDefinition;
  /** Absolute paths of the files that were read. */
  readonly sources: readonly string[];
  /** Plain remarks, such as `skipped the template value of OPENAI_API_KEY`. Never a key. */
  readonly notes: readonly string[];
}
