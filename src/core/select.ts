import type { Health, Phase } from './health.js';
import { leaseAllowance, phaseOf } from './health.js';
import type { DeadlineSource } from './outcome.js';
import { leastUsed } from './strategies/least-used.js';
import { lowestLatency } from './strategies/lowest-latency.js';
import { mostRemaining } from './strategies/most-remaining.js';
import { priority } from './strategies/priority.js';
import { roundRobin } from './strategies/round-robin.js';
import { weighted } from './strategies/weighted.js';

/** What a strategy may know of a credential that could serve the next request. */
export interface Contender {
  /** Lower goes first. */
  readonly priority: number;
  /** Above 0. */
  readonly weight: number;
  /** Requests sent through it so far, by the whole process. */
  readonly uses: number;
  readonly inFlight: number;
  /** Moving average; 0 where nothing was measured yet. */
  readonly latencyMs: number;
  /** Share of the tightest window that is left, 0 to 1; undefined where no limit is known. */
  readonly remaining: number | undefined;
  /** Credit in the rotation; only `round-robin` reads and writes it. */
  readonly rotation: Rotation;
}

/** A provider's place in a service weighs more than any priority of a key within its provider. */
export const PROVIDER_STEP = 1_000_000_000;

export interface Rotation {
  credit: number;
  round: number;
}

/** Picks one of at least one contender; returns its index. Pure but for the rotation's credit. */
export type Strategy = (contenders: readonly Contender[], random: () => number) => number;

export const strategies = {
  priority,
  'round-robin': roundRobin,
  weighted,
  'least-used': leastUsed,
  'lowest-latency': lowestLatency,
  'most-remaining': mostRemaining,
} as const satisfies Record<string, Strategy>;

/** How one of the usable keys is picked; `strategy` in the configuration. */
export type StrategyName = keyof typeof strategies;

/** All that decides whether a credential may be used now. */
export interface Standing {
  readonly disabled: boolean;
  /** From then on it is not used. Epoch milliseconds; absent where no end is planned. */
  readonly expiresAt?: number;
  readonly key: Health;
  readonly bucket: Health;
  readonly provider: Health;
  /** No permit is left in the bucket before this moment; 0 where none is known to be missing. */
  readonly blockedUntil: number;
  /** Leases of the key that are out and not yet answered. */
  readonly pending: number;
  /** Good answers of the key in a row since it was fresh or returned. */
  readonly successes: number;
  /** The same for all keys of the bucket together. */
  readonly bucketPending: number;
  readonly bucketSuccesses: number;
  /** The same for all keys of the provider together. */
  readonly providerPending: number;
  readonly providerSuccesses: number;
}

/** Why a credential is passed over. `until` is absent where no time helps, or none is known. */
export interface Obstacle {
  readonly kind:
    | 'disabled'
    | 'expired'
    | 'key-resting'
    | 'bucket-resting'
    | 'provider-resting'
    | 'no-permits'
    | 'slow-start'
    | 'bucket-slow-start'
    | 'provider-slow-start'
    | 'tried';
  readonly until?: number;
  readonly source?: DeadlineSource;
  /** The fact, in words. */
  readonly because: string;
}

/** What stands in the way of using it at all, the slow start aside. */
export function obstacleOf(standing: Standing, now: number): Obstacle | undefined {
  if (standing.disabled) return { kind: 'disabled', because: 'disabled by a person' };
  if (standing.expiresAt !== undefined && now >= standing.expiresAt) {
    return { kind: 'expired', because: `expired as planned, ${new Date(standing.expiresAt).toISOString()}` };
  }
  const resting =
    restingObstacle('key-resting', standing.key, now) ??
    restingObstacle('bucket-resting', standing.bucket, now) ??
    restingObstacle('provider-resting', standing.provider, now);
  if (resting !== undefined) return resting;
  if (standing.blockedUntil > now) {
    return {
      kind: 'no-permits',
      until: standing.blockedUntil,
      because: 'its limit is spent in the running window',
    };
  }
  return undefined;
}

function restingObstacle(kind: Obstacle['kind'], health: Health, now: number): Obstacle | undefined {
  if (health.status !== 'resting' || now >= health.until) return undefined;
  const whose = health.source === 'stated' ? 'stated by the provider' : 'guessed';
  return {
    kind,
    until: health.until,
    source: health.source,
    because: `${health.reason}, until a time ${whose}`,
  };
}

/** Whether one more request may go out now, or must wait until those under way have answered. */
export function slowStartObstacle(standing: Standing, now: number): Obstacle | undefined {
  if (standing.pending >= leaseAllowance(standing.key, standing.successes, now)) {
    return {
      kind: 'slow-start',
      because: `${describePhase(phaseOf(standing.key, now))} key, ${standing.pending} requests under way`,
    };
  }
  const { bucket, bucketPending, bucketSuccesses, provider, providerPending, providerSuccesses } = standing;
  return (
    returnObstacle('bucket', bucket, bucketPending, bucketSuccesses, now) ??
    returnObstacle('provider', provider, providerPending, providerSuccesses, now)
  );
}

/** Keys share buckets and providers, so these are let in gradually only when they return, not while they are fresh. */
function returnObstacle(
  who: 'bucket' | 'provider',
  health: Health,
  pending: number,
  successes: number,
  now: number,
): Obstacle | undefined {
  const phase = phaseOf(health, now);
  if (phase === 'closed' || pending < leaseAllowance(health, successes, now)) return undefined;
  return {
    kind: `${who}-slow-start`,
    because: `${describePhase(phase)} ${who}, ${pending} requests under way`,
  };
}

function describePhase(phase: Phase): string {
  return { closed: 'unproven', open: 'resting', 'half-open': 'returning', 'slow-start': 'returning' }[phase];
}
