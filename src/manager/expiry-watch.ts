/** Warns of keys that are going to expire, as planned in the configuration: each warning once per process. */
import { nextExpiryMoment, warningAt } from '../core/key-expiry.js';
import type { Clock } from '../core/ports.js';
import type { Events } from './events.js';
import { ExpiryTimer } from './expiry-timer.js';
import type { Member } from './members.js';

interface ExpiryWatchContext {
  readonly now: Clock;
  readonly events: Pick<Events, 'emit'>;
  readonly members: () => Iterable<Member>;
}

export class ExpiryWatch {
  readonly #context: ExpiryWatchContext;
  readonly #timer: ExpiryTimer;
  #beginning: NodeJS.Timeout | undefined;
  /** Key, end and warning. */
  readonly #told = new Set<string>();

  constructor(context: ExpiryWatchContext) {
    this.#context = context;
    this.#timer = new ExpiryTimer(context.now, () => this.look());
  }

  /** Begins a moment later, when whoever made the manager had time to listen. */
  start(): void {
    clearTimeout(this.#beginning);
    this.#beginning = setTimeout(() => this.look(), 0).unref();
  }

  /** Tells what is due; again whenever more is, and whenever the keys were changed. */
  look(): void {
    const { now, events, members } = this.#context;
    const at = now();
    for (const { keyId, credential } of members()) {
      const { expiresAt } = credential;
      if (expiresAt === undefined) continue;
      const warning = warningAt(expiresAt, at);
      const name = `${keyId} ${expiresAt} ${warning}`;
      if (warning !== undefined && !this.#told.has(name)) {
        this.#told.add(name);
        events.emit('expiring', { key: keyId, expiresAt, at });
      }
      const next = nextExpiryMoment(expiresAt, at);
      if (next !== undefined) this.#timer.expireAt(next);
    }
  }

  stop(): void {
    clearTimeout(this.#beginning);
    this.#timer.stop();
  }
}
