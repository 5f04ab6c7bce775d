// One thread of the tests in threads.test.ts: does the jobs it is sent, all threads of a job starting together.
import { parentPort, workerData } from 'node:worker_threads';
import { COUNTER } from '../../dist/state/layout.js';
import { StateTable } from '../../dist/state/table.js';
import { CarelessLog } from './careless-log.mjs';

const table = StateTable.attach(workerData.buffer);
const gate = new Int32Array(workerData.gate);

const jobs = {
  /** Attempts at one moment; whatever is granted is settled there. */
  spend({ name, windows, now, attempts }) {
    const bucket = table.bucket(name, windows);
    return () => {
      let granted = 0;
      for (let n = 0; n < attempts; n += 1) {
        const position = table.take(bucket, now);
        if (position < 0) continue;
        table.settle(bucket, position, now);
        granted += 1;
      }
      return granted;
    };
  },

  /** The same with a log whose reads and writes are not atomic. */
  spendCarelessly({ buffer, limit, attempts }) {
    const log = new CarelessLog(buffer, limit);
    return () => {
      let granted = 0;
      for (let n = 0; n < attempts; n += 1) if (log.take()) granted += 1;
      return granted;
    };
  },

  /** Takes in real time, settles or gives back at random; returns when each spent permit was granted and counted. */
  wander({ name, windows, forMs, seed }) {
    const bucket = table.bucket(name, windows);
    return () => {
      const spent = [];
      let random = seed;
      const end = table.now() + forMs;
      for (let now = table.now(); now < end; now = table.now()) {
        const position = table.take(bucket, now);
        if (position < 0) continue;
        random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
        if (random >>> 31 === 0) {
          table.giveBack(bucket, position);
        } else {
          const countedAt = table.now();
          table.settle(bucket, position, countedAt);
          spent.push(countedAt);
        }
      }
      return spent;
    };
  },

  /** Replaces the windows of a bucket over and over, others taking from it. */
  reload({ name, windowSets, times, now }) {
    return () => {
      let granted = 0;
      for (let n = 0; n < times; n += 1) {
        const bucket = table.bucket(name, windowSets[n % windowSets.length]);
        for (let k = 0; k < 50; k += 1) if (table.take(bucket, now) >= 0) granted += 1;
      }
      return granted;
    };
  },

  names({ subjects, buckets, windows }) {
    return () => ({
      subjects: subjects.map((name) => table.subject(name)),
      buckets: buckets.map((name) => table.bucket(name, windows)),
    });
  },

  /** Sends a subject to rest and back; how many transitions were its own. */
  flap({ subject, times, policy, now }) {
    const index = table.subject(subject);
    return () => {
      let transitions = 0;
      let random = 0;
      for (let n = 0; n < times; n += 1) {
        const seenVersion = table.health(index).version;
        const outcome = { kind: 'rate-limited', scope: 'key', executed: 'no' };
        random = (random + 0.37) % 1;
        const down = table.update(
          index,
          { type: 'outcome', outcome, seenVersion },
          policy,
          now,
          () => random,
        );
        transitions += down.after.version - down.before.version;
        const up = table.update(index, { type: 'reset' }, policy, now, () => random);
        transitions += up.after.version - up.before.version;
        table.add(index, COUNTER.uses, 1);
        table.recordLatency(index, 5);
        table.setDisabled(index, n % 2 === 0);
      }
      return transitions;
    };
  },

  /** Works until the thread is terminated. */
  forever({ name, windows, subject, policy }) {
    const bucket = table.bucket(name, windows);
    const index = table.subject(subject);
    const outcome = { kind: 'rate-limited', scope: 'key', executed: 'no' };
    return () => {
      for (;;) {
        const now = table.now();
        const position = table.take(bucket, now);
        if (position >= 0) {
          Atomics.add(gate, 2, 1);
          if (position % 2 === 0) table.settle(bucket, position, now);
          else table.giveBack(bucket, position);
        }
        const seenVersion = table.health(index).version;
        table.update(index, { type: 'outcome', outcome, seenVersion }, policy, now, Math.random);
        table.update(index, { type: 'reset' }, policy, now, Math.random);
      }
    };
  },
};

parentPort.on('message', ({ job, threads, ...options }) => {
  const run = jobs[job](options);
  // All threads of a round wait until the last one is here.
  const round = Atomics.load(gate, 1);
  if (Atomics.add(gate, 0, 1) + 1 === threads) {
    Atomics.store(gate, 0, 0);
    Atomics.add(gate, 1, 1);
    Atomics.notify(gate, 1);
  } else {
    Atomics.wait(gate, 1, round);
  }
  parentPort.postMessage(run());
});
