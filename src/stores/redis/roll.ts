/** Who is there and who leads. */
import { REUNION_MS } from '../../core/fleet.js';
import type { Census, Fleet, Presence } from '../../core/fleet.js';
import { inRowsOf } from './feed.js';
import type { Generation } from './generation.js';
import type { Line } from './line.js';

export interface RollContext {
  readonly line: Line;
  readonly generation: Generation;
  /** Number of the last change of health that this process heard of. */
  readonly heard: () => number;
}

export class Roll {
  readonly #context: RollContext;
  /** Of the fleet that this process last said to that it is there. */
  #epoch = '';

  constructor(context: RollContext) {
    this.#context = context;
  }

  async beat(presence: Presence): Promise<Fleet> {
    const { line, generation, heard } = this.#context;
    const { memberId, host, pid, startedAt, ttlMs, group, isReturning, remembered } = presence;
    const { parts } = await line.ask('beat', [
      this.#epoch,
      memberId,
      host,
      pid,
      startedAt,
      ttlMs,
      group ?? '',
      isReturning ? '1' : '0',
      remembered,
      heard(),
      REUNION_MS,
    ]);
    const [epoch = '', size, rank, reunionUntil, leader, token, until] = parts;
    this.#epoch = epoch;
    generation.learn(epoch);
    return {
      size: Number(size),
      rank: Number(rank),
      ...(leader !== undefined && {
        leader: { memberId: leader, token: Number(token), until: Number(until) },
      }),
      reunionUntil: Number(reunionUntil),
    };
  }

  async leave(memberId: string): Promise<void> {
    await this.#context.line.ask('leave', [memberId]);
  }

  /** Without the leases, and from which buckets there may be some. */
  async census(): Promise<Pick<Census, 'members' | 'leaders'> & { readonly buckets: readonly string[] }> {
    const { parts } = await this.#context.line.ask('census');
    const [members, leaders, , ...rows] = parts;
    const endOfMembers = Number(members) * 6;
    const endOfLeaders = endOfMembers + Number(leaders) * 4;
    return {
      members: inRowsOf(6, rows.slice(0, endOfMembers)).map(
        ([memberId = '', host = '', pid, startedAt, seenAt, behind]) => ({
          memberId,
          host,
          pid: Number(pid),
          startedAt: Number(startedAt),
          seenAt: Number(seenAt),
          behind: Number(behind),
        }),
      ),
      leaders: inRowsOf(4, rows.slice(endOfMembers, endOfLeaders)).map(
        ([group = '', memberId = '', token, until]) => ({
          group,
          memberId,
          token: Number(token),
          until: Number(until),
        }),
      ),
      buckets: rows.slice(endOfLeaders),
    };
  }
}
