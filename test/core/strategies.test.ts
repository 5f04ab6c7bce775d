import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Contender, Strategy, StrategyName } from '#keymux/core/select.js';
import { strategies } from '#keymux/core/select.js';
import { anyContenders, contender, seededRandom } from './contenders.js';

const names = Object.keys(strategies) as StrategyName[];
const never = (): number => expect.unreachable('asked for chance');

/** Gives these numbers, one after the other. */
function chances(...values: number[]): () => number {
  return () => values.shift() ?? expect.unreachable('asked for more chance');
}

function pick(
  name: StrategyName,
  traits: readonly Partial<Contender>[],
  random: () => number = never,
): number {
  return strategies[name](traits.map(contender), random);
}

/** Indexes in the order in which they are picked. */
function sequence(
  strategy: Strategy,
  contenders: readonly Contender[],
  picks: number,
  random = never,
): number[] {
  return Array.from({ length: picks }, () => strategy(contenders, random));
}

function countsOf(picks: readonly number[], contenders: number): number[] {
  return Array.from({ length: contenders }, (_, index) => picks.filter((picked) => picked === index).length);
}

describe('every strategy', () => {
  it.each(names)('gives an index of the list, whatever the contenders (%s)', (name) => {
    const chance = fc.oneof(
      fc.constantFrom(0, 1 - Number.EPSILON),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    );
    fc.assert(
      fc.property(anyContenders, fc.infiniteStream(chance), (contenders, stream) => {
        const index = strategies[name](contenders, () => stream.next().value ?? 0);
        expect(contenders[index]).toBeDefined();
      }),
    );
  });

  it.each(names)('gives the first of one, without a draw where none is needed (%s)', (name) => {
    expect(pick(name, [{}], name === 'weighted' ? () => 0.99 : never)).toBe(0);
  });
});

describe('priority', () => {
  it('prefers the lowest number, and the first among equals', () => {
    expect(pick('priority', [{ priority: 2 }, { priority: 1 }, { priority: 1 }])).toBe(1);
    expect(pick('priority', [{ priority: 1 }, { priority: 1 }, { priority: 2 }])).toBe(0);
    expect(pick('priority', [{ priority: 3 }, { priority: 2 }, { priority: 1 }])).toBe(2);
  });
});

describe('round-robin', () => {
  const rotate: Strategy = strategies['round-robin'];
  const weighing = (...weights: number[]): Contender[] => weights.map((weight) => contender({ weight }));
  const weights = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 });
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

  it('takes turns', () => {
    expect(sequence(rotate, weighing(1, 1, 1), 7)).toEqual([0, 1, 2, 0, 1, 2, 0]);
  });

  it("spreads a heavy contender's turns", () => {
    expect(sequence(rotate, weighing(5, 1, 1), 7)).toEqual([0, 0, 1, 0, 2, 0, 0]);
    expect(sequence(rotate, weighing(2, 1), 6)).toEqual([0, 1, 0, 0, 1, 0]);
  });

  it('gives exact shares over whole cycles', () => {
    fc.assert(
      fc.property(weights, fc.integer({ min: 1, max: 3 }), (shares, cycles) => {
        const picks = sequence(rotate, weighing(...shares), cycles * sum(shares));
        expect(countsOf(picks, shares.length)).toEqual(shares.map((share) => share * cycles));
      }),
    );
  });

  it('lets nobody get a whole turn ahead of its share', () => {
    fc.assert(
      fc.property(weights, (shares) => {
        const picks = sequence(rotate, weighing(...shares), 2 * sum(shares));
        for (let length = 1; length <= picks.length; length += 1) {
          countsOf(picks.slice(0, length), shares.length).forEach((count, index) => {
            expect(count - (length * (shares[index] ?? 0)) / sum(shares)).toBeLessThan(1);
          });
        }
      }),
    );
  });

  it('takes one back without credit for the rounds that it missed', () => {
    const [first, second, third] = [contender(), contender(), contender()];
    sequence(rotate, [first, second, third], 2);
    sequence(rotate, [first, second], 10);
    expect(third.rotation.credit).toBeGreaterThan(0);
    const picks = sequence(rotate, [first, second, third], 9);
    expect(countsOf(picks, 3)).toEqual([3, 3, 3]);
    expect(picks.filter((picked, index) => picked === 2 && picks[index - 1] === 2)).toEqual([]);
  });

  it('takes one back that missed a single round as if it were new', () => {
    const [first, second] = [contender(), contender({ weight: 3 })];
    sequence(rotate, [first, second], 1);
    sequence(rotate, [first], 1);
    expect(second.rotation).toEqual({ credit: -0.25, round: 1 });
    sequence(rotate, [first, second], 1);
    expect(second.rotation).toEqual({ credit: -0.25, round: 3 });
  });

  it('stays fair to those that are always there while others come and go', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 200, maxLength: 200 }), (presences) => {
        const [one, other, guest] = [contender(), contender(), contender({ weight: 2 })];
        const counts = new Map([one, other, guest].map((each) => [each, 0]));
        for (const isPresent of presences) {
          const present = isPresent ? [one, other, guest] : [one, other];
          const chosen = present[rotate(present, never)] ?? expect.unreachable();
          counts.set(chosen, (counts.get(chosen) ?? 0) + 1);
        }
        expect(Math.abs((counts.get(one) ?? 0) - (counts.get(other) ?? 0))).toBeLessThanOrEqual(2);
      }),
    );
  });
});

