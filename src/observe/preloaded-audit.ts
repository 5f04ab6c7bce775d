/** The audit trail of a program that keymux was preloaded into. Loaded only where a configuration asks for it. */
import type { KeyManager } from '../manager/key-manager.js';

export function keepAudit(_manager: KeyManager): void {}
