import type { Configuration } from '../config/configuration.js';
import type { Fact } from '../core/decision.js';
import { factOf } from '../core/decision.js';
import { phaseOf } from '../core/health.js';
import type { Health, Phase } from '../core/health.js';
import type { DeadlineSource } from '../core/outcome.js';
import type { Obstacle } from '../core/select.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import { healthScore } from './health-score.js';
import type { BucketSource, Member } from './members.js';
import { standingOf } from './members.js';
import type { MemberState, MembershipView } from './membership.js';
import type { PermitSource } from './permits.js';
import type { Pool } from './pool.js';
import type { Testimony } from './testimony.js';

/** The state of a manager, without a secret. Times are epoch milliseconds. */
export interface Snapshot {
  readonly name: string;
  readonly at: number;
  readonly store: StoreSnapshot;
  /** This process as one of its fleet; absent where it shares with nobody, or only looks on. */
  readonly fleet?: FleetSnapshot;
  readonly sources: readonly string[];
  readonly notes: readonly string[];
  readonly services: readonly ServiceSnapshot[];
  readonly providers: readonly ProviderSnapshot[];
  readonly keys: readonly KeySnapshot[];
}

export interface StoreSnapshot {
  readonly kind: string;
  readonly shared: boolean;
  /** Why the state is this process' own for now; absent while all is well. */
  readonly trouble?: string;
}

/** This process as one of those that share its store. */
export interface FleetSnapshot {
  readonly memberId: string;
  /** How many share, as far as this process knows. */
  readonly size: number;
  /** Its place among them, from 0. */
  readonly rank: number;
  /** `alone`: the store does not answer; `returning`: it does again, and what all spent meanwhile is not told yet. */
  readonly state: MemberState;
  /** Since when the store does not answer. */
  readonly lostSince?: number;
  /** Whether it probes for all. */
  readonly leads: boolean;
  /** The member that does. */
  readonly leader?: string;
}

/** A service, its providers and how one of their keys is picked. */
export interface ServiceSnapshot {
  readonly name: string;
  readonly strategy: string;
  readonly providers: readonly string[];
  /** The key of the next request; absent while every key is out. */
  readonly next?: string;
}

/** A provider as it fares now. */
export interface ProviderSnapshot {
  readonly id: string;
  readonly origins: readonly string[];
  readonly mode: string;
  readonly circuit: Phase;
  readonly until?: number;
  /** One minus the share of requests that lately ended in the provider's own trouble, 0 to 1. */
  readonly healthScore: number;
}

/** A key as it fares now, by its id. */
export interface KeySnapshot {
  /** `provider/id`. */
  readonly id: string;
  readonly provider: string;
  readonly bucket: string;
  /** Of this key alone, named in the configuration, or shared since answers name one owner of several keys. */
  readonly bucketSource: BucketSource;
  readonly foundIn: string;
  readonly state:
    'ready' | 'unproven' | 'returning' | 'resting' | 'rejected' | 'out-of-permits' | 'disabled' | 'expired';
  readonly reason?: string;
  readonly until?: number;
  readonly source?: DeadlineSource;
  /** From then on it is not used any more; absent where no end is planned. */
  readonly expiresAt?: number;
  readonly uses: number;
  readonly failures: number;
  readonly inFlight: number;
  readonly latencyMs: number;
  readonly limits: readonly LimitSnapshot[];
  /** Permits left in the tightest window, where a limit is known. */
  readonly permitsLeft?: number;
  /** What the provider stated last of the bucket's allowance, counted on by what was sent since. */
  readonly stated?: StatedSnapshot;
}

export interface LimitSnapshot {
  readonly requests: number;
  readonly perMs: number;
  /** The limit in force, where the provider stated a lower one than is configured. */
  readonly stated?: number;
  /** Requests that this window still lets through, as far as this process knows; absent where it does not. */
  readonly left?: number;
}

