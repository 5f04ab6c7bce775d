/**
 * Places among the unanswered requests of a key, its bucket and its provider. While one of them is unproven or
 * returning there are few, so that a hundred waiting requests do not fall upon it together.
 */
import { FRESH, PROVEN_SUCCESSES } from '../core/health.js';
import { obstacleOf, slowStartObstacle } from '../core/select.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import type { Member } from './members.js';
import { standingOf } from './members.js';

/** How often a key that was guessed to be dead may be tried when nothing else is left. */
const LAST_RESORT_EVERY_MS = 5_000;
/** Whoever took a place this long ago may be gone (a thread that was terminated): one more request is let in. */
const PLACE_EXPIRES_MS = 60_000;

/** Takes a place if there is one. Other threads may take at the same time: each counts itself before it looks. */
export function takePlace(member: Member, table: StateTable, now: number): boolean {
  count(member, table, 1);
  if (isProven(member, table)) {
    noteUse(member, table, now);
    return true;
  }
  const standing = standingOf(member, table);
  const others = {
    ...standing,
    pending: standing.pending - 1,
    bucketPending: standing.bucketPending - 1,
    providerPending: standing.providerPending - 1,
  };
  const isFree =
    slowStartObstacle(others, now) === undefined ||
    (obstacleOf(standing, now) === undefined && isAbandoned(member, table, now));
  if (isFree) {
    noteUse(member, table, now);
    return true;
  }
  leavePlace(member, table);
  return false;
}

/** Nothing is counted for a healthy, proven key; the same as the rules of core would say, without asking them. */
function isProven({ rows }: Member, table: StateTable): boolean {
  return (
    table.get(rows.key, COUNTER.successes) >= PROVEN_SUCCESSES &&
    table.strikes(rows.key) !== undefined &&
    table.strikes(rows.bucket) !== undefined &&
    table.strikes(rows.provider) !== undefined
  );
}

export function leavePlace(member: Member, table: StateTable): void {
  count(member, table, -1);
}

/**
 * When every key is out, one that rests only on a guess that it is dead is tried now and then: the provider's own
 * answer is worth more than our guess, and it may be the only key there is.
 */
export function takeLastResortPlace(member: Member, table: StateTable, now: number): boolean {
  const standing = standingOf(member, table);
  const { key } = standing;
  if (key.status !== 'resting' || key.source !== 'guessed' || key.reason === 'rate-limited') return false;
  if (obstacleOf({ ...standing, key: FRESH }, now) !== undefined || standing.pending > 0) return false;
  const lastUsedAt = table.timeOf(table.get(member.rows.key, COUNTER.lastUsed));
  if (now - lastUsedAt < LAST_RESORT_EVERY_MS) return false;
  count(member, table, 1);
  noteUse(member, table, now);
  return true;
}

/** Nobody got a place of the key, its bucket or its provider lately; nor will anybody if those who did are gone. */
function isAbandoned({ rows }: Member, table: StateTable, now: number): boolean {
  return [rows.key, rows.bucket, rows.provider].every(
    (row) => now - table.timeOf(table.get(row, COUNTER.lastUsed)) >= PLACE_EXPIRES_MS,
  );
}

function noteUse({ rows }: Member, table: StateTable, now: number): void {
  const tick = table.tickOf(now);
  table.set(rows.key, COUNTER.lastUsed, tick);
  table.set(rows.bucket, COUNTER.lastUsed, tick);
  table.set(rows.provider, COUNTER.lastUsed, tick);
}

function count({ rows }: Member, table: StateTable, delta: 1 | -1): void {
  table.add(rows.key, COUNTER.pending, delta);
  table.add(rows.bucket, COUNTER.pending, delta);
  table.add(rows.provider, COUNTER.pending, delta);
}
