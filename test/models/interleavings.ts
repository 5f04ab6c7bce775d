/**
 * Explores every interleaving of small programs over one shared table. Each access to the shared memory, atomic or
 * plain, is a step; between any two of them every other program may go on, or never again, as where a thread is
 * terminated. States that were seen before are not explored again, so that the search ends. It goes by breadth: the trace
 * of what it finds is a shortest one.
 *
 * A program is suspended by running it anew each time: what its earlier accesses returned is played back to it, and
 * the access after the next one throws. So a program may depend on nothing but the memory and what it is given.
 */
import { StateTable } from '#keymux/state/table.js';

/** Tells a fact that checks look at. */
export type Note = (fact: string) => void;

/** Begins without a step, on memory that is never changed; what it returns runs step by step. */
export type Program = (table: StateTable) => (note: Note) => void;

export interface Reached {
  readonly table: StateTable;
  /** What each program noted so far, by its name. */
  readonly notes: Readonly<Record<string, readonly string[]>>;
  /** The programs that have run to their end. */
  readonly ended: ReadonlySet<string>;
}

export interface Model {
  /** The table as it is at first; everything in it is small, or the search is not. */
  readonly table: StateTable;
  readonly programs: Readonly<Record<string, Program>>;
  /** What is wrong with this state; undefined if nothing is. Asked for every state that can be reached. */
  readonly check: (reached: Reached) => string | undefined;
}

export interface Explored {
  readonly states: number;
  /** In how many of them every program had ended. */
  readonly ends: number;
}

/** More than this is no small program. */
const MOST_STATES = 100_000;
/** Of a search that has to begin anew: until then it looks for further words that are shared. */
const ENOUGH_TO_BEGIN_ANEW = 200;
/** A program that does more runs in a circle. */
const MOST_ACCESSES = 1_000;

/** One access to the shared memory, and what it returned. */
interface Access {
  readonly name: string;
  readonly at: unknown;
  readonly value: unknown;
}

/** The one program that runs now, up to its next step. */
interface Turn {
  readonly program: number;
  /** What it did in its earlier steps, which is played back, and then in this one. */
  readonly accesses: Access[];
  played: number;
  /** Its access that others can notice; the next of these has to wait. */
  taken: Access | undefined;
}

interface State {
  /** The words that differ from the first state, by index. */
  readonly changes: readonly (readonly [at: number, word: number])[];
  readonly pasts: readonly (readonly Access[])[];
  readonly ended: readonly boolean[];
  readonly notes: readonly (readonly string[])[];
  readonly before: State | undefined;
  readonly label: string;
}

/**
 * Which words several programs use, and one of them changes. Accesses to all other words are no steps: to which side of
 * another program's step they fall, nobody can notice. Each search begins with none, and begins anew for each that it
 * finds; the last search finds none, so it has left out nothing.
 */
class SharedWords {
  readonly #users = new Map<number, Set<number>>();
  readonly #changed = new Set<number>();
  readonly #shared = new Set<number>();
  hasGrown = false;

