/** How many permits a member leases at a time: few, so that nothing lies idle in one while another waits. */

export interface LeaseNeed {
  /** The lowest limit in force. */
  readonly limit: number;
  /** Members that lease from the same limit, 1 or more. */
  readonly members: number;
  /** Requests of this member that wait for a permit now. */
  readonly waiting: number;
  /** What was found worth holding ahead: see `nextAhead`. */
  readonly ahead: number;
}

/** Limits up to this are never leased ahead of demand. */
const SINGLE_PERMIT_LIMIT = 128;
const LARGEST_BATCH = 256;
/** No member holds more than this part of its share ahead of demand. */
const PARTS = 16;
const BATCH_TTL_MS = 1_000;

/** The most permits that one member leases ahead of demand; 0 for a limit that is leased request by request. */
export function mostAhead(limit: number, members: number): number {
  if (limit <= SINGLE_PERMIT_LIMIT) return 0;
  return Math.min(LARGEST_BATCH, Math.floor(limit / members / PARTS));
}

/** Permits to ask for: for all who wait, at most a share of the limit, or else a batch to hold. At least 1. */
export function leaseSize({ limit, members, waiting, ahead }: LeaseNeed): number {
  const forWaiting = Math.min(waiting, Math.floor(limit / members));
  return Math.max(1, forWaiting, Math.min(ahead, mostAhead(limit, members)));
}

/** A batch that was used up in time may be twice as large next time; one that was not, half as large. */
export function nextAhead(ahead: number, wasUsedUp: boolean): number {
  return wasUsedUp ? Math.min(LARGEST_BATCH, ahead * 2) : Math.max(1, Math.floor(ahead / 2));
}

/** How long a batch may be held. Half the shortest window, so that no permit of it outlives what it was counted in. */
export function batchTtlMs(shortestWindowMs: number): number {
  return Math.min(BATCH_TTL_MS, shortestWindowMs / 2);
}
