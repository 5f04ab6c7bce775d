/** The metrics of a manager as instruments of OpenTelemetry. */
import type { Attributes, Meter, MetricOptions, Observable } from '@opentelemetry/api';
import type { KeyManager } from '../manager/key-manager.js';
import { eachOf, COUNTERS, DURATIONS, READINGS } from './metric-definitions.js';
import type { Labels, MetricDefinition } from './metric-definitions.js';
import { measure } from './measures.js';
import { ProcessReadings } from './process-readings.js';
import { readingsOf } from './readings.js';

/** Returns how to stop. */
export function meterManager(manager: KeyManager, meter: Meter): () => void {
  const counters = eachOf(COUNTERS, (definition) =>
    meter.createCounter(definition.name, describe(definition)),
  );
  const durations = eachOf(DURATIONS, (definition) =>
    meter.createHistogram(definition.name, describe(definition)),
  );
  const observables = eachOf(READINGS, (definition: MetricDefinition) =>
    definition.kind === 'counter'
      ? meter.createObservableCounter(definition.name, describe(definition))
      : meter.createObservableGauge(definition.name, describe(definition)),
  );
  const own = new ProcessReadings(manager);
  const stop = measure(manager, {
    count: (metric, labels, by = 1) => counters[metric].add(by, attributesOf(labels)),
    time: (metric, labels, seconds) => durations[metric].record(seconds, attributesOf(labels)),
  });
  const observe: Parameters<Meter['addBatchObservableCallback']>[0] = async (result) => {
    for (const { metric, labels, value } of [...(await readingsOf(manager)), ...own.read()]) {
      result.observe(observables[metric], value, attributesOf(labels));
    }
  };
  const all: Observable[] = Object.values(observables);
  meter.addBatchObservableCallback(observe, all);
  return () => {
    stop();
    own.close();
    meter.removeBatchObservableCallback(observe, all);
  };
}

function describe({ help, unit, bounds }: MetricDefinition): MetricOptions {
  return {
    description: help,
    unit,
    ...(bounds === undefined ? {} : { advice: { explicitBucketBoundaries: [...bounds] } }),
  };
}

function attributesOf(labels: Labels): Attributes {
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [`keymux.${name}`, value]));
}
