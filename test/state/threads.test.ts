import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { KEY_POLICY } from '#keymux/core/health.js';
import type { QuotaWindow } from '#keymux/core/quota.js';
import { COUNTER } from '#keymux/state/layout.js';
import { StateTable } from '#keymux/state/table.js';

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

const WINDOWS: readonly QuotaWindow[] = [
  { requests: 30_007, perMs: SECOND_MS },
  { requests: 45_011, perMs: MINUTE_MS },
  { requests: 60_013, perMs: DAY_MS },
];

class Crew {
  readonly #gate = new SharedArrayBuffer(64);
  readonly #workers: readonly Worker[];

  constructor(table: StateTable, threads: number) {
    const workerData = { buffer: table.buffer, gate: this.#gate };
    this.#workers = Array.from(
      { length: threads },
      () => new Worker(new URL('./contender.mjs', import.meta.url), { workerData }),
    );
  }

  /** Every thread does the job, all at once; what each returned. */
  async run<T>(job: string, options: (thread: number) => object): Promise<T[]> {
    const answers = this.#workers.map(async (worker, thread) => {
      const answer = once(worker, 'message') as Promise<[T]>;
      worker.postMessage({ job, threads: this.#workers.length, ...options(thread) });
      return (await answer)[0];
    });
    return Promise.all(answers);
  }

