import type { AlertKind } from '../core/alert-rules.js';
import type { AnomalyKind } from '../core/anomaly.js';
import type { ErrorRule, ProbePolicy, StreamPolicy } from '../core/provider.js';
import type { StrategyName } from '../core/select.js';
import type { Catalogue, RedisTls, WhenLost } from './configuration.js';

/** The shape of a configuration file after validation; docs/configuration.md explains each option. */
export interface FileContent {
  readonly services?: Readonly<Record<string, FileService>> | undefined;
  readonly providers?: Readonly<Record<string, FileProvider>> | undefined;
  readonly store?: FileStore | undefined;
  readonly alerts?: readonly FileAlert[] | undefined;
  readonly vault?: FileVault | undefined;
  readonly audit?: FileAudit | undefined;
  readonly healthCheckIntervalMs?: number | undefined;
  readonly api_management?: FileApiManagement | undefined;
}

export interface FileService {
  readonly providers: readonly string[];
  readonly strategy?: StrategyName | undefined;
  readonly failoverThreshold?: number | undefined;
  readonly rewrite?:
    { readonly models?: readonly Readonly<Record<string, string>>[] | undefined } | undefined;
}

export interface FileProvider {
  readonly baseUrl?: string | undefined;
  readonly origins?: readonly string[] | undefined;
  readonly allowInsecure?: boolean | undefined;
  readonly auth?: FileAuth | undefined;
  readonly env?: readonly string[] | undefined;
  readonly mode?: 'direct' | 'virtual' | undefined;
  readonly signed?: boolean | undefined;
  readonly limits?: readonly FileLimit[] | undefined;
  readonly keys?: readonly FileKey[] | undefined;
  readonly discover?: boolean | undefined;
  readonly errors?: readonly FileErrorRule[] | undefined;
  readonly retry?: FileRetry | undefined;
  readonly stream?: FileStream | undefined;
  readonly probe?: FileProbe | undefined;
  readonly protocol?: FileProtocol | undefined;
  readonly strategy?: StrategyName | undefined;
}

export type FileAuth =
  | { readonly in: 'header'; readonly name: string; readonly scheme?: string | undefined }
  | { readonly in: 'query'; readonly name: string }
  | { readonly in: 'path' }
  | { readonly in: 'basic'; readonly field?: 'username' | 'password' | undefined };

export const LIMIT_UNITS = ['second', 'minute', 'hour', 'day', 'month'] as const;

export interface FileLimit {
  readonly requests: number;
  readonly per?: (typeof LIMIT_UNITS)[number] | undefined;
  readonly perMs?: number | undefined;
  readonly resetsAt?: string | undefined;
  readonly timeZone?: string | undefined;
}

export interface FileKey {
  readonly id: string;
  /** A reference, never a key. */
  readonly value: string;
  readonly priority?: number | undefined;
  readonly weight?: number | undefined;
  readonly bucket?: string | undefined;
  readonly limits?: readonly FileLimit[] | undefined;
  /** A date (`2027-01-31`, which ends with that day in UTC) or a time with its zone. */
  readonly expires?: string | undefined;
}

/** `ErrorRule` as validation leaves it: absent options may also be `undefined`. */
export type FileErrorRule = {
  readonly [Option in keyof Omit<ErrorRule, 'header' | 'outcome'>]: ErrorRule[Option] | undefined;
} & {
  readonly header?: { readonly name: string; readonly match?: string | undefined } | undefined;
  readonly outcome: ErrorRule['outcome'];
};

export interface FileRetry {
  readonly repeatable?: readonly string[] | undefined;
  readonly deadlineMs?: number | undefined;
  readonly maxWaitMs?: number | undefined;
  readonly maxAttempts?: number | undefined;
  readonly maxBodyBytes?: number | undefined;
}

/** What is stated replaces what the catalogue knows. */
export type FileProbe = {
  readonly [Option in keyof Omit<ProbePolicy, 'headers'>]?: ProbePolicy[Option] | undefined;
};

export type FileStream = { readonly [Option in keyof StreamPolicy]?: StreamPolicy[Option] | undefined };

export interface FileProtocol {
  readonly name: string;
  /** Default: the path of `baseUrl`. */
  readonly pathPrefix?: string | undefined;
}

