/** How much of each limit is left, for all processes together where they share a store. */
import { setImmediate as turn } from 'node:timers/promises';
import type { AllowanceObservation } from '../core/alert-measures.js';
import { durationText } from '../core/alert-measures.js';
import { permitsLeft } from '../core/quota.js';
import type { QuotaWindow } from '../core/quota.js';
import type { StatedSnapshot } from '../manager/inspection.js';
import type { KeyManager } from '../manager/key-manager.js';
import { questionFor } from '../manager/permits.js';
import type { Bucket } from '../manager/permits.js';

interface BucketInUse {
  readonly bucket: Bucket;
  readonly provider: string;
  readonly keys: string[];
}

/** Asks for one bucket after the other, with a turn for everybody else in between. */
export async function readAllowances(manager: KeyManager): Promise<AllowanceObservation[]> {
  const stated = new Map(manager.inspect().keys.map(({ bucket, stated: known }) => [bucket, known]));
  const found: AllowanceObservation[] = [];
  for (const { bucket, provider, keys } of bucketsInUse(manager)) {
    await turn();
    if (manager.closed) break;
    const left = await leftInWindows(manager, bucket);
    const of = { bucket: bucket.name, provider, keys };
    for (const [index, window] of bucket.windows.entries()) {
      const leftHere = left?.[index];
      if (leftHere === undefined) continue;
      found.push({ ...of, window: windowText(window), limit: window.requests, left: Math.max(0, leftHere) });
    }
    found.push(...statedAllowance(of, stated.get(bucket.name)));
  }
  return found;
}

function bucketsInUse(manager: KeyManager): BucketInUse[] {
  const buckets = new Map<string, BucketInUse>();
  for (const provider of manager.configuration.providers.keys()) {
    for (const { contender } of manager.poolOfProvider(provider)?.obstacles(manager.now()) ?? []) {
      const { bucket, keyId } = contender.member;
      const known = buckets.get(bucket.name);
      if (known === undefined) buckets.set(bucket.name, { bucket, provider, keys: [keyId] });
      else known.keys.push(keyId);
    }
  }
  return [...buckets.values()];
}

/** Undefined where nobody can say. */
async function leftInWindows(manager: KeyManager, bucket: Bucket): Promise<readonly number[] | undefined> {
  const { windows } = bucket;
  if (windows.length === 0) return undefined;
  try {
    if (manager.store.shared) return (await manager.store.lease(questionFor(bucket))).leftInWindows;
    const now = manager.now();
    const { table } = manager;
    const moments = table.charges(table.bucket(bucket.name, windows), now);
    const charges = moments.map((countedAt) => ({ permits: 1, countedAt }));
    return windows.map((window) => permitsLeft([window], charges, now));
  } catch {
    return undefined;
  }
}

function statedAllowance(
  of: Pick<AllowanceObservation, 'bucket' | 'provider' | 'keys'>,
  stated: StatedSnapshot | undefined,
): AllowanceObservation[] {
  if (stated?.limit === undefined || stated.kind === 'returning') return [];
  return [{ ...of, window: 'as the provider states it', limit: stated.limit, left: stated.left }];
}

function windowText({ requests, perMs, calendar }: QuotaWindow): string {
  return `${requests} per ${calendar?.unit ?? durationText(perMs).replace(/^1 /, '')}`;
}