  has([from, to]: Range): boolean {
    for (let at = from; at < to; at += 1) if (this.#shared.has(at)) return true;
    return false;
  }

  used([from, to]: Range, program: number, isChanged: boolean): void {
    for (let at = from; at < to; at += 1) {
      const users = this.#users.get(at) ?? new Set();
      this.#users.set(at, users.add(program));
      if (isChanged) this.#changed.add(at);
      if (users.size < 2 || !this.#changed.has(at) || this.#shared.has(at)) continue;
      this.#shared.add(at);
      this.hasGrown = true;
    }
  }
}

/** Words from the first to before the second. */
type Range = readonly [from: number, to: number];

class Suspension extends Error {}
const SUSPENSION = new Suspension('waits for its turn');
const CIRCLE = new Suspension('runs in a circle');

const real = { Atomics, Int32Array, BigInt64Array, Uint8Array };

interface Search {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly shared: SharedWords;
}

let search: Search | undefined;
let turn: Turn | undefined;
const originals = new WeakMap<object, RealArray>();

type RealArray = (Int32Array | BigInt64Array | Uint8Array) & { readonly buffer: SharedArrayBuffer };

function access(name: string, at: unknown, range: Range, perform: () => unknown): unknown {
  if (turn === undefined || search === undefined) return perform();
  const played = turn.accesses[turn.played];
  if (played !== undefined) {
    if (played.name !== name || played.at !== at)
      throw new Error(`did ${name} ${String(at)} instead of ${played.name}`);
    turn.played += 1;
    return played.value;
  }
  const { shared, words } = search;
  const isStep = shared.has(range);
  if (isStep && turn.taken !== undefined) throw SUSPENSION;
  if (turn.accesses.length >= MOST_ACCESSES) throw CIRCLE;
  const before = words.slice(...range);
  const value = perform();
  shared.used(range, turn.program, !words.slice(...range).every((word, index) => word === before[index]));
  const done = { name, at, value };
  turn.accesses.push(done);
  turn.played += 1;
  if (isStep) turn.taken = done;
  return value;
}

/** The words that the elements of an array from one index to before another lie in. */
function rangeOf(array: RealArray, from: number, to: number): Range {
  const bytes = array.BYTES_PER_ELEMENT;
  return [Math.floor((from * bytes) / 4), Math.ceil((to * bytes) / 4)];
}

/** The elements that a method of an array reads or changes. */
function rangeOfCall(array: RealArray, name: string, args: readonly unknown[]): Range {
  const [first, second = 0, third = array.length] = args;
  if (name === 'fill') return rangeOf(array, Number(second), Number(third));
  if (name === 'set') return rangeOf(array, Number(second), Number(second) + (first as Uint8Array).length);
  if (name === 'slice') return rangeOf(array, Number(first), Number(second));
  throw new Error(`${name} of a shared array is not told apart into steps`);
}

/** An array over the shared memory whose elements, and whose methods that change or copy them, are accesses. */
function stepped(array: RealArray): object {
  const proxy = new Proxy(array, {
    get(target, name) {
      if (typeof name !== 'string') return Reflect.get(target, name, target);
      const at = Number(name);
      if (Number.isInteger(at)) return access('read', at, rangeOf(target, at, at + 1), () => target[at]);
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) =>
        access(name, undefined, rangeOfCall(target, name, args), () => Reflect.apply(value, target, args));
    },
    set(target, name, value) {
      const at = Number(name);
      access('write', at, rangeOf(target, at, at + 1), () => Reflect.set(target, name, value, target));
      return true;
    },
  });
  originals.set(proxy, array);
  return proxy;
}

const steppingAtomics = new Proxy(real.Atomics, {
  get(target, name) {
    const method: unknown = Reflect.get(target, name, target);
    if (typeof method !== 'function') return method;
    return (array: object, at: number, ...args: unknown[]) => {
      const original = originals.get(array);
      if (original === undefined) return Reflect.apply(method, target, [array, at, ...args]);
      return access(String(name), at, rangeOf(original, at, at + 1), () =>
        Reflect.apply(method, target, [original, at, ...args]),
      );
    };
  },
});

function steppingArray<T extends new (...args: never[]) => RealArray>(constructor: T): T {
  return new Proxy(constructor, {
    construct(target, args: unknown[]) {
      const array: RealArray = Reflect.construct(target, args);
      return search !== undefined && args[0] === search.buffer ? stepped(array) : array;
    },
  });
}

/** What the code under test must find as globals while a model is explored. */
export const STEPPING_GLOBALS = {
  Atomics: steppingAtomics,
  Int32Array: steppingArray(real.Int32Array),
  BigInt64Array: steppingArray(real.BigInt64Array),
  Uint8Array: steppingArray(real.Uint8Array),
} as const;

/** Fails with a shortest trace to a state that the check objects to, and where the search does not end. */
export function explore(model: Model): Explored {
  const { buffer } = model.table;
  const words = new real.Int32Array(buffer);
  const first = words.slice();
  const shared = new SharedWords();
  try {
    for (;;) {
      shared.hasGrown = false;
      search = { buffer, words, shared };
      const explored = exploreAll(model, search, first);
      if (!shared.hasGrown) return explored;
    }
  } finally {
    search = undefined;
    words.set(first);
  }
}

function exploreAll(model: Model, { words, shared }: Search, first: Int32Array): Explored {
  const names = Object.keys(model.programs);
  const begin: State = {
    changes: [],
    pasts: names.map(() => []),
    ended: names.map(() => false),
    notes: names.map(() => []),
    before: undefined,
    label: '',
  };
  const seen = new Set([keyOf(begin)]);
  const queue = [begin];
  let ends = 0;
  // The queue grows while it is read.
  for (const state of queue) {
    if (state.ended.every(Boolean)) ends += 1;
    for (const index of names.keys()) {
      if (state.ended[index] === true) continue;
      words.set(first);
      for (const [at, word] of state.changes) words[at] = word;
      const after = advance(state, index, model, () => changesOf(words, first));
      const key = keyOf(after);
      if (seen.has(key)) continue;
      seen.add(key);
      const wrong = model.check(reached(model, names, after));
      if (wrong !== undefined) throw new Error(`${wrong}\n${traceOf(after)}`);
      queue.push(after);
    }
    if (shared.hasGrown && queue.length > ENOUGH_TO_BEGIN_ANEW) break;
    if (queue.length > MOST_STATES)
      throw new Error(`More than ${MOST_STATES} states: the programs are too large.`);
  }
  return { states: queue.length, ends };
}

/** What stands after one more step of one program. */
function advance(state: State, index: number, model: Model, changes: () => State['changes']): State {
  const [name = '', program] = Object.entries(model.programs)[index] ?? [];
  const past = state.pasts[index] ?? [];
  const notes: string[] = [];
  const run = program?.(StateTable.attach(model.table.buffer));
  const mine: Turn = { program: index, accesses: [...past], played: 0, taken: undefined };
  turn = mine;
  let hasEnded = true;
  try {
    run?.((fact) => notes.push(fact));
  } catch (error) {
    if (error === CIRCLE) throw new Error(`${name} runs in a circle:\n${traceOf(state)}`, { cause: error });
    if (error !== SUSPENSION) throw error;
    hasEnded = false;
  } finally {
    turn = undefined;
  }
  const replaced = <T>(list: readonly T[], item: T): T[] =>
    list.map((old, at) => (at === index ? item : old));
  return {
    changes: changes(),
    pasts: replaced(state.pasts, mine.accesses),
    ended: replaced(state.ended, hasEnded),
    notes: replaced(state.notes, notes),
    before: state,
    label: [name, describe(mine.taken), ...notes].join(' '),
  };
}

function describe(taken: Access | undefined): string {
  return taken === undefined ? 'ends' : `${taken.name} ${String(taken.at)}: ${String(taken.value)};`;
}

function changesOf(words: Int32Array, first: Int32Array): State['changes'] {
  const changes: [number, number][] = [];
  // Not by an iterator: this is done at every step.
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? 0;
    if (word !== first[at]) changes.push([at, word]);
  }
  return changes;
}

