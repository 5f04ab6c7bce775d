import { KeymuxError } from '../core/errors.js';
import type { Clock, Logger, StoreNotice } from '../core/ports.js';
import { isSilence } from '../core/silence.js';
import type { Events } from './events.js';
import { messageOf } from './events.js';
import { redactKnown } from './process-redaction.js';

const EVENT_OF = { 'set-aside': 'state-set-aside', degraded: 'degraded', recovered: 'restored' } as const;

/** Threads of one process tell of the same store: the first one tells. */
export interface Incidents {
  /** Whether this thread is to tell of the loss, or of the return. */
  tellLoss(): boolean;
  tellReturn(): boolean;
}

/** Tells of trouble with the store: one incident, one event and one line of the log. */
export class Notices {
  readonly #events: Events;
  readonly #logger: Logger;
  readonly #now: Clock;
  readonly #incidents: Incidents;
  /** Told last, where nothing says when it is over. */
  #latest = '';
  #degraded: string | undefined;
  #isLost = false;

  constructor(events: Events, logger: Logger, now: Clock, incidents: Incidents) {
    this.#incidents = incidents;
    this.#events = events;
    this.#logger = logger;
    this.#now = now;
  }

  /** Why nothing is shared for now; undefined while the store is as it should be. */
  get degraded(): string | undefined {
    return this.#degraded;
  }

  /** A store may be somebody else's: its errors may quote anything. */
  tell(told: StoreNotice): void {
    const notice = { ...told, message: redactKnown(told.message), fix: redactKnown(told.fix) };
    const { kind, message } = notice;
    if (kind === 'degraded') {
      this.#degraded = message;
      if (!this.#incidents.tellLoss()) return;
    } else if (kind === 'recovered') {
      // Not before everything was told to the store that was spent without it.
      if (this.#isLost) return;
      this.#degraded = undefined;
      if (!this.#incidents.tellReturn()) return;
    }
    this.#say(notice);
  }

  /** The store cannot be asked any more. */
  lost(error: unknown): void {
    this.#isLost = true;
    this.tell({ kind: 'degraded', message: messageOf(error), fix: fixOf(error) });
  }

  /** It can again, and knows what was spent meanwhile. */
  back(): void {
    this.#isLost = false;
    this.tell({
      kind: 'recovered',
      message: 'The store answers again, and was told what was spent without it.',
      fix: 'Nothing needs doing.',
    });
  }

  /** A configuration that was changed while the program runs is faulty; the old one stays in force. */
  faultyReload(error: unknown): void {
    const fix = error instanceof KeymuxError ? error.fix : 'Mend the file.';
    this.#logger.warn(`keymux: the changed configuration is not used: ${messageOf(error)} ${fix}`);
  }

  /** Something went wrong with the store; whether it is lost is for others to say. */
  trouble(error: unknown): void {
    if (this.#isLost || isSilence(error) || this.#latest === messageOf(error)) return;
    this.#latest = messageOf(error);
    this.#logger.warn(`keymux: ${messageOf(error)} ${fixOf(error)}`);
  }

  #say({ kind, message, fix }: StoreNotice): void {
    this.#latest = '';
    this.#events.emit(EVENT_OF[kind], { message, fix, at: this.#now() });
    this.#logger.warn(`keymux: ${message} ${fix}`);
  }
}

function fixOf(error: unknown): string {
  return error instanceof KeymuxError ? error.fix : 'Requests go on meanwhile; see to the store.';
}