interface FileManners {
  readonly whenLost?: WhenLost | undefined;
  readonly members?: number | undefined;
  /** Whether names in the store are sealed with a key of the vault. Default: where there is a vault. */
  readonly encrypt?: boolean | undefined;
}

export interface FileSqlite extends FileManners {
  readonly type: 'sqlite';
  readonly path?: string | undefined;
}

export interface FileRedis extends FileManners {
  readonly type: 'redis';
  /** An address, or a reference to one. */
  readonly url: string;
  readonly prefix?: string | undefined;
  readonly tls?: { readonly [Option in keyof RedisTls]?: string | undefined } | undefined;
  /** A reference. */
  readonly secret?: string | undefined;
}

export type FileStore = { readonly type: 'memory' } | FileSqlite | FileRedis;

export interface FileVault {
  /** Default: `keymux.vault` beside the configuration file. */
  readonly path?: string | undefined;
  /** Where its key is: `env:`, `file:` or `exec:` of an age identity or a passphrase, or `keychain:NAME`. */
  readonly key?: string | undefined;
}

export interface FileAudit {
  /** A folder. Default: `audit` in the user's state directory. */
  readonly path?: string | undefined;
  /** Whether keys are refused while the trail cannot be written. Default: false. */
  readonly failClosed?: boolean | undefined;
}

/** Each kind has only some of these; `alert-schema.ts` says which. */
export interface FileAlert {
  readonly when: AlertKind;
  /** Default: `when`, with a number where that is taken. */
  readonly name?: string | undefined;
  readonly above?: number | undefined;
  readonly below?: number | undefined;
  readonly perMs?: number | undefined;
  readonly services?: readonly string[] | undefined;
  readonly providers?: readonly string[] | undefined;
  /** `provider/key`. */
  readonly keys?: readonly string[] | undefined;
  readonly kinds?: readonly AnomalyKind[] | undefined;
  readonly forMs?: number | undefined;
  readonly everyMs?: number | undefined;
  /** An address, or a reference to one. */
  readonly webhook?: string | undefined;
  readonly format?: 'json' | 'slack' | undefined;
  readonly command?: readonly string[] | undefined;
  readonly log?: boolean | undefined;
}

type Switch = boolean | { readonly enabled: boolean };

export interface FileApiManagement {
  readonly global_failover?: Switch | undefined;
  readonly health_monitoring?: Switch | undefined;
  readonly state_persistence?: Switch | undefined;
  readonly rate_limiting?: Switch | undefined;
  readonly providers?: Readonly<Record<string, FileManagedService>> | undefined;
}

export interface FileManagedService {
  readonly primary: string;
  readonly backups?: readonly string[] | undefined;
  readonly failover_threshold?: number | undefined;
  /** Seconds. */
  readonly health_check_interval?: number | undefined;
}

export type OptionPath = readonly (string | number)[];

export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Validated content, and where in its file each option stands. */
export interface ConfigurationFile {
  /** Absolute; absent for content that a program passed in. */
  readonly path?: string | undefined;
  /** What a key's `origin` calls it, such as `keymux.config.yaml`. */
  readonly name: string;
  /** Relative paths in the content start here. Absolute. */
  readonly folder: string;
  readonly content: FileContent;
  /** Where the option stands; absent for content that did not come from text. */
  readonly positionOf: (path: OptionPath) => Position | undefined;
  /** SHA-256 of the bytes that were read, in hexadecimal; absent for content that a program passed in. */
  readonly digest?: string;
  /** What only a trusted file may do. Absent for content that a program passed in. */
  readonly demands?: readonly Demand[];
}

/** Something in a configuration file that could give keys away or run a program. */
export interface Demand {
  readonly kind: 'address' | 'command' | 'webhook' | 'store' | 'file';
  readonly path: OptionPath;
  /** The address without a password, or the command line: for whoever decides whether the file is trusted. */
  readonly text: string;
  /** The same without what may be a token, for messages. */
  readonly shown: string;
}

/**
 * Reads and validates one file. `file.ts` exports the real one; it is passed in, so that a program without a
 * configuration file never loads the parsers. `schemes`: the kinds of references that the program registered.
 * @throws `KEYMUX_CONFIG_UNREADABLE`, `KEYMUX_CONFIG_INVALID`
 */
export type ConfigurationFileReader = (
  path: string,
  catalogue: Catalogue,
  schemes?: readonly string[],
) => ConfigurationFile;
