/** What one thread knows and holds of a bucket that it leases from. */
import { fallSince, scarcity, scarcityAfterShortage } from '../core/fair-share.js';
import type { Farewell, Hearsay, LastAnswer } from '../core/fair-share.js';
import { arrivalSlackMs } from '../core/quota.js';
import type { QuotaWindow } from '../core/quota.js';
import type { LeaseGrant, MaybePromise } from '../core/ports.js';
import type { LocalPermits } from './local-permits.js';
import type { Bucket, Permit, Shortage } from './permits.js';

export interface Account {
  bucket: Bucket;
  readonly slackMs: number;
  readonly shortestMs: number;
  /** Whether this process counts along what it is given. */
  countsAlong: boolean;
  batch: Batch | undefined;
  ahead: number;
  left: { readonly permits: number; readonly knownUntil: number } | undefined;
  /** Requests that wait for the answer to the next question; present while one is asked. */
  waiting: Waiting[] | undefined;
  answer: LastAnswer | undefined;
  hearsay: Hearsay | undefined;
  /** The table's position after the permits that were granted with that answer. */
  positionThen: number;
  /** What was granted, in ascending order, where the process does not count along. */
  granted: readonly Granted[];
  /** Present while this process keeps to its share. */
  farewell: Farewell | undefined;
  cautiousUntil: number;
  /** Until then others may not have told yet what they spent, so that leases keep to the share, too. */
  guardedUntil: number;
}

export interface Batch {
  readonly leaseId: string;
  readonly validUntil: number;
  readonly sendBefore: number;
  readonly expiry: NodeJS.Timeout;
  readonly granted: number;
  unspent: number;
}

export interface Waiting {
  resolve(answer: MaybePromise<Permit | Shortage>): void;
  reject(error: unknown): void;
}

interface Granted {
  readonly permits: number;
  readonly countedAt: number;
}

/** Larger limits are kept in groups by the table, more carefully than the store keeps them; see `StateTable.settle`. */
const LARGEST_EXACT_LIMIT = 65_536;
const MOST_GRANTS = 128;

export function newAccount(bucket: Bucket): Account {
  const { windows } = bucket;
  return {
    bucket,
    slackMs: arrivalSlackMs(windows),
    shortestMs: Math.min(...windows.map((window) => window.perMs)),
    countsAlong: Math.max(...windows.map((window) => window.requests)) <= LARGEST_EXACT_LIMIT,
    batch: undefined,
    ahead: 1,
    left: undefined,
    waiting: undefined,
    answer: undefined,
    hearsay: undefined,
    positionThen: 0,
    granted: [],
    farewell: undefined,
    cautiousUntil: 0,
    guardedUntil: 0,
  };
}

/** What is done with the table of the process; undefined where that does not count along. */
export function countAlong<T>(
  account: Account,
  own: LocalPermits,
  work: (own: LocalPermits) => T,
): T | undefined {
  if (!account.countsAlong) return undefined;
  try {
    return work(own);
  } catch {
    // The table has no room for it; that only matters while the store cannot be asked, and is told then.
    account.countsAlong = false;
    return undefined;
  }
}

/** Takes up what the store said. */
export function noteAnswer(account: Account, grant: LeaseGrant, own: LocalPermits, at: number): void {
  const { granted, leftInWindows: left } = grant;
  account.left = { permits: grant.left, knownUntil: at + account.shortestMs };
  account.answer = { at, left, fallPerMs: fallSince(account.answer, { at, left }, granted) };
  const { since, scarceUntil = [] } = account.hearsay ?? {};
  account.hearsay = {
    since: since === undefined ? Number.POSITIVE_INFINITY : Math.min(since, at),
    scarceUntil: scarcity(account.bucket.windows, scarceUntil, { at, left }),
  };
  if (at >= account.guardedUntil) account.farewell = undefined;
  const position = countAlong(account, own, (table) => table.noteAnswer(account.bucket, grant.left, granted));
  account.positionThen = (position ?? 0) + granted;
  if (!account.countsAlong && granted > 0) account.granted = withGrant(account.granted, grant);
}

/** A request was not served though others may have been. */
export function noteShortage(account: Account, at: number): void {
  const { bucket, hearsay } = account;
  if (hearsay === undefined) return;
  const scarceUntil = scarcityAfterShortage(bucket.windows, hearsay.scarceUntil, at);
  account.hearsay = { ...hearsay, scarceUntil };
}

/** Of many, neighbours become one, dated to the later. */
function withGrant(
  granted: readonly Granted[],
  { granted: permits, validUntil }: LeaseGrant,
): readonly Granted[] {
  const all = [...granted, { permits, countedAt: validUntil }];
  if (all.length <= MOST_GRANTS) return all;
  // From the end, so that the latest is not left without a neighbour.
  return all.flatMap((grant, index) => {
    if ((all.length - index) % 2 === 0) return [];
    return [{ permits: grant.permits + (all[index - 1]?.permits ?? 0), countedAt: grant.countedAt }];
  });
}

/** The windows of a bucket with the limits in force. */
export function windowsInForce(bucket: Bucket, own: LocalPermits): readonly QuotaWindow[] {
  const limits = own.limits(bucket);
  const isLowered = bucket.windows.some(({ requests }, index) => limits[index] !== requests);
  if (!isLowered) return bucket.windows;
  return bucket.windows.map((window, index) => ({ ...window, requests: limits[index] ?? window.requests }));
}
