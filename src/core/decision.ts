/**
 * Why a key was taken for a request, and why the others were not: what was noted at that moment, turned into words.
 * Pure; holds no secret.
 */
import type { OutcomeKind } from './outcome.js';
import type { Obstacle, Standing, StrategyName } from './select.js';
import { PROVIDER_STEP, obstacleOf, slowStartObstacle } from './select.js';

/**
 * How keymux knows: the provider said so, keymux guessed or counted it, a person wanted it, or it follows from what is
 * under way just now.
 */
export type FactSource = 'stated' | 'guessed' | 'counted' | 'person' | 'observed';

/** What stands in the way of a key, and how that is known. */
export interface Fact {
  /** `provider/key`, or the name of the bucket or provider that it is about. */
  readonly subject: string;
  readonly source: FactSource;
  /** The rule or header that decided, in words. */
  readonly evidence?: string;
  /** The HTTP status that led here. */
  readonly status?: number;
  /** `here`: this thread met it itself; `elsewhere`: another thread, another process or an earlier run did. */
  readonly seen?: 'here' | 'elsewhere';
  /** How long it was known here. Milliseconds; absent where only others know. */
  readonly ageMs?: number;
}

/** When, and from whom, a rest or shortage became known. */
export interface Witness {
  readonly seen: 'here' | 'elsewhere';
  /** Epoch milliseconds; absent for what was so when this process began to look. */
  readonly at?: number;
  readonly evidence?: string;
  readonly status?: number;
  readonly source?: FactSource;
}

/** Finds who saw that a subject rests (under this version of its health), or that a bucket ran out. */
export interface Witnesses {
  ofRest(who: Who, version: number): Witness | undefined;
  ofShortage(now: number): Witness | undefined;
  ofDisabling(now: number): Witness | undefined;
}

type Who = 'key' | 'bucket' | 'provider';

export type PassedOver =
  | Obstacle['kind']
  /** It cannot answer this request. */
  | 'unfit'
  /** Its provider was in trouble an attempt ago, and another one is preferred. */
  | 'spared'
  /** Its provider does worse than `failoverThreshold`, and another one does not. */
  | 'unhealthy'
  /** It could have been taken; the strategy took another one. */
  | 'not-preferred';

/** The figures that strategies go by, as they stood. */
export interface Figures {
  readonly priority: number;
  readonly weight: number;
  readonly uses: number;
  readonly inFlight: number;
  readonly latencyMs: number;
  /** Share of the allowance left, 0 to 1; noted where the strategy asks for it. */
  readonly remaining?: number;
  /** Of its provider, 0 to 1; noted where the service has a `failoverThreshold`. */
  readonly healthScore?: number;
}

export interface DecisionCandidate {
  /** `provider/key`. */
  readonly key: string;
  readonly provider: string;
  readonly chosen: boolean;
  /** Absent for the one that was chosen. */
  readonly passedOver?: PassedOver;
  /** The reason, in words. */
  readonly because: string;
  /** When it can be used again, as was known then. Epoch milliseconds. */
  readonly until?: number;
  readonly fact?: Fact;
  readonly figures: Figures;
}

export interface DecisionOutcome {
  readonly kind: OutcomeKind;
  readonly status?: number;
  readonly evidence?: string;
  /** From the selection until the outcome was known. Milliseconds. */
  readonly latencyMs: number;
}

/** One selection of a key for one attempt. Times are epoch milliseconds. */
export interface Decision {
  /** Grows by one with each of this process' thread. */
  readonly id: number;
  readonly requestId: string;
  readonly service: string;
  readonly strategy: StrategyName;
  readonly failoverThreshold: number;
  /** From 1. */
  readonly attempt: number;
  readonly at: number;
  /** For a key to return, before this. */
  readonly waitedMs: number;
  /** Absent where no key could be had. */
  readonly chosen?: string;
  /** When one may be had, where none could. */
  readonly retryAt?: number;
  readonly candidates: readonly DecisionCandidate[];
  /** Absent while the attempt is under way, and where no key was chosen. */
  readonly outcome?: DecisionOutcome;
}

/** A request, over all its attempts. */
export interface RequestExplanation {
  readonly requestId: string;
  readonly service: string;
  readonly at: number;
  /** As in the event `request`; absent while it is under way, and for leases that the program holds itself. */
  readonly end?: 'answered' | 'failed' | 'refused' | 'aborted';
  readonly durationMs?: number;
  /** For keys to return, over all attempts. */
  readonly waitedMs: number;
  /** False where the oldest attempts were forgotten, so that others have room. */
  readonly complete: boolean;
  readonly attempts: readonly Decision[];
}

