import fc from 'fast-check';
import type { Health, HealthEvent, HealthPolicy, RestReason } from '#keymux/core/health.js';
import { transition } from '#keymux/core/health.js';
import type { Outcome, OutcomeKind } from '#keymux/core/outcome.js';
import { DEFAULT_SCOPE } from '#keymux/core/outcome.js';

export const NOW = 1_790_000_000_000;

export const REST_REASONS: readonly RestReason[] = [
  'rate-limited',
  'quota-exhausted',
  'rejected',
  'restricted',
  'overloaded',
  'network',
];

export const OUTCOME_KINDS: readonly OutcomeKind[] = [...REST_REASONS, 'success', 'bad-request', 'aborted'];

export function outcomeOf(kind: OutcomeKind, retryAt?: number): Outcome {
  const outcome: Outcome = { kind, scope: DEFAULT_SCOPE[kind], executed: 'no' };
  return retryAt === undefined ? outcome : { ...outcome, retryAt };
}

/** A step of a history: what happens, how long after the last one, and what chance has in store. */
export interface Step {
  readonly afterMs: number;
  readonly chance: number;
  readonly event: (health: Health, now: number) => HealthEvent;
}

const kinds = fc.constantFrom(...OUTCOME_KINDS);
const chances = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

/** Outcomes with or without a stated wait, asked for under this version, an earlier or even a later one. */
export const outcomeEvents: fc.Arbitrary<Step['event']> = fc
  .record({
    kind: kinds,
    waitMs: fc.option(fc.integer({ min: -1_000, max: 120_000 }), { nil: undefined }),
    lag: fc.constantFrom(0, 0, 0, 1, 2, -1),
  })
  .map(({ kind, waitMs, lag }) => ({ version }, now) => ({
    type: 'outcome',
    outcome: outcomeOf(kind, waitMs === undefined ? undefined : now + waitMs),
    seenVersion: version - lag,
  }));

export const steps: fc.Arbitrary<Step> = fc.record({
  afterMs: fc.constantFrom(0, 1, 100, 1_000, 5_000, 30_000, 600_000),
  chance: chances,
  event: fc.oneof(
    { weight: 8, arbitrary: outcomeEvents },
    { weight: 1, arbitrary: fc.constant<Step['event']>(() => ({ type: 'reset' })) },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(0, 1)
        .map<Step['event']>((lag) => ({ version }) => ({ type: 'retract', version: version - lag })),
    },
  ),
});

/** Any state that could be read from a table or a store, in a narrow range so that clashes happen. */
export const healths: fc.Arbitrary<Health> = fc.oneof(
  fc.record({
    status: fc.constant('healthy' as const),
    version: fc.integer({ min: 0, max: 2 }),
    level: fc.integer({ min: 0, max: 2 }),
    strikes: fc.integer({ min: 0, max: 2 }),
  }),
  fc.record({
    status: fc.constant('resting' as const),
    version: fc.integer({ min: 0, max: 2 }),
    level: fc.integer({ min: 0, max: 2 }),
    reason: fc.constantFrom(...REST_REASONS),
    until: fc.integer({ min: NOW - 1, max: NOW + 1 }),
    source: fc.constantFrom('stated' as const, 'guessed' as const),
  }),
  fc.record({
    status: fc.constant('recovering' as const),
    version: fc.integer({ min: 0, max: 2 }),
    level: fc.integer({ min: 0, max: 2 }),
    since: fc.integer({ min: NOW - 1, max: NOW + 1 }),
  }),
);

export interface Moment {
  readonly before: Health;
  readonly event: HealthEvent;
  readonly after: Health;
  readonly now: number;
}

/** What becomes of a subject, step by step. */
export function historyOf(start: Health, policy: HealthPolicy, course: readonly Step[]): Moment[] {
  let now = NOW;
  let before = start;
  return course.map((step) => {
    now += step.afterMs;
    const event = step.event(before, now);
    const moment = { before, event, after: transition(before, event, policy, now, () => step.chance), now };
    before = moment.after;
    return moment;
  });
}
