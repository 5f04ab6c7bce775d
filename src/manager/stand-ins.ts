import type { Outcome, Scope } from '../core/outcome.js';
import type { Member } from './members.js';
import type { Pool } from './pool.js';

/** The same for all requests that exclude nobody. */
export const NOBODY: ReadonlySet<Member> = new Set();

/** The keys of these providers in a pool. */
export function membersOf(pool: Pool, providers: ReadonlySet<string> | undefined): ReadonlySet<Member> {
  if (providers === undefined || providers.size === 0) return NOBODY;
  const members = new Set<Member>();
  for (const { member } of pool.contenders) if (providers.has(member.provider.id)) members.add(member);
  return members;
}

/** Whether a key can still be had that a verdict on `blamed` says nothing about. */
export function hasStandIn(
  pool: Pool,
  blamed: Member,
  { scope }: Outcome,
  excluded: ReadonlySet<Member>,
  now: number,
): boolean {
  return pool
    .obstacles(now)
    .some(
      ({ contender: { member }, obstacle }) =>
        !excluded.has(member) &&
        !sharesFate(member, blamed, scope) &&
        (obstacle === undefined || obstacle.kind.endsWith('slow-start')),
    );
}

function sharesFate(other: Member, blamed: Member, scope: Scope): boolean {
  if (scope === 'provider' || scope === 'egress') return other.provider.id === blamed.provider.id;
  return scope === 'bucket' ? other.rows.bucket === blamed.rows.bucket : other.keyId === blamed.keyId;
}
