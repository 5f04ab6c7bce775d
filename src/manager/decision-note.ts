/** What is noted when a key is selected: raw numbers only, since nearly no selection is ever asked about. */
import type { DecisionOutcome, Missed, RequestExplanation } from '../core/decision.js';
import type { Outcome, OutcomeKind } from '../core/outcome.js';
import type { Standing, Strategy } from '../core/select.js';
import { strategies } from '../core/select.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import { healthScore } from './health-score.js';
import type { Member, MemberContender } from './members.js';
import { standingOf } from './members.js';
import { requestIdOf } from './request-ids.js';

/** What all attempts of a request have in common. */
export class RequestNote {
  readonly number: number;
  readonly service: string;
  readonly startedAt: number;
  /** Ids of providers. */
  readonly unfit: ReadonlySet<string> | undefined;
  attempts = 0;
  end: RequestExplanation['end'] = undefined;
  endedAt = 0;
  /** Keys that were tried, each with how it last ended. */
  #tried: Map<string, OutcomeKind> | undefined;

  constructor(number: number, service: string, startedAt: number, unfit: ReadonlySet<string> | undefined) {
    this.number = number;
    this.service = service;
    this.startedAt = startedAt;
    this.unfit = unfit;
  }

  get requestId(): string {
    return requestIdOf(this.number);
  }

  ended(end: RequestExplanation['end'], at: number): void {
    this.end = end;
    this.endedAt = at;
  }

  failed(key: string, kind: OutcomeKind): void {
    (this.#tried ??= new Map()).set(key, kind);
  }

  get tried(): ReadonlyMap<string, OutcomeKind> | undefined {
    return this.#tried;
  }
}

/** What a pool knows when it is asked for a key. */
export interface View {
  readonly contenders: readonly MemberContender[];
  /** Of the contenders, in their order. */
  readonly standings: readonly Standing[];
  readonly strategy: Strategy;
  readonly failoverThreshold: number;
}

/** Numbers of one candidate in `figures`. */
export const FIGURES = { uses: 0, inFlight: 1, latencyUs: 2, each: 3 } as const;

/** One selection. */
export class DecisionNote {
  readonly id: number;
  readonly request: RequestNote;
  /** From 1. */
  readonly attempt: number;
  readonly askedAt: number;
  at: number;
  excluded: ReadonlySet<Member> | undefined = undefined;
  view: View | undefined = undefined;
  figures: readonly number[] = [];
  /** In the order of the contenders; only where the strategy, or the service, goes by them. */
  remaining: readonly (number | undefined)[] | undefined = undefined;
  healthScores: readonly number[] | undefined = undefined;
  chosen: string | undefined = undefined;
  retryAt: number | undefined = undefined;
  outcome: DecisionOutcome | undefined = undefined;
  #missed: Map<string, Missed> | undefined;

  constructor(id: number, request: RequestNote, askedAt: number) {
    request.attempts += 1;
    this.id = id;
    this.request = request;
    this.attempt = request.attempts;
    this.askedAt = askedAt;
    this.at = askedAt;
  }

  /** The selection begins, or begins anew after a wait. */
  look(view: View, excluded: ReadonlySet<Member>, table: StateTable, now: number): void {
    this.at = now;
    this.view = view;
    this.excluded = excluded.size === 0 ? undefined : excluded;
    this.#missed = undefined;
    this.figures = figuresOf(view.contenders, table);
    if (view.strategy === strategies['most-remaining'])
      this.remaining = view.contenders.map(({ remaining }) => remaining);
    if (view.failoverThreshold > 0)
      this.healthScores = view.contenders.map(({ member }) => healthScore(table, member.rows.provider, now));
  }

  /** The strategy wanted it, but there was no place, or no permit before `until`. */
  missed(member: Member, kind: Missed['kind'], table: StateTable, until?: number): void {
    const missed: Missed = {
      kind,
      standing: standingOf(member, table),
      ...(until === undefined ? {} : { until }),
    };
    (this.#missed ??= new Map()).set(member.keyId, missed);
  }

  /** The key that was chosen was taken out of use before it could be handed out. */
  withdraw(member: Member, table: StateTable): void {
    this.chosen = undefined;
    this.outcome = undefined;
    this.missed(member, 'withdrawn', table);
  }

  get misses(): ReadonlyMap<string, Missed> | undefined {
    return this.#missed;
  }

  concluded({ kind, status, evidence }: Outcome, latencyMs: number): void {
    this.outcome = {
      kind,
      ...(status === undefined ? {} : { status }),
      ...(evidence === undefined ? {} : { evidence }),
      latencyMs,
    };
    if (kind !== 'success' && this.chosen !== undefined) this.request.failed(this.chosen, kind);
  }
}

function figuresOf(contenders: readonly MemberContender[], table: StateTable): number[] {
  const figures: number[] = [];
  for (const { member } of contenders) {
    const { key } = member.rows;
    figures.push(
      table.get(key, COUNTER.uses),
      table.get(key, COUNTER.inFlight),
      table.get(key, COUNTER.latencyUs),
    );
  }
  return figures;
}
