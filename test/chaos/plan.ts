/** What a run of the chaos suite does, and when: a pure function of the seed and the name of the scenario. */
import { seededRandom } from '#keymux/testing/fake-clock.js';
import type { Random } from '#keymux/core/ports.js';
import type { StrategyName } from '#keymux/core/select.js';
import type { RateLimit } from '#keymux/testing/script-key.js';
import type { FaultSketch, Scenario } from './scenarios.js';
import { SCENARIOS } from './scenarios.js';

export type StoreKind = 'sqlite' | 'redis';
/**
 * `modest`: so little that the fair share of one key is enough for all, and no request ever waits for a permit, so
 * that delays and losses show. `greedy`: always more than there is, so that every permit too many shows.
 */
export type Demand = 'modest' | 'greedy';
/** The program of an agent. `careless` knows nothing of keymux: it is there to prove that the judge sees it. */
export type AgentKind = 'fetch' | 'http' | 'axios' | 'library' | 'threads' | 'careless';

export interface AgentPlan {
  readonly name: string;
  readonly kind: AgentKind;
  /** The network namespace that it runs in; absent: that of the run. */
  readonly host?: string;
  /** Between two requests, answered or not. Milliseconds. */
  readonly everyMs: number;
  /** How far its wall clock is off. Milliseconds. */
  readonly skewMs: number;
}

export interface KeyPlan {
  /** As keymux calls it when it discovers the name. */
  readonly name: string;
  readonly limits: readonly RateLimit[];
}

export interface Fault {
  /** From 1, in the order in which they begin. */
  readonly n: number;
  readonly kind: FaultSketch['kind'];
  /** An agent, a key or a host; absent where the store or the provider is meant. */
  readonly on?: string;
  /** After the storm began. Milliseconds. */
  readonly atMs: number;
  readonly forMs: number;
}

/** All times are milliseconds. */
export interface Plan {
  readonly seed: number;
  readonly scenario: string;
  readonly store: StoreKind;
  readonly demand: Demand;
  readonly isShort: boolean;
  /** The store cannot be reached until its first fault ends. */
  readonly startsWithoutStore: boolean;
  readonly hosts: readonly string[];
  readonly agents: readonly AgentPlan[];
  /** The first is preferred where the strategy is `priority`. */
  readonly keys: readonly KeyPlan[];
  readonly strategy: StrategyName;
  /** How long a request waits for a key that returns. */
  readonly maxWaitMs: number;
  readonly calmMs: number;
  readonly stormMs: number;
  readonly saturationMs: number;
  readonly faults: readonly Fault[];
}

export interface PlanOptions {
  readonly store?: StoreKind;
  /** Default: as chance has it. */
  readonly demand?: Demand;
  /** A short storm of few faults, for tests. Default: false. */
  readonly isShort?: boolean;
}

const HOSTS = ['h1', 'h2', 'h3'] as const;
const KEY_NAMES = ['main', '2', '3'] as const;
const KINDS: readonly AgentKind[] = ['fetch', 'library', 'http', 'axios', 'threads'];
/** Half a minute and more, as hosts without time service have it. */
const SKEWS_MS = [-60_000, 60_000, 0, 0, 0] as const;

/** With windows that pass fast. */
const SHORT_SHAPES: readonly (readonly RateLimit[])[] = [
  [
    { requests: 30, perMs: 1_000 },
    { requests: 50, perMs: 2_000 },
  ],
  [{ requests: 140, perMs: 2_000 }],
];
const MAX_WAIT_MS = 6_000;
const STRATEGIES: readonly StrategyName[] = ['priority', 'round-robin', 'least-used'];
/** Between two requests of an agent that is modest. */
const EVERY_MS = 400;
/** Small limits are leased one permit at a time, large ones in batches. */
const LIMIT_SHAPES: readonly (readonly RateLimit[])[] = [
  [
    { requests: 30, perMs: 1_000 },
    { requests: 100, perMs: 4_000 },
  ],
  [{ requests: 200, perMs: 3_000 }],
];

