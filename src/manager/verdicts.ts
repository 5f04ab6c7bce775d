/** Carries what an outcome says about keys, buckets and providers into the table, and tells who must know. */
import type { Health, HealthEvent } from '../core/health.js';
import { KEY_POLICY, PROVEN_SUCCESSES, PROVIDER_POLICY } from '../core/health.js';
import type { Outcome } from '../core/outcome.js';
import { SUCCESS } from '../core/outcome.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import type { Events } from './events.js';
import { recordHealth } from './health-score.js';
import type { SeenVersions } from './lease.js';
import type { Member } from './members.js';
import type { Sync } from './sync.js';
import { announceTransition } from './transitions.js';

export interface VerdictContext {
  readonly table: StateTable;
  readonly events: Events;
  readonly sync: Sync;
  now(): number;
  random(): number;
}

export class Verdicts {
  readonly #context: VerdictContext;

  constructor(context: VerdictContext) {
    this.#context = context;
  }

  /** Applies an outcome to whom it blames. An answer of any other kind speaks for the provider: it is alive. */
  apply(member: Member, outcome: Outcome, seen: SeenVersions): void {
    if (outcome.kind === 'aborted') return;
    const { rows } = member;
    const blamesProvider = outcome.scope === 'provider' || outcome.scope === 'egress';
    if (outcome.kind === 'success') {
      this.#countSuccess(rows.key);
      this.#countSuccess(rows.bucket);
      this.#countSuccess(rows.provider);
      this.#update(member, 'key', outcome, seen);
      this.#update(member, 'bucket', outcome, seen);
    } else {
      if (outcome.kind !== 'bad-request') this.#context.table.add(rows.key, COUNTER.failures, 1);
      if (outcome.scope === 'key' || outcome.scope === 'bucket')
        this.#update(member, outcome.scope, outcome, seen);
    }
    recordHealth(this.#context.table, rows.provider, blamesProvider, this.#context.now());
    this.#update(member, 'provider', blamesProvider ? outcome : SUCCESS, seen);
  }

  /** A person says that all is well. */
  reset(member: Member): void {
    this.#context.table.setBlockedUntil(member.rows.bucket, 0);
    for (const who of ['key', 'bucket', 'provider'] as const) this.#change(member, who, { type: 'reset' });
  }

  #update(member: Member, who: keyof SeenVersions, outcome: Outcome, seen: SeenVersions): void {
    // A success tells nothing new of whoever is healthy, which is so for nearly every answer.
    if (outcome.kind === 'success' && this.#context.table.strikes(member.rows[who]) === 0) return;
    this.#change(member, who, { type: 'outcome', outcome, seenVersion: seen[who] });
  }

  #change(member: Member, who: keyof SeenVersions, event: HealthEvent): void {
    const { table, events, sync } = this.#context;
    const now = this.#context.now();
    const policy = who === 'provider' ? PROVIDER_POLICY : KEY_POLICY;
    const { before, after } = table.update(member.rows[who], event, policy, now, () =>
      this.#context.random(),
    );
    if (!isWorthSharing(before, after)) return;
    sync.changed(member.subjects[who]);
    const label = { key: member.keyId, bucket: member.bucket.name, provider: member.provider.id }[who];
    announceTransition(events, label, before, after, event, now);
  }

  #countSuccess(row: number): void {
    const { table } = this.#context;
    if (table.get(row, COUNTER.successes) < PROVEN_SUCCESSES) table.add(row, COUNTER.successes, 1);
  }
}

/** The versions that an outcome recorded now is seen under. */
export function seenVersions(member: Member, table: StateTable): SeenVersions {
  const { key, bucket, provider } = member.rows;
  return { key: table.version(key), bucket: table.version(bucket), provider: table.version(provider) };
}

/** Strikes short of a rest stay within the process. */
function isWorthSharing(before: Health, after: Health): boolean {
  return before !== after && (before.version !== after.version || after.status !== 'healthy');
}
