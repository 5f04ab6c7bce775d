/** A monitor over a simulated provider, elected by hand. */
import { Secret } from '#keymux/core/secret.js';
import type { Fence } from '#keymux/core/fleet.js';
import type { Outcome } from '#keymux/core/outcome.js';
import { KEY_POLICY, PROVIDER_POLICY } from '#keymux/core/health.js';
import type { Health } from '#keymux/core/health.js';
import type { Store } from '#keymux/core/ports.js';
import { PRESENCE_TTL_MS } from '#keymux/core/fleet.js';
import type { FileProvider } from '#keymux/config/file-content.js';
import { defineProvider } from '#keymux/config/provider-definition.js';
import type { KnownProvider } from '#keymux/core/provider.js';
import type { KeymuxEvents } from '#keymux/manager/events.js';
import { Events } from '#keymux/manager/events.js';
import { LocalPermits } from '#keymux/manager/local-permits.js';
import { Member } from '#keymux/manager/members.js';
import { Monitor } from '#keymux/manager/monitor.js';
import type { MonitorContext } from '#keymux/manager/monitor.js';
import { StoreLink } from '#keymux/manager/store-link.js';
import { Sync } from '#keymux/manager/sync.js';
import { StateTable } from '#keymux/state/table.js';
import { onTestFinished, vi } from 'vitest';
import { memoryStore } from './acme.js';

/** Tells who leads, as `Membership` does, but when the test says so. */
export class HandElection {
  group: string | undefined;
  #fence: Fence | undefined;
  readonly #listeners = new Set<(fence: Fence | undefined) => void>();

  get fence(): Fence | undefined {
    return this.#fence;
  }

  setGroup(group: string | undefined): void {
    this.group = group;
  }

  onLeadership(listener: (fence: Fence | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  elect(fence: Fence | undefined): void {
    this.#fence = fence;
    for (const listener of this.#listeners) listener(fence);
  }

  /** The fence is gone, and nobody is told, as in a process that was stopped for a while. */
  lapse(): void {
    this.#fence = undefined;
  }
}

export interface Monitored {
  readonly keys?: readonly string[];
  readonly bucket?: string;
  readonly provider: FileProvider;
  readonly known?: KnownProvider;
  readonly intervalMs?: number;
  readonly store?: Store;
  readonly context?: Partial<MonitorContext>;
}

export async function monitored({
  keys = ['key-one'],
  bucket,
  provider: stated,
  known,
  intervalMs = 20,
  store = memoryStore(),
  context = {},
}: Monitored) {
  const table = StateTable.create();
  const events = new Events();
  const provider = defineProvider('acme', known, stated);
  const fingerprintKey = () => new Uint8Array(32);
  const members = keys.map((key, index) => {
    const id = index === 0 ? 'main' : String(index + 1);
    const credential = {
      id,
      provider: 'acme',
      secret: new Secret(key),
      priority: index,
      weight: 1,
      bucket: bucket ?? id,
      origin: 'env:ACME_API_KEY',
    };
    return new Member(credential, provider, table, fingerprintKey);
  });
  const onTrouble = vi.fn();
  const link = new StoreLink({
    now: () => store.now(),
    random: () => 0,
    onLost: () => {},
    rejoin: () => {},
    onBack: () => {},
  });
  const sync = new Sync(store, link, table, {
    onTrouble,
    onChange: () => {},
    onRest: () => {},
    onOwner: () => {},
  });
  await store.open();
  sync.track(members);
  const election = new HandElection();
  const told: Partial<Record<keyof KeymuxEvents, unknown[]>> = {};
  for (const name of ['probe', 'leader', 'recovered', 'rejected', 'cooldown'] as const) {
    const list: unknown[] = (told[name] = []);
    events.on(name, (event) => void list.push(event));
  }
  const now = () => store.now();
  const monitor = new Monitor({
    membership: election,
    store,
    link,
    table,
    permits: new LocalPermits(table),
    sync,
    events,
    now,
    random: () => 0,
    members: () => members,
    intervalMs: () => intervalMs,
    onTrouble,
    ...context,
  });
  monitor.start();
  onTestFinished(() => monitor.stop());
  const rowOf = (who: 'key' | 'bucket' | 'provider', index = 0): number => members[index]?.rows[who] ?? -1;
  return {
    monitor,
    election,
    store,
    table,
    members,
    told,
    onTrouble,
    now,
    /** Elects this process in its group, in the store too. */
    lead: async (memberId = 'me'): Promise<Fence> => {
      const presence = {
        host: 'here',
        pid: 1,
        startedAt: 0,
        ttlMs: PRESENCE_TTL_MS * 20,
        isReturning: false,
        remembered: 0,
      };
      const group = election.group ?? 'none';
      const { leader } = await store.beat({ ...presence, memberId, group });
      const fence = { group, token: leader?.token ?? -1 };
      election.elect(fence);
      return fence;
    },
    health: (who: 'key' | 'bucket' | 'provider' = 'key', index = 0): Health =>
      table.health(rowOf(who, index)),
    rest: (
      kind: Outcome['kind'],
      {
        who = 'key',
        index = 0,
        retryAt,
        times = 1,
      }: { who?: 'key' | 'bucket' | 'provider'; index?: number; retryAt?: number; times?: number } = {},
    ): void => {
      const row = rowOf(who, index);
      const outcome: Outcome = {
        kind,
        scope: who,
        executed: 'no',
        ...(retryAt === undefined ? {} : { retryAt }),
      };
      for (let time = 0; time < times; time++) {
        const event = { type: 'outcome', outcome, seenVersion: table.version(row) } as const;
        table.update(row, event, who === 'provider' ? PROVIDER_POLICY : KEY_POLICY, now(), () => 0);
      }
    },
  };
}
