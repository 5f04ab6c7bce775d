// Preloaded: the wall clock of this process is wrong by KEYMUX_SKEW_MS, or jumps there and back all the time.
const skewMs = Number(process.env.KEYMUX_SKEW_MS);
const jumpEveryMs = Number(process.env.KEYMUX_JUMP_EVERY_MS ?? 0);
const TrueDate = Date;
const trueNow = Date.now;

function now() {
  const isThere = jumpEveryMs === 0 || Math.floor(trueNow() / jumpEveryMs) % 2 === 0;
  return trueNow() + (isThere ? skewMs : 0);
}

globalThis.Date = class extends TrueDate {
  constructor(...args) {
    super(...(args.length === 0 ? [now()] : args));
  }

  static now() {
    return now();
  }
};
