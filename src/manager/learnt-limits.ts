/** What answers tell of the limits of their bucket, and who owns it. */
import type { Clock } from '../core/ports.js';
import { LONGEST_BELIEVED_MS, readStatement } from '../core/stated-allowance.js';
import type { Statement } from '../core/stated-allowance.js';
import { limitWindows, tellsLimits } from '../providers/limit-headers.js';
import type { LimitWindow } from '../providers/limit-headers.js';
import type { ResponseHead } from '../providers/response-head.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import type { Lease } from './lease.js';
import type { Member } from './members.js';
import type { Owners } from './owners.js';
import type { Bucket, PermitSource } from './permits.js';

export interface LearningContext {
  readonly table: StateTable;
  readonly permits: PermitSource;
  readonly owners: Pick<Owners, 'learn'>;
  readonly now: Clock;
  /** Nothing of the bucket's allowance is left before this moment. */
  onShortage(member: Member, retryAt: number): void;
}

export function learnFrom(lease: Lease, head: ResponseHead, context: LearningContext): void {
  const { owners, permits } = context;
  owners.learn(lease.member, head);
  if (head.status === 429) permits.hold(lease.member.bucket, context.now());
  // A refusal tells by itself when to come back.
  else if (head.status < 400 && tellsLimits(head)) takeUp(lease, head, context);
}

function takeUp(lease: Lease, head: ResponseHead, context: LearningContext): void {
  const { table, permits } = context;
  const { member } = lease;
  const { bucket: row } = member.rows;
  const now = context.now();
  const { statement, windows, tokensAt } = learntLimits(head, now);
  for (const { requests, perMs } of windows) permits.adjust(member.bucket, requests, perMs, now);
  if (tokensAt !== undefined) context.onShortage(member, tokensAt);
  if (statement === undefined) return;
  const underWay = Math.max(0, table.get(row, COUNTER.pending) - 1);
  const end = believedEnd(statement, member.bucket, permits, now);
  const believed = end === statement.until ? statement : { ...statement, until: end };
  const { left, until } = table.allowances.learn(row, believed, lease.granted, underWay, now);
  if (left === 0) context.onShortage(member, until);
}

/** Providers state the end of a window in whole seconds, rounded up. Milliseconds. */
const ROUNDED_BY_MS = 1_000;

/**
 * Until when what is stated of a window holds. Where we counted every request that its provider did, our own count
 * tells exactly when the next one may go: it decides from there on where what is stated may be rounded up.
 */
function believedEnd(
  { kind, limit, left, until }: Statement,
  bucket: Bucket,
  permits: PermitSource,
  now: number,
): number {
  if (kind !== 'fixed') return until;
  const own = permits.leftInWindows(bucket, now);
  const isCounted = permits
    .limits(bucket)
    .some((each, index) => each === limit && (own[index] ?? Number.POSITIVE_INFINITY) <= left);
  return isCounted ? Math.max(now, until - ROUNDED_BY_MS) : until;
}

/** A window that is configured and stated alike. */
interface StatedWindow {
  readonly requests: number;
  readonly perMs: number;
}

interface LearntLimits {
  /** Of the window with the least left. */
  readonly statement?: Statement;
  readonly windows: readonly StatedWindow[];
  /** No token is left before this moment. */
  readonly tokensAt?: number;
}

/** Tokens that refill little by little are worth a trial when a tenth of them is back. */
const REFILLED_SHARE = 0.1;

/** What the head of an answer tells, as far as it is plausible. */
function learntLimits(head: ResponseHead, now: number): LearntLimits {
  const stated = limitWindows(head, now);
  const requests = stated.filter(({ unit }) => unit === 'requests');
  const statement = requests
    .map((window) => readStatement(window, now))
    .filter((each) => each !== undefined)
    .reduce<Statement | undefined>(tighter, undefined);
  const tokensAt = stated.flatMap((window) => tokensBackAt(window, now) ?? []).sort((a, b) => b - a)[0];
  return {
    windows: requests.flatMap(({ limit, windowMs }) =>
      limit === undefined || windowMs === undefined || !(limit >= 1) || limit === Number.POSITIVE_INFINITY
        ? []
        : [{ requests: Math.floor(limit), perMs: windowMs }],
    ),
    ...(statement === undefined ? {} : { statement }),
    ...(tokensAt === undefined ? {} : { tokensAt }),
  };
}

function tighter(a: Statement | undefined, b: Statement): Statement {
  if (a === undefined || b.left < a.left) return b;
  return b.left === a.left && b.until > a.until ? b : a;
}

function tokensBackAt({ unit, remaining, resetAt, fixed }: LimitWindow, now: number): number | undefined {
  if (unit !== 'tokens' || remaining !== 0 || resetAt === undefined) return undefined;
  const restMs = Math.min(resetAt - now, LONGEST_BELIEVED_MS);
  return now + (fixed ? restMs : restMs * REFILLED_SHARE);
}
