/**
 * Looks after what rests: one process of all that hold the same keys is elected to probe. What it finds is stored
 * under proof of its leadership, and taken up only as the store then has it.
 */
import { KeymuxError } from '../core/errors.js';
import type { Fence } from '../core/fleet.js';
import { KEY_POLICY, PROVIDER_POLICY, transition } from '../core/health.js';
import type { Outcome } from '../core/outcome.js';
import type { Clock, HealthRecord, MaybePromise, Random } from '../core/ports.js';
import { probeFindings } from '../core/probe-verdict.js';
import type { Probed, ProbeFinding } from '../core/probe-verdict.js';
import type { StateTable } from '../state/table.js';
import type { Events } from './events.js';
import type { Member } from './members.js';
import type { MembershipView } from './membership.js';
import { isShortage, UNLIMITED } from './permits.js';
import type { Permit, PermitSource, Shortage } from './permits.js';
import { sendProbe } from './probe.js';
import type { AgendaEntry } from './probe-agenda.js';
import { ProbeAgenda } from './probe-agenda.js';
import type { BudgetStore } from './probe-budget.js';
import { ProbeBudget } from './probe-budget.js';
import type { StoreLink } from './store-link.js';
import type { Sync } from './sync.js';
import { announceTransition } from './transitions.js';

/** How often the leader looks whether something came to rest. Milliseconds. */
const LOOK_EVERY_MS = 1_000;
/** Probes under way at once; one per provider. */
const MOST_AT_ONCE = 4;
/** After trouble with the store. Milliseconds. */
const RETRY_MS = 5_000;

export interface MonitorContext {
  readonly membership: Pick<MembershipView, 'fence' | 'setGroup' | 'onLeadership'>;
  readonly store: BudgetStore;
  readonly link: Pick<StoreLink, 'ask' | 'isLost'>;
  readonly table: StateTable;
  readonly permits: Pick<PermitSource, 'take'>;
  readonly sync: Pick<Sync, 'publishFenced'>;
  readonly events: Events;
  readonly now: Clock;
  readonly random: Random;
  /** Default: the platform's, looked up at each probe. */
  readonly fetch?: typeof fetch | undefined;
  /** Every key there is. */
  readonly members: () => Iterable<Member>;
  /** How long something rests before it is probed, and between two probes at least. Milliseconds. */
  readonly intervalMs: () => number;
  /** The store failed; nothing was changed. */
  readonly onTrouble: (error: unknown) => void;
}

export class Monitor {
  readonly #context: MonitorContext;
  readonly #agenda: ProbeAgenda;
  readonly #budget: ProbeBudget;
  readonly #running = new Map<string, Promise<void>>();
  #abort = new AbortController();
  /** The leadership under which it works. */
  #fence: Fence | undefined;
  /** One that the store did not acknowledge any more. */
  #refused: Fence | undefined;
  #timer: NodeJS.Timeout | undefined;
  #unsubscribe: (() => void) | undefined;
  #isStarted = false;

