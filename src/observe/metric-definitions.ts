/** Every metric, once for Prometheus and OpenTelemetry. `docs/metrics.md` lists the same; a test compares them. */

export type LabelName =
  | 'bucket'
  | 'end'
  | 'from_provider'
  | 'key'
  | 'kind'
  | 'manager'
  | 'outcome'
  | 'phase'
  | 'provider'
  | 'quantile'
  | 'reason'
  | 'service'
  | 'source'
  | 'state'
  | 'store'
  | 'to_provider'
  | 'window';

export type Labels = Readonly<Partial<Record<LabelName, string>>>;

export interface MetricDefinition {
  /** By the conventions of OpenTelemetry; `prometheusName` turns it into the other one. */
  readonly name: string;
  readonly kind: 'counter' | 'gauge' | 'histogram';
  /** As in UCUM, or in braces what is counted; empty for flags. */
  readonly unit: string;
  readonly help: string;
  readonly labels: readonly LabelName[];
  /** Upper bounds of a histogram. Seconds. */
  readonly bounds?: readonly number[];
}

/** From a local cache's answer to a long completion. */
const DURATION_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** Counted as events happen. */
export const COUNTERS = {
  attempts: {
    name: 'keymux.attempts',
    kind: 'counter',
    unit: '{attempt}',
    help: 'Attempts that ended, by outcome; a request with failover makes several.',
    labels: ['service', 'provider', 'key', 'outcome'],
  },
  requests: {
    name: 'keymux.requests',
    kind: 'counter',
    unit: '{request}',
    help: 'Requests that ended for their caller: answered, failed, refused (no key was to be had) or aborted.',
    labels: ['service', 'end'],
  },
  failovers: {
    name: 'keymux.failovers',
    kind: 'counter',
    unit: '{failover}',
    help: 'Requests that went on with another key, by what the former one met.',
    labels: ['service', 'from_provider', 'to_provider', 'reason'],
  },
  absorbed: {
    name: 'keymux.rate_limits.absorbed',
    kind: 'counter',
    unit: '{attempt}',
    help: 'Attempts refused for a limit (429 and alike) whose request was answered all the same.',
    labels: ['service', 'provider'],
  },
  avoided: {
    name: 'keymux.rate_limits.avoided',
    kind: 'counter',
    unit: '{limit}',
    help: 'Times that a limit was reached and known before it was met: requests waited or took another key, without a 429.',
    labels: ['provider', 'bucket'],
  },
  cooldowns: {
    name: 'keymux.cooldowns',
    kind: 'counter',
    unit: '{cooldown}',
    help: 'Times that a key, bucket or provider was put to rest, by reason and by who set the time.',
    labels: ['provider', 'reason', 'source'],
  },
  recoveries: {
    name: 'keymux.recoveries',
    kind: 'counter',
    unit: '{recovery}',
    help: 'Times that a key, bucket or provider that rested answered again.',
    labels: ['provider'],
  },
  retractions: {
    name: 'keymux.retractions',
    kind: 'counter',
    unit: '{retraction}',
    help: 'Times that all keys were refused alike, so that it was not the keys and their penalties were taken back.',
    labels: ['provider', 'reason'],
  },
  probes: {
    name: 'keymux.probes',
    kind: 'counter',
    unit: '{probe}',
    help: 'Health checks that this process made for its fleet.',
    labels: ['provider', 'outcome'],
  },
  anomalies: {
    name: 'keymux.anomalies',
    kind: 'counter',
    unit: '{anomaly}',
    help: 'Times that the use of a key was found unusual, by kind.',
    labels: ['kind'],
  },
  storeLosses: {
    name: 'keymux.store.losses',
    kind: 'counter',
    unit: '{loss}',
    help: 'Times that the store was lost.',
    labels: [],
  },
} as const satisfies Record<string, MetricDefinition>;

/** Measured as events happen. */
export const DURATIONS = {
  request: {
    name: 'keymux.request.duration',
    kind: 'histogram',
    unit: 's',
    help: "From a request's asking for its first key until its end, which is when its answer begins.",
    labels: ['service', 'end'],
    bounds: DURATION_BOUNDS,
  },
  attempt: {
    name: 'keymux.attempt.duration',
    kind: 'histogram',
    unit: 's',
    help: 'From the selection of a key until the outcome of the attempt was known.',
    labels: ['provider', 'outcome'],
    bounds: DURATION_BOUNDS,
  },
  rescue: {
    name: 'keymux.rescue.duration',
    kind: 'histogram',
    unit: 's',
    help: "From a request's first failed attempt until its success with another key or provider.",
    labels: ['service'],
    bounds: [0.001, 0.0025, ...DURATION_BOUNDS],
  },
  wait: {
    name: 'keymux.wait.duration',
    kind: 'histogram',
    unit: 's',
    help: 'How long requests waited for a key, those that had to.',
    labels: ['service'],
    bounds: DURATION_BOUNDS,
  },
} as const satisfies Record<string, MetricDefinition>;