export interface StatedSnapshot {
  /** Requests that may still be sent before `until`. */
  readonly left: number;
  readonly limit?: number;
  /**
   * When the window ends (`fixed`) or the next requests are let in (`refilling`). `returning`: the window has ended,
   * and no answer has told of the new one yet.
   */
  readonly until: number;
  readonly kind: 'fixed' | 'refilling' | 'returning';
}

/** Which key the next request of a service gets, and why not the others. */
export interface Explanation {
  readonly service: string;
  readonly strategy: string;
  readonly at: number;
  readonly next?: string;
  /** In the order of preference. */
  readonly candidates: readonly {
    readonly key: string;
    readonly usable: boolean;
    /** Why it is passed over, or why it is chosen. */
    readonly because: string;
    readonly until?: number;
    readonly source?: DeadlineSource;
    /** How keymux knows of what stands in its way; absent where nothing does. */
    readonly fact?: Fact;
    /** The shared bucket; absent where the key has its own. */
    readonly bucket?: { readonly name: string; readonly source: 'declared' | 'learnt' };
    readonly stated?: StatedSnapshot;
  }[];
}

export interface Inspected {
  readonly name: string;
  readonly configuration: Configuration;
  readonly pools: ReadonlyMap<string, Pool>;
  readonly table: StateTable;
  readonly permits: PermitSource;
  readonly store: { readonly kind: string; readonly shared: boolean };
  readonly storeTrouble: string | undefined;
  readonly membership?: MembershipView | undefined;
}

export function inspect(subject: Inspected, now: number): Snapshot {
  const { name, configuration, pools, table, permits, store, storeTrouble, membership } = subject;
  const members = new Map<string, { member: Member; obstacle: Obstacle | undefined }>();
  for (const pool of pools.values()) {
    for (const { contender, obstacle } of pool.obstacles(now)) {
      members.set(contender.member.keyId, { member: contender.member, obstacle });
    }
  }
  const keys = [...members.values()].map(({ member, obstacle }) =>
    keySnapshot(member, obstacle, table, permits, now),
  );
  return {
    name,
    at: now,
    store: {
      kind: store.kind,
      shared: store.shared,
      ...(storeTrouble === undefined ? {} : { trouble: storeTrouble }),
    },
    ...(membership === undefined ? {} : { fleet: fleetSnapshot(membership) }),
    sources: configuration.sources,
    notes: configuration.notes,
    services: [...configuration.services.values()].map(({ name: service, strategy, providers }) => {
      const next = pools.get(service)?.next()?.keyId;
      return { name: service, strategy, providers, ...(next === undefined ? {} : { next }) };
    }),
    providers: [...configuration.providers.values()].map(({ id, origins, mode }) => {
      const row = table.subject(`provider:${id}`);
      const health = table.health(row);
      return {
        id,
        origins,
        mode,
        circuit: phaseOf(health, now),
        ...untilOf(health, now),
        healthScore: healthScore(table, row, now),
      };
    }),
    keys,
  };
}

function fleetSnapshot(membership: MembershipView): FleetSnapshot {
  const { memberId, place, standing, lostSince, fence, leadership } = membership;
  return {
    memberId,
    size: place.size,
    rank: place.rank,
    state: standing,
    ...(lostSince === undefined ? {} : { lostSince }),
    leads: fence !== undefined,
    ...(leadership === undefined ? {} : { leader: leadership.memberId }),
  };
}

