import type { FileContent } from '../config/file-content.js';
import type { Configuration } from '../config/configuration.js';
import type { SecretSource } from '../config/secret-source.js';
import type { Clock, Logger, Random, Store } from '../core/ports.js';
import type { StateTable } from '../state/table.js';
import type { KeyManager } from './key-manager.js';
import type { Undo } from './phases.js';

/** What a key manager is made of. Everything has a default; nothing here is global. */
export interface KeyManagerOptions {
  /** Shown in messages. Default: `default`. */
  readonly name?: string;
  /** Where keys are discovered. Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Where `.env` and `keymux.config.*` are looked for. Default: the working directory. */
  readonly cwd?: string;
  /** A configuration in the shape of `keymux.config.*`, instead of a file. */
  readonly config?: FileContent | false;
  /** Read the references that keymux cannot, such as those to the secret manager of a cloud. Default: none. */
  readonly secretSources?: readonly SecretSource[];
  /** Default: as configured, `sqlite` in the user's state directory. */
  readonly store?: Store;
  /** Epoch milliseconds. Default: the store's clock, which all its members agree on. */
  readonly clock?: Clock;
  readonly random?: Random;
  /** Default: warnings to stderr. */
  readonly logger?: Logger;
  /** The HTTP client of `manager.fetch`. Default: the platform's `fetch`, looked up at each call. */
  readonly fetch?: typeof fetch;
  /** How many selections of keys are remembered, for `why` and `decisions`. Default: 1,000; 0: none. */
  readonly decisions?: number;
  /** How long `shutdown()` waits for requests under way. Milliseconds. Default: 5,000. */
  readonly drainMs?: number;
}

/**
 * Seams for the entry points; not part of the public interface.
 * @internal
 */
export interface KeyManagerSeams {
  /** The table that another thread of this process made. */
  readonly table?: StateTable;
  /** Shares the table with every thread that is started from now on. */
  readonly shareWithThreads?: boolean;
  /** `lazy`: the store is opened when a key is first needed, so that a preload costs nothing where none is. */
  readonly recovery?: 'eager' | 'lazy';
  /** A configuration that was read already, by another thread of this process. */
  readonly configuration?: Configuration;
  /** Looks on only: is no member of the fleet, is not counted among them and never leads. */
  readonly observer?: boolean;
  /** How long a request may be under way to its sending. Milliseconds. Default: `HOLD_MS`. */
  readonly holdMs?: number;
  /** Ties the manager into the process (environment, HTTP). */
  readonly integrate?: (manager: KeyManager) => Undo;
}
