/** The processes that spend from one store, as they see each other. Times are epoch milliseconds of the store. */

/** A process says that it is there; said anew within `ttlMs`, or it counts as gone. */
export interface Presence {
  /** Unique over hosts, processes and restarts. All threads of a process say the same. */
  readonly memberId: string;
  readonly host: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly ttlMs: number;
  /** Members that watch over the same keys; one of each group leads. Absent: it does not stand for election. */
  readonly group?: string;
  /** It was there before, and could not reach the store since. */
  readonly isReturning: boolean;
  /** How many members it knew of when it last heard from the store. 0: it never did. */
  readonly remembered: number;
}

/** What a member learns each time that it says so. */
export interface Fleet {
  /** Members that are there, itself included; during a reunion never fewer than any of them remembers. */
  readonly size: number;
  /** Its place among them by time of joining, from 0: no two of them have the same. */
  readonly rank: number;
  /** Who leads its group; absent where it belongs to none. */
  readonly leader?: Leadership;
  /**
   * Nobody had been heard for longer than they live, and members that return have yet to tell what they spent
   * meanwhile: until this moment each keeps to its share. 0 in ordinary times.
   */
  readonly reunionUntil: number;
}

export interface Leadership {
  readonly memberId: string;
  /** Grows with each change of the leader; what is written under an older one is refused. */
  readonly token: number;
  /** It ends then, unless the leader says again that it is there. */
  readonly until: number;
}

/** Proof of leadership. */
export interface Fence {
  readonly group: string;
  readonly token: number;
}

/** The fleet for people to look at. */
export interface Census {
  readonly at: number;
  readonly members: readonly CensusMember[];
  readonly leaders: readonly (Leadership & { readonly group: string })[];
  /** Permits that are leased and not settled yet. */
  readonly leases: readonly { readonly bucket: string; readonly permits: number; readonly leases: number }[];
}

export interface CensusMember {
  readonly memberId: string;
  readonly host: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly seenAt: number;
  /** Changes of health that it has not heard of yet. */
  readonly behind: number;
}

/** How long a member counts as present without another word. Milliseconds. */
export const PRESENCE_TTL_MS = 3_000;
/** How often it says that it is there. Milliseconds. */
export const BEAT_EVERY_MS = 1_000;
/** How long a reunion lasts: time enough for every member to notice that the store is back. Milliseconds. */
export const REUNION_MS = 2_000;
