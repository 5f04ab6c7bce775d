/** Where a trail is kept, by whom it is signed, and what its files say of the program. */
import { hostname } from 'node:os';
import { basename, resolve } from 'node:path';
import { isMainThread, threadId } from 'node:worker_threads';
import type { Configuration } from '../config/configuration.js';
import { readEnvironment } from '../config/environment.js';
import { openVault } from '../config/lazy-vault.js';
import type { Logger } from '../core/ports.js';
import { packageVersion } from '../manager/package-version.js';
import { stateDirectory } from '../stores/sqlite/state-directory.js';
import { AuditFiles } from './audit-file.js';
import { signerFromFile, signerFromSeed } from './audit-signing.js';
import type { AuditSigner } from './audit-signing.js';

const MAX_FILE_BYTES = 16 * 1024 * 1024;
const MAX_FILE_AGE_MS = 86_400_000;
const KEEP = 500;

/** Where a trail is kept, what signs it, and what happens when it cannot be written. */
export interface AuditOptions {
  /** A folder. Default: as the configuration has it, else `audit` in the user's state directory. */
  readonly path?: string;
  /** Whether keys are refused while the trail cannot be written. Default: as the configuration has it, else false. */
  readonly failClosed?: boolean;
  /** What the trail calls the program. Default: the name of its package, else of its main file. */
  readonly application?: string;
  /** From this size on a new file is begun. Bytes. Default: 16 MiB. */
  readonly maxFileBytes?: number;
  /** So old a file gets. Milliseconds. Default: a day. */
  readonly maxFileAgeMs?: number;
  /** Files that are kept; older ones are removed, which the trail notes. Default: 500. */
  readonly keep?: number;
  /** How often what happened is written. Milliseconds. Default: 200. */
  readonly flushEveryMs?: number;
  /** Where the signing key and the anchors are kept. Default: the user's state directory. */
  readonly stateFolder?: string;
  /** Where the key of the vault and the state directory are looked for. Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Default: warnings to stderr. */
  readonly logger?: Logger;
}

export interface AuditPlace {
  /** Absolute. */
  readonly folder: string;
  readonly failClosed: boolean;
  readonly stateFolder: string;
  /** Throws what the file system throws, and where the vault does not open. */
  readonly openFiles: () => AuditFiles;
}

/** What the environment says is read now: the program may change it, and its working directory, before files are opened. */
export function auditPlaceOf(
  { audit, vault }: Pick<Configuration, 'audit' | 'vault'>,
  options: AuditOptions,
): AuditPlace {
  const { env = process.env } = options;
  const stateFolder = resolve(options.stateFolder ?? stateDirectory(env));
  const folder = resolve(options.path ?? audit?.path ?? resolve(stateFolder, 'audit'));
  const signer = signerFor(vault, stateFolder, env);
  return {
    folder,
    stateFolder,
    failClosed: options.failClosed ?? audit?.failClosed ?? false,
    openFiles: () =>
      new AuditFiles({
        folder,
        stateFolder,
        signer: signer(),
        maxFileBytes: options.maxFileBytes ?? MAX_FILE_BYTES,
        maxFileAgeMs: options.maxFileAgeMs ?? MAX_FILE_AGE_MS,
        keep: options.keep ?? KEEP,
        about: {
          pid: process.pid,
          ...(isMainThread ? {} : { thread: threadId }),
          host: hostname(),
          version: packageVersion(),
          application: options.application ?? applicationName(),
        },
      }),
  };
}

function signerFor(
  vault: Configuration['vault'],
  stateFolder: string,
  env: NonNullable<AuditOptions['env']>,
): () => AuditSigner {
  if (vault === undefined) return () => signerFromFile(resolve(stateFolder, 'audit-key.pem'));
  const environment = readEnvironment(env, process.cwd());
  return () => signerFromSeed(openVault(vault, environment).deriveKey('audit'));
}

/** Arguments of the program are nobody's business: a key may stand there. */
function applicationName(): string {
  const { npm_package_name: name = '' } = process.env;
  return name === '' ? basename(process.argv[1] ?? 'node') : name;
}
