// What a permit costs: the shared table next to a plain object that does the same, and to the limiters on npm.
import { RateLimiter } from 'limiter';
import { RateLimiterMemory, RateLimiterUnion } from 'rate-limiter-flexible';
import { StateTable } from '../dist/state/table.js';
import { compareBatches, publish, row } from './measurements.mjs';

const ROUNDS = 12;
const BATCH = 60_000;
const STEP_MS = 60;
const WINDOWS = [
  { requests: 1_000, perMs: 1_000 },
  { requests: 40_000, perMs: 60_000 },
  { requests: 65_000, perMs: 3_600_000 },
];

/** The floor: exact over three windows as well, for one thread only. */
class PlainLog {
  #moments;
  #next = 0;

  constructor(windows) {
    this.windows = windows;
    this.#moments = new Float64Array(2 ** 17).fill(Number.NEGATIVE_INFINITY);
  }

  take(now) {
    const mask = this.#moments.length - 1;
    for (const { requests, perMs } of this.windows) {
      if (this.#moments[(this.#next - requests) & mask] >= now - perMs) return -1;
    }
    this.#moments[this.#next & mask] = now + 30_000;
    return this.#next++;
  }

  settle(position, countedAt) {
    this.#moments[position & (this.#moments.length - 1)] = countedAt;
  }
}

const table = StateTable.create();
const bucket = table.bucket('bench/main', WINDOWS);
const subject = table.subject('key:bench');
const plain = new PlainLog(WINDOWS);
const limiters = WINDOWS.map(({ perMs }) => new RateLimiter({ tokensPerInterval: 1e9, interval: perMs }));
const union = new RateLimiterUnion(
  ...WINDOWS.map(
    ({ perMs }) => new RateLimiterMemory({ keyPrefix: `${perMs}`, points: 1e9, duration: perMs / 1_000 }),
  ),
);

let time = table.now();
let sink = 0;

function granted(position) {
  if (position < 0) throw new Error('a permit was refused; the figures would be wrong');
  return position;
}

const permits = {
  'plain object': () => {
    for (let n = 0; n < BATCH; n += 1) {
      time += STEP_MS;
      plain.settle(granted(plain.take(time)), time);
    }
  },
  'keymux table': () => {
    for (let n = 0; n < BATCH; n += 1) {
      time += STEP_MS;
      table.settle(bucket, granted(table.take(bucket, time)), time);
    }
  },
  'plain object and Date.now': () => {
    for (let n = 0; n < BATCH; n += 1) {
      sink += Date.now();
      time += STEP_MS;
      plain.settle(granted(plain.take(time)), time);
    }
  },
  'keymux table and its clock': () => {
    for (let n = 0; n < BATCH; n += 1) {
      sink += table.now();
      time += STEP_MS;
      table.settle(bucket, granted(table.take(bucket, time)), time);
    }
  },
  'limiter, 3 of them': () => {
    for (let n = 0; n < BATCH; n += 1)
      for (const limiter of limiters) sink += Number(limiter.tryRemoveTokens(1));
  },
  'rate-limiter-flexible, union of 3': async () => {
    for (let n = 0; n < BATCH / 6; n += 1) await union.consume('bench');
    return BATCH / 6;
  },
};

const decision = { generation: table.generation, until: 0 };
const sticky = {
  'plain object': () => {
    for (let n = 0; n < BATCH; n += 1) if (decision.generation === n || decision.until > time + n) sink += 1;
  },
  'keymux table': () => {
    for (let n = 0; n < BATCH; n += 1)
      if (table.generation === n || table.isOpen(subject, time + n)) sink += 1;
  },
};

async function measure(variants) {
  const samples = await compareBatches(variants, { operations: BATCH, rounds: ROUNDS });
  return Object.entries(samples).map(([name, ns]) => row(name, 'ns', ns, samples['plain object']));
}

publish('table', {
  'take and settle, 3 windows, 1 thread': await measure(permits),
  'sticky read of generation and isOpen': await measure(sticky),
});
process.exitCode = sink < 0 ? 1 : 0;
