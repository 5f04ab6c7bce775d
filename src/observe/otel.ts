import { createNoopMeter, metrics, trace } from '@opentelemetry/api';
import type { Meter, Tracer, TracerProvider } from '@opentelemetry/api';
import type { KeyManager } from '../manager/key-manager.js';
import { meterManager } from './otel-metrics.js';
import { traceManager } from './otel-traces.js';

/** With which tracer and meter. */
export interface OpenTelemetryOptions {
  /** Default: that of the registered SDK, if there is one. */
  readonly tracer?: Tracer;
  /** Default: that of the registered SDK, if there is one. */
  readonly meter?: Meter;
}

const SCOPE = 'keymux';

/**
 * A span for each request, with one for each of its attempts below it, and all metrics. Register the SDK before: where
 * there is none, nothing is listened to, and nothing is spent. Returns how to stop.
 */
export function instrumentOpenTelemetry(manager: KeyManager, options: OpenTelemetryOptions = {}): () => void {
  const tracer = options.tracer ?? registeredTracer();
  const meter = options.meter ?? registeredMeter();
  const stops = [
    ...(tracer === undefined ? [] : [traceManager(manager, tracer)]),
    ...(meter === undefined ? [] : [meterManager(manager, meter)]),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

/** The API hands out a proxy of the SDK's tracer, which stands for nothing until an SDK is registered. */
function registeredTracer(): Tracer | undefined {
  const provider = trace.getTracerProvider() as TracerProvider & {
    getDelegateTracer?(name: string): Tracer | undefined;
  };
  return provider.getDelegateTracer === undefined
    ? provider.getTracer(SCOPE)
    : provider.getDelegateTracer(SCOPE);
}

function registeredMeter(): Meter | undefined {
  const meter = metrics.getMeter(SCOPE);
  return meter === createNoopMeter() ? undefined : meter;
}
