/** Notices when keys are not used as they usually are, and tells it as events `anomaly`. */
import { readEnvironment } from '../config/environment.js';
import { openVault } from '../config/lazy-vault.js';
import { setTimeout as delay } from 'node:timers/promises';
import { newBaselines } from '../core/anomaly-baselines.js';
import type { Baselines } from '../core/anomaly-baselines.js';
import type { Clock, Logger } from '../core/ports.js';
import { messageOf } from '../manager/events.js';
import type { AnomalyEvent } from '../manager/events.js';
import type { KeyManager } from '../manager/key-manager.js';
import { onProcessExit } from '../manager/process-exit.js';
import { loggerOf } from '../manager/redacted-logger.js';
import { stateDirectory } from '../stores/sqlite/state-directory.js';
import { AnomalyFile } from './anomaly-file.js';
import { AnomalyWatch } from './anomaly-watch.js';

/** How often use is looked at. Milliseconds. */
const LOOK_EVERY_MS = 10_000;
/** What was learnt is written this often, and at the end. Milliseconds. */
const SAVE_EVERY_MS = 600_000;
/** A store that is lost answers late or never. */
const STORE_PATIENCE_MS = 1_000;

/** How often use is looked at, by which clock, and who hears of trouble. */
export interface AnomalyOptions {
  /** Epoch milliseconds. Default: the manager's clock. */
  readonly now?: Clock;
  /** How often use is looked at. Milliseconds. Default: 10,000. */
  readonly lookEveryMs?: number;
  /** Where the state directory is found, and the key of the vault. Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Default: stderr. */
  readonly logger?: Logger;
}

/** The watch over unusual use, until it is stopped. */
export interface AnomalyDetection {
  /** Writes down what was learnt. */
  stop(): Promise<void>;
}

const running = new WeakMap<KeyManager, { readonly service: AnomalyService; users: number }>();

/**
 * Emits `anomaly` from now on. Keeps no process alive, and ends by itself when the manager is shut down. However often it is
 * called for a manager, it watches once, with the options of the first call, until the last one is stopped.
 */
export function watchAnomalies(manager: KeyManager, options: AnomalyOptions = {}): AnomalyDetection {
  const entry = running.get(manager) ?? { service: new AnomalyService(manager, options), users: 0 };
  running.set(manager, entry);
  entry.users += 1;
  let stopping: Promise<void> | undefined;
  const leave = async (): Promise<void> => {
    entry.users -= 1;
    if (entry.users > 0) return;
    running.delete(manager);
    await entry.service.stop();
  };
  return { stop: () => (stopping ??= leave()) };
}

class AnomalyService {
  readonly #manager: KeyManager;
  readonly #now: Clock;
  readonly #logger: Logger;
  readonly #baselines: Baselines;
  /** Absent where the store keeps nothing either. */
  readonly #file: AnomalyFile | undefined;
  readonly #watch: AnomalyWatch;
  readonly #timer: NodeJS.Timeout;
  /** Most programs end without a word. */
  readonly #forgetExit: () => void;
  #savedAt: number;
  #look: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #latestTrouble = '';

  constructor(manager: KeyManager, options: AnomalyOptions) {
    const { env = process.env, lookEveryMs = LOOK_EVERY_MS } = options;
    this.#manager = manager;
    this.#now = options.now ?? (() => manager.now());
    this.#logger = loggerOf(manager, options.logger);
    if (manager.store.kind !== 'memory') this.#file = this.#openFile(env);
    this.#baselines = this.#learntBefore();
    this.#watch = new AnomalyWatch(manager, this.#baselines);
    this.#savedAt = this.#now();
    this.#forgetExit = onProcessExit(() => this.#learnAndSave());
    this.#timer = setInterval(() => this.#tick(), lookEveryMs).unref();
    this.#tick();
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#end();
    return this.#stopping;
  }

  async #end(): Promise<void> {
    clearInterval(this.#timer);
    await this.#look;
    this.#forgetExit();
    this.#learnAndSave();
    this.#watch.close();
  }

  #learnAndSave(): void {
    if (!this.#manager.closed)
      for (const found of this.#watch.look(this.#now(), undefined)) this.#tell(found);
    this.#file?.save(this.#baselines);
  }

  #tick(): void {
    if (this.#manager.closed) void this.stop();
    else this.#look ??= this.#lookOnce().finally(() => (this.#look = undefined));
  }

  async #lookOnce(): Promise<void> {
    try {
      const spent = await this.#spentByAll();
      if (this.#manager.closed) return;
      const at = this.#now();
      for (const found of this.#watch.look(at, spent)) this.#tell(found);
      if (at - this.#savedAt < SAVE_EVERY_MS) return;
      this.#savedAt = at;
      this.#file?.save(this.#baselines);
    } catch (error) {
      this.#complain(messageOf(error));
    }
  }

  #tell(found: AnomalyEvent): void {
    this.#manager.events.emit('anomaly', found);
  }

  /** Requests by key, of all processes that share the store; undefined where it does not answer. */
  async #spentByAll(): Promise<ReadonlyMap<string, number> | undefined> {
    const { store } = this.#manager;
    const { keys, store: standing } = this.#manager.inspect();
    if (keys.every(({ stated }) => stated === undefined)) return undefined;
    if (!store.shared) return new Map(keys.map(({ id, uses }) => [id, uses]));
    if (standing.trouble !== undefined) return undefined;
    // Before the store is asked: a key may be gone when it has answered.
    const subjects = keys.map(({ id }) => [id, this.#manager.subjectOf(id)] as const);
    const totals = await Promise.race([
      Promise.resolve(store.usage()).catch(() => undefined),
      delay(STORE_PATIENCE_MS, undefined, { ref: false }),
    ]);
    if (totals === undefined || this.#manager.closed) return undefined;
    const bySubject = new Map(totals.map(({ subject, requests }) => [subject, requests]));
    return new Map(subjects.map(([id, subject]) => [id, bySubject.get(subject) ?? 0]));
  }

  /** Undefined where the vault that is to seal it cannot be opened: in clear it is not written then. */
  #openFile(env: Readonly<Record<string, string | undefined>>): AnomalyFile | undefined {
    const { name, configuration } = this.#manager;
    const { vault, sources } = configuration;
    try {
      const key =
        vault === undefined
          ? undefined
          : openVault(vault, readEnvironment(env, vault.folder)).deriveKey('anomalies');
      const shared = JSON.stringify([name, sources]);
      return new AnomalyFile(stateDirectory(env), shared, key, (message) => this.#logger.warn(message));
    } catch (error) {
      this.#complain(messageOf(error));
      return undefined;
    }
  }

  #learntBefore(): Baselines {
    try {
      return this.#file?.read() ?? newBaselines();
    } catch (error) {
      this.#complain(messageOf(error));
      return newBaselines();
    }
  }

  #complain(trouble: string): void {
    if (this.#latestTrouble === trouble) return;
    this.#latestTrouble = trouble;
    this.#logger.warn(`keymux: The use of keys could not be looked at: ${trouble}`);
  }
}
