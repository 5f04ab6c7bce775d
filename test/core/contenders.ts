import fc from 'fast-check';
import type { Contender } from '#keymux/core/select.js';

export function contender(traits: Partial<Contender> = {}): Contender {
  return {
    priority: 0,
    weight: 1,
    uses: 0,
    inFlight: 0,
    latencyMs: 0,
    remaining: undefined,
    rotation: { credit: 0, round: 0 },
    ...traits,
  };
}

/** The same chances at every run: a linear congruential generator with the figures of Numerical Recipes. */
export function seededRandom(seed = 1): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

export const anyContenders: fc.Arbitrary<Contender[]> = fc.array(
  fc
    .record({
      priority: fc.integer({ min: 0, max: 3 }),
      weight: fc.double({ min: 0.001, max: 1_000, noNaN: true }),
      uses: fc.nat(),
      inFlight: fc.nat({ max: 1_000 }),
      latencyMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 60_000, noNaN: true })),
      remaining: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
      round: fc.nat({ max: 3 }),
      credit: fc.integer({ min: -9, max: 9 }),
    })
    .map(({ round, credit, ...traits }) => contender({ ...traits, rotation: { round, credit } })),
  { minLength: 1, maxLength: 8 },
);
