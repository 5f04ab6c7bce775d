/** Keeps the audit trail of a key manager. */
import { createRequire } from 'node:module';
import { hostname } from 'node:os';
import { basename, resolve } from 'node:path';
import { isMainThread, threadId } from 'node:worker_threads';
import type { Configuration } from '../config/configuration.js';
import { readEnvironment } from '../config/environment.js';
import { openVault } from '../config/lazy-vault.js';
import type { KeymuxError } from '../core/errors.js';
import type { Logger } from '../core/ports.js';
import type { AuditView } from '../manager/audit-view.js';
import type { KeyManager } from '../manager/key-manager.js';
import { onProcessExit } from '../manager/process-exit.js';
import { loggerOf, STDERR_LOGGER } from '../manager/redacted-logger.js';
import { stateDirectory } from '../stores/sqlite/state-directory.js';
import { AuditFiles } from './audit-file.js';
import { lastRecords } from './audit-folder.js';
import type { NewRecord } from './audit-record.js';
import { signerFromFile, signerFromSeed } from './audit-signing.js';
import type { AuditSigner } from './audit-signing.js';
import { AuditTrail } from './audit-trail.js';
import { verifyAudit } from './audit-verify.js';
import { EVENT_NAMES } from './event-log.js';

const FLUSH_EVERY_MS = 200;
/** While it fails, it is tried less often. */
const TICKS_IN_TROUBLE = 10;
const MAX_FILE_BYTES = 16 * 1024 * 1024;
const MAX_FILE_AGE_MS = 86_400_000;
const KEEP = 500;
/** Requests under way at the shutdown of a manager are still told of. Milliseconds. */
const AFTER_SHUTDOWN_MS = 10_000;

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
  /** Default: warnings to stderr. */
  readonly logger?: Logger;
}

export interface Audit extends AuditView {
  /** Absolute. */
  readonly folder: string;
  /** Writes what waits now. */
  flush(): void;
  /** Writes what waits, and ends the trail. May be called twice. */
  stop(): void;
}

/** Keeps no process alive. What waits is written when the process ends by itself, `process.exit` included. */
export function startAudit(manager: KeyManager, options: AuditOptions = {}): Audit {
  return new ManagerAudit(manager, options);
}

/** One record by a program that holds no keys for long, such as a command; nothing where no trail is configured. */
export function auditOnce(
  configuration: Pick<Configuration, 'audit' | 'vault'>,
  record: { readonly type: string; readonly data: NewRecord['data'] },
  options: Pick<AuditOptions, 'application' | 'logger'> = {},
): void {
  if (configuration.audit === undefined) return;
  const place = placeOf(configuration, options);
  const logger = options.logger ?? STDERR_LOGGER;
  let failure: KeymuxError | undefined;
  const trail = new AuditTrail({
    openFiles: () => filesIn(place, configuration, options),
    folder: place.folder,
    now: Date.now,
    drain: () => [],
    onTrouble: (error) => (failure = error),
    onResumed: () => {},
  });
  trail.add({ at: Date.now(), ...record });
  trail.close();
  if (failure === undefined) return;
  if (place.failClosed) throw failure;
  logger.warn(`keymux: ${failure.message} ${failure.fix}`);
}

class ManagerAudit implements Audit {
  readonly folder: string;
  readonly #manager: KeyManager;
  readonly #place: Place;
  readonly #logger: Logger;
  readonly #trail: AuditTrail;
  readonly #undos: readonly (() => void)[];
  #closedAt: number | undefined;
  #hasStopped = false;
  #ticks = 0;

