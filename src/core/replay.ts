/**
 * Recorded decisions, taken again under a changed policy. Pure. What a key would have answered is told only as far as
 * its own recorded attempts tell it.
 */
import type { Decision, DecisionCandidate, DecisionRecord, RequestExplanation } from './decision.js';
import type { OutcomeKind } from './outcome.js';
import { REFUSED_BEFORE_PROCESSING } from './outcome.js';
import type { Random } from './ports.js';
import { KeyHistory, isFailure } from './replay-history.js';
import type { Contender, Rotation, StrategyName } from './select.js';
import { PROVIDER_STEP, strategies } from './select.js';

export interface ServiceChange {
  readonly strategy?: StrategyName;
  /** The order of preference; a provider that is not named gets no request. */
  readonly providers?: readonly string[];
  readonly failoverThreshold?: number;
}

export interface KeyChange {
  readonly priority?: number;
  readonly weight?: number;
}

export interface PolicyChange {
  readonly services: ReadonlyMap<string, ServiceChange>;
  /** By `provider/key`. */
  readonly keys: ReadonlyMap<string, KeyChange>;
  /** By service. */
  readonly maxAttempts: ReadonlyMap<string, number>;
}

export interface ReplayReport {
  /** Requests of the record whose first decision is known. */
  readonly requests: number;
  /** Requests that would have gone to another key first. */
  readonly redirected: number;
  /** Requests of which the record does not tell how they would have ended; they count in nothing below but `keys`. */
  readonly unknown: number;
  /** Attempts that failed. */
  readonly failedAttempts: Comparison & { readonly saved: number; readonly added: number };
  /** Requests that got an answer. */
  readonly answered: Comparison & { readonly gained: number; readonly lost: number };
  /** Attempts by key, those of unknown requests included as far as they are known. */
  readonly keys: readonly (Comparison & { readonly key: string })[];
  /** Milliseconds between the first and the last request. */
  readonly spanMs: number;
  readonly forgotten: number;
  /** What this replay cannot know, in words. */
  readonly limits: readonly string[];
}

export interface Comparison {
  readonly recorded: number;
  readonly replayed: number;
}

/** How one request went, or would have gone. */
interface Course {
  /** `provider/key`, in the order of the attempts. */
  readonly keys: readonly string[];
  readonly failed: number;
  readonly end: 'answered' | 'failed' | 'unknown';
}

export function replay(record: DecisionRecord, change: PolicyChange, random: Random): ReplayReport {
  const whole = record.requests.filter(({ attempts }) => attempts[0]?.attempt === 1);
  const requests = whole.toSorted((a, b) => a.at - b.at);
  const replayer = new Replayer(record, requests, change, random);
  const courses = requests.map((request) => ({
    before: courseOf(request),
    after: replayer.courseOf(request),
  }));
  return {
    ...compare(courses),
    spanMs: (requests.at(-1)?.at ?? 0) - (requests[0]?.at ?? 0),
    forgotten: record.forgotten,
    limits: limitsOf(requests, change),
  };
}

function compare(
  courses: readonly { readonly before: Course; readonly after: Course }[],
): Omit<ReplayReport, 'spanMs' | 'forgotten' | 'limits'> {
  const known = courses.filter(({ before, after }) => before.end !== 'unknown' && after.end !== 'unknown');
  const differences = known.map(({ before, after }) => after.failed - before.failed);
  const count = (of: 'before' | 'after'): number =>
    known.filter((course) => course[of].end === 'answered').length;
  const changed = (from: Course['end'], to: Course['end']): number =>
    known.filter(({ before, after }) => before.end === from && after.end === to).length;
  return {
    requests: courses.length,
    redirected: courses.filter(({ before, after }) => before.keys[0] !== after.keys[0]).length,
    unknown: courses.length - known.length,
    failedAttempts: {
      recorded: sum(known.map(({ before }) => before.failed)),
      replayed: sum(known.map(({ after }) => after.failed)),
      saved: Math.abs(sum(differences.filter((difference) => difference < 0))),
      added: sum(differences.filter((difference) => difference > 0)),
    },
    answered: {
      recorded: count('before'),
      replayed: count('after'),
      gained: changed('failed', 'answered'),
      lost: changed('answered', 'failed'),
    },
    keys: attemptsByKey(courses),
  };
}

