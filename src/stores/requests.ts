/** Checks at the edge of a store: a wrong number would be kept, and misunderstood by every member. */
import { KeymuxError } from '../core/errors.js';
import type { HealthRecord, LeaseRequest, Settlement, UsageDelta } from '../core/ports.js';

/** Neither `ttlMs` nor `slackMs` of a lease may be longer. Milliseconds. */
export const LONGEST_LEASE_MS = 12 * 3_600_000;

export function checkLease(request: LeaseRequest): void {
  const { bucket, want, ttlMs, slackMs } = request;
  requireText(bucket, 'bucket');
  requireCount(want, `permits wanted of "${bucket}"`);
  requireDuration(ttlMs, `ttlMs of a lease on "${bucket}"`, LONGEST_LEASE_MS);
  requireDuration(slackMs, `slackMs of a lease on "${bucket}"`, LONGEST_LEASE_MS);
  for (const window of request.windows) {
    requireCount(window.requests, `requests of a window of "${bucket}"`);
    requireDuration(window.perMs, `perMs of a window of "${bucket}"`);
  }
}

export function checkSettlement(settlement: Settlement): void {
  const { bucket, leaseId, spent, countedAt, returned } = settlement;
  requireText(bucket, 'bucket');
  requireText(leaseId, `leaseId of a settlement on "${bucket}"`);
  requireCount(spent, `permits spent of "${bucket}"`);
  requireCount(returned, `permits returned to "${bucket}"`);
  if (!Number.isFinite(countedAt)) throw wrong(`countedAt of a settlement on "${bucket}"`, 'a moment');
}

export function checkUsage(delta: UsageDelta): void {
  requireText(delta.subject, 'subject');
  for (const field of ['requests', 'failures', 'costUsd'] as const) {
    if (!Number.isFinite(delta[field])) throw wrong(`${field} of "${delta.subject}"`, 'a finite number');
  }
}

export function checkRecord(record: HealthRecord): void {
  requireText(record.subject, 'subject');
  requireCount(record.disabledVersion, `disabledVersion of "${record.subject}"`);
  if (typeof record.disabled !== 'boolean') throw wrong(`disabled of "${record.subject}"`, 'true or false');
}

export function closedError(): KeymuxError {
  return new KeymuxError('KEYMUX_CLOSED', 'The store was closed, and is not used again.', {
    fix: 'Make a new store, or close this one later.',
  });
}

export function notOpenError(): KeymuxError {
  return new KeymuxError('KEYMUX_USAGE', 'The store is not open yet.', {
    fix: 'Call open() and wait for it before anything else.',
  });
}

function requireText(value: string, what: string): void {
  if (typeof value !== 'string' || value === '') throw wrong(what, 'a text that is not empty');
}

function requireCount(value: number, what: string): void {
  if (!Number.isSafeInteger(value) || value < 0) throw wrong(what, 'a whole number, 0 or more');
}

function requireDuration(value: number, what: string, longest = Number.MAX_VALUE): void {
  if (Number.isFinite(value) && value >= 0 && value <= longest) return;
  throw wrong(
    what,
    longest === Number.MAX_VALUE
      ? 'a number of milliseconds, 0 or more'
      : `a number of milliseconds from 0 to ${String(longest)}`,
  );
}

function wrong(what: string, expected: string): KeymuxError {
  return new KeymuxError('KEYMUX_USAGE', `The store was asked with a wrong number or name: ${what}.`, {
    fix: `Pass ${expected}.`,
  });
}