  constructor(manager: KeyManager, options: AuditOptions) {
    this.#manager = manager;
    const { configuration } = manager;
    this.#place = placeOf(configuration, options);
    this.folder = this.#place.folder;
    this.#logger = loggerOf(manager, options.logger);
    const watch = manager.watchAccesses();
    this.#trail = new AuditTrail({
      openFiles: () => filesIn(this.#place, configuration, options),
      folder: this.folder,
      now: () => manager.now(),
      drain: () => watch.drain().map((data) => ({ at: manager.now(), type: 'access', data: { ...data } })),
      onTrouble: (error) => this.#onTrouble(error),
      onResumed: () => this.#onResumed(),
    });
    const timer = setInterval(() => this.#tick(), options.flushEveryMs ?? FLUSH_EVERY_MS).unref();
    this.#undos = [
      ...EVENT_NAMES.map((name) =>
        manager.on(name, ({ at, ...data }) => this.#trail.add({ at, type: name, data })),
      ),
      onProcessExit(() => this.stop()),
      () => clearInterval(timer),
      () => watch.stop(),
    ];
    if (this.#place.failClosed) this.#trail.flush(true);
  }

  flush(): void {
    this.#trail.flush(this.#trail.trouble);
  }

  stop(): void {
    if (this.#hasStopped) return;
    this.#hasStopped = true;
    this.#trail.close();
    this.#manager.accesses.refuse(this, undefined);
    for (const undo of this.#undos) undo();
  }

  last(count: number): ReturnType<Audit['last']> {
    this.flush();
    return lastRecords(this.folder, count);
  }

  verify(): ReturnType<Audit['verify']> {
    this.flush();
    return verifyAudit(this.folder, { stateFolder: this.#place.stateFolder });
  }

  #tick(): void {
    this.#ticks += 1;
    if (!this.#trail.trouble || this.#ticks % TICKS_IN_TROUBLE === 0) this.flush();
    if (!this.#manager.closed) return;
    this.#closedAt ??= performance.now();
    if (performance.now() - this.#closedAt > AFTER_SHUTDOWN_MS) this.stop();
  }

  #onTrouble(error: KeymuxError): void {
    const { message, fix } = error;
    if (this.#place.failClosed) this.#manager.accesses.refuse(this, error);
    this.#logger.warn(`keymux: ${message} ${fix}`);
    this.#manager.events.emit('audit', { change: 'unavailable', message, fix, at: this.#manager.now() });
  }

  #onResumed(): void {
    this.#manager.accesses.refuse(this, undefined);
    const message = `The audit trail in ${this.folder} is written again.`;
    const fix = 'Nothing needs doing.';
    this.#logger.warn(`keymux: ${message}`);
    this.#manager.events.emit('audit', { change: 'resumed', message, fix, at: this.#manager.now() });
  }
}

interface Place {
  readonly folder: string;
  readonly failClosed: boolean;
  readonly stateFolder: string;
}

function placeOf({ audit }: Pick<Configuration, 'audit'>, options: AuditOptions): Place {
  const stateFolder = options.stateFolder ?? stateDirectory(process.env);
  return {
    folder: resolve(options.path ?? audit?.path ?? resolve(stateFolder, 'audit')),
    failClosed: options.failClosed ?? audit?.failClosed ?? false,
    stateFolder,
  };
}

function filesIn(
  { folder, stateFolder }: Place,
  { vault }: Pick<Configuration, 'vault'>,
  options: AuditOptions,
): AuditFiles {
  return new AuditFiles({
    folder,
    stateFolder,
    signer: signerFor(vault, stateFolder),
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
  });
}

function signerFor(vault: Configuration['vault'], stateFolder: string): AuditSigner {
  if (vault === undefined) return signerFromFile(resolve(stateFolder, 'audit-key.pem'));
  return signerFromSeed(openVault(vault, readEnvironment(process.env, process.cwd())).deriveKey('audit'));
}

/** Arguments of the program are nobody's business: a key may stand there. */
function applicationName(): string {
  const { npm_package_name: name = '' } = process.env;
  return name === '' ? basename(process.argv[1] ?? 'node') : name;
}

function packageVersion(): string {
  const manifest = createRequire(import.meta.url)('../../package.json') as { readonly version: string };
  return manifest.version;
}
