/** What must hold of code that reads what others wrote, whatever that is. */
import { inspect } from 'node:util';
import fc from 'fast-check';
import { KeymuxError } from '#keymux/core/errors.js';
import { afterEach, beforeEach, expect } from 'vitest';

/** Of the processor, which other programs do not count for: no text that somebody sends takes so long to read. */
const LONGEST_MICROSECONDS = 10_000_000;

/** Stands for a key in what is made up; it must be in no message. */
export const SECRET = 'sk-SECRET-7f3a9b2c4d5e6f708192';
const SECRET_PIECE = SECRET.slice(3, 15);

/**
 * The outcome, or undefined where a `KeymuxError` refused it. Fails for every other error, for a refusal that repeats
 * the secret, and for what takes too long.
 */
export function soundly<T>(work: () => T): T | undefined {
  const before = process.cpuUsage();
  try {
    return work();
  } catch (error) {
    if (!(error instanceof KeymuxError)) throw error;
    const told = [error.message, error.fix, error.stack, inspect(error, { depth: 9, showHidden: true })].join(
      '\n',
    );
    if (told.includes(SECRET_PIECE)) throw new Error(`The secret was told: ${told}`, { cause: error });
    return undefined;
  } finally {
    const { user, system } = process.cpuUsage(before);
    expect(user + system).toBeLessThan(LONGEST_MICROSECONDS);
  }
}

/** What every object inherits is the same after each test of this file as before it. */
export function watchPrototypes(): void {
  const prototypes: readonly object[] = [
    Object.prototype,
    Array.prototype,
    Function.prototype,
    Map.prototype,
    String.prototype,
  ];
  const namesOf = (): (string | symbol)[][] => prototypes.map((prototype) => Reflect.ownKeys(prototype));
  let before = namesOf();
  beforeEach(() => {
    before = namesOf();
  });
  afterEach(() => {
    expect(namesOf()).toEqual(before);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
}

/** Pieces of a grammar in any order, with anything in between; so texts that are nearly right come up often. */
export function mixOf(...pieces: readonly string[]): fc.Arbitrary<string> {
  const piece = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(SECRET, ...pieces) },
    { weight: 1, arbitrary: anyText },
  );
  return fc.array(piece, { maxLength: 14 }).map((parts) => parts.join(''));
}

export const anyText = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }));

/** Names that lead to prototypes where somebody assigns carelessly. */
export const POLLUTING = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'valueOf'];

/** A value of JSON in which such names stand, and which would put `polluted` on a prototype. */
export const hostileJson: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    fc.constantFrom(SECRET, null, true, 0, -1, 1e308, 'text', ''),
    fc.array(tie('value'), { maxLength: 3 }),
    fc
      .array(fc.tuple(fc.constantFrom(...POLLUTING, 'a', 'polluted', SECRET), tie('value')), { maxLength: 4 })
      .map(
        (entries) =>
          JSON.parse(
            `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`,
          ) as unknown,
      ),
  ),
})).value;
