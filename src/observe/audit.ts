/** Keeps the audit trail of a key manager. */
import { resolve } from 'node:path';
import type { Configuration } from '../config/configuration.js';
import { KeymuxError } from '../core/errors.js';
import type { Audit, KeptTrail } from '../manager/audit-view.js';
import type { KeyManager } from '../manager/key-manager.js';
import { onProcessExit } from '../manager/process-exit.js';
import { loggerOf, STDERR_LOGGER } from '../manager/redacted-logger.js';
import { lastRecords } from './audit-folder.js';
import { auditPlaceOf } from './audit-place.js';
import type { AuditOptions, AuditPlace } from './audit-place.js';
import type { NewRecord } from './audit-record.js';
import { AuditTrail } from './audit-trail.js';
import { verifyAudit } from './audit-verify.js';
import { EVENT_NAMES } from './event-log.js';

export type { AuditOptions } from './audit-place.js';
export type { Audit } from '../manager/audit-view.js';

const FLUSH_EVERY_MS = 200;
/** While it fails, it is tried less often. */
const TICKS_IN_TROUBLE = 10;

/**
 * Keeps no process alive. What waits is written when the process ends by itself, `process.exit` included.
 *
 * A manager has one trail. Whoever asks for it again, as a program does that keymux was preloaded into, shares the one
 * that is there: it ends when all have stopped it, `failClosed: true` holds for all, and of the other options only `path`
 * is looked at.
 * @throws `KEYMUX_USAGE` where the trail of this manager is kept in another folder than `path`
 */
export function startAudit(manager: KeyManager, options: AuditOptions = {}): Audit {
  return (manager.accesses.trail ?? new ManagerTrail(manager, options)).share(options);
}

/**
 * The trail that the configuration of this manager asks for, if it does.
 * @throws `KEYMUX_VAULT_LOCKED`, `KEYMUX_VAULT_DAMAGED`, `KEYMUX_AUDIT_UNAVAILABLE` where the trail must not fail and there
 * is no key to sign it with, which no waiting mends; keys are refused then all the same
 */
export function startConfiguredAudit(
  manager: KeyManager,
  options?: Pick<AuditOptions, 'application'>,
): Audit | undefined {
  const { audit } = manager.configuration;
  if (audit === undefined) return undefined;
  const started = startAudit(manager, options);
  const cause = started.trouble?.cause;
  if (audit.failClosed && cause instanceof KeymuxError) throw cause;
  return started;
}

/** One record by a program that holds no keys for long, such as a command; nothing where no trail is configured. */
export function auditOnce(
  configuration: Pick<Configuration, 'audit' | 'vault'>,
  record: { readonly type: string; readonly data: NewRecord['data'] },
  options: Pick<AuditOptions, 'application' | 'logger'> = {},
): void {
  if (configuration.audit === undefined) return;
  const { folder, failClosed, openFiles } = auditPlaceOf(configuration, options);
  const logger = options.logger ?? STDERR_LOGGER;
  const trail = new AuditTrail({
    openFiles,
    folder,
    now: Date.now,
    drain: () => [],
    onTrouble: () => {},
    onResumed: () => {},
  });
  trail.add({ at: Date.now(), ...record });
  trail.close();
  const { trouble } = trail;
  if (trouble === undefined) return;
  if (failClosed) throw trouble;
  logger.warn(`keymux: ${trouble.message} ${trouble.fix}`);
}

class ManagerTrail implements KeptTrail {
  readonly #manager: KeyManager;
  readonly #place: AuditPlace;
  readonly #logger: ReturnType<typeof loggerOf>;
  readonly #trail: AuditTrail;
  readonly #undos: readonly (() => void)[];
  readonly #holders = new Set<Audit>();
  #failClosed = false;
  #isEnding = false;
  #ticks = 0;

  constructor(manager: KeyManager, options: AuditOptions) {
    this.#manager = manager;
    this.#place = auditPlaceOf(manager.configuration, options);
    this.#logger = loggerOf(manager, options.logger);
    const watch = manager.watchAccesses();
    this.#trail = new AuditTrail({
      openFiles: this.#place.openFiles,
      folder: this.#place.folder,
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
      onProcessExit(() => this.#end()),
      () => clearInterval(timer),
      () => watch.stop(),
    ];
    manager.accesses.trail = this;
  }

  share({ path, failClosed = this.#place.failClosed }: Parameters<KeptTrail['share']>[0]): Audit {
    const { folder, stateFolder } = this.#place;
    if (path !== undefined && resolve(path) !== folder) {
      throw new KeymuxError('KEYMUX_USAGE', `The audit trail of this key manager is kept in ${folder}.`, {
        fix: 'A manager has one trail: leave out `path`, or stop that one before.',
      });
    }
    const trail = this.#trail;
    const flush = (): void => trail.flush(trail.trouble !== undefined);
    const holder: Audit = {
      folder,
      get trouble() {
        return trail.trouble;
      },
      flush,
      last: (count) => {
        flush();
        return lastRecords(folder, count);
      },
      verify: () => {
        flush();
        return verifyAudit(folder, { stateFolder });
      },
      stop: () => {
        if (this.#holders.delete(holder) && this.#holders.size === 0) this.#end();
      },
    };
    this.#holders.add(holder);
    if (failClosed) this.#mustNotFail();
    return holder;
  }

  #mustNotFail(): void {
    if (this.#failClosed) return;
    this.#failClosed = true;
    this.#trail.flush(true);
    this.#manager.accesses.refuse(this, this.#trail.trouble);
  }

  #end(): void {
    this.#holders.clear();
    this.#trail.close();
    this.#manager.accesses.trail = undefined;
    this.#manager.accesses.refuse(this, undefined);
    for (const undo of this.#undos) undo();
  }

  #tick(): void {
    this.#ticks += 1;
    const { trouble } = this.#trail;
    if (trouble === undefined) this.#trail.flush();
    else if (this.#ticks % TICKS_IN_TROUBLE === 0) this.#trail.flush(true);
    if (!this.#manager.closed || this.#isEnding) return;
    this.#isEnding = true;
    // Requests under way are still told of.
    const end = (): void => this.#end();
    void this.#manager.shutdown().then(end, end);
  }

  #onTrouble(error: KeymuxError): void {
    const { message, fix } = error;
    if (this.#failClosed) this.#manager.accesses.refuse(this, error);
    this.#logger.warn(`keymux: ${message} ${fix}`);
    this.#manager.events.emit('audit', { change: 'unavailable', message, fix, at: this.#manager.now() });
  }

  #onResumed(): void {
    this.#manager.accesses.refuse(this, undefined);
    const message = `The audit trail in ${this.#place.folder} is written again.`;
    const fix = 'Nothing needs doing.';
    this.#logger.warn(`keymux: ${message}`);
    this.#manager.events.emit('audit', { change: 'resumed', message, fix, at: this.#manager.now() });
  }
}
