import { KeymuxError } from '../core/errors.js';
import type { KeyChange, ProviderChange } from './script-key.js';
import type { Overshoot, RequestRecord } from './simulator-records.js';

/** What a simulator tells while it runs. */
export interface SimulatorEvents {
  /** The head of a request arrived. */
  request: RequestRecord;
  /** A request is over: answered, broken off or abandoned. */
  answer: RequestRecord;
  overshoot: Overshoot;
  /** Somebody, or the timeline, changed a key, or the whole provider (`key` is `undefined`). */
  change: {
    readonly change: KeyChange['change'] | ProviderChange['change'];
    readonly key: string | undefined;
  };
}

type Listener<Event> = (event: Event) => void;
type Listeners = { [Name in keyof SimulatorEvents]: Set<Listener<SimulatorEvents[Name]>> };

interface Waiter {
  /** True once the waiter is done and can be dropped. */
  check(): boolean;
  abandon(): void;
}

/** Listeners, and promises that wait for a condition; conditions are looked at after every event. */
export class EventHub {
  readonly #listeners: Listeners = {
    request: new Set(),
    answer: new Set(),
    overshoot: new Set(),
    change: new Set(),
  };
  readonly #waiters = new Set<Waiter>();

  on<Name extends keyof SimulatorEvents>(name: Name, listener: Listener<SimulatorEvents[Name]>): () => void {
    const listeners: Set<Listener<SimulatorEvents[Name]>> = this.#listeners[name];
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  emit<Name extends keyof SimulatorEvents>(name: Name, event: SimulatorEvents[Name]): void {
    for (const listener of this.#listeners[name]) listener(event);
    for (const waiter of this.#waiters) if (waiter.check()) this.#waiters.delete(waiter);
  }

  /** Resolves once the condition holds. Rejects with what the condition throws, or when the time is up. */
  waitFor(condition: () => boolean, timeoutMs: number, progress: () => string): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (code: 'KEYMUX_TIMEOUT' | 'KEYMUX_CLOSED', reason: string, fix: string): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        reject(new KeymuxError(code, `${reason}. So far: ${progress()}`, { fix }));
      };
      const waiter: Waiter = {
        check() {
          try {
            if (!condition()) return false;
            resolve();
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
          clearTimeout(timer);
          return true;
        },
        abandon: () =>
          fail(
            'KEYMUX_CLOSED',
            'The simulator was closed while waitFor() waited',
            'Close it after the wait.',
          ),
      };
      const timer = setTimeout(
        () =>
          fail(
            'KEYMUX_TIMEOUT',
            `waitFor() saw its condition not met within ${timeoutMs} ms`,
            'Check the condition, or pass a longer timeoutMs.',
          ),
        timeoutMs,
      );
      if (!waiter.check()) this.#waiters.add(waiter);
    });
  }

  abandonWaiters(): void {
    for (const waiter of this.#waiters) waiter.abandon();
  }
}
