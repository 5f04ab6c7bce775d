/**
 * The one state machine. Credentials, buckets and providers all fare by it; they differ in their `HealthPolicy`.
 * Pure: time and chance come in as arguments, and "half-open" follows from a deadline, not from a timer.
 */
import type { DeadlineSource, Outcome, OutcomeKind } from './outcome.js';

/** Outcomes that can send a subject to rest. */
export type RestReason = Exclude<OutcomeKind, 'success' | 'bad-request' | 'aborted'>;

interface Versioned {
  /** Grows whenever it goes to rest or returns; an answer that was asked for under an earlier version is late. */
  readonly version: number;
  /** How often in a row it had to rest for a guessed time; the exponent of the next guess. */
  readonly level: number;
}

interface Resting extends Versioned {
  readonly status: 'resting';
  readonly reason: RestReason;
  readonly until: number;
  readonly source: DeadlineSource;
}

export type Health =
  | (Versioned & {
      readonly status: 'healthy';
      /** Failures in a row that were not yet enough to rest. */
      readonly strikes: number;
    })
  | Resting
  | (Versioned & {
      readonly status: 'recovering';
      /** Since when the slow start runs, in epoch milliseconds. */
      readonly since: number;
    });

/** What a subject may be asked for now; derived from health and time. */
export type Phase = 'closed' | 'open' | 'half-open' | 'slow-start';

export interface CooldownRule {
  /** The first guess; each rest in a row doubles it. Milliseconds. */
  readonly baseMs: number;
  /** The longest guess. Milliseconds. */
  readonly maxMs: number;
  /** Failures in a row before it rests. */
  readonly threshold: number;
}

export interface HealthPolicy {
  readonly cooldowns: Readonly<Partial<Record<RestReason, CooldownRule>>>;
  /** How long a returning subject is let in gradually. Milliseconds. */
  readonly slowStartMs: number;
  /** A stated deadline further off than this is cut to it, and proved by a trial. Milliseconds. */
  readonly longestStatedMs: number;
}

export type HealthEvent =
  | { readonly type: 'outcome'; readonly outcome: Outcome; readonly seenVersion: number }
  /** A person says that all is well. */
  | { readonly type: 'reset' }
  /** A probe was refused as before, though the rest at `seenVersion` may not be over: it begins anew, and its guess grows. */
  | { readonly type: 'relapse'; readonly outcome: Outcome; readonly seenVersion: number }
  /** The penalty given at `version` was not deserved: a second key proved that the cause lay elsewhere. */
  | { readonly type: 'retract'; readonly version: number };

export const FRESH: Health = { status: 'healthy', version: 0, level: 0, strikes: 0 };

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Levels beyond this do not lengthen a guess further. */
export const HIGHEST_LEVEL = 15;
/** Deadlines get up to this share on top, so that keys do not all return in one instant. */
const JITTER = 0.1;
const LONGEST_JITTER_MS = 5 * SECOND_MS;

/** A key or a bucket rests at its first refusal. */
export const KEY_POLICY: HealthPolicy = {
  cooldowns: {
    'rate-limited': { baseMs: SECOND_MS, maxMs: MINUTE_MS, threshold: 1 },
    'quota-exhausted': { baseMs: 10 * MINUTE_MS, maxMs: DAY_MS, threshold: 1 },
    rejected: { baseMs: 15 * MINUTE_MS, maxMs: DAY_MS, threshold: 1 },
    restricted: { baseMs: HOUR_MS, maxMs: DAY_MS, threshold: 1 },
  },
  slowStartMs: 10 * SECOND_MS,
  longestStatedMs: 32 * DAY_MS,
};

/** A provider's circuit opens when failures pile up without one success between them. */
export const PROVIDER_POLICY: HealthPolicy = {
  cooldowns: {
    'rate-limited': { baseMs: SECOND_MS, maxMs: MINUTE_MS, threshold: 1 },
    overloaded: { baseMs: SECOND_MS, maxMs: MINUTE_MS, threshold: 5 },
    network: { baseMs: SECOND_MS, maxMs: 30 * SECOND_MS, threshold: 5 },
  },
  slowStartMs: 10 * SECOND_MS,
  longestStatedMs: 10 * MINUTE_MS,
};

