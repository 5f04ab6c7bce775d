import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * One layer owns a request. What runs in here already carries the key that was chosen for it; the interceptors
 * leave it alone.
 */
const owned = new AsyncLocalStorage<true>();

let used = false;

export function runOwned<T>(work: () => T): T {
  used = true;
  return owned.run(true, work);
}

export function isOwned(): boolean {
  return used && owned.getStore() === true;
}
