/** Called with where a pattern stands: from `start` up to, not including, `end`. */
export type OnPattern = (start: number, end: number, pattern: number) => void;

/**
 * Finds many ASCII patterns in one pass over bytes, however many there are (Aho and Corasick,
 * https://doi.org/10.1145/360825.360855), with its transitions written out. Takes 4 bytes for each letter of the patterns
 * and each character that they use: 200 keys in all their writings come to some 60 MB.
 */
export class PatternAutomaton {
  /** The column of a byte; 0 for those that no pattern holds. */
  readonly #columns = new Uint8Array(256);
  readonly #width: number;
  /**
   * A row for each state: where a byte leads, as the row's first cell, so that no step multiplies; in the last column
   * 1 + the longest pattern that ends there, 0 for none.
   */
  readonly #next: Int32Array;
  /** By state: how many of the bytes read last may be the beginning of a pattern. */
  readonly #begun: Int32Array;
  readonly #lengths: readonly number[];

  /** None is empty; of equal ones the first counts. */
  constructor(patterns: readonly string[]) {
    let width = 1;
    let states = 1;
    for (const pattern of patterns) {
      states += pattern.length;
      for (let at = 0; at < pattern.length; at++) {
        const byte = pattern.charCodeAt(at);
        if (this.#columns[byte] === 0) this.#columns[byte] = width++;
      }
    }
    this.#width = width + 1;
    this.#lengths = [0, ...patterns.map(({ length }) => length)];
    const next = new Int32Array(states * this.#width);
    const depths = this.#grow(patterns, next);
    this.#next = next.slice(0, depths.length * this.#width);
    this.#begun = new Int32Array(depths.length);
    this.#link(depths);
  }

  /**
   * Reads `bytes` from `from` to their end, as if nothing stood before. Returns where the longest beginning of a
   * pattern at the end starts: what stands before it is no part of a pattern that goes on after the end.
   */
  scan(bytes: Uint8Array, from: number, onPattern: OnPattern): number {
    const next = this.#next;
    const columns = this.#columns;
    const found = this.#width - 1;
    let state = 0;
    for (let at = from; at < bytes.length; at++) {
      state = next[state + (columns[bytes[at] as number] as number)] as number;
      if (state === 0) continue;
      const pattern = next[state + found] as number;
      if (pattern > 0) onPattern(at + 1 - (this.#lengths[pattern] as number), at + 1, pattern - 1);
    }
    return bytes.length - (this.#begun[state / this.#width] as number);
  }

  /** The patterns as a tree of states, which are their depths; rows are counted from 0 as yet. */
  #grow(patterns: readonly string[], next: Int32Array): number[] {
    const depths = [0];
    for (const [index, pattern] of patterns.entries()) {
      let state = 0;
      for (let at = 0; at < pattern.length; at++) {
        const cell = state * this.#width + (this.#columns[pattern.charCodeAt(at)] as number);
        if (next[cell] === 0) next[cell] = depths.push(at + 1) - 1;
        state = next[cell] as number;
      }
      const found = (state + 1) * this.#width - 1;
      if (next[found] === 0) next[found] = index + 1;
    }
    return depths;
  }

  /** Adds where to go on when no pattern goes on, state by state in the order of depth. */
  #link(depths: readonly number[]): void {
    const width = this.#width;
    const next = this.#next;
    const fallback = new Int32Array(this.#begun.length);
    const queue = [0];
    for (const state of queue) {
      const back = fallback[state] as number;
      let goesOn = false;
      for (let column = 1; column < width - 1; column++) {
        const cell = state * width + column;
        const child = next[cell] as number;
        const otherwise = state === 0 ? 0 : (next[back * width + column] as number) / width;
        if (child === 0) {
          next[cell] = otherwise * width;
          continue;
        }
        goesOn = true;
        fallback[child] = otherwise;
        const found = (child + 1) * width - 1;
        if (next[found] === 0) next[found] = next[(otherwise + 1) * width - 1] as number;
        queue.push(child);
        next[cell] = child * width;
      }
      this.#begun[state] = (goesOn ? depths[state] : this.#begun[back]) as number;
    }
  }
}
