import { KeymuxError } from '../core/errors.js';
import type { Clock, Logger, StoreNotice } from '../core/ports.js';
import type { Events } from './events.js';
import { messageOf } from './events.js';

const EVENT_OF = { 'set-aside': 'state-set-aside', degraded: 'degraded', recovered: 'restored' } as const;

/** Tells of trouble with the store: an event each time, a line of the log only when it changes. */
export class Notices {
  readonly #events: Events;
  readonly #logger: Logger;
  readonly #now: Clock;
  #latest = '';
  #degraded: string | undefined;

  constructor(events: Events, logger: Logger, now: Clock) {
    this.#events = events;
    this.#logger = logger;
    this.#now = now;
  }

  /** Why nothing is shared for now; undefined while the store is as it should be. */
  get degraded(): string | undefined {
    return this.#degraded;
  }

  tell(notice: StoreNotice): void {
    const { kind, message, fix } = notice;
    if (kind !== 'set-aside') this.#degraded = kind === 'degraded' ? message : undefined;
    this.#events.emit(EVENT_OF[kind], { message, fix, at: this.#now() });
    if (this.#latest === kind + message) return;
    this.#latest = kind + message;
    this.#logger.warn(`keymux: ${message} ${fix}`);
  }

  /** A configuration that was changed while the program runs is faulty; the old one stays in force. */
  faultyReload(error: unknown): void {
    const fix = error instanceof KeymuxError ? error.fix : 'Mend the file.';
    this.#logger.warn(`keymux: the changed configuration is not used: ${messageOf(error)} ${fix}`);
  }

  trouble(error: unknown): void {
    const fix = error instanceof KeymuxError ? error.fix : 'Requests go on meanwhile; see to the store.';
    this.tell({ kind: 'degraded', message: messageOf(error), fix });
  }
}
