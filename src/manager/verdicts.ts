/** Carries what an outcome says about keys, buckets and providers into the table, and tells who must know. */
import type { Witness } from '../core/decision.js';
import type { Health, HealthEvent } from '../core/health.js';
import { KEY_POLICY, PROVEN_SUCCESSES, PROVIDER_POLICY } from '../core/health.js';
import type { Outcome } from '../core/outcome.js';
import { SUCCESS } from '../core/outcome.js';
import type { Clock, Random } from '../core/ports.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import type { Events } from './events.js';
import { recordHealth } from './health-score.js';
import type { SeenVersions } from './lease.js';
import type { Member } from './members.js';
import type { Sync } from './sync.js';
import type { Testimony } from './testimony.js';
import { announceTransition } from './transitions.js';

export interface VerdictContext {
  readonly table: StateTable;
  readonly events: Events;
  readonly sync: Sync;
  readonly testimony: Testimony;
  readonly now: Clock;
  readonly random: Random;
}

/** Answers that blame a key, and that a key alone can explain no better than a broken login can. */
const REFUSALS_OF_A_KEY: ReadonlySet<Outcome['kind']> = new Set<Outcome['kind']>(['rejected', 'restricted']);

export interface ProviderStanding {
  readonly version: number;
  readonly strikes: number;
}

/** A rest of a key or bucket, as it stood when a request met it. */
export interface Penalty {
  readonly who: 'key' | 'bucket';
  readonly version: number;
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
    recordHealth(this.#context.table, rows.provider, blamesProvider, this.#context.now);
    if (blamesProvider) this.#update(member, 'provider', outcome, seen);
    // A refused key may as well be the provider's own trouble: a login that is broken for everybody.
    else if (!REFUSALS_OF_A_KEY.has(outcome.kind)) this.#update(member, 'provider', SUCCESS, seen);
  }

  /** The rest in which an outcome left whom it blamed; undefined where there is none, or for another reason. */
  penaltyFor({ rows }: Member, { kind, scope }: Outcome): Penalty | undefined {
    if (scope !== 'key' && scope !== 'bucket') return undefined;
    const health = this.#context.table.health(rows[scope]);
    if (health.status !== 'resting' || health.reason !== kind) return undefined;
    return { who: scope, version: health.version };
  }

  /** Takes back a penalty that was not deserved, unless its subject has moved on since. */
  retract(member: Member, { who, version }: Penalty): void {
    this.#change(member, who, { type: 'retract', version });
  }

  /** Failures in a row that the provider's circuit counts now; for `strikeProvider`. */
  providerStrikes({ rows }: Member): number {
    return this.#context.table.strikes(rows.provider) ?? 0;
  }

  /** For `strikeProvider`. */
  providerVersion({ rows }: Member): number {
    return this.#context.table.version(rows.provider);
  }

  /**
   * The provider's own trouble, beside what a lease reported. Strikes are added to those of `seen`, which a good
   * beginning of the same answer may have wiped out.
   */
  strikeProvider(member: Member, outcome: Outcome, seen: ProviderStanding): void {
    const { table } = this.#context;
    recordHealth(table, member.rows.provider, true, this.#context.now);
    const event: HealthEvent = { type: 'outcome', outcome, seenVersion: seen.version };
    for (let strikes = this.providerStrikes(member); strikes < seen.strikes; strikes++) {
      this.#change(member, 'provider', event);
    }
    this.#change(member, 'provider', event);
  }

  /** A person says that all is well. */
  reset(member: Member): void {
    this.#context.table.setBlockedUntil(member.rows.bucket, 0);
    this.#context.table.allowances.forget(member.rows.bucket);
    this.#context.table.bumpGeneration();
    for (const who of ['key', 'bucket', 'provider'] as const) this.#change(member, who, { type: 'reset' });
  }

  #update(member: Member, who: keyof SeenVersions, outcome: Outcome, seen: SeenVersions): void {
    // A success tells nothing new of whoever is healthy, which is so for nearly every answer.
    if (outcome.kind === 'success' && this.#context.table.strikes(member.rows[who]) === 0) return;
    this.#change(member, who, { type: 'outcome', outcome, seenVersion: seen[who] });
  }

  #change(member: Member, who: keyof SeenVersions, event: HealthEvent): void {
    const { table, events, sync, testimony } = this.#context;
    const now = this.#context.now();
    const policy = who === 'provider' ? PROVIDER_POLICY : KEY_POLICY;
    const { before, after } = table.update(member.rows[who], event, policy, now, this.#context.random);
    if (!isWorthSharing(before, after)) return;
    sync.changed(member.subjects[who]);
    if (after.status === 'resting')
      testimony.rested(member.subjects[who], after.version, witnessOf(event, now));
    const label = { key: member.keyId, bucket: member.bucket.name, provider: member.provider.id }[who];
    announceTransition(events, label, before, after, event, now);
  }

  #countSuccess(row: number): void {
    const { table } = this.#context;
    if (table.get(row, COUNTER.successes) < PROVEN_SUCCESSES) table.add(row, COUNTER.successes, 1);
  }
}

function witnessOf(event: HealthEvent, at: number): Witness {
  const { evidence, status } = event.type === 'outcome' ? event.outcome : {};
  return {
    seen: 'here',
    at,
    ...(evidence === undefined ? {} : { evidence }),
    ...(status === undefined ? {} : { status }),
  };
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
