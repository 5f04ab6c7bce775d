/** The roll of members as rows; each method runs within one immediate transaction of its caller. */
import type { Census, Fence, Fleet, Presence } from '../../core/fleet.js';
import { EMPTY_ROLL, afterBeat, afterLeave, checkFence, fleetOf, leadership, present } from '../roll-call.js';
import type { Roll, RollLeader, RollMember } from '../roll-call.js';
import { asBytes, textOf } from './driver.js';
import type { Database, Query, Row, Statement } from './driver.js';

export class RollTable {
  readonly #writer: string;
  readonly #members: Query;
  readonly #leaders: Query;
  readonly #fleet: Query;
  readonly #behind: Query;
  readonly #writeMember: Statement;
  readonly #dropMember: Statement;
  readonly #writeLeader: Statement;
  readonly #dropLeader: Statement;
  readonly #writeFleet: Statement;

  constructor(db: Database, writer: string) {
    this.#writer = writer;
    const texts = ['member_id', 'host', 'member_group'].map(asBytes).join(', ');
    this.#members = db
      .prepare(`SELECT ${texts}, pid, started_at, ttl_ms, joined, seen_at FROM member ORDER BY joined`)
      .raw();
    this.#leaders = db
      .prepare(`SELECT ${['member_group', 'member_id'].map(asBytes).join(', ')}, token FROM leader`)
      .raw();
    this.#fleet = db
      .prepare('SELECT last_token, silence_ended_at, reunion_until, remembered FROM fleet')
      .raw();
    this.#behind = db
      .prepare(
        `SELECT count(*) FROM member JOIN health ON seq > heard_seq AND health.writer <> member.writer
         WHERE member_id = ?`,
      )
      .raw();
    this.#writeMember = db.prepare(
      `INSERT OR REPLACE INTO member
         (member_id, host, member_group, writer, pid, started_at, ttl_ms, joined, seen_at, heard_seq)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#dropMember = db.prepare('DELETE FROM member WHERE member_id = ?');
    this.#writeLeader = db.prepare('INSERT OR REPLACE INTO leader VALUES (?, ?, ?)');
    this.#dropLeader = db.prepare('DELETE FROM leader WHERE member_group = ?');
    this.#writeFleet = db.prepare('INSERT OR REPLACE INTO fleet VALUES (1, ?, ?, ?, ?)');
  }

  /** `heardSeq`: up to which change of health the member has taken up what others wrote. */
  beat(presence: Presence, heardSeq: number, now: number): Fleet {
    const before = this.#read();
    const after = afterBeat(before, presence, now);
    this.#write(before, after, heardSeq);
    return fleetOf(after, presence, now);
  }

  leave(memberId: string): void {
    const before = this.#read();
    this.#write(before, afterLeave(before, memberId), 0);
  }

  checkFence(fence: Fence, now: number): void {
    checkFence(this.#read(), fence, now);
  }

  census(now: number): Pick<Census, 'members' | 'leaders'> {
    const roll = present(this.#read(), now);
    return {
      members: roll.members.map(({ memberId, host, pid, startedAt, seenAt }) => {
        const behind = Number(this.#behind.get(memberId)?.[0]);
        return { memberId, host, pid, startedAt, seenAt, behind };
      }),
      leaders: roll.leaders.map((leader) => ({ group: leader.group, ...leadership(roll, leader) })),
    };
  }

  #read(): Roll {
    const members = this.#members.all().flatMap(toMember);
    const leaders = this.#leaders.all().flatMap(toLeader);
    const row = this.#fleet.get();
    if (row === undefined) return { ...EMPTY_ROLL, members, leaders };
    const [lastToken = 0, silenceEndedAt = 0, reunionUntil = 0, remembered = 0] = row.map(Number);
    return { members, leaders, lastToken, silenceEndedAt, reunionUntil, remembered };
  }

  /** Writes what differs: what did not change is the very same object in both. */
  #write(before: Roll, after: Roll, heardSeq: number): void {
    for (const { memberId } of before.members) {
      if (!after.members.some((member) => member.memberId === memberId)) this.#dropMember.run(memberId);
    }
    for (const member of after.members) {
      if (before.members.includes(member)) continue;
      const { memberId, host, group, pid, startedAt, ttlMs, joined, seenAt } = member;
      this.#writeMember.run(
        memberId,
        host,
        group ?? null,
        this.#writer,
        pid,
        startedAt,
        ttlMs,
        joined,
        seenAt,
        heardSeq,
      );
    }
    for (const { group } of before.leaders) {
      if (!after.leaders.some((leader) => leader.group === group)) this.#dropLeader.run(group);
    }
    for (const leader of after.leaders) {
      if (!before.leaders.includes(leader)) {
        this.#writeLeader.run(leader.group, leader.memberId, leader.token);
      }
    }
    const { lastToken, silenceEndedAt, reunionUntil, remembered } = after;
    this.#writeFleet.run(lastToken, silenceEndedAt, reunionUntil, remembered);
  }
}

/** A damaged row is left out: the member says again who it is. */
function toMember(row: Row): RollMember[] {
  const [memberId, host] = row.slice(0, 2).map(textOf);
  if (memberId === undefined || host === undefined) return [];
  const [pid = 0, startedAt = 0, ttlMs = 0, joined = 0, seenAt = 0] = row.slice(3).map(Number);
  return [{ memberId, host, group: textOf(row[2]), pid, startedAt, ttlMs, joined, seenAt }];
}

function toLeader(row: Row): RollLeader[] {
  const [group, memberId] = row.slice(0, 2).map(textOf);
  return group === undefined || memberId === undefined ? [] : [{ group, memberId, token: Number(row[2]) }];
}
