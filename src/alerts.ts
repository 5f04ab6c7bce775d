/** Tells people when a rule of `alerts:` is broken or keys are used unusually, for programs that make their key managers themselves. */
export { watchAnomalies } from './observe/anomalies.js';
export type { AnomalyDetection, AnomalyOptions } from './observe/anomalies.js';
export { startAlerts } from './observe/alerts.js';
export type { AlertOptions, Alerts } from './observe/alerts.js';
export type { AlertCounts } from './observe/alert-destinations.js';
export type { AlertPayload } from './observe/alert-payload.js';
