/** What one process learns, and what people decide, reaches all others, whoever is first and whatever their clocks show. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { FleetOfProcesses, STORES, spendAll } from './fleet.js';
import type { Limit, MemberOptions, Program, StoreName } from './fleet.js';

const SOON = { timeout: 15_000, interval: 10 };
const MINUTE_MS = 60_000;
const LIMITED = { kind: 'rate-limited', scope: 'key', executed: 'no' };
const MAIN = 'acme/main';
const LIMIT: Limit = { requests: 10, perMs: 400 };
const DAILY: Limit = { requests: 40, perMs: 24 * 60 * MINUTE_MS };

type KeyState = readonly [id: string, state: string, until: number | null];

async function start(
  store: StoreName,
  members: readonly MemberOptions[],
): Promise<{ fleet: FleetOfProcesses; members: readonly Program[] }> {
  const fleet = await FleetOfProcesses.start(store, { acme: { keys: 2, limits: [LIMIT, DAILY] } });
  onTestFinished(() => fleet.stop());
  const started = await Promise.all(members.map((options) => fleet.members(1, options)));
  return { fleet, members: started.flat() };
}

const statesOf = (member: Program): Promise<readonly KeyState[]> => member.call('keys');

async function stateOfMain(member: Program): Promise<string | undefined> {
  return (await statesOf(member)).find(([id]) => id === MAIN)?.[1];
}

async function untilOfMain(member: Program): Promise<number> {
  return (await statesOf(member)).find(([id]) => id === MAIN)?.[2] ?? 0;
}

/** Resolves when all members say the same of the first key. */
async function expectAll(members: readonly Program[], state: string): Promise<void> {
  await expect.poll(() => Promise.all(members.map(stateOfMain)), SOON).toEqual(members.map(() => state));
}

describe.each(STORES)('processes over %s', (store) => {
  it('all see the cooldown that one of them met, with the same end', async () => {
    const { members } = await start(store, [{}, {}, {}, {}]);
    await members[2]?.call('report', MAIN, LIMITED, 10 * MINUTE_MS);
    await expectAll(members, 'resting');
    const ends = await Promise.all(members.map(untilOfMain));
    expect(new Set(ends).size).toBe(1);
    const next = await Promise.all(members.map((member) => member.call('next', 'acme')));
    expect(next).toEqual(members.map(() => 'acme/2'));
  });

  it('agree on the latest end where several meet the same incident at once', async () => {
    const { members } = await start(store, [{}, {}, {}, {}]);
    const minutes = [5, 20, 10, 15];
    const before = await (members[1] as Program).call<number>('now');
    await Promise.all(
      members.map((member, index) => member.call('report', MAIN, LIMITED, (minutes[index] ?? 0) * MINUTE_MS)),
    );
    const end = async (): Promise<(number | boolean)[]> => {
      const ends = await Promise.all(members.map(untilOfMain));
      return [new Set(ends).size, ends.every((until) => until >= before + 20 * MINUTE_MS)];
    };
    await expect.poll(end, SOON).toEqual([1, true]);
    expect(await untilOfMain(members[0] as Program)).toBeLessThan(before + 21 * MINUTE_MS);
  });

  it('let a reset by a person stand against a refusal of a request that set out before', async () => {
    const { members } = await start(store, [{}, {}, {}]);
    const [first, second, third] = members as [Program, Program, Program];
    expect(await first.call('hold', 'acme')).toBe(MAIN);
    await second.call('report', MAIN, LIMITED, 10 * MINUTE_MS);
    await expectAll(members, 'resting');
    await third.call('reset', MAIN);
    await expect
      .poll(() => Promise.all(members.map((member) => member.call('next', 'acme'))), SOON)
      .toEqual(members.map(() => MAIN));
    await first.call('reportHeld', LIMITED, 20 * MINUTE_MS);
    // Something later travels the same way, so what came before it has arrived too.
    await first.call('disable', 'acme/2');
    await expect
      .poll(async () => (await Promise.all(members.map(statesOf))).map((keys) => keys[1]?.[1]), SOON)
      .toEqual(members.map(() => 'disabled'));
    const next = await Promise.all(members.map((member) => member.call('next', 'acme')));
    expect(next).toEqual(members.map(() => MAIN));
  });

  it('let what a person decided stand against what others report at the same time', async () => {
    const { members } = await start(store, [{}, {}, {}]);
    const [first, second, third] = members as [Program, Program, Program];
    for (const [decision, state] of [
      ['disable', 'disabled'],
      ['enable', 'resting'],
    ] as const) {
      await Promise.all([
        second.call('report', MAIN, LIMITED, 10 * MINUTE_MS),
        first.call(decision, MAIN),
        third.call('report', MAIN, LIMITED, 5 * MINUTE_MS),
      ]);
      await expectAll(members, state);
    }
  });

  it('end up with one state whatever they do at the same time', async () => {
    const { members } = await start(store, [{}, {}, {}, {}]);
    for (let round = 0; round < 15; round += 1) {
      await Promise.all(
        members.map((member, index) =>
          (round + index) % 3 === 0
            ? member.call('reset', MAIN)
            : member.call('report', MAIN, LIMITED, (1 + index + round) * MINUTE_MS),
        ),
      );
    }
    // The last word, so that all that was said before has arrived where this has.
    await members[0]?.call('disable', 'acme/2');
    const views = async (): Promise<[number, (string | undefined)[]]> => {
      const all = await Promise.all(members.map(statesOf));
      return [new Set(all.map((keys) => JSON.stringify(keys[0]))).size, all.map((keys) => keys[1]?.[1])];
    };
    await expect.poll(views, SOON).toEqual([1, members.map(() => 'disabled')]);
  });

  it('decide the same with wall clocks that are a minute off, or jump', { timeout: 120_000 }, async () => {
    const honest = await start(store, [{}, {}, {}, {}]);
    const decisions = await decide(honest);
    const skewed = await start(store, [
      { skewMs: MINUTE_MS },
      { skewMs: -MINUTE_MS },
      { skewMs: 60 * MINUTE_MS, jumpEveryMs: 50 },
      {},
    ]);
    const [ahead, behind] = await Promise.all(
      skewed.members.map(async (member) => {
        const asked = Date.now();
        const [now = 0, later = 0] = await member.call<number[]>('wallClock');
        return Math.min(now, later) - asked;
      }),
    );
    expect(ahead).toBeGreaterThanOrEqual(MINUTE_MS);
    expect(behind).toBeLessThan(-MINUTE_MS / 2);
    expect(await decide(skewed)).toEqual(decisions);
  });
});

