/** What the demo saw, and the verdict on it: by the agents' own count, checked against that of the simulators. */
import type { EventName } from '../../manager/events.js';
import type { RequestRecord } from '../../testing/simulator-records.js';
import type { AgentReport, KeymuxNews, ProgramEnd } from './agent-programs.js';
import type { Agent } from './cast.js';
import type { FaultCount } from './fault-catalogue.js';
import { countFaults, isGood } from './fault-catalogue.js';
import type { Stage } from './stage.js';

export interface AgentResult {
  readonly name: string;
  readonly provider: string;
  readonly client: string;
  readonly runsAs: Agent['runsAs'];
  readonly of: number;
  readonly ok: number;
  readonly lost: number;
}

export interface Loss {
  readonly id: string;
  readonly why: string;
}

/** Milliseconds from a refusal to the moment at which the provider took the same request with another key. */
export interface Delays {
  readonly count: number;
  readonly p50Ms: number;
  readonly maxMs: number;
}

export interface Summary {
  /** Nothing lost, overshot or carried out twice, and every staged fault happened. */
  readonly ok: boolean;
  readonly bare: boolean;
  readonly durationMs: number;
  /** Why not. Empty after a good run. */
  readonly problems: readonly string[];
  /** Pieces of work of all agents. */
  readonly requests: number;
  /** Those that failed as the agent saw it, and those that were never done. */
  readonly lost: number;
  readonly losses: readonly Loss[];
  /** Requests that arrived at the providers, repetitions included. */
  readonly sent: number;
  readonly failovers: number;
  /** Answers or broken connections that no agent heard of, because the same request then succeeded. */
  readonly absorbed: Readonly<Record<string, number>>;
  /** How often a known limit was used up and requests waited or went elsewhere, so that no 429 came of it. */
  readonly limitsKept: number;
  readonly overshoots: number;
  readonly ordersExecutedTwice: number;
  /** A key died under a request. */
  readonly afterKeyFailure: Delays;
  /** The provider itself was in trouble. */
  readonly afterProviderFailure: Delays;
  readonly faults: readonly FaultCount[];
  readonly agents: readonly AgentResult[];
  /** Agents whose client is not installed and who used what is built into Node. */
  readonly replaced: readonly string[];
}

/** Collects while the agents run. */
export class Tally {
  readonly cast: readonly Agent[];
  readonly reports = new Map<string, AgentReport>();
  readonly events = new Map<EventName, number>();
  readonly #losses: Loss[] = [];
  readonly #succeeded = new Set<string>();

  constructor(cast: readonly Agent[]) {
    this.cast = cast;
  }

  addReport(report: AgentReport): void {
    this.reports.set(report.agent, report);
    if (report.id === undefined) return;
    if (report.error === undefined) this.#succeeded.add(report.id);
    else this.#losses.push({ id: report.id, why: report.error });
  }

  addNews({ name }: KeymuxNews): void {
    this.events.set(name, (this.events.get(name) ?? 0) + 1);
  }

  get agents(): AgentResult[] {
    return this.cast.map(({ name, provider, client, runsAs, pieces }) => {
      const { ok = 0, lost = 0 } = this.reports.get(name) ?? {};
      return { name, provider, client, runsAs, of: pieces, ok, lost };
    });
  }

