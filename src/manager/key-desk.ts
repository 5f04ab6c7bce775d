import type { Configuration } from '../config/configuration.js';
import { keyIdOf } from '../core/credential.js';
import { KeymuxError } from '../core/errors.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import { KeyChanges } from './key-changes.js';
import type { NewKey } from './key-changes.js';
import type { Member } from './members.js';
import { credentialOf } from './new-key.js';
import type { KeyManagerOptions } from './options.js';
import type { Roster } from './roster.js';
import type { Sync } from './sync.js';

/** A key that gets no more requests, while some are under way with it. */
export interface RetiringKey {
  /** `provider/id`. */
  readonly id: string;
  readonly inFlight: number;
}

interface DeskContext {
  readonly table: StateTable;
  readonly options: KeyManagerOptions;
  /** Whether this is a thread that others of its process take their configuration from. */
  readonly isFirstThread: boolean;
  readonly roster: Roster;
  readonly sync: Pick<Sync, 'changed'>;
  /** Puts a configuration in force, in all threads. */
  readonly takeUp: (configuration: Configuration) => void;
}

/** Where keys are added and retired while the program runs, without a request being lost. */
export class KeyDesk {
  readonly #context: DeskContext;
  readonly #changes: KeyChanges;
  readonly #leaving = new Set<Member>();

  constructor(read: Configuration, context: DeskContext) {
    this.#context = context;
    this.#changes = new KeyChanges(read);
  }

  /** What was read anew, with what was changed meanwhile. */
  over(read: Configuration): Configuration {
    return this.#changes.over(read);
  }

  /** @throws `KEYMUX_USAGE`, `KEYMUX_SECRET_UNREADABLE` */
  add(key: NewKey): string {
    this.#refuseInWorkers();
    const { roster, options, takeUp } = this.#context;
    const credential = credentialOf(key, roster.configuration, options);
    takeUp(this.#changes.add(credential));
    const member = roster.memberOf(keyIdOf(credential));
    // To tell of it is to hear what others know of it, such as that a person disabled it.
    const { key: itself, bucket, provider } = member.subjects;
    for (const subject of [itself, bucket, provider]) this.#context.sync.changed(subject);
    return member.keyId;
  }

  /** Requests under way with it keep their lease on it. @throws `KEYMUX_UNKNOWN_KEY` */
  retire(keyId: string): RetiringKey {
    this.#refuseInWorkers();
    const member = this.#context.roster.memberOf(keyId);
    this.#context.takeUp(this.#changes.retire(member.credential));
    this.#leaving.add(member);
    return { id: keyId, inFlight: this.#inFlightOf(member) };
  }

  /** These were in use before the configuration that is in force now; some may have been replaced. */
  follow(before: ReadonlyMap<string, Member>): void {
    const { members } = this.#context.roster;
    for (const [keyId, member] of before) {
      if (members.get(keyId)?.credential.secret.equals(member.credential.secret) === true) continue;
      if (this.#inFlightOf(member) > 0) this.#leaving.add(member);
    }
  }

  /** Those that requests are under way with. */
  retiring(): RetiringKey[] {
    for (const member of this.#leaving) if (this.#inFlightOf(member) === 0) this.#leaving.delete(member);
    return [...this.#leaving].map((member) => ({ id: member.keyId, inFlight: this.#inFlightOf(member) }));
  }

  #inFlightOf({ rows }: Member): number {
    return this.#context.table.get(rows.key, COUNTER.inFlight);
  }

  #refuseInWorkers(): void {
    if (this.#context.isFirstThread) return;
    throw new KeymuxError('KEYMUX_USAGE', 'Keys are added and retired in the main thread.', {
      fix: 'Do it there: its worker threads take part at once.',
    });
  }
}
