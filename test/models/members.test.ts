import { describe, expect, it } from 'vitest';
import { FRESH, type Health, type HealthEvent, KEY_POLICY, transition } from '#keymux/core/health.js';
import type { HealthRecord } from '#keymux/core/ports.js';
import { mergeRecords } from '#keymux/stores/records.js';

const NOW = 1_000_000;
const NEVER = { subject: 'key:1', health: FRESH, disabled: false, disabledVersion: 0 } satisfies HealthRecord;

/** What members do by themselves, one after the other. */
type Deed =
  'rate-limited' | 'rejected' | 'rejected late' | 'success' | 'reset' | 'retract' | 'disable' | 'enable';

/** Members and the store as they are, and what is still to come. Messages stay: they may come late, twice or never. */
interface State {
  readonly members: readonly HealthRecord[];
  readonly store: HealthRecord;
  readonly deeds: readonly (readonly Deed[])[];
  readonly messages: readonly HealthRecord[];
}

type Merge = (a: HealthRecord, b: HealthRecord) => HealthRecord;

function done(record: HealthRecord, deed: Deed): HealthRecord {
  if (deed === 'disable' || deed === 'enable')
    return { ...record, disabled: deed === 'disable', disabledVersion: record.disabledVersion + 1 };
  return {
    ...record,
    health: transition(record.health, eventOf(deed, record.health), KEY_POLICY, NOW, () => 0),
  };
}

function eventOf(deed: Exclude<Deed, 'disable' | 'enable'>, { version }: Health): HealthEvent {
  if (deed === 'reset') return { type: 'reset' };
  if (deed === 'retract') return { type: 'retract', version };
  const kind = deed === 'rejected late' ? 'rejected' : deed;
  // What was asked for at the very beginning is late wherever anything happened since.
  const seenVersion = deed === 'rejected late' ? 0 : version;
  return { type: 'outcome', outcome: { kind, scope: 'key', executed: 'no' }, seenVersion };
}

function replaced<T>(list: readonly T[], at: number, item: T): T[] {
  return list.map((old, index) => (index === at ? item : old));
}

function* stepsFrom(state: State, merge: Merge): Generator<readonly [label: string, next: State]> {
  for (const [index, mine] of state.members.entries()) {
    const [deed, ...rest] = state.deeds[index] ?? [];
    const become = (record: HealthRecord): readonly HealthRecord[] => replaced(state.members, index, record);
    if (deed !== undefined)
      yield [
        `${index}: ${deed}`,
        { ...state, members: become(done(mine, deed)), deeds: replaced(state.deeds, index, rest) },
      ];
    // The store merges, answers with what stands, and tells all others.
    const stored = merge(state.store, mine);
    const messages = [
      ...new Map([...state.messages, stored].map((one) => [JSON.stringify(one), one])).values(),
    ];
    yield [
      `${index}: publishes`,
      { ...state, store: stored, members: become(merge(mine, stored)), messages },
    ];
    for (const message of state.messages)
      yield [`${index}: hears`, { ...state, members: become(merge(mine, message)) }];
  }
}

/** Everyone tells the store once more, and reads it: what the periodic reconciliation comes to. */
function reconciled({ members, store }: State, merge: Merge): readonly HealthRecord[] {
  const stored = members.reduce(merge, store);
  return members.map((mine) => merge(mine, stored));
}

/** Every state that can be reached; fails where one does not end alike in all members. */
function exploreMembers(
  deeds: readonly (readonly Deed[])[],
  check: (ends: readonly HealthRecord[]) => string | undefined,
  merge: Merge = mergeRecords,
): number {
  const begin: State = { members: deeds.map(() => NEVER), store: NEVER, deeds, messages: [] };
  const seen = new Set([JSON.stringify(begin)]);
  const queue: { readonly state: State; readonly trace: string }[] = [{ state: begin, trace: '' }];
  for (const { state, trace } of queue) {
    for (const [label, next] of stepsFrom(state, merge)) {
      const key = JSON.stringify(next);
      if (seen.has(key)) continue;
      seen.add(key);
      const steps = `${trace}\n  ${label}`;
      const ends = reconciled(next, merge);
      const [first] = ends;
      if (ends.some((end) => JSON.stringify(end) !== JSON.stringify(first)))
        throw new Error(`They do not agree: ${JSON.stringify(ends)}${steps}`);
      const wrong = next.deeds.flat().length === 0 ? check(ends) : undefined;
      if (wrong !== undefined) throw new Error(`${wrong}: ${JSON.stringify(first)}${steps}`);
      queue.push({ state: next, trace: steps });
    }
  }
  return queue.length;
}

describe('members that tell each other how a key fares, in any order, twice or never', () => {
  it.each<[string, Deed[][]]>([
    ['two refusals and a reset', [['rate-limited'], ['rejected'], ['reset']]],
    ['a rest, a trial and a retraction', [['rate-limited', 'retract'], ['rejected'], ['success']]],
    ['several rests of one member', [['rate-limited', 'reset', 'rejected'], ['rate-limited']]],
    ['a key taken out and put back', [['disable', 'enable'], ['disable'], ['rate-limited']]],
  ])('agree in the end: %s', (_what, deeds) => {
    expect(exploreMembers(deeds, () => undefined)).toBeGreaterThan(50);
  });

  it('keep a reset by who knew of the rest', () => {
    const states = exploreMembers([['rate-limited', 'reset'], ['rejected late'], []], ([end]) =>
      // Under a version of its own: no rest that came before it is taken up again.
      end?.health.status === 'healthy' && end.health.version >= 2 ? undefined : 'the reset is lost',
    );
    expect(states).toBeGreaterThan(50);
  });

  it('keep a key out of use unless somebody who knew of it said otherwise', () => {
    exploreMembers([['disable'], ['rate-limited'], []], ([end]) =>
      end?.disabled === true ? undefined : 'it is in use',
    );
    exploreMembers([['disable', 'enable'], ['rejected'], []], ([end]) =>
      end?.disabled === false ? undefined : 'it is out of use',
    );
  });

  it('would not agree if the latest word stood', () => {
    const latest: Merge = (_, b) => b;
    expect(() =>
      exploreMembers(
        [['rate-limited', 'reset'], []],
        ([end]) => (end?.health.version === 2 ? undefined : 'lost'),
        latest,
      ),
    ).toThrow(/^lost/);
  });
});
