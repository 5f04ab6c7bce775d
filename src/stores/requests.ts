/** Checks at the edge of a store: a wrong number would be kept, and misunderstood by every member. */
import { KeymuxError } from '../core/errors.js';
import type { Presence } from '../core/fleet.js';
import type { Charged, HealthRecord, LeaseRequest, Settlement, UsageDelta } from '../core/ports.js';
import type { QuotaWindow } from '../core/quota.js';

/** Neither `ttlMs` nor `slackMs` of a lease may be longer. Milliseconds. */
export const LONGEST_LEASE_MS = 12 * 3_600_000;
/** Nobody is kept from a bucket for longer because of what others have yet to tell. Milliseconds. */
export const LONGEST_CAUTION_MS = 60_000;
/** A member that says that it is there cannot count as present for longer. Milliseconds. */
export const LONGEST_PRESENCE_MS = 3_600_000;

export function checkLease(request: LeaseRequest): void {
  const { bucket, want, ttlMs, slackMs } = request;
  requireText(bucket, 'bucket');
  requireCount(want, `permits wanted of "${bucket}"`);
  requireDuration(ttlMs, `ttlMs of a lease on "${bucket}"`, LONGEST_LEASE_MS);
  requireDuration(slackMs, `slackMs of a lease on "${bucket}"`, LONGEST_LEASE_MS);
  requireWindows(request.windows, bucket);
}

export function checkCharge({ bucket, windows, leaseId, permits, countedAt }: Charged): void {
  requireText(bucket, 'bucket');
  requireText(leaseId, `leaseId of a charge on "${bucket}"`);
  requireCount(permits, `permits charged to "${bucket}"`);
  requireMoment(countedAt, `countedAt of a charge on "${bucket}"`);
  requireWindows(windows, bucket);
}

export function checkCaution(cautionMs: number): void {
  requireDuration(cautionMs, 'cautionMs of a charge', LONGEST_CAUTION_MS);
}

export function checkPresence(presence: Presence): void {
  const { memberId, host, pid, startedAt, ttlMs, group, isReturning, remembered } = presence;
  requireText(memberId, 'memberId');
  requireText(host, `host of member "${memberId}"`);
  requireCount(pid, `pid of member "${memberId}"`);
  requireMoment(startedAt, `startedAt of member "${memberId}"`);
  requireDuration(ttlMs, `ttlMs of member "${memberId}"`, LONGEST_PRESENCE_MS);
  if (group !== undefined) requireText(group, `group of member "${memberId}"`);
  if (typeof isReturning !== 'boolean') throw wrong(`isReturning of member "${memberId}"`, 'true or false');
  requireCount(remembered, `members remembered by "${memberId}"`);
}

export function checkSettlement(settlement: Settlement): void {
  const { bucket, leaseId, spent, countedAt, returned } = settlement;
  requireText(bucket, 'bucket');
  requireText(leaseId, `leaseId of a settlement on "${bucket}"`);
  requireCount(spent, `permits spent of "${bucket}"`);
  requireCount(returned, `permits returned to "${bucket}"`);
  requireMoment(countedAt, `countedAt of a settlement on "${bucket}"`);
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

function requireWindows(windows: readonly QuotaWindow[], bucket: string): void {
  for (const window of windows) {
    requireCount(window.requests, `requests of a window of "${bucket}"`);
    requireDuration(window.perMs, `perMs of a window of "${bucket}"`);
  }
}

function requireMoment(value: number, what: string): void {
  if (!Number.isFinite(value)) throw wrong(what, 'a moment');
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
