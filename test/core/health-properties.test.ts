import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Health, HealthPolicy } from '#keymux/core/health.js';
import { FRESH, KEY_POLICY, mergeHealth, phaseOf, PROVIDER_POLICY } from '#keymux/core/health.js';
import type { Moment } from './health-arbitraries.js';
import { healths, historyOf, NOW, outcomeOf, REST_REASONS, steps } from './health-arbitraries.js';

const policies = fc.constantFrom<HealthPolicy>(KEY_POLICY, PROVIDER_POLICY);

/** Checks every moment of many random histories. */
function always(check: (moment: Moment, policy: HealthPolicy) => void): void {
  fc.assert(
    fc.property(policies, fc.array(steps, { minLength: 1, maxLength: 30 }), (policy, course) => {
      for (const moment of historyOf(FRESH, policy, course)) check(moment, policy);
    }),
    { numRuns: 300 },
  );
}

describe('a history of events', () => {
  it('never takes the version back, and moves it one step at a time', () => {
    always(({ before, after }) => {
      expect([0, 1]).toContain(after.version - before.version);
    });
  });

  it('gives the same object where nothing changed', () => {
    always(({ before, after }) => {
      if (after !== before) expect(after).not.toEqual(before);
    });
  });

  it('is left alone by late answers, save that a later stated time extends an open rest', () => {
    always(({ before, event, after, now }) => {
      if (event.type !== 'outcome' || event.seenVersion === before.version || after === before) return;
      if (before.status !== 'resting' || after.status !== 'resting') expect.unreachable();
      expect(phaseOf(before, now)).toBe('open');
      expect(after).toEqual({
        ...before,
        until: after.until,
        source: 'stated',
        reason: event.outcome.kind,
      });
      expect(event.outcome.retryAt).toBeGreaterThan(before.until);
    });
  });

  it('is left alone by aborted and bad requests', () => {
    always(({ before, event, after }) => {
      if (event.type !== 'outcome') return;
      if (event.outcome.kind === 'aborted' || event.outcome.kind === 'bad-request')
        expect(after).toBe(before);
    });
  });

  it('never shortens a deadline within an incident', () => {
    always(({ before, after }) => {
      if (before.status !== 'resting' || after.status !== 'resting' || before.version !== after.version)
        return;
      expect(after.until).toBeGreaterThanOrEqual(before.until);
    });
  });

  it('returns no earlier than the provider stated, and at most a tenth or five seconds later', () => {
    always(({ before, event, after, now }, policy) => {
      if (event.type !== 'outcome' || after === before || after.status !== 'resting') return;
      const { retryAt = 0 } = event.outcome;
      if (after.source === 'guessed') {
        expect(retryAt).toBeLessThanOrEqual(now);
        return;
      }
      const waitMs = Math.min(retryAt - now, policy.longestStatedMs);
      expect(after.until).toBeGreaterThanOrEqual(now + waitMs);
      expect(after.until).toBeLessThanOrEqual(now + waitMs + Math.min(5_000, waitMs / 10));
    });
  });

  it('raises the level by one with each new rest, and with nothing else', () => {
    always(({ before, after }) => {
      if (after.level > before.level)
        expect(after).toMatchObject({ status: 'resting', level: before.level + 1 });
    });
  });

  it('comes back only by a success of its own time, a reset or a retraction', () => {
    always(({ before, event, after }) => {
      if (before.status !== 'resting' || after.status === 'resting') return;
      if (event.type === 'outcome') {
        expect(event).toMatchObject({ outcome: { kind: 'success' }, seenVersion: before.version });
        expect(after.status).toBe('recovering');
      } else expect(after.status).toBe('healthy');
    });
  });
});

describe('one incident', () => {
  it('advances the level once, however many requests saw it', () => {
    const refusals = fc.array(
      fc.record({
        kind: fc.constantFrom(...REST_REASONS),
        waitMs: fc.option(fc.integer({ min: 1, max: 600_000 }), { nil: undefined }),
        afterMs: fc.integer({ min: 0, max: 9 }),
      }),
      { minLength: 1, maxLength: 50 },
    );
    fc.assert(
      fc.property(refusals, fc.integer({ min: 0, max: 5 }), (answers, version) => {
        const start: Health = { ...FRESH, version };
        const moments = historyOf(
          start,
          KEY_POLICY,
          [{ kind: 'rate-limited' as const, waitMs: undefined, afterMs: 0 }, ...answers].map((refusal) => ({
            afterMs: refusal.afterMs,
            chance: 0,
            event: (_: Health, now: number) => ({
              type: 'outcome' as const,
              outcome: outcomeOf(
                refusal.kind,
                refusal.waitMs === undefined ? undefined : now + refusal.waitMs,
              ),
              seenVersion: version,
            }),
          })),
        );
        expect(moments.at(-1)?.after).toMatchObject({ status: 'resting', version: version + 1, level: 1 });
      }),
    );
  });
});

describe('mergeHealth', () => {
  const runs = { numRuns: 5_000 };

  it('does not depend on the order', () => {
    fc.assert(
      fc.property(healths, healths, (a, b) => {
        expect(mergeHealth(a, b)).toEqual(mergeHealth(b, a));
      }),
      runs,
    );
  });

  it('does not depend on the grouping', () => {
    fc.assert(
      fc.property(healths, healths, healths, (a, b, c) => {
        expect(mergeHealth(mergeHealth(a, b), c)).toEqual(mergeHealth(a, mergeHealth(b, c)));
      }),
      runs,
    );
  });

  it('gives one of the two, and of equals the first', () => {
    fc.assert(
      fc.property(healths, healths, (a, b) => {
        expect([a, b]).toContain(mergeHealth(a, b));
      }),
      runs,
    );
    fc.assert(
      fc.property(healths, (a) => {
        expect(mergeHealth(a, { ...a })).toBe(a);
      }),
    );
  });

  it('lets the later version win, whatever it says', () => {
    fc.assert(
      fc.property(healths, healths, (a, b) => {
        const merged = mergeHealth(a, b);
        expect(merged.version).toBe(Math.max(a.version, b.version));
        if (a.version !== b.version) expect(merged).toBe(a.version > b.version ? a : b);
      }),
      runs,
    );
  });

  it('takes the later deadline within one version', () => {
    fc.assert(
      fc.property(healths, healths, (a, b) => {
        if (a.status !== 'resting' || b.status !== 'resting') return;
        expect(mergeHealth(a, { ...b, version: a.version })).toMatchObject({
          until: Math.max(a.until, b.until),
        });
      }),
      runs,
    );
  });

  it('takes the more careful view where one version means different things', () => {
    const healthy: Health = { status: 'healthy', version: 1, level: 0, strikes: 0 };
    const struck: Health = { ...healthy, strikes: 1 };
    const recovering: Health = { status: 'recovering', version: 1, level: 0, since: NOW };
    const later: Health = { ...recovering, since: NOW + 1 };
    const resting: Health = {
      status: 'resting',
      version: 1,
      level: 1,
      reason: 'rejected',
      until: NOW,
      source: 'guessed',
    };
    const deeper: Health = { ...resting, level: 2 };
    const stated: Health = { ...deeper, source: 'stated' };
    const longer: Health = { ...resting, until: NOW + 1 };
    const byCare = [healthy, struck, recovering, later, resting, deeper, stated, longer];
    byCare.forEach((careful, index) => {
      for (const less of byCare.slice(0, index)) {
        expect(mergeHealth(less, careful)).toBe(careful);
        expect(mergeHealth(careful, less)).toBe(careful);
      }
    });
  });
});
