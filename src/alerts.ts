/** Tells people when a rule of `alerts:` is broken, for programs that make their key managers themselves. */
export { startAlerts } from './observe/alerts.js';
export type { AlertOptions, Alerts } from './observe/alerts.js';
export type { AlertCounts } from './observe/alert-destinations.js';
export type { AlertPayload } from './observe/alert-payload.js';
