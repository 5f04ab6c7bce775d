/** The latest events of a manager, for people who look at its past. */
import type { EventName, KeymuxEvents } from '../manager/events.js';
import type { ObservedEvent } from '../manager/observation.js';

/** How many are kept. */
export const KEPT_EVENTS = 1_000;

/** Every event; the type makes that none is forgotten. */
const NAMES = {
  failover: true,
  cooldown: true,
  rejected: true,
  'refused-alike': true,
  recovered: true,
  'shared-bucket': true,
  quota: true,
  degraded: true,
  restored: true,
  'state-set-aside': true,
  probe: true,
  leader: true,
  reloaded: true,
  attempt: true,
  request: true,
  administered: true,
  expiring: true,
  anomaly: true,
  audit: true,
  exhausted: true,
} as const satisfies Record<EventName, true>;

export const EVENT_NAMES = Object.keys(NAMES) as readonly EventName[];

/** Too many to keep, and counted elsewhere. */
const FLEETING: ReadonlySet<EventName> = new Set<EventName>(['attempt', 'request']);

export class EventLog {
  readonly #kept: ObservedEvent[] = [];
  /** Where the oldest one stands, once the log is full. */
  #oldest = 0;
  #lastId = 0;

  /** The event with its number; `undefined` where nobody wants to see it: attempts and requests are only counted. */
  add<Name extends EventName>(
    name: Name,
    event: KeymuxEvents[Name],
    isFollowed: boolean,
  ): ObservedEvent | undefined {
    this.#lastId += 1;
    const isFleeting = FLEETING.has(name);
    if (isFleeting && !isFollowed) return undefined;
    const observed = { id: this.#lastId, name, event } as unknown as ObservedEvent;
    if (!isFleeting) this.#keep(observed);
    return observed;
  }

  /** Those that name one of the subjects and have a higher id than `after`; the oldest first. */
  read(subjects?: SubjectFilter, after = 0): readonly ObservedEvent[] {
    const ordered = [...this.#kept.slice(this.#oldest), ...this.#kept.slice(0, this.#oldest)];
    return ordered.filter(
      ({ id, event }) => id > after && (subjects === undefined || namesOf(event).some(subjects)),
    );
  }

  #keep(observed: ObservedEvent): void {
    if (this.#kept.length < KEPT_EVENTS) {
      this.#kept.push(observed);
      return;
    }
    this.#kept[this.#oldest] = observed;
    this.#oldest = (this.#oldest + 1) % KEPT_EVENTS;
  }
}

export type SubjectFilter = (name: string) => boolean;

/** Whom an event is about: keys, buckets and providers, as it names them. */
function namesOf(event: ObservedEvent['event']): string[] {
  const { subject, from, to, bucket, provider, keys } = event as {
    readonly [Field in 'subject' | 'from' | 'to' | 'bucket' | 'provider']?: string;
  } & { readonly keys?: readonly string[] | number };
  const single = [subject, from, to, bucket, provider].filter((name) => name !== undefined);
  return Array.isArray(keys) ? [...single, ...(keys as readonly string[])] : single;
}