  start(job: string, options: object): void {
    for (const worker of this.#workers)
      worker.postMessage({ job, threads: this.#workers.length, ...options });
  }

  get permitsTaken(): number {
    return Atomics.load(new Int32Array(this.#gate), 2);
  }

  async end(): Promise<void> {
    await Promise.all(this.#workers.map(async (worker) => worker.terminate()));
  }
}

const crews: Crew[] = [];

function crewOf(table: StateTable, threads: number): Crew {
  const crew = new Crew(table, threads);
  crews.push(crew);
  return crew;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** The most moments that lie within any `perMs` milliseconds, both ends included. */
function mostWithin(perMs: number, moments: readonly number[]): number {
  const sorted = [...moments].sort((a, b) => a - b);
  let first = 0;
  let most = 0;
  sorted.forEach((moment, last) => {
    while (moment - (sorted[first] ?? moment) > perMs) first += 1;
    most = Math.max(most, last - first + 1);
  });
  return most;
}

afterEach(async () => {
  await Promise.all(crews.splice(0).map((crew) => crew.end()));
});

describe('threads that contend for one bucket', () => {
  // Together 10 million attempts. At each moment another window is the tightest.
  it.each([2, 4, 8])('get exactly the limit of three windows, %i of them', async (threads) => {
    const table = StateTable.create();
    const crew = crewOf(table, threads);
    const start = table.now();
    const attempts = Math.ceil(10_000_000 / 3 / 3 / threads);
    const spendAt = async (now: number): Promise<number> =>
      sum(await crew.run<number>('spend', () => ({ name: 'acme/main', windows: WINDOWS, now, attempts })));

    expect(await spendAt(start)).toBe(30_007);
    expect(await spendAt(start + 2 * SECOND_MS)).toBe(45_011 - 30_007);
    expect(await spendAt(start + 2 * MINUTE_MS)).toBe(60_013 - 45_011);
  });

  it('overspend without atomic operations, which shows that they do contend', async () => {
    const crew = crewOf(StateTable.create(), 2);
    const limit = 400_000;
    let granted = 0;
    for (let trial = 0; trial < 20 && granted <= limit; trial += 1) {
      const buffer = new SharedArrayBuffer((limit + 1) * Int32Array.BYTES_PER_ELEMENT);
      granted = sum(
        await crew.run<number>('spendCarelessly', () => ({ buffer, limit, attempts: 2 * limit })),
      );
    }
    expect(granted).toBeGreaterThan(limit);
  });

  it('keep every rolling window while they take, settle and give back in real time', async () => {
    const table = StateTable.create();
    const crew = crewOf(table, 4);
    const windows = [
      { requests: 3, perMs: 5 },
      { requests: 40, perMs: 100 },
      { requests: 120, perMs: 500 },
    ];
    const options = (thread: number): object => ({
      name: 'acme/main',
      windows,
      forMs: 1_500,
      seed: thread + 1,
    });
    const spent = (await crew.run<number[]>('wander', options)).flat();
    for (const { requests, perMs } of windows) expect(mostWithin(perMs, spent)).toBeLessThanOrEqual(requests);
    expect(spent.length).toBeGreaterThan(120);
  });

  it('lose no charge while the windows are replaced under them', async () => {
    const table = StateTable.create({ arenaBytes: 64 * 1_048_576 });
    const crew = crewOf(table, 4);
    const windowSets = [
      [{ requests: 500, perMs: DAY_MS }],
      [
        { requests: 500, perMs: DAY_MS },
        { requests: 700, perMs: 2 * DAY_MS },
      ],
    ];
    const now = table.now();
    const granted = await crew.run<number>('reload', () => ({
      name: 'acme/main',
      windowSets,
      times: 300,
      now,
    }));
    expect(sum(granted)).toBe(500);
  });
});

describe('threads that race for names', () => {
  it('all get the same indexes, and no two names share one', async () => {
    const table = StateTable.create();
    const crew = crewOf(table, 8);
    const subjects = Array.from({ length: 400 }, (_, n) => `key:${n}`);
    const buckets = Array.from({ length: 100 }, (_, n) => `acme/${n}`);
    const windows = [{ requests: 10, perMs: SECOND_MS }];
    const found = await crew.run<{ subjects: number[]; buckets: number[] }>('names', (thread) => ({
      subjects: thread % 2 === 0 ? subjects : [...subjects].reverse(),
      buckets,
      windows,
    }));
    const own = {
      subjects: subjects.map((name) => table.subject(name)),
      buckets: buckets.map((name) => table.bucket(name, windows)),
    };
    for (const [thread, indexes] of found.entries()) {
      expect(thread % 2 === 0 ? indexes.subjects : [...indexes.subjects].reverse()).toEqual(own.subjects);
      expect(indexes.buckets).toEqual(own.buckets);
    }
    expect(new Set(own.subjects).size).toBe(400);
    expect(new Set(own.buckets).size).toBe(100);
    const now = table.now();
    for (const bucket of own.buckets) expect(table.left(bucket, now)).toBe(10);
  });
});

describe('threads that change the health of one subject', () => {
  it('count every transition in its version and lose no addition', async () => {
    const table = StateTable.create();
    const crew = crewOf(table, 4);
    const now = table.now();
    const times = 10_000;
    const transitions = sum(
      await crew.run<number>('flap', () => ({ subject: 'key:a', times, policy: KEY_POLICY, now })),
    );
    const index = table.subject('key:a');
    expect(table.health(index)).toMatchObject({ status: 'healthy', version: transitions });
    expect(transitions).toBeGreaterThan(2 * times);
    expect(table.get(index, COUNTER.uses)).toBe(4 * times);
    expect(table.latencyMs(index)).toBe(5);
    expect(table.generation).toBeGreaterThanOrEqual(transitions);
  });
});

describe('a thread that is terminated at work', () => {
  it('leaves a table that others use at once, with exact limits', async () => {
    const table = StateTable.create();
    const windows = [
      { requests: 50, perMs: 20 },
      { requests: 5_000, perMs: DAY_MS },
    ];
    for (let round = 0; round < 8; round += 1) {
      const name = `acme/${round}`;
      const subject = `key:${round}`;
      const crew = new Crew(table, 2);
      crew.start('forever', { name, windows, subject, policy: KEY_POLICY });
      while (crew.permitsTaken < 40 + round * 7) await new Promise(setImmediate);
      await crew.end();

      const bucket = table.bucket(name, windows);
      let granted = 0;
      let now = table.now() + MINUTE_MS;
      for (let taken = -1; taken !== 0; now += 21) {
        taken = 0;
        for (let position = table.take(bucket, now); position >= 0; position = table.take(bucket, now)) {
          table.settle(bucket, position, now);
          taken += 1;
        }
        expect(taken).toBeLessThanOrEqual(50);
        granted += taken;
      }
      expect(granted).toBeLessThanOrEqual(5_000);
      // One permit of each terminated thread may be taken and not counted by it.
      expect(granted).toBeGreaterThanOrEqual(5_000 - crew.permitsTaken - 2);
      const { after } = table.update(table.subject(subject), { type: 'reset' }, KEY_POLICY, now, () => 0);
      expect(after.status).toBe('healthy');
      expect(table.health(table.subject(subject))).toEqual(after);
    }
  });
});