describe('weighted', () => {
  const fair = [{ weight: 1 }, { weight: 2 }, { weight: 1 }];

  it.each([
    [0, 0],
    [0.249, 0],
    [0.25, 1],
    [0.749, 1],
    [0.75, 2],
    [1 - Number.EPSILON, 2],
  ])('gives each its part of the range of chance (%d)', (chance, index) => {
    expect(pick('weighted', fair, () => chance)).toBe(index);
  });

  it('gives the last where rounding leaves a rest', () => {
    expect(pick('weighted', [{ weight: 0.1 }, { weight: 0.2 }], () => 1)).toBe(1);
  });

  it('matches the shares over many picks', () => {
    const contenders = fair.map(contender);
    const picks = sequence(strategies.weighted, contenders, 10_000, seededRandom());
    const [first = 0, second = 0, third = 0] = countsOf(picks, 3);
    // Five standard deviations of a binomial distribution: sqrt(10 000 × p × (1 − p)) is at most 50.
    for (const [count, expected] of [
      [first, 2_500],
      [second, 5_000],
      [third, 2_500],
    ] as const) {
      expect(Math.abs(count - expected)).toBeLessThan(250);
    }
  });
});

describe('least-used', () => {
  it('prefers the fewest uses for the weight', () => {
    expect(pick('least-used', [{ uses: 3 }, { uses: 2 }, { uses: 4 }])).toBe(1);
    expect(pick('least-used', [{ uses: 3 }, { uses: 8, weight: 4 }])).toBe(1);
    expect(pick('least-used', [{ uses: 2 }, { uses: 10, weight: 4 }])).toBe(0);
  });

  it('decides a tie by priority, then by the order', () => {
    expect(
      pick('least-used', [
        { uses: 1, priority: 2 },
        { uses: 1, priority: 1 },
      ]),
    ).toBe(1);
    expect(pick('least-used', [{ uses: 2, weight: 2 }, { uses: 1 }])).toBe(0);
    expect(
      pick('least-used', [
        { uses: 1, priority: 2 },
        { uses: 2, priority: 1 },
      ]),
    ).toBe(0);
    expect(
      pick('least-used', [
        { uses: 2, priority: 1 },
        { uses: 1, priority: 2 },
      ]),
    ).toBe(1);
  });

  it('evens out to the shares', () => {
    const leastUsed: Strategy = strategies['least-used'];
    const contenders = [contender({ weight: 3 }), contender({ weight: 1 })];
    const uses = [0, 0];
    for (let n = 0; n < 400; n += 1) {
      const index = leastUsed(
        contenders.map((each, at) => ({ ...each, uses: uses[at] ?? 0 })),
        never,
      );
      uses[index] = (uses[index] ?? 0) + 1;
    }
    expect(uses).toEqual([300, 100]);
  });
});

