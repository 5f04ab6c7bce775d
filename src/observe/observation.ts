import type { Clock } from '../core/ports.js';
import type { AttemptEvent, EventName } from '../manager/events.js';
import { messageOf } from '../manager/events.js';
import type { KeyManager } from '../manager/key-manager.js';
import { emitWarning } from '../manager/process-redaction.js';
import type { Observation, ObservedEvent, SeriesQuery } from '../manager/observation.js';
import { EVENT_NAMES, EventLog } from './event-log.js';
import type { SubjectFilter } from './event-log.js';
import { createMetrics } from './metrics.js';
import { providerOf } from './measures.js';
import { SeriesLog, SLOT_MS } from './series.js';

/**
 * Rows of the series, of about 550 bytes each (measured), so that all of it stays below 35 MB: room for 55 providers and 110
 * keys that are busy without a pause for the whole hour. With more of them the series go less far back.
 */
const PROVIDER_ROWS = 20_000;
const KEY_ROWS = 40_000;

export interface ObservationOptions {
  /** Epoch milliseconds; default: the time of the manager. */
  readonly now?: Clock;
}

/** Keeps the recent past of a manager from now on. */
export function createObservation(manager: KeyManager, options: ObservationOptions = {}): Observation {
  return new ManagerObservation(manager, options.now ?? (() => manager.now()));
}

class ManagerObservation implements Observation {
  readonly slotMs = SLOT_MS;
  readonly #manager: KeyManager;
  readonly #now: Clock;
  readonly #providers = new SeriesLog(PROVIDER_ROWS);
  readonly #keys = new SeriesLog(KEY_ROWS);
  readonly #log = new EventLog();
  readonly #followers = new Set<(event: ObservedEvent) => void>();
  readonly #metrics;
  readonly #stops: readonly (() => void)[];

  constructor(manager: KeyManager, now: Clock) {
    this.#manager = manager;
    this.#now = now;
    this.#metrics = createMetrics(manager);
    this.#stops = [
      manager.on('attempt', (event) => this.#count(event)),
      ...EVENT_NAMES.map((name) => this.#listen(name)),
    ];
  }

  series({ subject, lastMs }: SeriesQuery = {}): ReturnType<Observation['series']> {
    const now = this.#now();
    const providers = [...this.#manager.configuration.providers.keys()];
    if (subject === undefined) {
      return providers.map((id) => ({ subject: id, slots: this.#providers.read(id, now, lastMs) }));
    }
    const log = subject.includes('/') ? this.#keys : this.#providers;
    return [{ subject, slots: log.read(subject, now, lastMs) }];
  }

  events({ subject, after }: { readonly subject?: string; readonly after?: number } = {}): ReturnType<
    Observation['events']
  > {
    return this.#log.read(subject === undefined ? undefined : this.#filterFor(subject), after);
  }

  follow(listener: (event: ObservedEvent) => void): () => void {
    this.#followers.add(listener);
    return () => void this.#followers.delete(listener);
  }

  metricsText(): Promise<string> {
    return this.#metrics.text();
  }

  close(): void {
    for (const stop of this.#stops) stop();
    this.#metrics.close();
    this.#followers.clear();
  }

  #count({ provider, key, outcome, latencyMs, at }: AttemptEvent): void {
    this.#providers.record({ subject: provider, outcome, latencyMs, at });
    this.#keys.record({ subject: key, outcome, latencyMs, at });
  }

  #listen(name: EventName): () => void {
    return this.#manager.on(name, (event) => {
      const observed = this.#log.add(name, event, this.#followers.size > 0);
      if (observed !== undefined) this.#tell(observed);
    });
  }

  /** Whoever follows is told, whatever the others do with the news. */
  #tell(observed: ObservedEvent): void {
    for (const listener of this.#followers) {
      try {
        listener(observed);
      } catch (error) {
        emitWarning(`Somebody who follows the events of keymux failed: ${messageOf(error)}`);
      }
    }
  }

  /** A provider's events are those of its keys too; a key shares the fate of its bucket and its provider. */
  #filterFor(subject: string): SubjectFilter {
    if (!subject.includes('/')) return (name) => providerOf(name) === subject;
    const provider = providerOf(subject);
    const contenders = this.#manager.poolOfProvider(provider)?.contenders ?? [];
    const bucket = contenders.find(({ member }) => member.keyId === subject)?.member.bucket.name;
    return (name) => name === subject || name === bucket || name === provider;
  }
}
