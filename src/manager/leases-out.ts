/** Counts the leases that are not over yet, and waits for them at the end. */
export class LeasesOut {
  #count = 0;
  #whenDrained: (() => void) | undefined;

  add(): void {
    this.#count += 1;
  }

  remove(): void {
    this.#count -= 1;
    if (this.#count === 0) this.#whenDrained?.();
  }

  /** Resolves when none is left, or after so many milliseconds. */
  drain(longestMs: number): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, longestMs);
      this.#whenDrained = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