describe('lowest-latency', () => {
  /** Chances that draw these two of three, in this order. */
  const draw = (first: number, second: number): (() => number) =>
    chances((first + 0.5) / 3, (((second - first + 3) % 3) - 0.5) / 2);

  it('takes the better of two that chance draws, and never the worst of all', () => {
    const traits = [{ latencyMs: 20 }, { latencyMs: 10 }, { latencyMs: 30 }];
    const best = { '01': 1, '02': 0, '10': 1, '12': 1, '20': 0, '21': 1 };
    for (const [pair, winner] of Object.entries(best)) {
      const [first, second] = [...pair].map(Number) as [number, number];
      expect(pick('lowest-latency', traits, draw(first, second))).toBe(winner);
    }
  });

  it('draws two different ones, each pair as likely', () => {
    const traits = [{ latencyMs: 1 }, { latencyMs: 2 }, { latencyMs: 3 }].map(contender);
    const picks = sequence(strategies['lowest-latency'], traits, 9_000, seededRandom());
    const [fastest = 0, middle = 0, slowest = 0] = countsOf(picks, 3);
    expect(slowest).toBe(0);
    expect(Math.abs(fastest - 6_000)).toBeLessThan(250);
    expect(Math.abs(middle - 3_000)).toBeLessThan(250);
  });

  it('takes the length of the queue into account', () => {
    const traits = [{ latencyMs: 10, inFlight: 2 }, { latencyMs: 25 }, {}];
    expect(pick('lowest-latency', traits, draw(0, 1))).toBe(1);
    const idle = [{ latencyMs: 10, inFlight: 1 }, { latencyMs: 25, inFlight: 0 }, {}];
    expect(pick('lowest-latency', idle, draw(1, 0))).toBe(0);
  });

  it('takes one that was never measured for the average of the others', () => {
    const traits = [{ latencyMs: 0 }, { latencyMs: 10 }, { latencyMs: 30 }];
    expect(pick('lowest-latency', traits, draw(0, 1))).toBe(1);
    expect(pick('lowest-latency', traits, draw(0, 2))).toBe(0);
    expect(pick('lowest-latency', traits, draw(2, 0))).toBe(0);
    const near = [{ latencyMs: 0 }, { latencyMs: 19 }, { latencyMs: 23 }];
    expect(pick('lowest-latency', near, draw(0, 2))).toBe(0);
    expect(pick('lowest-latency', near, draw(0, 1))).toBe(1);
  });

  it('goes by the queue alone, and by the first of two, while nothing is measured', () => {
    const traits = [{ inFlight: 1 }, { inFlight: 0 }, { inFlight: 1 }];
    expect(pick('lowest-latency', traits, draw(0, 1))).toBe(1);
    expect(pick('lowest-latency', traits, draw(0, 2))).toBe(0);
    expect(pick('lowest-latency', traits, draw(2, 0))).toBe(2);
  });
});

describe('most-remaining', () => {
  it('prefers the largest share left', () => {
    expect(pick('most-remaining', [{ remaining: 0.2 }, { remaining: 0.9 }, { remaining: 0.3 }])).toBe(1);
  });

  it('takes an unknown one for half spent', () => {
    expect(pick('most-remaining', [{ remaining: 0.51 }, {}])).toBe(0);
    expect(pick('most-remaining', [{ remaining: 0.49 }, {}])).toBe(1);
    expect(pick('most-remaining', [{}, { remaining: 0.51 }])).toBe(1);
    expect(pick('most-remaining', [{}, { remaining: 0.49 }])).toBe(0);
    expect(pick('most-remaining', [{ remaining: 0 }, {}])).toBe(1);
  });

  it('decides a tie by priority, then by the order', () => {
    expect(pick('most-remaining', [{ priority: 2 }, { priority: 1 }])).toBe(1);
    expect(pick('most-remaining', [{ remaining: 0.5 }, {}])).toBe(0);
    expect(
      pick('most-remaining', [
        { remaining: 1, priority: 2 },
        { remaining: 0.5, priority: 1 },
      ]),
    ).toBe(0);
  });
});