/** A program goes on by what its accesses returned, so these stand for all that it has in mind. */
function keyOf({ changes, pasts }: State): string {
  const minds = pasts.map((past) => past.map(({ value }) => String(value)).join(' '));
  return `${changes.join(' ')}|${minds.join('|')}`;
}

function reached(model: Model, names: readonly string[], state: State): Reached {
  return {
    // Most checks do not look at it.
    get table() {
      return StateTable.attach(model.table.buffer);
    },
    notes: Object.fromEntries(names.map((name, index) => [name, state.notes[index] ?? []])),
    ended: new Set(names.filter((_, index) => state.ended[index])),
  };
}

function traceOf(state: State): string {
  const lines: string[] = [];
  for (let at: State | undefined = state; at?.before !== undefined; at = at.before)
    lines.unshift(`  ${at.label}`);
  return lines.join('\n');
}

/** What `see` sees after the programs ran one after the other, in each order: what any interleaving may end in. */
export function sequentialEnds(model: Model, see: (reached: Reached) => string): ReadonlySet<string> {
  const words = new real.Int32Array(model.table.buffer);
  const first = words.slice();
  const names = Object.keys(model.programs);
  const ends = new Set<string>();
  for (const order of ordersOf(names)) {
    const notes: Record<string, string[]> = Object.fromEntries(names.map((name) => [name, []]));
    for (const name of order) {
      model.programs[name]?.(StateTable.attach(model.table.buffer))((fact) => notes[name]?.push(fact));
    }
    ends.add(see({ table: StateTable.attach(model.table.buffer), notes, ended: new Set(names) }));
    words.set(first);
  }
  return ends;
}

function ordersOf(names: readonly string[]): string[][] {
  if (names.length === 0) return [[]];
  return names.flatMap((name) =>
    ordersOf(names.filter((other) => other !== name)).map((rest) => [name, ...rest]),
  );
}
