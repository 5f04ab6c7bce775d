/** Metrics of a key manager for Prometheus; metrics and traces for OpenTelemetry. */
export { createMetrics } from './observe/metrics.js';
export type { Metrics } from './observe/metrics.js';
export { instrumentOpenTelemetry } from './observe/otel.js';
export type { OpenTelemetryOptions } from './observe/otel.js';
