/** Keys of one owner share one bucket, unless the configuration says otherwise. */
import { KEY_POLICY } from '../core/health.js';
import type { Outcome } from '../core/outcome.js';
import type { QuotaWindow } from '../core/quota.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import type { Events } from './events.js';
import type { Member } from './members.js';
import type { Owners } from './owners.js';
import type { Bucket, PermitSource } from './permits.js';

/** Keys that share a bucket, as `shareBuckets` found them. */
export interface SharedBucket {
  readonly bucket: Bucket;
  /** As they were before; the bucket is that of the first. */
  readonly members: readonly Member[];
}

/**
 * Which keys share a bucket since they have the same owner (a number above 0). A declared bucket is left alone; the
 * others go to the bucket of the first of them, under the lowest limit that any of them has for each window.
 */
export function findSharedBuckets(
  members: Iterable<Member>,
  ownerOf: (member: Member) => number,
): SharedBucket[] {
  const groups = new Map<number, Member[]>();
  for (const member of members) {
    if (member.bucketSource === 'declared' || member.provider.bucketScope === 'egress') continue;
    const owner = ownerOf(member);
    if (owner !== 0) groups.set(owner, [...(groups.get(owner) ?? []), member]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined || group.length < 2) return [];
    const windows = lowest(group.flatMap(({ bucket }) => bucket.windows));
    return [{ bucket: { name: first.bucket.name, windows }, members: group }];
  });
}

function lowest(windows: readonly QuotaWindow[]): QuotaWindow[] {
  const byLength = new Map<string, QuotaWindow>();
  for (const window of windows) {
    const length = JSON.stringify([window.perMs, window.calendar]);
    const known = byLength.get(length);
    if (known === undefined || window.requests < known.requests) byLength.set(length, window);
  }
  return [...byLength.values()];
}

export interface MoveContext {
  readonly table: StateTable;
  readonly permits: PermitSource;
  readonly events: Events;
  now(): number;
  random(): number;
}

interface Sharing {
  readonly sharedBuckets: readonly SharedBucket[];
  memberOf(keyId: string): Member;
}

/** Moves what is known of buckets along with their keys, and tells of each shared bucket once. */
export class BucketMoves {
  readonly #told = new Set<string>();

  follow(roster: Sharing, owners: Pick<Owners, 'learntHere'>, context: MoveContext): void {
    for (const { bucket, members } of roster.sharedBuckets) {
      for (const member of members) {
        carryOver(member, roster.memberOf(member.keyId), owners.learntHere(member), context);
      }
      const keys = members.map(({ keyId }) => keyId);
      const text = `${bucket.name}: ${keys.join(', ')}`;
      if (this.#told.has(text)) continue;
      this.#told.add(text);
      const header = members[0]?.provider.ownerHeader ?? '';
      context.events.emit('shared-bucket', { bucket: bucket.name, keys, header, at: context.now() });
    }
  }
}

/**
 * A key leaves its bucket for a shared one. What was spent, what was stated and a rest go along, on the careful side:
 * spent permits count as of now. One thread of the process does it; `learntHere` does it in the store too.
 */
function carryOver(from: Member, to: Member, learntHere: boolean, context: MoveContext): void {
  const { table, permits } = context;
  const [source, target] = [from.rows.bucket, to.rows.bucket];
  if (source === target) return;
  const isFirst = table.add(source, COUNTER.owner, 1) === 1;
  const now = context.now();
  void permits.carryOver(from.bucket, to.bucket, now, { table: isFirst, store: isFirst && learntHere });
  if (!isFirst) return;
  table.allowances.inherit(target, source, now);
  table.setBlockedUntil(target, Math.max(table.blockedUntil(source), table.blockedUntil(target)));
  const rest = table.health(source);
  if (rest.status !== 'resting' || rest.until <= now) return;
  const outcome: Outcome = {
    kind: rest.reason,
    scope: 'bucket',
    executed: 'no',
    ...(rest.source === 'stated' ? { retryAt: rest.until } : {}),
  };
  const event = { type: 'outcome', outcome, seenVersion: table.version(target) } as const;
  table.update(target, event, KEY_POLICY, now, () => context.random());
}
