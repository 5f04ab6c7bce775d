/** Something that happens again and again, and that many may wait for. */
export class Signal {
  readonly #waiting: (() => void)[] = [];

  /** Resolves when it happens next. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  fire(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
