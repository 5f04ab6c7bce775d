/** The control of the contention test: a log as it would be without atomic operations. It must overshoot. */
export class CarelessLog {
  #words;
  #limit;

  constructor(buffer, limit) {
    this.#words = new Int32Array(buffer);
    this.#limit = limit;
  }

  take() {
    const position = this.#words[0];
    if (position >= this.#limit) return false;
    this.#words[1 + position] = 1;
    this.#words[0] = position + 1;
    return true;
  }
}
