/** What is read of a manager when somebody asks, and costs nothing until then. No secrets. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Phase } from '../core/health.js';
import type { UsageTotal } from '../core/ports.js';
import type { KeySnapshot, Snapshot } from '../manager/inspection.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { MemberContender } from '../manager/members.js';
import type { Pool } from '../manager/pool.js';
import { MOST_LABELLED_KEYS } from './label-bound.js';
import { providerOf } from './measures.js';
import type { Labels, ReadingName } from './metric-definitions.js';

export interface Reading {
  readonly metric: ReadingName;
  readonly labels: Labels;
  readonly value: number;
}

const STATES = [
  'ready',
  'unproven',
  'returning',
  'resting',
  'rejected',
  'out-of-permits',
  'disabled',
  'expired',
] as const satisfies readonly KeySnapshot['state'][];
const PHASES = ['closed', 'open', 'half-open', 'slow-start'] as const satisfies readonly Phase[];
const USABLE: ReadonlySet<KeySnapshot['state']> = new Set(['ready', 'unproven', 'returning']);

/** How long the store may take to tell what was spent. */
const STORE_PATIENCE_MS = 1_000;
/** How often a key is chosen to learn how long that takes; all together some tens of microseconds. */
const RESOLUTIONS = 256;

/** All readings of one moment. Never rejects: what the store does not tell is left out. */
export async function readingsOf(manager: KeyManager): Promise<Reading[]> {
  const snapshot = manager.inspect();
  const usage = await usageOf(manager, snapshot);
  const contenders = contendersOf(manager, snapshot);
  return [
    ...keyReadings(snapshot),
    ...costReadings(contenders, usage),
    ...bucketReadings(snapshot, contenders),
    ...providerReadings(snapshot),
    ...serviceReadings(manager, snapshot),
    ...storeReadings(manager, snapshot),
    { metric: 'tableSize', labels: {}, value: manager.table.buffer.byteLength },
  ];
}

function contendersOf(manager: KeyManager, { providers }: Snapshot): MemberContender[] {
  return providers
    .flatMap(({ id }) => manager.poolOfProvider(id)?.contenders ?? [])
    .slice(0, MOST_LABELLED_KEYS);
}

function keyReadings({ keys, providers }: Snapshot): Reading[] {
  const byState = providers.flatMap(({ id: provider }) =>
    STATES.map((state) => {
      const value = keys.filter((key) => key.provider === provider && key.state === state).length;
      return { metric: 'keys', labels: { provider, state }, value } as const;
    }),
  );
  const single = keys.slice(0, MOST_LABELLED_KEYS).flatMap((key): Reading[] => {
    const labels = { provider: key.provider, key: key.id };
    return [
      { metric: 'keyUsable', labels, value: Number(USABLE.has(key.state)) },
      { metric: 'keyInFlight', labels, value: key.inFlight },
      { metric: 'keyCooldown', labels, value: (key.until ?? 0) / 1_000 },
    ];
  });
  return [...byState, ...single];
}

async function usageOf(
  { store }: KeyManager,
  { store: { trouble } }: Snapshot,
): Promise<readonly UsageTotal[]> {
  if (trouble !== undefined) return [];
  try {
    return await Promise.race([store.usage(), delay(STORE_PATIENCE_MS, [], { ref: false })]);
  } catch {
    // The manager tells of a lost store by itself.
    return [];
  }
}

function costReadings(contenders: readonly MemberContender[], usage: readonly UsageTotal[]): Reading[] {
  const costs = new Map(usage.map(({ subject, costUsd }) => [subject, costUsd]));
  return contenders.flatMap(({ member: { keyId, provider, subjects } }): Reading[] => {
    const value = costs.get(subjects.key);
    return value === undefined
      ? []
      : [{ metric: 'keyCost', labels: { provider: provider.id, key: keyId }, value }];
  });
}

function bucketReadings({ keys }: Snapshot, contenders: readonly MemberContender[]): Reading[] {
  const remaining = new Map(
    contenders.map((contender) => [contender.member.bucket.name, contender.remaining]),
  );
  const buckets = new Map(keys.slice(0, MOST_LABELLED_KEYS).map((key) => [key.bucket, key]));
  return [...buckets].flatMap(([bucket, { limits, permitsLeft }]) => {
    const labels = { provider: providerOf(bucket), bucket };
    const share = remaining.get(bucket);
    const readings: Reading[] = limits.map(({ requests, perMs, stated }) => ({
      metric: 'limit',
      labels: { ...labels, window: `${perMs / 1_000}s` },
      value: stated ?? requests,
    }));
    if (permitsLeft !== undefined) readings.push({ metric: 'permitsLeft', labels, value: permitsLeft });
    if (share !== undefined) readings.push({ metric: 'utilisation', labels, value: Math.max(0, 1 - share) });
    return readings;
  });
}

function providerReadings({ providers }: Snapshot): Reading[] {
  return providers.flatMap(({ id: provider, healthScore, circuit }): Reading[] => [
    { metric: 'health', labels: { provider }, value: healthScore },
    ...PHASES.map((phase): Reading => ({
      metric: 'circuit',
      labels: { provider, phase },
      value: Number(phase === circuit),
    })),
  ]);
}

function serviceReadings(manager: KeyManager, { services }: Snapshot): Reading[] {
  return services.flatMap(({ name: service }): Reading[] => {
    const pool = manager.findPool(service);
    if (pool === undefined) return [];
    return [
      { metric: 'waiting', labels: { service }, value: pool.room.size },
      { metric: 'resolution', labels: { service }, value: resolutionSeconds(pool) },
    ];
  });
}

/** Chooses as requests do, and leaves the rotation of the keys as it was. */
function resolutionSeconds(pool: Pool): number {
  const rotations = pool.contenders.map(({ rotation }) => ({ rotation, before: { ...rotation } }));
  const startedAt = performance.now();
  for (let round = 0; round < RESOLUTIONS; round++) pool.best();
  const tookMs = performance.now() - startedAt;
  for (const { rotation, before } of rotations) Object.assign(rotation, before);
  return tookMs / RESOLUTIONS / 1_000;
}

function storeReadings({ membership }: KeyManager, { store }: Snapshot): Reading[] {
  return [
    { metric: 'degraded', labels: { store: store.kind }, value: Number(store.trouble !== undefined) },
    { metric: 'members', labels: {}, value: store.shared ? membership.place.size : 1 },
    { metric: 'leader', labels: {}, value: Number(membership.fence !== undefined) },
  ];
}