export function phaseOf(health: Health, now: number): Phase {
  switch (health.status) {
    case 'healthy':
      return 'closed';
    case 'recovering':
      return 'slow-start';
    case 'resting':
      return now < health.until ? 'open' : 'half-open';
  }
}

/** The state after the event; the same object where nothing changes. */
export function transition(
  health: Health,
  event: HealthEvent,
  policy: HealthPolicy,
  now: number,
  random: () => number,
): Health {
  switch (event.type) {
    case 'reset':
      return isSpotless(health) ? health : healthyAfter(health);
    case 'retract':
      return retract(health, event.version);
    case 'relapse':
      return relapse(health, event.outcome, event.seenVersion, policy, now, random);
    case 'outcome':
      return afterOutcome(health, event.outcome, event.seenVersion, policy, now, random);
  }
}

function isSpotless(health: Health): boolean {
  return health.status === 'healthy' && health.strikes === 0 && health.level === 0;
}

function healthyAfter(health: Health): Health {
  return { status: 'healthy', version: health.version + 1, level: 0, strikes: 0 };
}

function retract(health: Health, version: number): Health {
  if (health.status !== 'resting' || health.version !== version) return health;
  return { status: 'healthy', version: version + 1, level: Math.max(0, health.level - 1), strikes: 0 };
}

/** What a failure says, reduced to what counts here. */
interface Failure {
  readonly reason: RestReason;
  /** The wait that the provider stated, cut to the longest that is believed; without jitter. */
  readonly statedMs: number | undefined;
  /** Whether a guess grows from rest to rest. */
  readonly grows: boolean;
}

function afterOutcome(
  health: Health,
  outcome: Outcome,
  seenVersion: number,
  policy: HealthPolicy,
  now: number,
  random: () => number,
): Health {
  if (outcome.kind === 'aborted' || outcome.kind === 'bad-request') return health;
  const isLate = seenVersion !== health.version;
  if (outcome.kind === 'success') return isLate ? health : afterSuccess(health, policy, now);
  const rule = policy.cooldowns[outcome.kind];
  if (rule === undefined) return health;
  const failure = failureOf(outcome.kind, outcome, policy, now);
  if (health.status === 'resting' && now < health.until) return extend(health, failure, now, random);
  return isLate ? health : afterFailure(health, failure, rule, now, random);
}

function failureOf(reason: RestReason, outcome: Outcome, policy: HealthPolicy, now: number): Failure {
  return {
    reason,
    statedMs: statedWaitMs(outcome, policy, now),
    grows: reason !== 'rate-limited' || outcome.noOther !== true,
  };
}

/** A deadline that was stated stands as long as no other is; none is brought forward. */
function relapse(
  health: Health,
  outcome: Outcome,
  seenVersion: number,
  policy: HealthPolicy,
  now: number,
  random: () => number,
): Health {
  if (health.status !== 'resting' || health.version !== seenVersion) return health;
  if (outcome.kind === 'success' || outcome.kind === 'bad-request' || outcome.kind === 'aborted')
    return health;
  const rule = policy.cooldowns[outcome.kind];
  if (rule === undefined) return health;
  const failure = failureOf(outcome.kind, outcome, policy, now);
  if (health.source === 'stated' && now < health.until) return extend(health, failure, now, random);
  const again = rest(health, failure, rule, now, random);
  return again.until < health.until ? { ...again, until: health.until, source: health.source } : again;
}

function afterSuccess(health: Health, policy: HealthPolicy, now: number): Health {
  switch (health.status) {
    case 'healthy':
      return health.strikes === 0 ? health : { ...health, strikes: 0 };
    case 'resting':
      return { status: 'recovering', version: health.version + 1, level: health.level, since: now };
    case 'recovering':
      return now - health.since < policy.slowStartMs ? health : healthyAfter(health);
  }
}