export function explain(
  pool: Pool,
  strategy: string,
  table: StateTable,
  testimony: Testimony,
  now: number,
): Explanation {
  const next = pool.next();
  const rows = pool.obstacles(now).toSorted((a, b) => a.contender.priority - b.contender.priority);
  return {
    service: pool.service,
    strategy,
    at: now,
    ...(next === undefined ? {} : { next: next.keyId }),
    candidates: rows.map(({ contender: { member }, obstacle }) => ({
      key: member.keyId,
      usable: obstacle === undefined || obstacle.kind.endsWith('slow-start'),
      because:
        obstacle?.because ??
        (member === next ? `chosen by ${strategy}` : `usable, passed over by ${strategy}`),
      ...(obstacle?.until === undefined ? {} : { until: obstacle.until }),
      ...(obstacle?.source === undefined ? {} : { source: obstacle.source }),
      ...(obstacle === undefined ? {} : { fact: factFor(member, obstacle, table, testimony, now) }),
      ...(member.bucketSource === 'own'
        ? {}
        : { bucket: { name: member.bucket.name, source: member.bucketSource } }),
      ...statedOf(member, table, now),
    })),
  };
}

function factFor(
  member: Member,
  obstacle: Obstacle,
  table: StateTable,
  testimony: Testimony,
  now: number,
): Fact {
  const subject = {
    key: member.keyId,
    provider: member.provider.id,
    bucket: member.bucket.name,
    witnesses: testimony.of(member),
  };
  return factOf(subject, obstacle, standingOf(member, table), now);
}

function keySnapshot(
  member: Member,
  obstacle: Obstacle | undefined,
  table: StateTable,
  permits: PermitSource,
  now: number,
): KeySnapshot {
  const { key } = member.rows;
  const permitsLeft = permits.left(member.bucket, now);
  return {
    id: member.keyId,
    provider: member.provider.id,
    bucket: member.bucket.name,
    bucketSource: member.bucketSource,
    foundIn: member.credential.origin,
    state: stateOf(table, member, obstacle, now),
    ...(obstacle === undefined ? {} : { reason: obstacle.because }),
    ...(obstacle?.until === undefined ? {} : { until: obstacle.until }),
    ...(obstacle?.source === undefined ? {} : { source: obstacle.source }),
    ...(member.credential.expiresAt === undefined ? {} : { expiresAt: member.credential.expiresAt }),
    uses: table.get(key, COUNTER.uses),
    failures: table.get(key, COUNTER.failures),
    inFlight: table.get(key, COUNTER.inFlight),
    latencyMs: table.get(key, COUNTER.latencyUs) / 1_000,
    limits: limitsOf(member, permits, now),
    ...(permitsLeft === undefined ? {} : { permitsLeft }),
    ...statedOf(member, table, now),
  };
}

function limitsOf({ bucket }: Member, permits: PermitSource, now: number): LimitSnapshot[] {
  const inForce = permits.limits(bucket);
  const leftInWindows = permits.leftInWindows(bucket, now);
  return bucket.windows.map(({ requests, perMs }, index) => {
    const stated = inForce[index] ?? requests;
    const left = leftInWindows[index];
    return {
      requests,
      perMs,
      ...(stated === requests ? {} : { stated }),
      ...(left === undefined ? {} : { left }),
    };
  });
}

function statedOf({ rows }: Member, table: StateTable, now: number): { stated?: StatedSnapshot } {
  const stated = table.allowances.read(rows.bucket, now);
  return stated === undefined ? {} : { stated };
}

function stateOf(
  table: StateTable,
  member: Member,
  obstacle: Obstacle | undefined,
  now: number,
): KeySnapshot['state'] {
  if (obstacle?.kind === 'disabled' || obstacle?.kind === 'expired') return obstacle.kind;
  if (obstacle?.kind === 'no-permits') return 'out-of-permits';
  if (obstacle?.until !== undefined) {
    return obstacle.because.startsWith('rejected') ? 'rejected' : 'resting';
  }
  const phase = phaseOf(table.health(member.rows.key), now);
  if (phase !== 'closed') return 'returning';
  return table.get(member.rows.key, COUNTER.successes) > 0 ? 'ready' : 'unproven';
}

function untilOf(health: Health, now: number): { until?: number } {
  return health.status === 'resting' && health.until > now ? { until: health.until } : {};
}
