import { KeymuxError } from '../core/errors.js';
import type { Clock, Random } from '../core/ports.js';

/** A clock that stands still until it is told to move. */
export interface FakeClock {
  /** The time in epoch milliseconds. Bound, so that it can be handed over as a `Clock`. */
  readonly now: Clock;
  /** Moves forward by `ms`, which must be 0 or more, and returns the new time. */
  advance(ms: number): number;
  /** Jumps to a moment, also to an earlier one, as a wall clock does when it is corrected. */
  set(epochMs: number): void;
}

/** The default start, 2027-01-15T08:00:00Z: a Friday, so that tests do not depend on the day they run. */
const DEFAULT_START_MS = 1_800_000_000_000;

/**
 * A clock for tests of pure functions. Throws `KEYMUX_USAGE` for a time that is not a finite number, and for
 * `advance` with a negative one.
 */
export function createFakeClock(startMs: number = DEFAULT_START_MS): FakeClock {
  let time = finite(startMs, 'createFakeClock');
  return {
    now: () => time,
    advance(ms) {
      if (finite(ms, 'advance') < 0) {
        throw new KeymuxError(
          'KEYMUX_USAGE',
          `advance(${ms}): a clock is advanced by 0 or more milliseconds`,
          {
            fix: 'Use set() to jump back.',
          },
        );
      }
      time += ms;
      return time;
    },
    set(epochMs) {
      time = finite(epochMs, 'set');
    },
  };
}

function finite(ms: number, caller: string): number {
  if (Number.isFinite(ms)) return ms;
  throw new KeymuxError(
    'KEYMUX_USAGE',
    `${caller}(${ms}): the time must be a finite number of milliseconds`,
    {
      fix: 'Pass milliseconds, such as Date.now().',
    },
  );
}

/** Numbers in [0, 1) that are the same for the same seed (mulberry32, by Tommy Ettinger). For tests only. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
