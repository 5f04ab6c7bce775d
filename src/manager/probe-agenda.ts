/** What the monitor has yet to look at: everything that rests and needs a probe, with the member that can carry it. */
import type { Health } from '../core/health.js';
import { phaseOf } from '../core/health.js';
import type { Clock, Random } from '../core/ports.js';
import type { PlannedProbe, ProbeHistory, ProbeNeed, ProbePace, ProbeSubject } from '../core/probe-plan.js';
import { dueProbes, probeAt, probeNeedOf } from '../core/probe-plan.js';
import type { ProbePolicy } from '../core/provider.js';
import { COUNTER } from '../state/layout.js';
import type { StateTable } from '../state/table.js';
import type { Member } from './members.js';

export type ProbedKind = 'key' | 'bucket' | 'provider';

export interface AgendaEntry extends PlannedProbe {
  readonly kind: ProbedKind;
  /** `provider/key`, or the name of the bucket or provider. */
  readonly label: string;
  readonly member: Member;
  readonly policy: ProbePolicy;
  /** Of its health. */
  readonly version: number;
  readonly history: ProbeHistory;
}

export interface AgendaContext {
  readonly table: StateTable;
  readonly now: Clock;
  readonly random: Random;
  /** Keys that can be probed. */
  readonly members: () => readonly Member[];
  readonly intervalMs: () => number;
}

export class ProbeAgenda {
  readonly #context: AgendaContext;
  /** By the subject's name. */
  readonly #entries = new Map<string, AgendaEntry>();

  constructor(context: AgendaContext) {
    this.#context = context;
  }

  clear(): void {
    this.#entries.clear();
  }

  /** What is due now, the most wanted first. */
  due(): AgendaEntry[] {
    this.#refresh();
    return dueProbes(this.#entries.values(), this.#context.now());
  }

  /** When the next one becomes due; infinite where nothing does. */
  nextAfter(moment: number): number {
    return Math.min(
      ...[...this.#entries.values()].map(({ at }) => (at > moment ? at : Number.POSITIVE_INFINITY)),
    );
  }

  /** It cannot be probed before this moment. */
  postpone(entry: AgendaEntry, at: number): void {
    this.#entries.set(nameOf(entry), { ...entry, at: Math.max(entry.at, at) });
  }

  /** It was probed; where it still rests it is looked at again, later than the last time. */
  probed(entry: AgendaEntry, lastAt: number): void {
    const { table, now } = this.#context;
    const health = table.health(entry.member.rows[entry.kind]);
    const history = { seenAt: now(), lastAt, failures: entry.history.failures + 1 };
    this.#plan(nameOf(entry), { ...entry, version: health.version, history }, health, entry.need);
  }

  #refresh(): void {
    const { now } = this.#context;
    const moment = now();
    const wanted = new Set<string>();
    for (const { subject, ...entry } of this.#subjects()) {
      const need = probeNeedOf(subject, moment);
      if (need === undefined) continue;
      const name = nameOf(entry);
      wanted.add(name);
      const known = this.#entries.get(name);
      const { version } = subject.health;
      if (known?.version === version && known.need === need) {
        this.#entries.set(name, { ...known, ...entry });
        continue;
      }
      const history: ProbeHistory = { ...known?.history, seenAt: moment, failures: 0 };
      this.#plan(name, { ...entry, version, history }, subject.health, need);
    }
    for (const name of this.#entries.keys()) if (!wanted.has(name)) this.#entries.delete(name);
  }

  #plan(name: string, entry: Omit<AgendaEntry, keyof PlannedProbe>, health: Health, need: ProbeNeed): void {
    const { random, intervalMs } = this.#context;
    const { kind, policy, history } = entry;
    const pace: ProbePace = { intervalMs: intervalMs() };
    this.#entries.set(name, {
      ...entry,
      need,
      costsQuota: policy.costsQuota,
      until: health.status === 'resting' ? health.until : 0,
      at: probeAt({ kind, health, policy }, need, history, pace, random),
    });
  }

  *#subjects(): Generator<
    Pick<AgendaEntry, 'kind' | 'label' | 'member' | 'policy'> & { subject: ProbeSubject }
  > {
    const groups = new Map<string, Member[]>();
    for (const member of this.#context.members()) {
      for (const kind of ['provider', 'bucket', 'key'] as const) {
        const name = member.subjects[kind];
        groups.set(name, [...(groups.get(name) ?? []), member]);
      }
    }
    for (const [name, members] of groups) {
      const member = this.#carrierOf(members);
      const { probe: policy } = member.provider;
      if (policy === undefined) continue;
      const kind = name.slice(0, name.indexOf(':')) as ProbedKind;
      const label = { key: member.keyId, bucket: member.bucket.name, provider: member.provider.id }[kind];
      yield { kind, label, member, policy, subject: this.#subjectOf(kind, member, policy) };
    }
  }

  /** The member that is most likely to be answered well. */
  #carrierOf(members: readonly Member[]): Member {
    const { table } = this.#context;
    const ranked = members.map((member) => {
      const rests = table.health(member.rows.key).status === 'resting';
      return { member, rank: (this.#isOut(member) ? 2 : 0) + Number(rests) };
    });
    return ranked.reduce((best, other) => (other.rank < best.rank ? other : best)).member;
  }

  /** Whether nobody wants to know of it. */
  #isOut({ rows, credential }: Member): boolean {
    return (
      this.#context.table.disabled(rows.key) || this.#context.now() >= (credential.expiresAt ?? Infinity)
    );
  }

  #subjectOf(kind: ProbedKind, member: Member, policy: ProbePolicy): ProbeSubject {
    const { rows } = member;
    const { table, now, intervalMs } = this.#context;
    const row = rows[kind];
    const moment = now();
    const lastUsedAt = table.timeOf(table.get(row, COUNTER.lastUsed));
    return {
      kind,
      health: table.health(row),
      policy,
      isDisabled: this.#isOut(member),
      hasTraffic: table.get(row, COUNTER.pending) > 0 || moment - lastUsedAt < intervalMs(),
      isProviderOpen: phaseOf(table.health(rows.provider), moment) === 'open',
    };
  }
}

function nameOf({ kind, member }: Pick<AgendaEntry, 'kind' | 'member'>): string {
  return member.subjects[kind];
}