/** Read when somebody asks. */
export const READINGS = {
  keys: {
    name: 'keymux.keys',
    kind: 'gauge',
    unit: '{key}',
    help: 'Keys by state.',
    labels: ['provider', 'state'],
  },
  keyUsable: {
    name: 'keymux.key.usable',
    kind: 'gauge',
    unit: '',
    help: 'Whether the key would be used now: 1 or 0.',
    labels: ['provider', 'key'],
  },
  keyInFlight: {
    name: 'keymux.key.requests_in_flight',
    kind: 'gauge',
    unit: '{request}',
    help: 'Requests of this process that are under way with the key.',
    labels: ['provider', 'key'],
  },
  keyCooldown: {
    name: 'keymux.key.cooldown_until_timestamp',
    kind: 'gauge',
    unit: 's',
    help: 'When the key may be used again, in Unix time; 0 while it does not rest.',
    labels: ['provider', 'key'],
  },
  keyCost: {
    name: 'keymux.key.cost_usd',
    kind: 'counter',
    unit: '{USD}',
    help: 'What was reported as spent through the key by the whole fleet, as the store knows it. US dollars.',
    labels: ['provider', 'key'],
  },
  permitsLeft: {
    name: 'keymux.bucket.permits_left',
    kind: 'gauge',
    unit: '{permit}',
    help: "Requests that the bucket's tightest limit still allows, as far as this process knows.",
    labels: ['provider', 'bucket'],
  },
  limit: {
    name: 'keymux.bucket.limit',
    kind: 'gauge',
    unit: '{request}',
    help: 'Requests that a limit in force allows in its window.',
    labels: ['provider', 'bucket', 'window'],
  },
  utilisation: {
    name: 'keymux.bucket.utilisation',
    kind: 'gauge',
    unit: '1',
    help: "The share of the bucket's allowance that is spent, configured or stated by the provider, 0 to 1.",
    labels: ['provider', 'bucket'],
  },
  health: {
    name: 'keymux.provider.health',
    kind: 'gauge',
    unit: '1',
    help: "Health score: one minus the share of requests that lately ended in the provider's own trouble.",
    labels: ['provider'],
  },
  circuit: {
    name: 'keymux.provider.circuit',
    kind: 'gauge',
    unit: '',
    help: "The phase of the provider's circuit: 1 for the one it is in, 0 for the others.",
    labels: ['provider', 'phase'],
  },
  waiting: {
    name: 'keymux.waiting_requests',
    kind: 'gauge',
    unit: '{request}',
    help: 'Requests that wait for a key now.',
    labels: ['service'],
  },
  resolution: {
    name: 'keymux.key_resolution.duration',
    kind: 'gauge',
    unit: 's',
    help: 'How long the choice of a key takes: the mean of a sample made for this reading.',
    labels: ['service'],
  },
  degraded: {
    name: 'keymux.store.degraded',
    kind: 'gauge',
    unit: '',
    help: 'Whether this process goes on without its store: 1 or 0.',
    labels: ['store'],
  },
  members: {
    name: 'keymux.fleet.members',
    kind: 'gauge',
    unit: '{process}',
    help: 'Processes that share the store, as far as this one knows.',
    labels: [],
  },
  leader: {
    name: 'keymux.fleet.leader',
    kind: 'gauge',
    unit: '',
    help: 'Whether this process probes for its fleet: 1 or 0.',
    labels: [],
  },
  eventLoop: {
    name: 'keymux.event_loop.delay',
    kind: 'gauge',
    unit: 's',
    help: 'Delay of the event loop since the last reading.',
    labels: ['quantile'],
  },
  tableSize: {
    name: 'keymux.state_table.size',
    kind: 'gauge',
    unit: 'By',
    help: 'Memory of the state table, which all threads of the process share.',
    labels: [],
  },
  memory: {
    name: 'keymux.process.memory',
    kind: 'gauge',
    unit: 'By',
    help: 'Memory of the process: resident, used heap, and outside of the heap.',
    labels: ['kind'],
  },
  managers: {
    name: 'keymux.managers',
    kind: 'gauge',
    unit: '{manager}',
    help: 'Key managers of this thread that are measured.',
    labels: [],
  },
  created: {
    name: 'keymux.manager.created_timestamp',
    kind: 'gauge',
    unit: 's',
    help: 'Since when the key manager is measured, in Unix time.',
    labels: ['manager'],
  },
} as const satisfies Record<string, MetricDefinition>;

export type CounterName = keyof typeof COUNTERS;
export type DurationName = keyof typeof DURATIONS;
export type ReadingName = keyof typeof READINGS;

/** All of them, in the order of the documentation. */
export const METRICS: readonly MetricDefinition[] = [
  ...Object.values(COUNTERS),
  ...Object.values(DURATIONS),
  ...Object.values(READINGS),
];

const UNIT_SUFFIXES: Readonly<Record<string, string>> = { s: '_seconds', By: '_bytes', '1': '_ratio' };

/** As the collector of OpenTelemetry names it for Prometheus, so that both ways lead to one name. */
export function prometheusName({ name, unit, kind }: MetricDefinition): string {
  const total = kind === 'counter' ? '_total' : '';
  return `${name.replaceAll('.', '_')}${UNIT_SUFFIXES[unit] ?? ''}${total}`;
}

/** Makes something for each definition, by its name. */
export function eachOf<Name extends string, Definition extends MetricDefinition, Made>(
  definitions: Readonly<Record<Name, Definition>>,
  make: (definition: Definition) => Made,
): Record<Name, Made> {
  const made = Object.entries<Definition>(definitions).map(([name, definition]) => [name, make(definition)]);
  return Object.fromEntries(made) as Record<Name, Made>;
}
