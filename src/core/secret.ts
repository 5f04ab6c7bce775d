const HIDDEN = '[secret]';

/**
 * A key that never prints itself: not by `util.inspect`, `JSON.stringify`, a template or `structuredClone`.
 * Only `reveal()` gives it out, so that a search for that word finds every place that handles the text.
 */
export class Secret {
  readonly #value: string;

  /** @internal */
  constructor(value: string) {
    this.#value = value;
  }

  /** The text itself. Whoever calls this answers for where it goes. */
  reveal(): string {
    return this.#value;
  }

  /** Whether both hold the same text. */
  equals(other: Secret): boolean {
    return this.#value === other.#value;
  }

  toString(): string {
    return HIDDEN;
  }

  toJSON(): string {
    return HIDDEN;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return HIDDEN;
  }
}
