/** Watches over the rules of `alerts:` and tells when one is broken, and when that is over. */
import type { AlertDefinition } from '../config/alert-definition.js';
import { NO_ALERTS, evaluateAlerts } from '../core/alert-rules.js';
import type { AlertNotice, AlertState } from '../core/alert-rules.js';
import type { Clock, Logger } from '../core/ports.js';
import { messageOf } from '../manager/events.js';
import type { KeyManager } from '../manager/key-manager.js';
import { loggerOf } from '../manager/redacted-logger.js';
import { claimRaised, claimRecovered } from './alert-claims.js';
import { AlertDestinations } from './alert-destinations.js';
import type { AlertCounts } from './alert-destinations.js';
import { payloadOf } from './alert-payload.js';
import { AlertWatch } from './alert-watch.js';

/** How often the rules are looked at. Milliseconds. */
const LOOK_EVERY_MS = 1_000;
/** How long `stop` waits for messages under way. Milliseconds. */
const STOP_GRACE_MS = 2_000;
/** The process that told of something tells that it is over; after so long another one does. Milliseconds. */
const HEIR_AFTER_MS = 15_000;

/** How people are told, and how often the rules are looked at. */
export interface AlertOptions {
  /** The HTTP client of webhooks. Default: the platform's `fetch`. */
  readonly fetch?: typeof fetch;
  /** Epoch milliseconds. Default: the manager's clock. */
  readonly now?: Clock;
  /** For rules with `log`, and for messages that do not arrive. Default: stderr. */
  readonly logger?: Logger;
  /** What the environment of commands is taken from. Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Stands in the messages, for people to follow. */
  readonly dashboardUrl?: string;
  /** How often the rules are looked at. Milliseconds. Default: 1,000. */
  readonly lookEveryMs?: number;
  /** How long a command may take. Milliseconds. Default: 10,000. */
  readonly commandDeadlineMs?: number;
  /** The pause after a message that did not arrive; each further one is twice as long. Milliseconds. Default: 1,000. */
  readonly firstPauseMs?: number;
  /** How long a process waits before it tells the end of what another one raised. Milliseconds. Default: 15,000. */
  readonly heirAfterMs?: number;
}

/** Alerts that are being watched, until they are stopped. */
export interface Alerts {
  readonly counts: AlertCounts;
  /** Ends the watch; messages under way get two seconds. */
  stop(): Promise<void>;
}

/** Keeps no process alive. Ends by itself when the manager is shut down. */
export function startAlerts(manager: KeyManager, options: AlertOptions = {}): Alerts {
  return new AlertService(manager, options);
}

class AlertService implements Alerts {
  readonly #manager: KeyManager;
  readonly #options: AlertOptions;
  readonly #logger: Logger;
  readonly #watch: AlertWatch;
  readonly #destinations: AlertDestinations;
  readonly #timer: NodeJS.Timeout;
  /** What this process told, and will tell the end of. */
  readonly #own = new Set<string>();
  /** What another process told, and is over. */
  readonly #orphans = new Map<string, NodeJS.Timeout>();
  #definitions: readonly AlertDefinition[] = [];
  #state: AlertState = NO_ALERTS;
  #look: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #latestTrouble = '';

  constructor(manager: KeyManager, options: AlertOptions) {
    const { env = process.env, commandDeadlineMs, firstPauseMs } = options;
    const logger = loggerOf(manager, options.logger);
    this.#manager = manager;
    this.#options = options;
    this.#logger = logger;
    this.#watch = new AlertWatch(manager, {
      env,
      logger,
      ...(options.now === undefined ? {} : { now: options.now }),
    });
    const send: typeof fetch = (input, init) => (options.fetch ?? globalThis.fetch)(input, init);
    this.#destinations = new AlertDestinations({ send, logger, env, commandDeadlineMs, firstPauseMs });
    this.#timer = setInterval(() => this.#tick(), options.lookEveryMs ?? LOOK_EVERY_MS).unref();
  }

  get counts(): AlertCounts {
    return this.#destinations.counts;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#end();
    return this.#stopping;
  }

  async #end(): Promise<void> {
    clearInterval(this.#timer);
    for (const timer of this.#orphans.values()) clearTimeout(timer);
    await this.#look;
    this.#watch.close();
    await this.#destinations.close(STOP_GRACE_MS);
  }

  #tick(): void {
    if (this.#manager.closed) void this.stop();
    else this.#look ??= this.#lookOnce().finally(() => (this.#look = undefined));
  }

  async #lookOnce(): Promise<void> {
    try {
      this.#adopt(this.#manager.configuration.alerts ?? []);
      const rules = this.#definitions.map(({ rule }) => rule);
      const now = (this.#options.now ?? (() => this.#manager.now()))();
      const { state, notices } = evaluateAlerts(rules, this.#state, await this.#watch.observe(rules, now));
      this.#state = state;
      for (const notice of notices) await this.#settle(notice);
    } catch (error) {
      if (this.#manager.closed || this.#latestTrouble === messageOf(error)) return;
      this.#latestTrouble = messageOf(error);
      this.#logger.warn(`keymux: The alerts could not be looked at: ${this.#latestTrouble}`);
    }
  }

  #adopt(definitions: readonly AlertDefinition[]): void {
    if (this.#definitions === definitions) return;
    this.#definitions = definitions;
    for (const { rule, webhook, command, log } of definitions) {
      if (webhook !== undefined || command !== undefined || log) continue;
      this.#logger.warn(
        `keymux: The alert ${rule.name} tells nobody: the address of its webhook cannot be read. \`keymux doctor\` says why.`,
      );
    }
  }

  /** Of all processes that see it, one tells. */
  async #settle(notice: AlertNotice): Promise<void> {
    const { rule, subject, state } = notice;
    const id = `${rule.name}/${subject}`;
    clearTimeout(this.#orphans.get(id));
    this.#orphans.delete(id);
    if (state === 'raised') {
      if (await this.#claim(claimRaised, notice)) {
        this.#own.add(id);
        this.#tell(notice);
      } else this.#own.delete(id);
    } else if (this.#own.delete(id)) {
      await this.#claim(claimRecovered, notice);
      this.#tell(notice);
    } else this.#inherit(id, notice);
  }

  #inherit(id: string, notice: AlertNotice): void {
    const inherit = async (): Promise<void> => {
      this.#orphans.delete(id);
      if ((await this.#claim(claimRecovered, notice)) && this.#stopping === undefined) this.#tell(notice);
    };
    const waitMs = this.#options.heirAfterMs ?? HEIR_AFTER_MS;
    this.#orphans.set(id, setTimeout(() => void inherit(), waitMs).unref());
  }

  async #claim(claim: typeof claimRaised, { rule, subject }: AlertNotice): Promise<boolean> {
    const { membership, store } = this.#manager;
    return membership.standing === 'alone' || (await claim(store, rule, subject));
  }

  #tell(notice: AlertNotice): void {
    const definition = this.#definitions.find(({ rule }) => rule.name === notice.rule.name);
    if (definition === undefined) return;
    this.#destinations.tell(definition, payloadOf(notice, this.#options.dashboardUrl));
  }
}
