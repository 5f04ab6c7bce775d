import { describe, expect, it } from 'vitest';
import { judge } from '../../scripts/soak/verdict.mjs';

const MIB = 1_048_576;
const still = {
  requests: 100,
  heapBytes: 90 * MIB,
  bufferBytes: 5 * MIB,
  sockets: 0,
  files: 40,
  timers: 1,
  processListeners: 13,
  agentListeners: 4,
  subscribers: 0,
  keys: 29,
  inFlight: 0,
  warnings: [] as string[],
  lost: {} as Record<string, string>,
};
const plateaus = (grown: (n: number) => Partial<typeof still>): (typeof still)[] =>
  Array.from({ length: 9 }, (_, n) => ({ ...still, ...grown(n) }));

describe('the verdict of the soak', () => {
  it('finds nothing where nothing grows, however it wanders', () => {
    const wandering = plateaus((n) => ({ heapBytes: (90 + (n % 3)) * MIB, files: 40 + (n % 5) }));
    expect(judge(wandering).problems).toEqual([]);
  });

  it.each([
    ['heap', (n: number) => ({ heapBytes: (90 + n) * MIB })],
    ['buffers', (n: number) => ({ bufferBytes: (5 + n) * MIB })],
    ['sockets in use', (n: number) => ({ sockets: n })],
    ['open files', (n: number) => ({ files: 40 + 4 * n })],
    ['timers', (n: number) => ({ timers: n * 2 })],
    ['listeners on process', (n: number) => ({ processListeners: 13 + n })],
    ['listeners on agents', (n: number) => ({ agentListeners: 4 + n })],
    ['subscribers of channels', (n: number) => ({ subscribers: n })],
    ['keys known', (n: number) => ({ keys: 29 + n })],
  ])('finds growth of %s', (name, grown) => {
    expect(judge(plateaus(grown)).problems).toEqual([expect.stringContaining(`${name} grew by`)]);
  });

  it('finds a lease that was not returned, a warning and a lost request', () => {
    expect(judge(plateaus((n) => ({ inFlight: n === 4 ? 1 : 0 }))).problems).toHaveLength(1);
    expect(judge(plateaus(() => ({ warnings: ['11 listeners'] }))).problems).toHaveLength(1);
    expect(judge(plateaus(() => ({ lost: { fetch: 'no answer' } }))).problems).toHaveLength(1);
  });

  it('is none after too few plateaus', () => {
    expect(judge(plateaus(() => ({})).slice(0, 2)).problems).toEqual([expect.stringContaining('plateaus')]);
  });
});
