import type { Credential } from '../core/credential.js';
import type { KnownProvider, ProviderDefinition } from '../core/provider.js';
import type { Secret } from '../core/secret.js';
import type { StrategyName } from '../core/select.js';
import type { AlertDefinition } from './alert-definition.js';

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

/** What a process does while it cannot ask the store: it spends its fair share, or nothing. */
export type WhenLost = 'share' | 'stop';

/** Which vault a configuration names, and what opens it. */
export interface VaultDefinition {
  /** Absolute. */
  readonly path: string;
  /** Where its key is: `env:`, `file:`, `exec:` or `keychain:`. Default: `env:KEYMUX_VAULT_KEY`. */
  readonly key: string;
  /** Relative paths in `key` start here. */
  readonly folder: string;
}

export interface AuditDefinition {
  /** A folder; absolute. */
  readonly path: string;
  /** Keys are refused while the trail cannot be written. */
  readonly failClosed: boolean;
}

/** What members of a fleet agree on, whatever store they share. */
interface FleetManners {
  /** Default: `share`. */
  readonly whenLost?: WhenLost;
  /** How many processes to share with where the store has never answered. Default: 1. */
  readonly members?: number;
  /** Whether names in the store are sealed with a key of the vault. Default: where there is a vault. */
  readonly encrypt?: boolean;
}

export interface SqliteDefinition extends FleetManners {
  readonly type: 'sqlite';
  /** Absolute; absent, the store chooses its place in the user's state directory. */
  readonly path?: string;
}

export interface RedisDefinition extends FleetManners {
  readonly type: 'redis';
  /** The whole address, with the password if there is one. */
  readonly url: Secret;
  /** The same as people may read it: without user and password. */
  readonly address: string;
  /** What every name in Redis begins with. */
  readonly prefix: string;
  readonly tls?: RedisTls;
  /** What the names of keys are made with; the same on all hosts. */
  readonly secret?: Secret;
}

/** Absolute paths of PEM files, and the name that the certificate of the server must have. */
export interface RedisTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly serverName?: string;
}

export type StoreDefinition = { readonly type: 'memory' } | SqliteDefinition | RedisDefinition;

/** Everything that was configured or discovered, validated. Holds keys only inside `Secret`. */
export interface Configuration {
  /** The declared services and, under its own name, each provider whose name no declared service has. */
  readonly services: ReadonlyMap<string, ServiceDefinition>;
  /** The providers in use: a key was found, or the file or a service names them. Those of the catalogue come first. */
  readonly providers: ReadonlyMap<string, ProviderDefinition>;
  /** By provider, then by priority. */
  readonly credentials: readonly Credential[];
  readonly store: StoreDefinition;
  /** Absent where there are none. */
  readonly alerts?: readonly AlertDefinition[];
  /** Absent where there is none. */
  readonly vault?: VaultDefinition;
  /** Absent where there is none. */
  readonly audit?: AuditDefinition;
  /** How long a key or provider rests before it is probed, and between two probes at least. Milliseconds. */
  readonly healthCheckIntervalMs: number;
  /** Absolute paths of the files that were read. */
  readonly sources: readonly string[];
  /** Plain remarks, such as `skipped the template value of OPENAI_API_KEY`. Never a key. */
  readonly notes: readonly string[];
}