/** What all members decide in the course of one story; their clocks must not show in it. */
async function decide({
  fleet,
  members,
}: {
  fleet: FleetOfProcesses;
  members: readonly Program[];
}): Promise<unknown[]> {
  const decisions: unknown[] = [];
  const note = async (what: string): Promise<void> => {
    const next = await Promise.all(members.map((member) => member.call('next', 'acme')));
    decisions.push([what, next]);
  };
  const nextIs = async (keyId: string): Promise<void> => {
    await expect
      .poll(() => Promise.all(members.map((member) => member.call('next', 'acme'))), SOON)
      .toEqual(members.map(() => keyId));
  };
  const minutesLeft = async (): Promise<void> => {
    const now = await Promise.all(members.map((member) => member.call<number>('now')));
    const ends = await Promise.all(members.map(untilOfMain));
    decisions.push(ends.map((end, index) => Math.round((end - (now[index] ?? 0)) / MINUTE_MS)));
  };
  await note('all is well');
  for (const [index, member] of members.entries()) {
    await member.call('report', MAIN, LIMITED, (10 + 10 * index) * MINUTE_MS);
    await nextIs('acme/2');
    await expectAll(members, 'resting');
    await note(`cooldown by ${String(index)}`);
    await minutesLeft();
    await members[(index + 1) % members.length]?.call('reset', MAIN);
    await nextIs(MAIN);
  }
  for (const member of members) {
    await member.call('report', MAIN, LIMITED, 700);
    await expectAll(members, 'resting');
    // The end of a short cooldown comes by itself, for everyone.
    await nextIs(MAIN);
    await note('back in time');
    await member.call('reset', MAIN);
    await expect.poll(() => Promise.all(members.map(stateOfMain)), SOON).not.toContain('resting');
  }
  decisions.push(await spendAll(members, { service: 'acme', way: 'till', atATime: 2 }));
  const verdicts = await fleet.verdicts(LIMIT);
  for (const { most } of verdicts) expect(most).toBeLessThanOrEqual(LIMIT.requests);
  decisions.push(verdicts.map(({ key, spent }) => `${key}: ${String(spent)}`).sort());
  return decisions;
}