  summarize(stage: Stage, ends: readonly ProgramEnd[], run: Pick<Summary, 'bare' | 'durationMs'>): Summary {
    const { simulators } = stage;
    const records = simulators.flatMap(({ simulator }) => simulator.requests);
    const journeys = journeysOf(records);
    const { agents } = this;
    const undone = agents.filter(({ of, ok, lost }) => ok + lost < of);
    const requests = agents.reduce((sum, { of }) => sum + of, 0);
    const lost = requests - agents.reduce((sum, { ok }) => sum + ok, 0);
    const losses = [
      ...this.#losses.map(({ id, why }) => ({ id, why: stage.mask(why).slice(0, LONGEST_REASON) })),
      ...undone.map(({ name, of, ok, lost: failed }) => ({
        id: name,
        why: `${of - ok - failed} of ${of} pieces of work were never done`,
      })),
    ];
    const faults = countFaults(stage);
    const overshoots = simulators.reduce((sum, { simulator }) => sum + simulator.overshoots.length, 0);
    const duplicates = simulators.flatMap(({ simulator }) => simulator.duplicates);
    const problems = [
      ...ends.flatMap(complaintAbout).map((text) => stage.mask(text)),
      ...(lost === 0 ? [] : [`${lost} requests were lost`]),
      ...(overshoots === 0 ? [] : [`${overshoots} requests went over a limit`]),
      ...(duplicates.length === 0 ? [] : [`${duplicates.length} orders were carried out twice`]),
      ...faults
        .filter(({ count }) => count === 0)
        .map(({ name, provider }) => `the fault "${name}" of ${provider} never happened`),
      ...this.#disagreements(journeys),
    ];
    return {
      ok: problems.length === 0,
      ...run,
      problems,
      requests,
      lost,
      losses,
      sent: records.length,
      failovers: this.events.get('failover') ?? 0,
      absorbed: absorbedIn(journeys),
      limitsKept: this.events.get('quota') ?? 0,
      overshoots,
      ordersExecutedTwice: duplicates.length,
      afterKeyFailure: delaysIn(journeys, isKeyFailure),
      afterProviderFailure: delaysIn(journeys, (record) => !isKeyFailure(record)),
      faults,
      agents,
      replaced: this.cast.flatMap(({ name, standsInFor }) =>
        standsInFor === undefined ? [] : [`${name} (${standsInFor})`],
      ),
    };
  }

  /** An agent that calls a request good which the simulator never answered well was fooled. */
  #disagreements(journeys: ReadonlyMap<string, readonly RequestRecord[]>): string[] {
    const fooled = [...this.#succeeded].filter((id) => journeys.get(id)?.some(isGood) !== true);
    return fooled.map((id) => `${id} counts as done, but its provider never answered it well`);
  }
}

const LONGEST_REASON = 300;

/** The requests that arrived, by the piece of work that they stand for. */
function journeysOf(records: readonly RequestRecord[]): Map<string, RequestRecord[]> {
  const journeys = new Map<string, RequestRecord[]>();
  for (const record of records) {
    const id = record.headers['x-request-id'];
    if (id === undefined) continue;
    const journey = journeys.get(id);
    if (journey === undefined) journeys.set(id, [record]);
    else journey.push(record);
  }
  return journeys;
}

function absorbedIn(journeys: ReadonlyMap<string, readonly RequestRecord[]>): Record<string, number> {
  const absorbed: Record<string, number> = {};
  for (const journey of journeys.values()) {
    const end = journey.findLastIndex(isGood);
    for (const { did } of journey.slice(0, Math.max(0, end)).filter((record) => !isGood(record))) {
      const what = did.replace(/^refuse /, '');
      absorbed[what] = (absorbed[what] ?? 0) + 1;
    }
  }
  return absorbed;
}

const KEY_FAILURES = new Set(
  ['rate-limited', 'quota-exhausted', 'rejected', 'restricted'].map((kind) => `refuse ${kind}`),
);

function isKeyFailure({ did }: RequestRecord): boolean {
  return KEY_FAILURES.has(did);
}

function delaysIn(
  journeys: ReadonlyMap<string, readonly RequestRecord[]>,
  isOfKind: (failure: RequestRecord) => boolean,
): Delays {
  const delays: number[] = [];
  for (const [failure, ...rest] of journeys.values()) {
    if (failure?.endedAt === undefined || isGood(failure) || !isOfKind(failure)) continue;
    const success = rest.find(isGood);
    if (success !== undefined) delays.push(Math.max(0, success.at - failure.endedAt));
  }
  delays.sort((a, b) => a - b);
  return {
    count: delays.length,
    p50Ms: delays[Math.floor(delays.length / 2)] ?? 0,
    maxMs: delays.at(-1) ?? 0,
  };
}

function complaintAbout({ agents, code, signal, stderr, wasStopped }: ProgramEnd): string[] {
  if (code === 0 || wasStopped) return [];
  const names = agents.map(({ name }) => name).join(', ');
  const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
  const said = stderr.trim() === '' ? '' : `: ${stderr.trim()}`;
  return [`the program of ${names} ended ${how}${said}`];
}
