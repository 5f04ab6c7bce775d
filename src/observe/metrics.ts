import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { RequestEvent } from '../manager/events.js';
import type { KeyManager } from '../manager/key-manager.js';
import { measure } from './measures.js';
import type { MeasureSink } from './measures.js';
import { COUNTERS, DURATIONS, eachOf, prometheusName, READINGS } from './metric-definitions.js';
import type { LabelName, Labels, MetricDefinition, ReadingName } from './metric-definitions.js';
import { ProcessReadings } from './process-readings.js';
import { readingsOf } from './readings.js';
import type { Reading } from './readings.js';

const ENDS = ['answered', 'failed', 'refused', 'aborted'] as const satisfies readonly RequestEvent['end'][];

/** The metrics of one manager, for Prometheus. */
export interface Metrics {
  /** For the header `content-type`. */
  readonly contentType: string;
  /** Text exposition format 0.0.4; read anew with each call. */
  text(): Promise<string>;
  /** Stops counting. */
  close(): void;
}

/** Counts from now on. The registry is its own: nothing is added to the one that prom-client shares. */
export function createMetrics(manager: KeyManager): Metrics {
  const registry = new Registry();
  const sink = sinkOf(registry);
  const stops = [measure(manager, sink), manager.on('reloaded', () => beginAtZero(manager, sink))];
  beginAtZero(manager, sink);
  const shown = shownReadings(registry);
  const own = new ProcessReadings(manager);
  return {
    contentType: registry.contentType,
    async text() {
      shown.show([...(await readingsOf(manager)), ...own.read()]);
      return registry.metrics();
    },
    close() {
      for (const stop of stops) stop();
      own.close();
    },
  };
}

function sinkOf(registry: Registry): MeasureSink {
  const counters = eachOf(COUNTERS, (definition) => new Counter(describe(definition, registry)));
  const durations = eachOf(
    DURATIONS,
    (definition) => new Histogram({ ...describe(definition, registry), buckets: [...definition.bounds] }),
  );
  return {
    count: (metric, labels, by = 1) => counters[metric].inc(labels, by),
    time: (metric, labels, seconds) => durations[metric].observe(labels, seconds),
  };
}

/** Prometheus sees no growth where a series begins above 0, as that of the first request that is lost would. */
function beginAtZero(manager: KeyManager, sink: MeasureSink): void {
  for (const { name: service, providers } of manager.configuration.services.values()) {
    for (const end of ENDS) sink.count('requests', { service, end }, 0);
    for (const provider of providers) sink.count('absorbed', { service, provider }, 0);
  }
}

/** A value that is set when it is read; a `Gauge`, or a `Counter` that somebody else counts. */
interface Shown {
  reset(): void;
  set(labels: Labels, value: number): void;
}

function shownReadings(registry: Registry): { show(readings: readonly Reading[]): void } {
  const all = eachOf(READINGS, (definition) => shownReading(describe(definition, registry), definition.kind));
  return {
    show(readings) {
      for (const metric of Object.keys(all) as ReadingName[]) all[metric].reset();
      for (const { metric, labels, value } of readings) all[metric].set(labels, value);
    },
  };
}

function shownReading(configuration: Description, kind: MetricDefinition['kind']): Shown {
  if (kind === 'gauge') return new Gauge(configuration);
  const counter = new Counter(configuration);
  return { reset: () => counter.reset(), set: (labels, value) => counter.inc(labels, value) };
}

interface Description {
  readonly name: string;
  readonly help: string;
  readonly labelNames: LabelName[];
  readonly registers: Registry[];
}

function describe(definition: MetricDefinition, registry: Registry): Description {
  const { help, labels } = definition;
  return { name: prometheusName(definition), help, labelNames: [...labels], registers: [registry] };
}