function attemptsByKey(
  courses: readonly { readonly before: Course; readonly after: Course }[],
): ReplayReport['keys'] {
  const counts = new Map<string, { recorded: number; replayed: number }>();
  const countOf = (key: string): { recorded: number; replayed: number } => {
    const count = counts.get(key) ?? { recorded: 0, replayed: 0 };
    counts.set(key, count);
    return count;
  };
  for (const { before, after } of courses) {
    for (const key of before.keys) countOf(key).recorded += 1;
    for (const key of after.keys) countOf(key).replayed += 1;
  }
  return [...counts]
    .map(([key, count]) => ({ key, ...count }))
    .toSorted((a, b) => a.key.localeCompare(b.key));
}

function courseOf({ attempts }: RequestExplanation): Course {
  const taken = attempts.filter(({ chosen }) => chosen !== undefined);
  const failed = taken.filter(({ outcome }) => outcome !== undefined && isFailure(outcome.kind)).length;
  const last = attempts.at(-1)?.outcome?.kind;
  const isRefused = attempts.at(-1)?.chosen === undefined;
  const end = isRefused || (last !== undefined && isFailure(last)) ? 'failed' : endOfGood(last);
  return { keys: taken.map(({ chosen = '' }) => chosen), failed, end };
}

/** A request under way, or one that its caller left, says nothing. */
function endOfGood(last: OutcomeKind | undefined): Course['end'] {
  return last === undefined || last === 'aborted' ? 'unknown' : 'answered';
}

class Replayer {
  readonly #change: PolicyChange;
  readonly #random: Random;
  readonly #maxAttempts: DecisionRecord['maxAttempts'];
  readonly #history: KeyHistory;
  /** By service and key. */
  readonly #rotations = new Map<string, Rotation>();
  /** Requests more, or fewer, than were recorded, by key. */
  readonly #extraUses = new Map<string, number>();

  constructor(
    { maxAttempts }: DecisionRecord,
    requests: readonly RequestExplanation[],
    change: PolicyChange,
    random: Random,
  ) {
    this.#change = change;
    this.#random = random;
    this.#maxAttempts = maxAttempts;
    this.#history = new KeyHistory(requests.flatMap(({ attempts }) => attempts));
  }

  courseOf(request: RequestExplanation): Course {
    const walk = new Walk(request);
    const recordedMost = this.#maxAttempts[request.service] ?? Number.POSITIVE_INFINITY;
    const most = this.#change.maxAttempts.get(request.service) ?? recordedMost;
    for (;;) {
      const decision = walk.decision;
      const chosen = this.#choose(decision, walk.candidates);
      if (chosen === undefined) return walk.course('failed');
      const recorded = walk.follows(chosen) ? decision.outcome?.kind : undefined;
      const kind = recorded ?? (walk.hasLeft ? this.#history.outcomeOf(chosen, decision.at) : undefined);
      walk.take(chosen, kind);
      if (kind === undefined || kind === 'aborted') return walk.course('unknown');
      if (!isFailure(kind)) return walk.course('answered');
      if (walk.hasEndedAsRecorded && most > recordedMost && walk.length >= recordedMost)
        return walk.course('unknown');
      if (walk.length >= most || walk.hasEndedAsRecorded) return walk.course('failed');
      if (walk.hasLeft && !REFUSED_BEFORE_PROCESSING.has(kind) && !walk.repeatsTrouble)
        return walk.course('unknown');
    }
  }

  #choose(decision: Decision, usable: readonly DecisionCandidate[]): string | undefined {
    if (!this.#isTouched(decision)) {
      const asRecorded = usable.find(({ chosen }) => chosen) ?? usable[0];
      return asRecorded?.key;
    }
    const change = this.#change.services.get(decision.service) ?? {};
    const offered = usable.filter(({ provider }) => change.providers?.includes(provider) ?? true);
    const threshold = change.failoverThreshold ?? decision.failoverThreshold;
    const healthy = offered.filter(({ figures }) => (figures.healthScore ?? 1) >= threshold);
    const preferred = healthy.length > 0 ? healthy : offered;
    if (preferred.length === 0) return undefined;
    const contenders = preferred.map((candidate) => this.#contender(decision.service, candidate, change));
    const strategy = strategies[change.strategy ?? decision.strategy];
    const chosen = preferred[strategy(contenders, this.#random)]?.key;
    this.#count(decision.chosen, -1);
    this.#count(chosen, 1);
    return chosen;
  }

  #isTouched({ service, candidates }: Decision): boolean {
    return this.#change.services.has(service) || candidates.some(({ key }) => this.#change.keys.has(key));
  }

  #contender(
    service: string,
    { key, provider, figures }: DecisionCandidate,
    change: ServiceChange,
  ): Contender {
    const stated = this.#change.keys.get(key) ?? {};
    const within = stated.priority ?? figures.priority % PROVIDER_STEP;
    const position = change.providers?.indexOf(provider) ?? Math.floor(figures.priority / PROVIDER_STEP);
    const name = `${service} ${key}`;
    const rotation = this.#rotations.get(name) ?? { credit: 0, round: 0 };
    this.#rotations.set(name, rotation);
    return {
      priority: position * PROVIDER_STEP + within,
      weight: stated.weight ?? figures.weight,
      uses: figures.uses + (this.#extraUses.get(key) ?? 0),
      inFlight: figures.inFlight,
      latencyMs: figures.latencyMs,
      remaining: figures.remaining,
      rotation,
    };
  }

  #count(key: string | undefined, delta: number): void {
    if (key !== undefined) this.#extraUses.set(key, (this.#extraUses.get(key) ?? 0) + delta);
  }
}

/** The way of one request, along its record as long as it chooses the same keys. */
class Walk {
  readonly #attempts: readonly Decision[];
  readonly #keys: string[] = [];
  #failed = 0;
  #hasLeft = false;

