/**
 * The audit trail of a program that keymux was preloaded into. Loaded only where a configuration asks for it. Every thread
 * keeps files of its own: none waits for another, and each loses its last batch at most.
 */
export { startConfiguredAudit } from './audit.js';
