import type { HealthRecord } from '../../core/ports.js';
import type { Connection } from './connection.js';
import type { Session } from './session.js';

/** Each look costs a few microseconds while nothing has changed. */
const POLL_EVERY_MS = 10;

type OnChange = (records: readonly HealthRecord[]) => void;

/** Looks out for records that other members changed, for as long as anybody wants to know. */
export class Watcher {
  readonly #connection: Connection;
  readonly #listeners = new Set<{ readonly onChange: OnChange }>();
  #timer: NodeJS.Timeout | undefined;
  #session: Session | undefined;
  #seenSeq = 0;
  #seenVersion = -1;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** From here on, changes are told; what is there already was told by `open`. */
  begin(session: Session): void {
    this.#session = session;
    this.#seenSeq = session.records.lastSeq();
  }

  /** The last change of this session's file that was told. */
  heardSeq(session: Session): number {
    return session === this.#session ? this.#seenSeq : 0;
  }

  add(onChange: OnChange): () => void {
    const listener = { onChange };
    this.#listeners.add(listener);
    this.#timer ??= setInterval(() => this.#look(), POLL_EVERY_MS).unref();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.stop();
    };
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#listeners.clear();
  }

  #look(): void {
    const records = this.#connection.peek((session) => this.#changes(session)) ?? [];
    if (records.length === 0) return;
    for (const { onChange } of [...this.#listeners]) onChange(records);
  }

  #changes(session: Session): readonly HealthRecord[] {
    // After trouble it may be another file, with numbers of its own.
    if (session !== this.#session) {
      this.#session = session;
      this.#seenSeq = 0;
      this.#seenVersion = -1;
    }
    const version = session.dataVersion();
    if (version === this.#seenVersion) return [];
    const { records, seq } = session.records.changesSince(this.#seenSeq);
    this.#seenSeq = seq;
    this.#seenVersion = version;
    return records;
  }
}
