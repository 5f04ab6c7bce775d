/** The latest selections of keys, so that each can be explained afterwards. */
import type { Decision, NotedCandidate, RequestExplanation } from '../core/decision.js';
import { describeCandidates } from '../core/decision.js';
import type { StrategyName } from '../core/select.js';
import { strategies } from '../core/select.js';
import { DecisionNote, FIGURES, RequestNote } from './decision-note.js';
import type { View } from './decision-note.js';
import { nextRequestNumber, requestNumberOf } from './request-ids.js';
import type { Testimony } from './testimony.js';

/** Decisions that are remembered. */
export const DEFAULT_DECISIONS = 1_000;

export interface DecisionsQuery {
  /** The latest ones, at most. Default: 50. */
  readonly last?: number;
  readonly service?: string;
}

const DEFAULT_LAST = 50;

export class Decisions {
  readonly #testimony: Testimony;
  readonly #most: number;
  /** A ring: the next one takes the place of the oldest. */
  readonly #notes: DecisionNote[] = [];
  #made = 0;

  constructor(most: number, testimony: Testimony) {
    this.#most = most;
    this.#testimony = testimony;
  }

  /** Decisions that were made and are no longer known. */
  get forgotten(): number {
    return this.#made - this.#notes.length;
  }

  /** A lease that the program itself asks for. */
  beginAlone(service: string, now: number): DecisionNote {
    return this.begin(new RequestNote(nextRequestNumber(), service, now, undefined), now);
  }

  begin(request: RequestNote, now: number): DecisionNote {
    const note = new DecisionNote(this.#made + 1, request, now);
    this.#notes[this.#made % this.#most] = note;
    this.#made += 1;
    return note;
  }

  /** Oldest first. */
  list({ last = DEFAULT_LAST, service }: DecisionsQuery = {}): Decision[] {
    const found: DecisionNote[] = [];
    for (let back = 0; back < this.#notes.length && found.length < last; back += 1) {
      const note = this.#notes[(this.#made - 1 - back) % this.#most] as DecisionNote;
      if (service === undefined || note.request.service === service) found.push(note);
    }
    return found.reverse().map((note) => this.#describe(note));
  }

  why(requestId: string): RequestExplanation | undefined {
    const number = requestNumberOf(requestId);
    const notes = this.#notes.filter(({ request }) => request.number === number);
    return notes.length === 0 ? undefined : this.#explain(notes);
  }

  /** Every request that is known, oldest first. */
  requests(): RequestExplanation[] {
    const byRequest = new Map<RequestNote, DecisionNote[]>();
    for (const note of this.#notes) {
      const others = byRequest.get(note.request);
      if (others === undefined) byRequest.set(note.request, [note]);
      else others.push(note);
    }
    return [...byRequest.values()]
      .map((notes) => this.#explain(notes))
      .toSorted((a, b) => (a.attempts[0]?.id ?? 0) - (b.attempts[0]?.id ?? 0));
  }

  #explain(notes: readonly DecisionNote[]): RequestExplanation {
    const inOrder = notes.toSorted((a, b) => a.id - b.id);
    const { request } = inOrder[0] as DecisionNote;
    const attempts = inOrder.map((note) => this.#describe(note));
    const { requestId, service, startedAt, end, endedAt } = request;
    return {
      requestId,
      service,
      at: startedAt,
      ...(end === undefined ? {} : { end, durationMs: endedAt - startedAt }),
      waitedMs: attempts.reduce((sum, { waitedMs }) => sum + waitedMs, 0),
      complete: attempts.length === request.attempts,
      attempts,
    };
  }

  #describe(note: DecisionNote): Decision {
    const { id, request, attempt, at, askedAt, chosen, retryAt, outcome, view } = note;
    const strategy = view === undefined ? 'priority' : nameOf(view.strategy);
    const failoverThreshold = view?.failoverThreshold ?? 0;
    const candidates = view === undefined ? [] : this.#candidatesOf(note, view);
    return {
      id,
      requestId: request.requestId,
      service: request.service,
      strategy,
      failoverThreshold,
      attempt,
      at,
      waitedMs: at - askedAt,
      ...(chosen === undefined ? {} : { chosen }),
      ...(retryAt === undefined ? {} : { retryAt }),
      candidates: describeCandidates({ at, strategy, failoverThreshold, chosen, candidates }),
      ...(outcome === undefined ? {} : { outcome }),
    };
  }

  #candidatesOf(note: DecisionNote, { contenders, standings }: View): NotedCandidate[] {
    return contenders.flatMap(({ member, priority, weight }, index) => {
      const standing = standings[index];
      if (standing === undefined) return [];
      const remaining = note.remaining?.[index];
      const healthScore = note.healthScores?.[index];
      const missed = note.misses?.get(member.keyId);
      const figure = (which: number): number => note.figures[index * FIGURES.each + which] ?? 0;
      const noted: NotedCandidate = {
        key: member.keyId,
        provider: member.provider.id,
        bucket: member.bucket.name,
        standing,
        witnesses: this.#testimony.of(member),
        figures: {
          priority,
          weight,
          uses: figure(FIGURES.uses),
          inFlight: figure(FIGURES.inFlight),
          latencyMs: figure(FIGURES.latencyUs) / 1_000,
          ...(remaining === undefined ? {} : { remaining }),
          ...(healthScore === undefined ? {} : { healthScore }),
        },
        ...(missed === undefined ? {} : { missed }),
      };
      if (note.excluded?.has(member) !== true) return [noted];
      return [{ ...noted, excluded: exclusionOf(note.request, member.keyId, member.provider.id) }];
    });
  }
}

function exclusionOf(
  { unfit, tried }: RequestNote,
  key: string,
  provider: string,
): NonNullable<NotedCandidate['excluded']> {
  if (unfit?.has(provider) === true) return 'unfit';
  const outcome = tried?.get(key);
  return outcome === undefined || outcome === 'overloaded' || outcome === 'network' ? 'spared' : { outcome };
}

function nameOf(strategy: View['strategy']): StrategyName {
  const names = Object.keys(strategies) as StrategyName[];
  return names.find((name) => strategies[name] === strategy) ?? 'priority';
}
