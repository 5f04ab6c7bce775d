import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PRESENCE_TTL_MS, REUNION_MS } from '#keymux/core/fleet.js';
import type { Fleet, Presence } from '#keymux/core/fleet.js';
import {
  EMPTY_ROLL,
  afterBeat,
  afterLeave,
  checkFence,
  fleetOf,
  leadership,
  present,
} from '#keymux/stores/roll-call.js';
import type { Roll } from '#keymux/stores/roll-call.js';
import { presence } from '#keymux/testing/contracts/store-samples.js';

const NOW = Date.UTC(2026, 4, 17);

function beat(roll: Roll, says: Presence, now: number): { roll: Roll; fleet: Fleet } {
  const after = afterBeat(roll, says, now);
  return { roll: after, fleet: fleetOf(after, says, now) };
}

const step = fc.record({
  memberId: fc.constantFrom('a', 'b', 'c', 'd'),
  group: fc.option(fc.constantFrom('g', 'h'), { nil: undefined }),
  leaves: fc.boolean(),
  isReturning: fc.boolean(),
  remembered: fc.integer({ min: 0, max: 9 }),
  afterMs: fc.integer({ min: 0, max: 2_500 }),
});

describe('the roll of members', () => {
  it('gives no time to the leadership of one who is not there', () => {
    const gone = { group: 'g', memberId: 'gone', token: 3 };
    expect(leadership(EMPTY_ROLL, gone)).toEqual({ memberId: 'gone', token: 3, until: 0 });
  });

  it('has distinct dense ranks, one living leader for each group, and tokens that only grow', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let roll = EMPTY_ROLL;
        let now = NOW;
        const tokens = new Map<string, { memberId: string; token: number }>();
        for (const { memberId, group, leaves, isReturning, remembered, afterMs } of steps) {
          now += afterMs;
          if (leaves) {
            roll = afterLeave(roll, memberId);
            continue;
          }
          const says = presence(memberId, { isReturning, remembered, ...(group !== undefined && { group }) });
          const beaten = beat(roll, says, now);
          roll = beaten.roll;
          const { fleet } = beaten;
          const there = roll.members.map((member) => member.memberId);
          expect(new Set(there).size).toBe(there.length);
          expect(there[fleet.rank]).toBe(memberId);
          expect(fleet.size).toBeGreaterThanOrEqual(there.length);
          if (fleet.reunionUntil === 0) expect(fleet.size).toBe(there.length);
          else expect(fleet.size).toBeGreaterThanOrEqual(remembered);
          expect(fleet.leader === undefined).toBe(group === undefined);
          if (group === undefined || fleet.leader === undefined) continue;
          expect(there).toContain(fleet.leader.memberId);
          expect(fleet.leader.until).toBeGreaterThan(now);
          const { memberId: leading, token } = fleet.leader;
          const last = tokens.get(group);
          if (last?.memberId !== leading) expect(token).toBeGreaterThan(last?.token ?? 0);
          expect(token).toBeGreaterThanOrEqual(last?.token ?? 0);
          expect(() => checkFence(roll, { group, token }, now)).not.toThrow();
          tokens.set(group, { memberId: leading, token });
        }
      }),
    );
  });

  it('does not count who was last heard in the future, as by a clock that was set back', () => {
    const { roll } = beat(EMPTY_ROLL, presence('a', { group: 'g' }), NOW + 3_600_000);
    expect(present(roll, NOW)).toMatchObject({ members: [], leaders: [] });
    expect(beat(roll, presence('b', { group: 'g' }), NOW).fleet).toMatchObject({
      size: 1,
      leader: { memberId: 'b' },
    });
  });

  it('ends no later than it began a reunion that a clock set back would prolong', () => {
    const { fleet, roll } = beat(EMPTY_ROLL, presence('a', { isReturning: true }), NOW);
    expect(fleet.reunionUntil).toBe(NOW + REUNION_MS);
    expect(beat(roll, presence('b'), NOW - 3_600_000).fleet.reunionUntil).toBe(0);
  });

  it('gives tokens above all earlier ones where the roll was lost', () => {
    const first = beat(EMPTY_ROLL, presence('a', { group: 'g' }), NOW).fleet.leader;
    const second = beat(EMPTY_ROLL, presence('b', { group: 'g' }), NOW + PRESENCE_TTL_MS).fleet.leader;
    expect(second?.token).toBeGreaterThan(first?.token ?? Number.POSITIVE_INFINITY);
  });
});