  constructor({ attempts }: RequestExplanation) {
    this.#attempts = attempts;
  }

  get length(): number {
    return this.#keys.length;
  }

  /** Whether it chose otherwise than was recorded. */
  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** The recorded request made no further attempt. */
  get hasEndedAsRecorded(): boolean {
    return !this.#hasLeft && this.#keys.length >= this.#attempts.length;
  }

  /** Whether the recorded request was sent again after trouble that proves nothing. */
  get repeatsTrouble(): boolean {
    return this.#attempts.slice(0, -1).some(({ outcome }) => {
      return outcome !== undefined && isFailure(outcome.kind) && !REFUSED_BEFORE_PROCESSING.has(outcome.kind);
    });
  }

  /** The record of this attempt; of the first one, where the way was left. */
  get decision(): Decision {
    return this.#attempts[this.#hasLeft ? 0 : this.#keys.length] as Decision;
  }

  /** Those that could have been taken. */
  get candidates(): readonly DecisionCandidate[] {
    const tried = new Set(this.#hasLeft ? this.#keys : []);
    return this.decision.candidates.filter(({ key, passedOver }) => {
      const isUsable =
        passedOver === undefined || passedOver === 'not-preferred' || passedOver === 'unhealthy';
      return isUsable && !tried.has(key);
    });
  }

  /** Whether this is what the record did; if not, its way is left from here on. */
  follows(key: string): boolean {
    if (!this.#hasLeft && this.decision.chosen === key) return true;
    this.#hasLeft = true;
    return false;
  }

  take(key: string, kind: OutcomeKind | undefined): void {
    this.#keys.push(key);
    if (kind !== undefined && isFailure(kind)) this.#failed += 1;
  }

  course(end: Course['end']): Course {
    return { keys: this.#keys, failed: this.#failed, end };
  }
}

function limitsOf(requests: readonly RequestExplanation[], change: PolicyChange): string[] {
  const changes = [...change.services.values()].map(({ strategy }) => strategy);
  const decisions = requests.flatMap(({ attempts }) => attempts);
  const knowsRemaining = decisions.some(({ candidates }) =>
    candidates.some(({ figures }) => figures.remaining !== undefined),
  );
  const knowsHealth = decisions.some(({ candidates }) =>
    candidates.some(({ figures }) => figures.healthScore !== undefined),
  );
  const asksHealth = [...change.services.values()].some(
    ({ failoverThreshold }) => failoverThreshold !== undefined,
  );
  return [
    'Every key is taken to rest exactly when it did: a rest that a recorded request brought about is not undone where that request would have gone elsewhere, and no other rest is added.',
    'What a key would have answered is read from its own recorded attempts within a minute before and after; where there are none, or they disagree, the request counts as unknown.',
    'Latency, requests under way and what others spend are taken as recorded.',
    ...(changes.includes('most-remaining') && !knowsRemaining
      ? [
          'What was left of each allowance was not noted, since the recorded strategy did not ask; all count as half spent.',
        ]
      : []),
    ...(asksHealth && !knowsHealth
      ? [
          'Health scores were not noted, since the recorded service had no failoverThreshold; all count as healthy.',
        ]
      : []),
    ...(changes.includes('weighted') || changes.includes('lowest-latency')
      ? ['The new strategy draws by chance; another --seed draws otherwise.']
      : []),
  ];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
