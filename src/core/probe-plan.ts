/** Whom to probe next, and when: decided purely, with time and chance as arguments. */
import type { Health, RestReason } from './health.js';
import type { ProbePolicy } from './provider.js';

/** Something that rests, as far as a probe is concerned. */
export interface ProbeSubject {
  readonly kind: 'key' | 'bucket' | 'provider';
  readonly health: Health;
  /** The probe of its provider. */
  readonly policy: ProbePolicy;
  /** A person took it, or every key that could carry the probe, out of use. */
  readonly isDisabled: boolean;
  /** Requests are under way or were lately: their answers tell as much, once its time is over. */
  readonly hasTraffic: boolean;
  /** The circuit of its provider is open, so that only the provider itself is worth a probe. */
  readonly isProviderOpen: boolean;
}

/** What whoever probes remembers of a subject. Moments are epoch milliseconds. */
export interface ProbeHistory {
  /** When its present rest was first seen. */
  readonly seenAt: number;
  /** When it was probed last. */
  readonly lastAt?: number;
  /** Probes in a row that found it no better. */
  readonly failures: number;
}

/** A guess is to be proved; a stated deadline is believed, and doubted only now and then. */
export type ProbeNeed = 'guessed' | 'stated';

/** A rest for a spent limit is worth a probe only if it would last longer than this. Milliseconds. */
const LONG_REST_MS = 5 * 60_000;
/** A stated deadline is worth a doubt only if it is further off than this. Milliseconds. */
const FAR_OFF_MS = 2 * 3_600_000;
/** How long a stated deadline is believed before each doubt. Milliseconds. */
const BELIEVED_MS = 3_600_000;
/** A probe goes out this long before a guess ends, so that no request has to find out. Milliseconds. */
const LEAD_MS = 15_000;
const JITTER = 0.1;
/** The longest pause between two probes. Milliseconds. */
const LONGEST_PAUSE_MS = { key: 6 * 3_600_000, bucket: 6 * 3_600_000, provider: 10 * 60_000 } as const;

/** What a limit that is spent looks like, in contrast to a key that is refused. */
const OF_ALLOWANCE: ReadonlySet<RestReason> = new Set<RestReason>(['rate-limited', 'quota-exhausted']);

export function isOfAllowance(reason: RestReason): boolean {
  return OF_ALLOWANCE.has(reason);
}

/**
 * Whether a good answer to this probe would end a rest for this reason. One that spends nothing is answered though
 * the allowance is spent.
 */
export function canProve(reason: RestReason, { costsQuota }: Pick<ProbePolicy, 'costsQuota'>): boolean {
  return !isOfAllowance(reason) || costsQuota === 'yes';
}

/** Why the subject should be probed; undefined where it should not. */
export function probeNeedOf(subject: ProbeSubject, now: number): ProbeNeed | undefined {
  const { kind, health, policy } = subject;
  if (health.status !== 'resting' || subject.isDisabled) return undefined;
  if (kind !== 'provider' && (!policy.authenticated || subject.isProviderOpen)) return undefined;
  if (!canProve(health.reason, policy)) return undefined;
  const restMs = health.until - now;
  if (restMs <= 0 && subject.hasTraffic) return undefined;
  if (health.source === 'stated') return restMs > FAR_OFF_MS ? 'stated' : undefined;
  return health.reason === 'rate-limited' && restMs <= LONG_REST_MS ? undefined : 'guessed';
}

export interface ProbePace {
  /** How long a subject rests before it is probed at all, and between two probes at least. Milliseconds. */
  readonly intervalMs: number;
}

/** The least time between two probes with one key. Milliseconds. */
export function probeGapMs({ everyMs }: Pick<ProbePolicy, 'everyMs'>, { intervalMs }: ProbePace): number {
  return Math.max(everyMs, intervalMs);
}

/**
 * When to probe a subject that needs it: each failure doubles the pause, and before a guess ends it is looked at once
 * more. Ask once per rest and after each probe: the answer holds a share of chance.
 */
export function probeAt(
  { kind, health, policy }: Pick<ProbeSubject, 'kind' | 'health' | 'policy'>,
  need: ProbeNeed,
  { seenAt, lastAt, failures }: ProbeHistory,
  pace: ProbePace,
  random: () => number,
): number {
  const gapMs = probeGapMs(policy, pace);
  const earliest = lastAt === undefined ? seenAt + pace.intervalMs : lastAt + gapMs;
  // The level tells a new monitor of failures that another one saw.
  const attempts = need === 'guessed' ? Math.max(failures, health.level - 1) : failures;
  const firstMs = need === 'guessed' ? pace.intervalMs : BELIEVED_MS;
  const pauseMs =
    attempts === 0
      ? firstMs
      : Math.min(Math.max(gapMs, LONGEST_PAUSE_MS[kind]), Math.max(gapMs, firstMs) * 2 ** (attempts - 1));
  const at = (lastAt ?? seenAt) + pauseMs * (1 + JITTER * random());
  if (need === 'stated' || health.status !== 'resting') return Math.max(earliest, at);
  return Math.max(earliest, Math.min(at, health.until - LEAD_MS));
}

/** A probe that is planned. */
export interface PlannedProbe {
  readonly need: ProbeNeed;
  readonly costsQuota: ProbePolicy['costsQuota'];
  /** When the subject may be used again without a probe. */
  readonly until: number;
  /** Not before this moment. */
  readonly at: number;
}

const COST = { no: 0, unknown: 1, yes: 2 } as const;

/** Those that are due, the most wanted first: guesses, then what costs nothing, then what is needed soonest. */
export function dueProbes<Probe extends PlannedProbe>(planned: Iterable<Probe>, now: number): Probe[] {
  return [...planned].filter(({ at }) => at <= now).sort(byWant);
}

function byWant(a: PlannedProbe, b: PlannedProbe): number {
  return (
    Number(a.need === 'stated') - Number(b.need === 'stated') ||
    COST[a.costsQuota] - COST[b.costsQuota] ||
    a.until - b.until ||
    a.at - b.at
  );
}
