/** The alerts of a program that keymux was preloaded into. Loaded only where a configuration has some. */
import { isMainThread } from 'node:worker_threads';
import type { KeyManager } from '../manager/key-manager.js';
import { relayOccurrences } from './alert-occurrences.js';
import { startAlerts } from './alerts.js';

/** The main thread watches for all threads; the others tell it what happens in them. */
export function watchAlerts(manager: KeyManager): void {
  if (isMainThread) startAlerts(manager);
  else relayOccurrences(manager);
}
