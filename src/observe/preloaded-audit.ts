/** The audit trail of a program that keymux was preloaded into. Loaded only where a configuration asks for it. */
import type { KeyManager } from '../manager/key-manager.js';
import { startAudit } from './audit.js';

/** Every thread keeps files of its own: none waits for another, and each loses its last batch at most. */
export function keepAudit(manager: KeyManager): void {
  startAudit(manager);
}
