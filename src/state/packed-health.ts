/**
 * Health in two 32-bit words, so that one 64-bit compare-and-exchange commits a transition. The first word is the
 * deadline, the second the condition: bits 0-4 say which state with what strikes or reason, bits 5-8 the level,
 * bits 9-31 the version. The version wraps at 8,388,608: at one rest per minute, that is five years.
 */
import type { Health, RestReason } from '../core/health.js';
import { DEADLINE_TICK_MS, pairOf, wordsOfPair } from './layout.js';

const STATE_BITS = 5;
const LEVEL_BITS = 4;
const VERSION_SHIFT = STATE_BITS + LEVEL_BITS;

const MOST_STRIKES = 15;
const RECOVERING = 16;
const FIRST_RESTING = 17;
const HIGHEST_TICK = 0xffff_ffff;

const REASON_NUMBER: Readonly<Record<RestReason, number>> = {
  'rate-limited': 0,
  'quota-exhausted': 1,
  rejected: 2,
  restricted: 3,
  overloaded: 4,
  network: 5,
};
const REASONS = Object.keys(REASON_NUMBER) as RestReason[];

/** A moment as ticks, rounded up; what lies beyond the range becomes its nearest end. */
export function ticksAt(moment: number, epoch: number): number {
  const ticks = Math.ceil((moment - epoch) / DEADLINE_TICK_MS);
  return Math.min(HIGHEST_TICK, Math.max(0, ticks)) | 0;
}

export function momentOf(ticks: number, epoch: number): number {
  return epoch + (ticks >>> 0) * DEADLINE_TICK_MS;
}

/** Deadlines are rounded up to the next 10 ms; strikes above 15 stay 15. */
export function packHealth(health: Health, epoch: number): bigint {
  return pairOf(
    deadlineTicks(health, epoch),
    (health.version << VERSION_SHIFT) |
      (Math.min(2 ** LEVEL_BITS - 1, health.level) << STATE_BITS) |
      stateOf(health),
  );
}

export function unpackHealth(pair: bigint, epoch: number): Health {
  const [deadline, condition] = wordsOfPair(pair);
  const healthy = healthyOf(condition);
  if (healthy !== undefined) return healthy;
  const version = versionOf(condition);
  const level = levelOf(condition);
  const state = condition & (2 ** STATE_BITS - 1);
  const at = momentOf(deadline, epoch);
  if (state === RECOVERING) return { status: 'recovering', version, level, since: at };
  const reason = REASONS[(state - FIRST_RESTING) >> 1] as RestReason;
  const source = (state - FIRST_RESTING) & 1 ? 'stated' : 'guessed';
  return { status: 'resting', version, level, reason, until: at, source };
}

/** The version alone. */
export function versionOf(condition: number): number {
  return condition >>> VERSION_SHIFT;
}

function levelOf(condition: number): number {
  return (condition >>> STATE_BITS) & (2 ** LEVEL_BITS - 1);
}

/** A healthy subject is told by its condition alone; undefined for any other. */
export function healthyOf(condition: number): Health | undefined {
  const strikes = strikesOf(condition);
  if (strikes === undefined) return undefined;
  return { status: 'healthy', version: versionOf(condition), level: levelOf(condition), strikes };
}

/** The strikes of a healthy subject; undefined for any other. */
export function strikesOf(condition: number): number | undefined {
  const state = condition & (2 ** STATE_BITS - 1);
  return state <= MOST_STRIKES ? state : undefined;
}

/** Whether the condition is a rest, so that the deadline counts. */
export function isResting(condition: number): boolean {
  return (condition & (2 ** STATE_BITS - 1)) >= FIRST_RESTING;
}

function deadlineTicks(health: Health, epoch: number): number {
  switch (health.status) {
    case 'healthy':
      return 0;
    case 'recovering':
      return ticksAt(health.since, epoch);
    case 'resting':
      return ticksAt(health.until, epoch);
  }
}

function stateOf(health: Health): number {
  switch (health.status) {
    case 'healthy':
      return Math.min(MOST_STRIKES, health.strikes);
    case 'recovering':
      return RECOVERING;
    case 'resting':
      return FIRST_RESTING + REASON_NUMBER[health.reason] * 2 + (health.source === 'stated' ? 1 : 0);
  }
}
