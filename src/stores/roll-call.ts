/** Who is there and who leads: what the stores have in common in deciding it. */
import { KeymuxError } from '../core/errors.js';
import { REUNION_MS } from '../core/fleet.js';
import type { Fence, Fleet, Leadership, Presence } from '../core/fleet.js';

export interface RollMember {
  readonly memberId: string;
  readonly host: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly ttlMs: number;
  readonly group?: string | undefined;
  /** Grows with each member that joins. */
  readonly joined: number;
  readonly seenAt: number;
}

export interface RollLeader {
  readonly group: string;
  readonly memberId: string;
  readonly token: number;
}

export interface Roll {
  /** By time of joining. */
  readonly members: readonly RollMember[];
  readonly leaders: readonly RollLeader[];
  /** The latest token of any group. */
  readonly lastToken: number;
  /** When somebody was heard after nobody had been there. */
  readonly silenceEndedAt: number;
  readonly reunionUntil: number;
  /** The most members that anybody remembered since the last reunion began. */
  readonly remembered: number;
}

export const EMPTY_ROLL: Roll = {
  members: [],
  leaders: [],
  lastToken: 0,
  silenceEndedAt: 0,
  reunionUntil: 0,
  remembered: 0,
};

/** Members that are there, and those of them that lead. Who was last heard in the future was dated by another clock. */
export function present(roll: Roll, now: number): Roll {
  const members = roll.members.filter(({ seenAt, ttlMs }) => Math.abs(now - seenAt) < ttlMs);
  if (members.length === roll.members.length) return roll;
  return { ...roll, members, leaders: leadersAmong(members, roll.leaders) };
}

/** The roll after a member said that it is there. */
export function afterBeat(before: Roll, presence: Presence, now: number): Roll {
  const roll = present(before, now);
  const members = withMember(roll.members, presence, now);
  return { ...roll, members, ...election(roll, members, presence, now), ...reunion(roll, presence, now) };
}

export function afterLeave(roll: Roll, memberId: string): Roll {
  const members = roll.members.filter((member) => member.memberId !== memberId);
  return { ...roll, members, leaders: leadersAmong(members, roll.leaders) };
}

/** What a member of the roll learns. */
export function fleetOf(roll: Roll, { memberId, group }: Presence, now: number): Fleet {
  const isOn = isReunion(roll, now);
  const count = roll.members.length;
  const leader = roll.leaders.find((candidate) => candidate.group === group);
  return {
    size: isOn ? Math.max(count, roll.remembered) : count,
    rank: roll.members.findIndex((member) => member.memberId === memberId),
    ...(leader !== undefined && { leader: leadership(roll, leader) }),
    reunionUntil: isOn ? roll.reunionUntil : 0,
  };
}

export function leadership(roll: Roll, { memberId, token }: RollLeader): Leadership {
  const member = roll.members.find((candidate) => candidate.memberId === memberId);
  return { memberId, token, until: member === undefined ? 0 : member.seenAt + member.ttlMs };
}

/** Throws `KEYMUX_FENCED` unless that leadership stands. */
export function checkFence(before: Roll, { group, token }: Fence, now: number): void {
  const leader = present(before, now).leaders.find((candidate) => candidate.group === group);
  if (leader?.token === token) return;
  const successor =
    leader === undefined
      ? 'nobody leads it now'
      : `"${leader.memberId}" leads it now (${String(leader.token)})`;
  throw new KeymuxError(
    'KEYMUX_FENCED',
    `Leadership ${String(token)} of the group "${group}" has ended: ${successor}. Nothing was stored.`,
    { fix: 'Stop acting as its leader until the next beat() says that this member leads again.' },
  );
}

function isReunion({ reunionUntil }: Roll, now: number): boolean {
  return reunionUntil > now && reunionUntil <= now + REUNION_MS;
}

/**
 * All had been away if one that returns is heard within the first moments after nobody was; it need not be the very
 * first, since a process that was only just started may be quicker.
 */
function reunion(
  roll: Roll,
  { isReturning, remembered }: Presence,
  now: number,
): Pick<Roll, 'silenceEndedAt' | 'reunionUntil' | 'remembered'> {
  const silenceEndedAt = roll.members.length === 0 ? now : roll.silenceEndedAt;
  const isOn = isReunion(roll, now);
  const begins = !isOn && isReturning && now - silenceEndedAt < REUNION_MS;
  return {
    silenceEndedAt,
    reunionUntil: begins ? now + REUNION_MS : roll.reunionUntil,
    remembered: Math.max(remembered, isOn ? roll.remembered : 0),
  };
}

function withMember(members: readonly RollMember[], presence: Presence, now: number): RollMember[] {
  const { memberId, host, pid, startedAt, ttlMs, group } = presence;
  const known = members.find((member) => member.memberId === memberId);
  const joined = known?.joined ?? 1 + Math.max(0, ...members.map((member) => member.joined));
  const member = { memberId, host, pid, startedAt, ttlMs, group, joined, seenAt: now };
  return known === undefined
    ? [...members, member]
    : members.map((candidate) => (candidate === known ? member : candidate));
}

/** A token is also a time, so that it grows even where the store lost the one before. */
function election(
  roll: Roll,
  members: readonly RollMember[],
  { memberId, group }: Presence,
  now: number,
): Pick<Roll, 'leaders' | 'lastToken'> {
  const leaders = leadersAmong(members, roll.leaders);
  const { lastToken } = roll;
  if (group === undefined || leaders.some((leader) => leader.group === group)) return { leaders, lastToken };
  const token = Math.max(lastToken + 1, Math.floor(now));
  return { leaders: [...leaders, { group, memberId, token }], lastToken: token };
}

function leadersAmong(members: readonly RollMember[], leaders: readonly RollLeader[]): RollLeader[] {
  return leaders.filter(({ group, memberId }) =>
    members.some((member) => member.memberId === memberId && member.group === group),
  );
}
