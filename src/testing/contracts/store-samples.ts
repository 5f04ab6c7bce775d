/** What the contract of a store is tried with. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Health } from '../../core/health.js';
import { PRESENCE_TTL_MS } from '../../core/fleet.js';
import type { Presence } from '../../core/fleet.js';
import type { Charged, HealthRecord, LeaseGrant, LeaseRequest, Store } from '../../core/ports.js';
import type { QuotaWindow } from '../../core/quota.js';

export const DAY: QuotaWindow = { requests: 5, perMs: 86_400_000 };
/** How far the clocks of two members, or of a member and the store, may be apart: as long as a word takes. Milliseconds. */
export const CLOCK_SPREAD_MS = 50;
const POLL_MS = 2;

export function methodCalls(store: Store): (readonly [string, () => unknown])[] {
  const grant: LeaseGrant = {
    leaseId: 'x',
    granted: 1,
    validUntil: 0,
    left: 0,
    leftInWindows: [0],
    retryAt: 0,
    cautiousUntil: 0,
  };
  return [
    ['publish', () => store.publish([record('key:a', healthy(1))])],
    ['watch', () => store.watch(() => {})],
    ['lease', () => store.lease(request(DAY, 1))],
    ['settle', () => store.settle([settlement(grant, { returned: 1 })])],
    ['addUsage', () => store.addUsage([])],
    ['usage', () => store.usage()],
    ['charge', () => store.charge([charged({})], { cautionMs: 0 })],
    ['beat', () => store.beat(presence('a'))],
    ['leave', () => store.leave('a')],
    ['census', () => store.census()],
  ];
}

export function request(window: QuotaWindow, want: number): LeaseRequest {
  return { bucket: 'p/b', windows: [window], want, ttlMs: 10, slackMs: 5 };
}

export function settlement(
  grant: LeaseGrant,
  part: { spent?: number; returned?: number; countedAt?: number },
  bucket = 'p/b',
): Parameters<Store['settle']>[0][number] {
  return { bucket, leaseId: grant.leaseId, spent: 0, returned: 0, countedAt: 0, ...part };
}

export function charged(part: Partial<Charged>): Charged {
  return { bucket: 'p/b', windows: [DAY], leaseId: 'told-1', permits: 1, countedAt: 0, ...part };
}

export function presence(memberId: string, part: Partial<Presence> = {}): Presence {
  return {
    memberId,
    host: 'host',
    pid: 1,
    startedAt: 0,
    ttlMs: PRESENCE_TTL_MS,
    isReturning: false,
    remembered: 0,
    ...part,
  };
}

export function record(subject: string, health: Health, disabled = false, disabledVersion = 0): HealthRecord {
  return { subject, health, disabled, disabledVersion };
}

export function healthy(version: number): Health {
  return { status: 'healthy', version, level: 0, strikes: 0 };
}

export function resting(version: number, untilMs: number): Health {
  return { status: 'resting', version, level: 1, reason: 'rate-limited', until: untilMs, source: 'stated' };
}

export function bySubject<T extends { readonly subject: string }>(items: readonly T[]): T[] {
  return [...items].sort((a, b) => (a.subject < b.subject ? -1 : 1));
}

export async function refuses(code: string, call: () => unknown, what: string): Promise<void> {
  try {
    await call();
  } catch (error) {
    assert.equal((error as { code?: unknown }).code, code, what);
    return;
  }
  assert.fail(`${what} was not refused`);
}

export async function until(condition: () => boolean, withinMs = 10_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `it did not happen within ${String(withinMs)} ms`);
    await delay(POLL_MS);
  }
}

/**
 * Asks when the store says to, until something is granted. A member knows the store's time to within a round trip:
 * it may ask a moment early, and is told anew.
 */
export async function leaseWhenFree(store: Store, wanted: LeaseRequest): Promise<LeaseGrant> {
  for (;;) {
    const grant = await store.lease(wanted);
    if (grant.granted > 0) return grant;
    await until(() => store.now() >= grant.retryAt);
  }
}