  constructor(context: MonitorContext) {
    this.#context = context;
    this.#budget = new ProbeBudget(context.store, context.link);
    this.#agenda = new ProbeAgenda({
      table: context.table,
      now: context.now,
      random: context.random,
      members: () => this.#probeable(),
      intervalMs: () => context.intervalMs(),
    });
  }

  get isLeading(): boolean {
    return this.#fence !== undefined;
  }

  start(): void {
    const { membership } = this.#context;
    this.#isStarted = true;
    this.regroup();
    this.#unsubscribe = membership.onLeadership((fence) => this.#lead(fence));
    this.#lead(membership.fence);
  }

  /** The keys may have changed, and with them who else looks after them. */
  regroup(): void {
    if (this.#isStarted) this.#context.membership.setGroup(groupOf(this.#probeable()));
  }

  /** Ends what is under way; nothing is written any more. */
  async stop(): Promise<void> {
    this.#isStarted = false;
    this.#unsubscribe?.();
    this.#lead(undefined);
    await Promise.all(this.#running.values());
  }

  #probeable(): Member[] {
    return [...this.#context.members()].filter(({ provider }) => provider.probe !== undefined);
  }

  #lead(fence: Fence | undefined): void {
    const was = this.#fence;
    const next = isSame(fence, this.#refused) ? undefined : fence;
    if (was === next || isSame(was, next)) return;
    this.#fence = next;
    this.#agenda.clear();
    if (was !== undefined) {
      this.#abort.abort();
      clearTimeout(this.#timer);
      this.#tell('ceased');
    }
    if (next === undefined) return;
    this.#abort = new AbortController();
    this.#tell('began');
    this.#look();
  }

  #tell(change: 'began' | 'ceased'): void {
    this.#context.events.emit('leader', { change, at: this.#context.now() });
  }

  #look(): void {
    // A process that was stopped for a while may have lost it without being told.
    this.#lead(this.#context.membership.fence);
    const fence = this.#fence;
    if (fence === undefined) return;
    // Without the store nobody knows what was spent, nor who leads.
    for (const entry of this.#context.link.isLost ? [] : this.#agenda.due()) {
      const { id } = entry.member.provider;
      if (this.#running.size >= MOST_AT_ONCE) break;
      if (this.#running.has(id)) continue;
      const running = this.#probe(entry, fence).finally(() => {
        this.#running.delete(id);
        if (isSame(this.#fence, fence)) this.#lookIn(0);
      });
      this.#running.set(id, running);
    }
    const now = this.#context.now();
    this.#lookIn(Math.min(LOOK_EVERY_MS, this.#agenda.nextAfter(now) - now));
  }

  #lookIn(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), Math.ceil(delayMs)).unref();
  }

  /** Never rejects. */
  async #probe(entry: AgendaEntry, fence: Fence): Promise<void> {
    try {
      const outcome = await this.#sendWithin(entry, fence, this.#abort.signal);
      if (outcome === undefined) return;
      const { kind, status, evidence } = outcome;
      this.#context.events.emit('probe', {
        subject: entry.label,
        outcome: kind,
        ...(status === undefined ? {} : { status }),
        ...(evidence === undefined ? {} : { evidence }),
        at: this.#context.now(),
      });
    } catch (error) {
      this.#failed(error, entry, fence);
    }
  }

  /** Sends it if budget and allowance permit, and stores what it finds; undefined where it was put off. */
  async #sendWithin(entry: AgendaEntry, fence: Fence, signal: AbortSignal): Promise<Outcome | undefined> {
    const { member, policy } = entry;
    const { now, intervalMs } = this.#context;
    const carrier = policy.authenticated ? member.subjects.key.slice('key:'.length) : 'anonymous';
    const leave = await this.#budget.ask(member.provider.id, carrier, policy, intervalMs());
    if ('delayMs' in leave) {
      this.#putOff(entry, now() + leave.delayMs);
      return undefined;
    }
    const permit = signal.aborted ? NO_MORE : await this.#permitFor(entry);
    if (isShortage(permit)) {
      this.#putOff(entry, permit.retryAt);
      await leave.giveBack();
      return undefined;
    }
    // A process may have been stopped for a while at any point.
    if (leave.isOver() || now() >= (permit.sendBefore ?? Number.POSITIVE_INFINITY)) {
      permit.giveBack();
      await leave.giveBack();
      return undefined;
    }
    const probed = this.#standing(member);
    permit.sent(now());
    const outcome = await sendProbe(member, policy, { fetch: this.#fetch(), now, signal });
    permit.settle(now());
    await leave.spent();
    await this.#store(member, probeFindings(outcome, probed, policy), fence);
    this.#agenda.probed(entry, now());
    return outcome;
  }

  #fetch(): typeof fetch {
    return this.#context.fetch ?? globalThis.fetch;
  }

  #permitFor({ member, policy }: AgendaEntry): MaybePromise<Permit | Shortage> {
    return policy.costsQuota === 'no'
      ? UNLIMITED
      : this.#context.permits.take(member.bucket, this.#context.now());
  }

  #standing({ rows }: Member): Probed {
    const { table } = this.#context;
    return {
      key: table.health(rows.key),
      bucket: table.health(rows.bucket),
      provider: table.health(rows.provider),
    };
  }

  async #store(member: Member, findings: readonly ProbeFinding[], fence: Fence): Promise<void> {
    const { table, sync, events, now, random } = this.#context;
    const moment = now();
    const changes = findings.flatMap(({ who, event }) => {
      const row = member.rows[who];
      const before = table.health(row);
      const policy = who === 'provider' ? PROVIDER_POLICY : KEY_POLICY;
      const health = transition(before, event, policy, moment, random);
      // Strikes short of a rest are counted by requests alone.
      if (before === health || (before.status !== 'resting' && health.status !== 'resting')) return [];
      const record: HealthRecord = {
        subject: member.subjects[who],
        health,
        disabled: table.disabled(row),
        disabledVersion: table.disabledVersion(row),
      };
      return [{ who, event, before, record }];
    });
    if (changes.length === 0) return;
    const standing = await sync.publishFenced(
      changes.map(({ record }) => record),
      fence,
    );
    for (const [index, { who, event, before }] of changes.entries()) {
      const label = { key: member.keyId, bucket: member.bucket.name, provider: member.provider.id }[who];
      const { health } = standing[index] as HealthRecord;
      announceTransition(events, label, before, health, event, moment);
    }
  }

  #putOff(entry: AgendaEntry, until: number): void {
    this.#agenda.postpone(entry, Math.max(until, this.#context.now() + LOOK_EVERY_MS));
  }

  #failed(error: unknown, entry: AgendaEntry, fence: Fence): void {
    if (error instanceof KeymuxError && error.code === 'KEYMUX_FENCED') {
      this.#refused = fence;
      if (isSame(this.#fence, fence)) this.#lead(undefined);
      return;
    }
    this.#putOff(entry, this.#context.now() + RETRY_MS);
    this.#context.onTrouble(error);
  }
}

const NO_MORE: Shortage = { retryAt: 0 };

function isSame(a: Fence | undefined, b: Fence | undefined): boolean {
  return a !== undefined && b !== undefined && a.group === b.group && a.token === b.token;
}

/** The same for all processes that hold the same keys; undefined where none can be probed. */
function groupOf(members: readonly Member[]): string | undefined {
  const subjects = [...new Set(members.map((member) => member.subjects.key))].sort();
  if (subjects.length === 0) return undefined;
  const { createHash } = process.getBuiltinModule('node:crypto');
  return createHash('sha256').update(subjects.join('\n')).digest('hex').slice(0, 32);
}
