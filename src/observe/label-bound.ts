/** More keys, or buckets, than these are not told apart in metrics. */
export const MOST_LABELLED_KEYS = 1_000;

/** What all values beyond the bound are called. */
const OTHER = 'other';

/** Keeps the values of a label from growing for ever, as where keys are rotated every hour. */
export class LabelBound {
  readonly #most: number;
  readonly #known = new Set<string>();

  constructor(most: number) {
    this.#most = most;
  }

  /** The value itself, or `other`. */
  of(value: string): string {
    if (this.#known.has(value)) return value;
    if (this.#known.size >= this.#most) return OTHER;
    this.#known.add(value);
    return value;
  }
}
