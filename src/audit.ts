/** The audit trail, for programs that make their key managers themselves. */
export type { AdministeredEvent } from './manager/events.js';
