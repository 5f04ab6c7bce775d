import { KeymuxError } from '../core/errors.js';
import type { UsageTotal } from '../core/ports.js';
import type {
  Explanation,
  KeySnapshot,
  LimitSnapshot,
  ProviderSnapshot,
  ServiceSnapshot,
  Snapshot,
} from '../manager/inspection.js';
import type { KeyManager } from '../manager/key-manager.js';
import type { Member } from '../manager/members.js';
import { questionFor } from '../manager/permits.js';
import { fleetReport } from './fleet-report.js';
import type { FleetReport } from './fleet-report.js';
import { placeOfState } from './opened-manager.js';
import type { OpenedManager } from './opened-manager.js';

/** What `status --json` prints. Times are epoch milliseconds; holds no key. */
export interface StatusReport {
  readonly at: number;
  readonly store: StoreStatus;
  /** The processes that share the store; absent where none do, or where it cannot be asked. */
  readonly fleet?: FleetReport;
  /** Files that were read. */
  readonly sources: readonly string[];
  readonly notes: readonly string[];
  readonly services: readonly ServiceSnapshot[];
  readonly providers: readonly ProviderSnapshot[];
  readonly keys: readonly KeyStatus[];
}

export interface StoreStatus {
  readonly kind: string;
  readonly shared: boolean;
  /** The file, or the address without user and password; absent where nothing is kept. */
  readonly place?: string;
  /** What every name in Redis begins with. */
  readonly prefix?: string;
  /** What is wrong with it. */
  readonly trouble?: string;
}

/** One key, with the usage of all processes together. What only the process that uses it knows is not in here. */
export interface KeyStatus extends Omit<
  KeySnapshot,
  'uses' | 'failures' | 'inFlight' | 'latencyMs' | 'permitsLeft' | 'stated'
> {
  readonly uses: number;
  readonly failures: number;
  readonly costUsd: number;
  readonly lastUsedAt?: number;
  /** Permits that the store has left in the tightest window; absent without a limit, or where the store is lost. */
  readonly permitsLeft?: number;
}

/** Of a bucket, for all processes together. */
interface PermitsLeft {
  readonly tightest: number;
  readonly inWindows: readonly number[];
}

/** What `explain --json` prints. */
export interface ExplanationReport extends Omit<Explanation, 'candidates'> {
  readonly candidates: readonly (Explanation['candidates'][number] & {
    readonly foundIn: string;
    readonly lastUsedAt?: number;
  })[];
}

/** The members that one key each stands for, by `provider/id`. */
export function membersOf(manager: KeyManager): Map<string, Member> {
  const members = [...manager.configuration.providers.keys()].flatMap((provider) =>
    (manager.poolOfProvider(provider)?.contenders ?? []).map(({ member }) => member),
  );
  return new Map(members.map((member) => [member.keyId, member]));
}

export async function statusReport({ manager, troubles }: OpenedManager): Promise<StatusReport> {
  const members = membersOf(manager);
  const usage = await usageBySubject(manager);
  const left = await peekPermits(manager);
  const fleet = await fleetReport(manager.store);
  const snapshot: Snapshot = manager.inspect();
  const { store } = manager.configuration;
  const place = placeOfState(manager.configuration);
  const trouble = troubles.at(-1)?.message;
  return {
    at: snapshot.at,
    store: {
      ...snapshot.store,
      ...(place === undefined ? {} : { place }),
      ...(store.type === 'redis' ? { prefix: store.prefix } : {}),
      ...(trouble === undefined ? {} : { trouble }),
    },
    ...(fleet === undefined ? {} : { fleet }),
    sources: snapshot.sources,
    notes: snapshot.notes,
    services: snapshot.services,
    providers: snapshot.providers,
    keys: snapshot.keys.map((key) => {
      const member = members.get(key.id);
      return keyStatus(key, usage.get(member?.subjects.key ?? ''), left.get(member?.bucket.name ?? ''));
    }),
  };
}

export async function explanationReport(manager: KeyManager, service: string): Promise<ExplanationReport> {
  const members = membersOf(manager);
  const usage = await usageBySubject(manager);
  await peekPermits(manager);
  const explanation = manager.explain(service);
  return {
    ...explanation,
    candidates: explanation.candidates.map((candidate) => {
      const member = members.get(candidate.key);
      const lastUsedAt = usage.get(member?.subjects.key ?? '')?.lastUsedAt;
      return {
        ...candidate,
        foundIn: member?.credential.origin ?? '',
        ...(lastUsedAt === undefined ? {} : { lastUsedAt }),
      };
    }),
  };
}

function keyStatus(
  key: KeySnapshot,
  usage: UsageTotal | undefined,
  left: PermitsLeft | undefined,
): KeyStatus {
  const { id, provider, bucket, bucketSource, foundIn, state, reason, until, source, expiresAt, limits } =
    key;
  const total = usage ?? { requests: 0, failures: 0, costUsd: 0, lastUsedAt: undefined };
  const hasAnswered = total.requests > total.failures;
  return {
    id,
    provider,
    bucket,
    bucketSource,
    foundIn,
    // This process sent nothing through it; others may have.
    state: state === 'unproven' && hasAnswered ? 'ready' : state,
    ...(reason === undefined ? {} : { reason }),
    ...(until === undefined ? {} : { until }),
    ...(source === undefined ? {} : { source }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    uses: total.requests,
    failures: total.failures,
    costUsd: total.costUsd,
    ...(total.lastUsedAt === undefined ? {} : { lastUsedAt: total.lastUsedAt }),
    limits: limits.map((limit, index) => withLeft(limit, left?.inWindows[index])),
    ...(left === undefined ? {} : { permitsLeft: left.tightest }),
  };
}

/** What this process knows of a window by itself is worth nothing here: others send the requests. */
function withLeft({ requests, perMs, stated }: LimitSnapshot, left: number | undefined): LimitSnapshot {
  return {
    requests,
    perMs,
    ...(stated === undefined ? {} : { stated }),
    ...(left === undefined ? {} : { left }),
  };
}

/** The usage of all processes, by subject; empty where the store cannot tell. */
async function usageBySubject(manager: KeyManager): Promise<Map<string, UsageTotal>> {
  try {
    const totals = await manager.store.usage();
    return new Map(totals.map((total) => [total.subject, total]));
  } catch (error) {
    return ignoreStoreTrouble(error, new Map<string, UsageTotal>());
  }
}

/**
 * Permits left by bucket, for buckets with a limit. An empty bucket is marked in this
 * process' table, so that `inspect` and `explain` see what a process that uses it would see.
 */
async function peekPermits(manager: KeyManager): Promise<Map<string, PermitsLeft>> {
  const left = new Map<string, PermitsLeft>();
  if (!manager.store.shared) return left;
  for (const { bucket, rows } of membersOf(manager).values()) {
    if (bucket.windows.length === 0 || left.has(bucket.name)) continue;
    try {
      const grant = await manager.store.lease(questionFor(bucket));
      left.set(bucket.name, { tightest: grant.left, inWindows: grant.leftInWindows });
      manager.table.setBlockedUntil(rows.bucket, grant.left === 0 ? grant.retryAt : 0);
    } catch (error) {
      ignoreStoreTrouble(error, undefined);
    }
  }
  manager.table.bumpGeneration();
  return left;
}

function ignoreStoreTrouble<T>(error: unknown, instead: T): T {
  if (error instanceof KeymuxError && error.code === 'KEYMUX_STORE_UNAVAILABLE') return instead;
  throw error;
}
