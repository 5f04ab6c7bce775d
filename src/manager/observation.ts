/** What is kept of a manager's recent past, for people who look: made by `observe`, shown by the gateway. No secrets. */
import type { EventName, KeymuxEvents } from './events.js';

/** One event of a manager, as it happened. */
export type ObservedEvent = {
  [Name in EventName]: {
    /** Grows by one with each. */
    readonly id: number;
    readonly name: Name;
    readonly event: KeymuxEvents[Name];
  };
}[EventName];

/** One provider or key over time, in slots of equal length; the last one is under way. */
export interface Series {
  /** `provider/key`, or the id of a provider. */
  readonly subject: string;
  readonly slots: readonly SeriesSlot[];
}

export interface SeriesSlot {
  /** Its beginning. Epoch milliseconds. */
  readonly at: number;
  readonly attempts: number;
  /** Attempts by outcome; success included. */
  readonly outcomes: Readonly<Record<string, number>>;
  /** Of successful attempts. Milliseconds; absent where there were none. */
  readonly p50Ms?: number;
  readonly p95Ms?: number;
}

export interface SeriesQuery {
  /** `provider/key`, or the id of a provider; absent: every provider. */
  readonly subject?: string;
  /** How far back. Milliseconds; default and most: an hour. */
  readonly lastMs?: number;
}

export interface Observation {
  /** Length of a slot. Milliseconds. */
  readonly slotMs: number;
  series(query?: SeriesQuery): readonly Series[];
  /** The latest events but attempts and requests, oldest first; of one subject, or after an id. */
  events(query?: { readonly subject?: string; readonly after?: number }): readonly ObservedEvent[];
  /** Calls back for each event as it happens, attempts and requests included; returns how to stop. */
  follow(listener: (event: ObservedEvent) => void): () => void;
  /** Prometheus text exposition format 0.0.4. */
  metricsText(): Promise<string>;
  close(): void;
}