/** What `exportDecisions` gives, and `why` and `replay` read. */
export interface DecisionRecord {
  readonly format: 'keymux-decisions';
  readonly version: 1;
  readonly at: number;
  /** Decisions that were made and are no longer known. */
  readonly forgotten: number;
  /** By service: the most attempts of a request, as its first provider has it. */
  readonly maxAttempts: Readonly<Record<string, number>>;
  readonly requests: readonly RequestExplanation[];
}

/** What was noted of one candidate. */
export interface NotedCandidate {
  readonly key: string;
  readonly provider: string;
  readonly bucket: string;
  readonly standing: Standing;
  readonly figures: Figures;
  readonly witnesses: Witnesses;
  /** It was preferred, but could not be had. */
  readonly missed?: Missed;
  /** The request wants none of it. */
  readonly excluded?: 'unfit' | 'spared' | { readonly outcome: OutcomeKind };
}

export interface Missed {
  /** `withdrawn`: it was chosen, and taken out of use while its permit was under way. */
  readonly kind: 'busy' | 'no-permits' | 'withdrawn';
  readonly until?: number;
  readonly standing: Standing;
}

export interface NotedDecision {
  readonly at: number;
  readonly strategy: StrategyName;
  readonly failoverThreshold: number;
  readonly chosen: string | undefined;
  readonly candidates: readonly NotedCandidate[];
}

export function describeCandidates(noted: NotedDecision): DecisionCandidate[] {
  return noted.candidates.map((candidate) => {
    const { key, provider, figures } = candidate;
    const base = { key, provider, figures };
    if (key === noted.chosen) return { ...base, chosen: true, because: whyChosen(candidate, noted) };
    return { ...base, chosen: false, ...whyPassedOver(candidate, noted) };
  });
}

function whyChosen(
  { standing, figures }: NotedCandidate,
  { at, strategy, candidates }: NotedDecision,
): string {
  const obstacle = obstacleOf(standing, at);
  if (
    obstacle?.source === 'guessed' &&
    candidates.every((other) => obstacleOf(other.standing, at) !== undefined)
  )
    return `every key is out, and this one only by a guess (${obstacle.because})`;
  return CHOSEN_BECAUSE[strategy](figures);
}

const CHOSEN_BECAUSE: Readonly<Record<StrategyName, (figures: Figures) => string>> = {
  priority: (figures) => `first in the order of priority (${placeText(figures)})`,
  'round-robin': ({ weight }) => `its turn in the rotation (weight ${weight})`,
  weighted: ({ weight }) => `drawn by chance with weight ${weight}`,
  'least-used': ({ uses, weight }) => `fewest requests for its weight (${uses} at weight ${weight})`,
  'lowest-latency': (figures) => `the lower expected wait of two drawn by chance (${waitText(figures)})`,
  'most-remaining': (figures) => `the largest share of its allowance left (${remainingText(figures)})`,
};

const NOT_PREFERRED_BECAUSE: Readonly<Record<StrategyName, (figures: Figures) => string>> = {
  priority: (figures) => `usable, later in the order of priority (${placeText(figures)})`,
  'round-robin': ({ weight }) => `usable, not its turn (weight ${weight})`,
  weighted: ({ weight }) => `usable, not drawn (weight ${weight})`,
  'least-used': ({ uses, weight }) => `usable, used more for its weight (${uses} at weight ${weight})`,
  'lowest-latency': (figures) => `usable, not drawn or slower (${waitText(figures)})`,
  'most-remaining': (figures) => `usable, less of its allowance left (${remainingText(figures)})`,
};

function placeText({ priority }: Figures): string {
  return `provider ${Math.floor(priority / PROVIDER_STEP) + 1}, key priority ${priority % PROVIDER_STEP}`;
}

function waitText({ latencyMs, inFlight }: Figures): string {
  const latency = latencyMs === 0 ? 'not measured yet' : `${Math.round(latencyMs)} ms`;
  return `${latency}, ${inFlight} under way`;
}

function remainingText({ remaining }: Figures): string {
  return remaining === undefined ? 'unknown' : `${Math.round(remaining * 100)} %`;
}

type Passed = Pick<DecisionCandidate, 'because' | 'until' | 'fact'> & { readonly passedOver: PassedOver };

