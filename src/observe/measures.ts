/** Turns the events of a manager into what is counted and timed, for Prometheus and OpenTelemetry alike. */
import type { OutcomeKind } from '../core/outcome.js';
import type {
  AttemptEvent,
  EventName,
  FailoverEvent,
  Listener,
  RequestEvent,
  RestEvent,
} from '../manager/events.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { CounterName, DurationName, Labels } from './metric-definitions.js';
import { LabelBound, MOST_LABELLED_KEYS } from './label-bound.js';
import { Limits } from './limits-met.js';

export interface MeasureSink {
  count(metric: CounterName, labels: Labels, by?: number): void;
  time(metric: DurationName, labels: Labels, seconds: number): void;
}

/** Returns how to stop. */
export function measure(manager: KeyManager, sink: MeasureSink): () => void {
  const measures = new Measures(sink);
  const stops = measures.listen((name, listener) => manager.on(name, listener));
  return () => stops.forEach((stop) => stop());
}

type Listen = <Name extends EventName>(name: Name, listener: Listener<Name>) => () => void;

class Measures {
  readonly #sink: MeasureSink;
  readonly #limits = new Limits();
  readonly #keys = new LabelBound(MOST_LABELLED_KEYS);
  readonly #buckets = new LabelBound(MOST_LABELLED_KEYS);

  constructor(sink: MeasureSink) {
    this.#sink = sink;
  }

  listen(on: Listen): (() => void)[] {
    const sink = this.#sink;
    return [
      on('attempt', (event) => this.#attempt(event)),
      on('request', (event) => this.#request(event)),
      on('failover', (event) => this.#failover(event)),
      on('cooldown', (event) => this.#rest(event)),
      on('rejected', (event) => this.#rest(event)),
      on('quota', ({ bucket, retryAt, at }) => {
        if (!this.#limits.reached(bucket, retryAt, at)) return;
        sink.count('avoided', { provider: providerOf(bucket), bucket: this.#buckets.of(bucket) });
      }),
      on('recovered', ({ subject }) => sink.count('recoveries', { provider: providerOf(subject) })),
      on('refused-alike', ({ provider, reason }) => sink.count('retractions', { provider, reason })),
      on('probe', ({ subject, outcome }) => sink.count('probes', { provider: providerOf(subject), outcome })),
      on('anomaly', ({ kind }) => sink.count('anomalies', { kind })),
      on('degraded', () => sink.count('storeLosses', {})),
    ];
  }

  #attempt({ requestId, service, provider, key, outcome, latencyMs }: AttemptEvent): void {
    this.#sink.count('attempts', { service, provider, key: this.#keys.of(key), outcome });
    this.#sink.time('attempt', { provider, outcome }, latencyMs / 1_000);
    if (requestId !== undefined && isLimit(outcome)) this.#limits.refused(requestId, provider);
  }

  #request({ requestId, service, end, durationMs, rescuedAfterMs, waitedMs }: RequestEvent): void {
    this.#sink.count('requests', { service, end });
    this.#sink.time('request', { service, end }, durationMs / 1_000);
    if (rescuedAfterMs !== undefined) this.#sink.time('rescue', { service }, rescuedAfterMs / 1_000);
    if (waitedMs > 0) this.#sink.time('wait', { service }, waitedMs / 1_000);
    const refusals = this.#limits.ended(requestId);
    if (end !== 'answered') return;
    for (const [provider, count] of refusals) this.#sink.count('absorbed', { service, provider }, count);
  }

  #failover({ service, from, to, reason }: FailoverEvent): void {
    const providers = { from_provider: providerOf(from), to_provider: providerOf(to) };
    this.#sink.count('failovers', { service, ...providers, reason });
  }

  #rest({ subject, reason, source }: RestEvent): void {
    this.#sink.count('cooldowns', { provider: providerOf(subject), reason, source });
  }
}

function isLimit(outcome: OutcomeKind): boolean {
  return outcome === 'rate-limited' || outcome === 'quota-exhausted';
}

/** Of a key, a bucket, or of itself. */
export function providerOf(subject: string): string {
  return subject.split('/', 1)[0] ?? subject;
}
