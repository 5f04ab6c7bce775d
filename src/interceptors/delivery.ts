/** Hands the parts of an answer on in their order, and only as fast as the receiver wants them. */
export class Delivery {
  readonly #resumeSource: () => void;
  #parts: (() => boolean)[] = [];
  #isPaused = false;
  #isRunning = false;

  /** `resumeSource` is called when everything was handed on and more is wanted again. */
  constructor(resumeSource: () => void) {
    this.#resumeSource = resumeSource;
  }

  /** `part` hands something on and returns whether more is wanted. Returns whether the source may go on. */
  push(part: () => boolean): boolean {
    this.#parts.push(part);
    return this.#run();
  }

  /** For the receiver, when it wants more again. Bound, so that it can be handed over. */
  readonly resume = (): void => {
    this.#isPaused = false;
    if (!this.#isRunning && this.#run()) this.#resumeSource();
  };

  clear(): void {
    this.#parts = [];
  }

  #run(): boolean {
    // A part that is handed on may bring the next one along; it then waits for its turn.
    if (this.#isRunning) return true;
    this.#isRunning = true;
    try {
      while (!this.#isPaused) {
        const part = this.#parts.shift();
        if (part === undefined) break;
        this.#isPaused = true;
        if (part()) this.#isPaused = false;
      }
    } finally {
      this.#isRunning = false;
    }
    return !this.#isPaused;
  }
}
