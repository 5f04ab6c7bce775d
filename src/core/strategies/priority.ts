import type { Contender } from '../select.js';
import { bestOf } from './best-of.js';

/** The lowest priority number; among equals the first. */
export function priority(contenders: readonly Contender[]): number {
  return bestOf(contenders, (one, other) => one.priority < other.priority);
}
