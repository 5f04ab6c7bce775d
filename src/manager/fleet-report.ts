import { KeymuxError } from '../core/errors.js';
import type { Census } from '../core/fleet.js';
import type { Store } from '../core/ports.js';

/** The processes that share the store. Times are epoch milliseconds of the store. */
export interface FleetReport {
  readonly at: number;
  /** The oldest first. */
  readonly members: readonly MemberReport[];
  /** Permits that are leased and not settled yet, by bucket. */
  readonly leases: Census['leases'];
}

export interface MemberReport {
  readonly memberId: string;
  readonly host: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly seenAt: number;
  /** Changes of health that it has not heard of yet. */
  readonly behind: number;
  /** The groups whose keys it probes for all, with the token of that leadership. */
  readonly leads: readonly { readonly group: string; readonly token: number; readonly until: number }[];
}

/** Undefined where no process shares the store, or where the store cannot be asked. */
export async function fleetReport(store: Store): Promise<FleetReport | undefined> {
  if (!store.shared) return undefined;
  try {
    return reportOf(await store.census());
  } catch (error) {
    if (error instanceof KeymuxError && error.code === 'KEYMUX_STORE_UNAVAILABLE') return undefined;
    throw error;
  }
}

function reportOf({ at, members, leaders, leases }: Census): FleetReport {
  return {
    at,
    members: members
      .toSorted((a, b) => a.startedAt - b.startedAt || a.memberId.localeCompare(b.memberId))
      .map((member) => ({ ...member, leads: leadsOf(member.memberId, leaders, at) })),
    leases: leases.toSorted((a, b) => a.bucket.localeCompare(b.bucket)),
  };
}

function leadsOf(memberId: string, leaders: Census['leaders'], at: number): MemberReport['leads'] {
  return leaders
    .filter((leader) => leader.memberId === memberId && leader.until > at)
    .map(({ group, token, until }) => ({ group, token, until }));
}