/** Throws a `RangeError` for a scenario that is unknown, or that does not go with the store. */
export function makePlan(seed: number, name: string, options: PlanOptions = {}): Plan {
  const scenario = SCENARIOS.find((candidate) => candidate.name === name);
  if (scenario === undefined) throw new RangeError(`There is no scenario ${name}.`);
  const store = options.store ?? scenario.stores[0];
  if (!scenario.stores.includes(store)) throw new RangeError(`Scenario ${name} has no store ${store}.`);
  const random = seededRandom(seed ^ hashOf(`${name} ${store}`));
  const isShort = options.isShort === true;
  const hosts = scenario.needsHosts ? HOSTS : [];
  const limits = pick(random, isShort ? SHORT_SHAPES : LIMIT_SHAPES);
  const strategy = pick(random, STRATEGIES);
  const demand = pick(random, ['modest', 'greedy'] as const);
  const agents = KINDS.map((kind, index) => ({
    name: `${kind}-${index + 1}`,
    kind,
    ...(hosts.length === 0 ? {} : { host: at(hosts, index % hosts.length) }),
    everyMs: EVERY_MS,
    skewMs: scenario.skewsClocks ? at(SKEWS_MS, index) : 0,
  }));
  const stormMs = isShort ? 5_000 : 12_000;
  const cast: Cast = { agents: agents.map((agent) => agent.name), keys: KEY_NAMES, hosts };
  return {
    seed,
    scenario: name,
    store,
    demand: options.demand ?? demand,
    isShort,
    startsWithoutStore: scenario.startsWithoutStore,
    hosts,
    agents,
    keys: KEY_NAMES.map((key) => ({ name: key, limits })),
    strategy,
    maxWaitMs: MAX_WAIT_MS,
    calmMs: isShort ? 1_000 : 4_000,
    stormMs,
    saturationMs: isShort ? 3_500 : 8_000,
    faults: faultsOf(scenario, { random, stormMs, cast, isShort }),
  };
}

interface Cast {
  readonly agents: readonly string[];
  readonly keys: readonly string[];
  readonly hosts: readonly string[];
}

interface FaultContext {
  readonly random: Random;
  readonly stormMs: number;
  readonly cast: Cast;
  readonly isShort: boolean;
}

function faultsOf(scenario: Scenario, context: FaultContext): Fault[] {
  const { random, isShort } = context;
  const sketches = [
    ...scenario.always,
    ...sample(random, scenario.sometimes, isShort ? 1 : scenario.howMany),
  ];
  const placed = sketches.map((sketch) => place(sketch, context));
  return placed
    .sort((a, b) => a.atMs - b.atMs || a.kind.localeCompare(b.kind))
    .map((fault, index) => ({ n: index + 1, ...fault }));
}

function place(sketch: FaultSketch, { random, stormMs, cast, isShort }: FaultContext): Omit<Fault, 'n'> {
  const [shortest, longest] = sketch.forMs ?? [0, 0];
  const forMs = Math.round(shortest + random() * (isShort ? 0.25 : 1) * (longest - shortest));
  const latest = Math.max(0, stormMs - forMs);
  const atMs = sketch.atMs ?? Math.round(random() * latest);
  const choice = sketch.on === undefined ? undefined : candidates(sketch.on, cast);
  const on = choice === undefined ? undefined : pick(random, choice);
  return { kind: sketch.kind, atMs, forMs, ...(on === undefined ? {} : { on }) };
}

/** The last key stays good, so that there is always one that works. */
function candidates(what: NonNullable<FaultSketch['on']>, cast: Cast): readonly string[] {
  if (what === 'agent') return cast.agents;
  return what === 'host' ? cast.hosts : cast.keys.slice(0, -1);
}

function pick<T>(random: Random, values: readonly T[]): T {
  return at(values, Math.floor(random() * values.length));
}

function sample<T>(random: Random, values: readonly T[], count: number): T[] {
  const left = [...values];
  const taken: T[] = [];
  while (taken.length < count && left.length > 0) {
    taken.push(...left.splice(Math.floor(random() * left.length), 1));
  }
  return taken;
}

function at<T>(values: readonly T[], index: number): T {
  const value = values[index];
  if (value === undefined) throw new RangeError(`There is no item ${index} of ${values.length}.`);
  return value;
}

/** FNV-1a: scenarios of one seed differ. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193);
  return hash >>> 0;
}