function whyPassedOver(candidate: NotedCandidate, noted: NotedDecision): Passed {
  const { at, strategy, failoverThreshold } = noted;
  const { standing, missed, figures } = candidate;
  const obstacle = obstacleOf(standing, at);
  if (obstacle !== undefined) return passedBy(candidate, obstacle, standing, at);
  const excluded = whyExcluded(candidate);
  if (excluded !== undefined) return excluded;
  if (missed !== undefined) return whyMissed(candidate, missed, at);
  const { healthScore = 1 } = figures;
  if (healthScore < failoverThreshold) {
    const because = `its provider's health score ${healthScore.toFixed(2)} is below ${failoverThreshold}`;
    const fact: Fact = { subject: candidate.provider, source: 'counted' };
    return { passedOver: 'unhealthy', because, fact };
  }
  return { passedOver: 'not-preferred', because: NOT_PREFERRED_BECAUSE[strategy](figures) };
}

function whyExcluded({ excluded }: NotedCandidate): Passed | undefined {
  if (excluded === undefined) return undefined;
  if (excluded === 'unfit')
    return { passedOver: 'unfit', because: 'its provider cannot answer this request' };
  if (excluded === 'spared')
    return { passedOver: 'spared', because: 'the attempt before met trouble; others are preferred' };
  return { passedOver: 'tried', because: `this request was refused with it before: ${excluded.outcome}` };
}

function whyMissed(candidate: NotedCandidate, missed: Missed, at: number): Passed {
  const { standing } = missed;
  if (missed.kind === 'withdrawn') {
    const found = obstacleOf(standing, at);
    if (found !== undefined) return passedBy(candidate, found, standing, at);
  }
  const obstacle = missed.kind === 'busy' ? slowStartObstacle(standing, at) : undefined;
  if (obstacle !== undefined) return passedBy(candidate, obstacle, standing, at);
  if (missed.kind !== 'no-permits') {
    const because = 'requests under way took every place that it has';
    return { passedOver: 'slow-start', because, fact: { subject: candidate.key, source: 'observed' } };
  }
  const until = missed.until ?? 0;
  return passedBy(
    candidate,
    { kind: 'no-permits', because: PERMITS_OUT, ...(until > at ? { until } : {}) },
    standing,
    at,
  );
}

const PERMITS_OUT = 'its limit is spent in the running window';

function passedBy(candidate: NotedCandidate, obstacle: Obstacle, standing: Standing, now: number): Passed {
  return {
    passedOver: obstacle.kind,
    because: obstacle.because,
    ...(obstacle.until === undefined ? {} : { until: obstacle.until }),
    fact: factOf(candidate, obstacle, standing, now),
  };
}

/** Who is meant by a fact, and who can tell of it. */
export type Subject = Pick<NotedCandidate, 'key' | 'provider' | 'bucket' | 'witnesses'>;

/** How keymux knows of an obstacle. */
export function factOf(subject: Subject, { kind }: Obstacle, standing: Standing, now: number): Fact {
  const names: Record<Who, string> = { key: subject.key, bucket: subject.bucket, provider: subject.provider };
  const who: Who = kind.startsWith('provider') ? 'provider' : kind.startsWith('bucket') ? 'bucket' : 'key';
  if (kind === 'disabled')
    return { subject: names.key, source: 'person', ...testimony(subject.witnesses.ofDisabling(now), now) };
  if (kind === 'expired') return { subject: names.key, source: 'person' };
  if (kind === 'no-permits') {
    const witness = subject.witnesses.ofShortage(now);
    return { subject: names.bucket, source: witness?.source ?? 'counted', ...testimony(witness, now) };
  }
  const health = standing[who];
  if (!kind.endsWith('resting') || health.status !== 'resting')
    return { subject: names[who], source: 'observed' };
  const witness = subject.witnesses.ofRest(who, health.version);
  return { subject: names[who], source: health.source, ...testimony(witness, now) };
}

function testimony(
  witness: Witness | undefined,
  now: number,
): Pick<Fact, 'evidence' | 'status' | 'seen' | 'ageMs'> {
  if (witness === undefined) return { seen: 'elsewhere' };
  const { seen, at, evidence, status } = witness;
  return {
    ...(evidence === undefined ? {} : { evidence }),
    ...(status === undefined ? {} : { status }),
    seen,
    ...(at === undefined ? {} : { ageMs: Math.max(0, now - at) }),
  };
}
