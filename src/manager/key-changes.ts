/** Keys that are added and retired while the program runs, on top of what the configuration says. */
import type { Configuration } from '../config/configuration.js';
import type { Credential } from '../core/credential.js';
import { keyIdOf } from '../core/credential.js';
import { KeymuxError } from '../core/errors.js';
import type { Secret } from '../core/secret.js';

/** A key to add. Either a reference, or the key itself, which is then kept in memory only. */
export interface NewKey {
  readonly provider: string;
  readonly id: string;
  /** `env:NAME`, `file:PATH`, `vault:NAME` or `exec:COMMAND`; paths start from the working directory of the program. */
  readonly value?: string;
  readonly secret?: Secret;
  /** Lower goes first. Default: after all others of its provider. */
  readonly priority?: number;
  /** Default: 1. */
  readonly weight?: number;
  /** Who owns its allowance. Default: as the provider's keys have it. */
  readonly bucket?: string;
}

/** `origin` of a key that the configuration does not know. */
export const ADDED_ORIGIN = 'added while running';

/**
 * The configuration stays the truth: what is added or retired here holds until the process ends, also across
 * reloads, and gives way where the configuration comes to say something about the same key.
 */
export class KeyChanges {
  readonly #added = new Map<string, Credential>();
  /** The key that was retired, by its id: under the same id the configuration may bring another one later. */
  readonly #retired = new Map<string, Secret>();
  #read: Configuration;

  constructor(read: Configuration) {
    this.#read = read;
  }

  /** What was read, as these changes leave it. */
  over(read: Configuration): Configuration {
    this.#read = read;
    const stated = new Map(read.credentials.map((credential) => [keyIdOf(credential), credential]));
    for (const [keyId, secret] of this.#retired) {
      if (stated.get(keyId)?.secret.equals(secret) !== true) this.#retired.delete(keyId);
    }
    const kept = read.credentials.filter((credential) => !this.#retired.has(keyIdOf(credential)));
    for (const [keyId, credential] of this.#added) {
      if (!read.providers.has(credential.provider) || twinOf(credential, kept) !== undefined) {
        this.#added.delete(keyId);
      }
    }
    if (this.#added.size === 0 && this.#retired.size === 0) return read;
    const all = [...kept, ...this.#added.values()].toSorted((a, b) => a.priority - b.priority);
    const credentials = [...read.providers.keys()].flatMap((id) =>
      all.filter(({ provider }) => provider === id),
    );
    return { ...read, credentials, notes: [...read.notes, ...this.#notes()] };
  }

  /** Throws `KEYMUX_USAGE` where its provider has this key, or one of this id, already. */
  add(credential: Credential): Configuration {
    const keyId = keyIdOf(credential);
    const twin = twinOf(credential, this.over(this.#read).credentials);
    if (twin !== undefined) {
      throw new KeymuxError(
        'KEYMUX_USAGE',
        keyIdOf(twin) === keyId ? `There is a key ${keyId} already.` : `${keyIdOf(twin)} is the same key.`,
        { fix: keyIdOf(twin) === keyId ? 'Choose another id.' : `Use ${keyIdOf(twin)}.` },
      );
    }
    if (this.#retired.get(keyId)?.equals(credential.secret) === true) this.#retired.delete(keyId);
    else this.#added.set(keyId, credential);
    return this.over(this.#read);
  }

  retire(credential: Credential): Configuration {
    const keyId = keyIdOf(credential);
    if (!this.#added.delete(keyId)) this.#retired.set(keyId, credential.secret);
    return this.over(this.#read);
  }

  #notes(): string[] {
    return [
      ...[...this.#added.keys()].map(
        (keyId) =>
          `${keyId} was added while running; the configuration does not know it, a restart forgets it`,
      ),
      ...[...this.#retired.keys()].map(
        (keyId) =>
          `${keyId} was retired while running; the configuration still has it, a restart brings it back`,
      ),
    ];
  }
}

/** A key of the same provider with the same id or the same text. */
function twinOf(credential: Credential, others: readonly Credential[]): Credential | undefined {
  return others.find(
    (other) =>
      other.provider === credential.provider &&
      (other.id === credential.id || other.secret.equals(credential.secret)),
  );
}
