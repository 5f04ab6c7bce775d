/**
 * Several processes see the same, and one tells: whoever gets the one permit that the store has for it. Where the store
 * cannot be asked, each tells for itself: better twice than never.
 */
import { randomUUID } from 'node:crypto';
import type { AlertRule } from '../core/alert-rules.js';
import { KeymuxError } from '../core/errors.js';
import type { QuotaWindow } from '../core/quota.js';
import type { Store } from '../core/ports.js';

export type ClaimStore = Pick<Store, 'shared' | 'now' | 'lease' | 'settle' | 'charge'>;

/** Longer than it takes to settle the permit; one whose holder dies in between counts from then on. Milliseconds. */
const HELD_MS = 5_000;
/** Clocks and looks of several processes differ: what is due again is not refused for a moment. */
const LENIENCY = 0.9;
/** Processes that see the same end of something see it within this time. Milliseconds. */
const END_MS = 60_000;

/** Whether this process is to tell that something was raised. */
export function claimRaised(
  store: ClaimStore,
  { name, everyMs }: AlertRule,
  subject: string,
): Promise<boolean> {
  return claim(store, `alert:${name}/${subject}`, everyMs);
}

/** Whether this process is to tell that it is over. */
export function claimRecovered(
  store: ClaimStore,
  { name, everyMs }: AlertRule,
  subject: string,
): Promise<boolean> {
  return claim(store, `alert-over:${name}/${subject}`, Math.min(everyMs, END_MS));
}

async function claim(store: ClaimStore, bucket: string, everyMs: number): Promise<boolean> {
  if (!store.shared) return true;
  const windows = [{ requests: 1, perMs: Math.max(1, Math.floor(everyMs * LENIENCY)) }];
  try {
    return await takePermit(store, bucket, windows);
  } catch (error) {
    if (error instanceof KeymuxError && error.code === 'KEYMUX_STORE_FORGOT')
      await tellTaken(store, bucket, windows);
    return true;
  }
}

async function takePermit(
  store: ClaimStore,
  bucket: string,
  windows: readonly QuotaWindow[],
): Promise<boolean> {
  const { granted, leaseId, cautiousUntil } = await store.lease({
    bucket,
    windows,
    want: 1,
    ttlMs: HELD_MS,
    slackMs: 0,
  });
  // The store cannot say yet whether somebody else told.
  if (granted === 0) return cautiousUntil > 0;
  await store.settle([{ bucket, leaseId, spent: 1, countedAt: store.now(), returned: 0 }]);
  return true;
}

/** The store lost what it knew: from now on the others are not to tell it again. */
async function tellTaken(store: ClaimStore, bucket: string, windows: readonly QuotaWindow[]): Promise<void> {
  const charge = { bucket, windows, leaseId: randomUUID(), permits: 1, countedAt: store.now() };
  try {
    await store.charge([charge], { cautionMs: 0 });
  } catch {
    // Others may tell it too.
  }
}
