/** What is left of a bucket's allowance as a provider states it in its answers, counted on by us. */

export interface StatedAllowance {
  /**
   * `fixed`: the window ends at `until`. `refilling`: permits come back step by step, the next ones at `until`.
   * `returning`: a window has ended and no answer has told of the new one yet; forgotten at `until`.
   */
  readonly kind: 'fixed' | 'refilling' | 'returning';
  /** Requests that may still be sent. */
  readonly left: number;
  readonly until: number;
}

export interface AllowanceTerms {
  /** 0 where it is not known. */
  readonly limit: number;
  /** Of a refilling allowance: `gain` permits come back every `stepMs`. */
  readonly gain: number;
  readonly stepMs: number;
}

/** What one answer states, found plausible. */
export interface Statement extends AllowanceTerms, StatedAllowance {
  readonly kind: 'fixed' | 'refilling';
}

/** What headers say, in any state of truth. Epoch milliseconds. */
export interface StatedNumbers {
  readonly remaining?: number;
  readonly limit?: number;
  readonly windowMs?: number;
  readonly resetAt?: number;
  /** Nothing comes back before `resetAt`; otherwise `resetAt` is when all has come back. */
  readonly fixed: boolean;
}

/** What is known of the request whose answer makes a statement. */
export interface Evidence {
  /** Requests that were let go after it: the provider may not have counted them. Undefined where nobody counted. */
  readonly grantedAfter: number | undefined;
  /** Other requests under way. */
  readonly underWay: number;
  /** It was let go after the allowance was lowered last, and after any other request whose answer was heard. */
  readonly isRecent: boolean;
}

/** Ends of windows further off are cut to this: a wrong one then costs a day, and a true one a trial a day. */
export const LONGEST_BELIEVED_MS = 86_400_000;
/** How long a new window is entered gradually, unless an answer tells of it first. */
export const RETURN_MS = 1_000;
/** Requests that may enter a new window before its first answer, where less was left of the old one. */
const MOST_RETURNING = 4;
const SHORTEST_STEP_MS = 100;
/** Larger counts tell nothing. */
export const HIGHEST_COUNT = 2 ** 28;

/** Undefined where nothing follows from the numbers: what is missing, negative, not finite or over already. */
export function readStatement(numbers: StatedNumbers, now: number): Statement | undefined {
  const left = countOf(numbers.remaining);
  const ownEnd = numbers.resetAt ?? (numbers.windowMs === undefined ? undefined : now + numbers.windowMs);
  if (left === undefined || ownEnd === undefined || !(ownEnd > now) || ownEnd === Number.POSITIVE_INFINITY)
    return undefined;
  const limit = countOf(numbers.limit) ?? 0;
  const restMs = Math.min(ownEnd - now, LONGEST_BELIEVED_MS);
  if (numbers.fixed) return { kind: 'fixed', left, until: now + restMs, limit, gain: 0, stepMs: 0 };
  const permitMs = restMs / Math.max(1, limit - left);
  const stepMs = Math.ceil(Math.max(SHORTEST_STEP_MS, permitMs));
  const gain = Math.max(1, Math.floor(stepMs / permitMs));
  return { kind: 'refilling', left, until: now + stepMs, limit: Math.max(limit, left), gain, stepMs };
}

/** The allowance as it is at `now`; undefined once it is forgotten, the same object where nothing changes. */
export function allowanceAt(
  allowance: StatedAllowance,
  { limit, gain, stepMs }: AllowanceTerms,
  now: number,
): StatedAllowance | undefined {
  const { kind, left, until } = allowance;
  if (now < until) return allowance;
  switch (kind) {
    case 'returning':
      return undefined;
    case 'fixed': {
      const share = limit === 0 ? MOST_RETURNING : Math.floor(limit / MOST_RETURNING);
      // A new window lets in no fewer than the old one had left.
      const entering = Math.max(left, Math.min(MOST_RETURNING, Math.max(1, share)));
      return { kind: 'returning', left: entering, until: now + RETURN_MS };
    }
    case 'refilling': {
      // Where nothing was left a trial goes first: not everything that is said to refill does so evenly.
      if (left === 0) return { kind: 'returning', left: 1, until: now + RETURN_MS };
      const steps = Math.floor((now - until) / stepMs) + 1;
      return { kind, left: Math.min(limit, left + steps * gain), until: until + steps * stepMs };
    }
  }
}

/**
 * The allowance after a statement; the same object where it changes nothing. Lowered at once: what was said, less the
 * requests that were let go after the one that was answered. Raised only by a recent answer, and never above what was
 * said less what is under way: an older answer that comes late cannot raise it.
 */
export function afterStatement(
  current: StatedAllowance | undefined,
  { kind, left, until }: Statement,
  { grantedAfter, underWay, isRecent }: Evidence,
): StatedAllowance | undefined {
  const careful = Math.max(0, left - Math.max(grantedAfter ?? 0, underWay));
  if (current === undefined) return { kind, left: careful, until };
  if (current.kind === 'returning') return isRecent ? { kind, left: careful, until } : current;
  const lowered = Math.max(0, left - (grantedAfter ?? underWay));
  if (lowered <= current.left) return { kind, left: lowered, until };
  if (!isRecent) return current;
  return { kind, left: Math.max(current.left, careful), until };
}

function countOf(value: number | undefined): number | undefined {
  if (value === undefined || !(value >= 0) || value === Number.POSITIVE_INFINITY) return undefined;
  return Math.min(HIGHEST_COUNT, Math.floor(value));
}
