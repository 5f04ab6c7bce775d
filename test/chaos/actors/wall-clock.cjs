// A wall clock that is wrong: ahead of the machine's by CHAOS_SKEW_MS, and set by another CHAOS_JUMP_MS whenever
// SIGUSR2 comes. Namespaces do not have one of their own, so that Date is replaced.
'use strict';
const { isMainThread } = require('node:worker_threads');

const RealDate = Date;
const realNow = RealDate.now.bind(RealDate);
// Threads have no signals, and see what the main thread writes here.
const shift = (globalThis[Symbol.for('keymux.chaos.shift')] ??= { ms: Number(process.env.CHAOS_SKEW_MS) });
const now = () => realNow() + shift.ms;

class ShiftedDate extends RealDate {
  constructor(...parts) {
    super(...(parts.length === 0 ? [now()] : parts));
  }
  static now() {
    return now();
  }
}
globalThis.Date = new Proxy(ShiftedDate, { apply: () => new ShiftedDate().toString() });

if (isMainThread) {
  process.on('SIGUSR2', () => {
    shift.ms += Number(process.env.CHAOS_JUMP_MS);
  });
}