function afterFailure(
  health: Health,
  failure: Failure,
  rule: CooldownRule,
  now: number,
  random: () => number,
): Health {
  if (health.status === 'healthy' && health.strikes + 1 < rule.threshold) {
    return { ...health, strikes: health.strikes + 1 };
  }
  return rest(health, failure, rule, now, random);
}

function rest(
  health: Health,
  { reason, statedMs, grows }: Failure,
  rule: CooldownRule,
  now: number,
  random: () => number,
): Resting {
  return {
    status: 'resting',
    version: health.version + 1,
    // A stated deadline is no guess that failed.
    level: statedMs === undefined && grows ? Math.min(HIGHEST_LEVEL, health.level + 1) : health.level,
    reason,
    until: withJitter(now, statedMs ?? guessMs(rule, grows ? health.level : 0), random),
    source: statedMs === undefined ? 'guessed' : 'stated',
  };
}

/** One incident, however many requests saw it: a later stated deadline counts, nothing else does. */
function extend(health: Resting, { reason, statedMs }: Failure, now: number, random: () => number): Health {
  // Compared without jitter: requests that were told the same deadline do not move it on, one after the other.
  if (statedMs === undefined || now + statedMs <= health.until) return health;
  return { ...health, reason, until: withJitter(now, statedMs, random), source: 'stated' };
}

function guessMs(rule: CooldownRule, level: number): number {
  return Math.min(rule.maxMs, rule.baseMs * 2 ** level);
}

function statedWaitMs({ retryAt }: Outcome, policy: HealthPolicy, now: number): number | undefined {
  if (retryAt === undefined || !(retryAt > now)) return undefined;
  return Math.min(retryAt - now, policy.longestStatedMs);
}

function withJitter(now: number, waitMs: number, random: () => number): number {
  return now + waitMs + Math.min(LONGEST_JITTER_MS, waitMs * JITTER) * random();
}

/**
 * Two views of one subject become one: the later version wins, and within one version (one incident) the later
 * deadline. Commutative, associative and idempotent, so that the order of arrival does not matter.
 */
export function mergeHealth(a: Health, b: Health): Health {
  return compareCare(a, b) >= 0 ? a : b;
}

/**
 * What `mergeHealth` compares, first things first: where two sides changed the same version differently, the more
 * careful view stands. Numbers compare as such, texts by their code units.
 */
export function careOf(health: Health): readonly (number | string)[] {
  const care = [health.version, rankOf(health), measureOf(health), health.level];
  return health.status === 'resting' ? [...care, `${health.source} ${health.reason}`] : care;
}

function compareCare(a: Health, b: Health): number {
  const others = careOf(b);
  for (const [index, mine] of careOf(a).entries()) {
    const other = others[index] ?? mine;
    if (mine !== other) return mine < other ? -1 : 1;
  }
  return 0;
}

function rankOf(health: Health): number {
  return { healthy: 0, recovering: 1, resting: 2 }[health.status];
}

/** What is compared between two of the same status: strikes, or the moment. */
function measureOf(health: Health): number {
  switch (health.status) {
    case 'healthy':
      return health.strikes;
    case 'recovering':
      return health.since;
    case 'resting':
      return health.until;
  }
}

/** Leases that a subject may have out, unanswered, while it is unproven. */
export const FRESH_ALLOWANCE = 4;
export const TRIAL_ALLOWANCE = 1;
/** From this many answers in a row on, a subject is proven and its leases are not counted. */
export const PROVEN_SUCCESSES = 32;

/**
 * How many unanswered leases may be out at once: one for a trial, then as many more as it answered well, as TCP
 * opens its window. This keeps a hundred waiting requests from falling upon a fresh or returning key together.
 */
export function leaseAllowance(health: Health, successes: number, now: number): number {
  switch (phaseOf(health, now)) {
    case 'open':
      return 0;
    case 'half-open':
      return TRIAL_ALLOWANCE;
    case 'slow-start':
      return TRIAL_ALLOWANCE + successes;
    case 'closed':
      return successes >= PROVEN_SUCCESSES ? Number.POSITIVE_INFINITY : FRESH_ALLOWANCE + successes;
  }
}
