import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Store } from '../../core/ports.js';
import { permitsLeft } from '../../core/quota.js';
import type { Charge, QuotaWindow } from '../../core/quota.js';
import { CLOCK_SPREAD_MS, settlement } from './store-samples.js';

const MODEL_WINDOWS: readonly QuotaWindow[] = [
  { requests: 4, perMs: 60 },
  { requests: 12, perMs: 400 },
];
const MODEL_RUNS_MS = 1_200;
const SLACK_MS = 10;

/**
 * Leases and settles for many lengths of the windows, and compares each grant with the pure functions. The store
 * reads its clock somewhere between two readings of ours, or up to `CLOCK_SPREAD_MS` behind them, so a refusal is right
 * if any of these says so; a grant never may be more than the latest one allows.
 */
export async function agreesWithModel(store: Store): Promise<void> {
  let charges: Charge[] = [];
  const end = store.now() + MODEL_RUNS_MS;
  let granted = 0;
  for (let round = 0; store.now() < end; round += 1) {
    const want = 1 + (round % 3);
    const before = permitsLeft(MODEL_WINDOWS, charges, store.now() - CLOCK_SPREAD_MS);
    const asked = { bucket: 'p/model', windows: MODEL_WINDOWS, want, ttlMs: 20, slackMs: SLACK_MS };
    const grant = await store.lease(asked);
    const after = permitsLeft(MODEL_WINDOWS, charges, store.now());
    const context = `round ${String(round)}: ${String(grant.granted)} of ${String(want)}`;
    assert.ok(grant.granted >= Math.min(want, before), `${context}, but ${String(before)} were left`);
    assert.ok(grant.granted <= Math.min(want, after), `${context}, but only ${String(after)} were left`);
    granted += grant.granted;
    if (grant.granted === 0) {
      // Not until `retryAt`: what is refused on the way there is worth comparing, too.
      await delay(3);
      continue;
    }
    // No charge is dated later than its lease says, however late it is settled.
    const countedAt = Math.min(store.now(), grant.validUntil + SLACK_MS);
    const spent = round % 2 === 0 ? grant.granted : grant.granted - 1;
    await store.settle([
      settlement(grant, { spent, countedAt, returned: round % 4 === 1 ? 1 : 0 }, 'p/model'),
    ]);
    if (spent > 0) charges = [...charges, { permits: spent, countedAt }];
    if (round % 4 === 3) charges = [...charges, { permits: 1, countedAt: grant.validUntil + SLACK_MS }];
  }
  assert.ok(granted > MODEL_RUNS_MS / 60, `only ${String(granted)} permits were granted`);
}
