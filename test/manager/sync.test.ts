import { FRESH } from '#keymux/core/health.js';
import type { HealthRecord, UsageTotal } from '#keymux/core/ports.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import type { FaultyStore } from '#keymux/testing/faulty-store.js';
import { describe, expect, it } from 'vitest';
import { acmeManager, memoryStore } from './acme.js';
import type { AcmeOptions } from './acme.js';

function managed(acme: AcmeOptions = {}) {
  const store = faultyStore(memoryStore());
  const warnings: string[] = [];
  const logger = { warn: (message: string) => void warnings.push(message), info: () => {} };
  const manager = acmeManager({ ...acme, options: { store, logger, ...acme.options } });
  return { store, warnings, manager };
}

async function turn(): Promise<void> {
  await new Promise(setImmediate);
}

function subjectOf(manager: KeyManager, index = 0): string {
  return manager.poolOf('acme').contenders[index]!.member.subjects.key;
}

async function usageOf(store: FaultyStore): Promise<readonly UsageTotal[]> {
  return store.usage();
}

const RATE_LIMITED = { kind: 'rate-limited', scope: 'key', executed: 'no' } as const;

describe('changes of health', () => {
  it('are told once for all that changed within one turn', async () => {
    const { store, manager } = managed();
    manager.report('acme/main', { ...RATE_LIMITED, retryAt: manager.now() + 50_000 });
    manager.report('acme/main', { ...RATE_LIMITED, retryAt: manager.now() + 70_000 });
    manager.disable('acme/2');
    await turn();
    expect(store.asked.publish).toHaveLength(1);
    expect(store.asked.publish[0]).toMatchObject([
      { subject: subjectOf(manager), health: { status: 'resting', source: 'stated' }, disabled: false },
      { subject: subjectOf(manager, 1), health: FRESH, disabled: true, disabledVersion: 1 },
    ]);
  });

  it('that come while others are being told follow with the next message', async () => {
    const { store, manager } = managed();
    const go = store.hold('publish');
    manager.disable('acme/main');
    await turn();
    manager.disable('acme/2');
    manager.enable('acme/2');
    await turn();
    expect(store.asked.publish).toHaveLength(1);
    go();
    await turn();
    expect(store.asked.publish).toHaveLength(2);
    expect(store.asked.publish[1]).toMatchObject([{ disabled: false, disabledVersion: 2 }]);
  });

  it('are not shared while they are mere strikes', async () => {
    const { store, manager } = managed();
    manager.report('acme/main', 'overloaded');
    manager.report('acme/main', 'success');
    await turn();
    expect(store.asked.publish).toEqual([]);
  });

  it.each(['throws', 'rejects'] as const)(
    'are told again where the store %s, with what came since',
    async (how) => {
      const { store, warnings, manager } = managed();
      store.fail({ operation: 'publish', how, error: new Error('the disk is on fire') });
      manager.disable('acme/main');
      await turn();
      await turn();
      expect(warnings).toEqual([expect.stringContaining('on fire')]);
      await expect.poll(() => store.asked.publish.length, { timeout: 3_000, interval: 10 }).toBe(2);
      await turn();
      const { records } = await store.open();
      expect(records).toMatchObject([{ subject: subjectOf(manager), disabled: true }]);
    },
  );

  it('are told once more at the end', async () => {
    const { store, manager } = managed();
    store.fail({ operation: 'publish' });
    manager.disable('acme/main');
    await turn();
    await manager.shutdown();
    expect(store.asked.publish).toHaveLength(2);
  });

  it('that come before the store is open are told when it is', async () => {
    const store = faultyStore(memoryStore());
    const open = store.hold('open');
    const manager = acmeManager({ options: { store } });
    manager.disable('acme/main');
    await turn();
    expect(store.asked.publish).toEqual([]);
    open();
    await manager.ready;
    await turn();
    expect(store.asked.publish).toMatchObject([[{ disabled: true }]]);
  });
});

describe('what others changed', () => {
  it('counts here, and wakes those that wait', async () => {
    const { store, manager } = managed({ keys: ['key-one'] });
    await manager.ready;
    manager.report('acme/main', { ...RATE_LIMITED, retryAt: manager.now() + 20_000 });
    const waiting = manager.acquire('acme', { timeoutMs: 25_000 });
    await turn();
    const record = { subject: subjectOf(manager), disabled: false, disabledVersion: 0 };
    store.tell([{ ...record, health: { status: 'healthy', version: 5, level: 0, strikes: 0 } }]);
    await using lease = await waiting;
    expect(lease.keyId).toBe('acme/main');
  });

  it('decides by version: of a disabled flag the higher one counts', async () => {
    const { store, manager } = managed({ keys: ['key-one'] });
    await manager.ready;
    const record = (disabled: boolean, disabledVersion: number): HealthRecord => {
      return { subject: subjectOf(manager), health: FRESH, disabled, disabledVersion };
    };
    const state = (): string | undefined => manager.inspect().keys[0]?.state;
    store.tell([record(true, 3)]);
    expect(state()).toBe('disabled');
    store.tell([record(false, 2)]);
    expect(state()).toBe('disabled');
    store.tell([record(false, 4)]);
    expect(state()).toBe('unproven');
  });

  it('of keys that are not here is ignored', async () => {
    const { store, manager } = managed();
    await manager.ready;
    const before = manager.inspect().keys;
    store.tell([{ subject: 'key:of-somebody-else', health: FRESH, disabled: true, disabledVersion: 9 }]);
    expect(manager.inspect().keys).toEqual(before);
  });

  it('is known from the start', async () => {
    const shared = memoryStore();
    const first = managed({ options: { store: shared } });
    await first.manager.ready;
    first.manager.disable('acme/main');
    await turn();
    // A second manager over one memory store, as a restart of one over a file.
    const second = managed({ options: { store: shared } });
    await second.manager.ready;
    expect(second.manager.inspect().keys[0]?.state).toBe('disabled');
  });
});

describe('usage', () => {
  it('is reported by and by, as differences, with what was spent', async () => {
    const { store, manager } = managed();
    manager.report('acme/main', 'success', { costUsd: 0.5 });
    manager.report('acme/main', 'rate-limited', { costUsd: 0.25 });
    await expect
      .poll(() => usageOf(store), { timeout: 3_000, interval: 10 })
      .toMatchObject([{ subject: subjectOf(manager), requests: 2, failures: 1, costUsd: 0.75 }]);
    manager.report('acme/2', 'success');
    const close = store.hold('close');
    const down = manager.shutdown();
    await expect.poll(() => store.calls, { timeout: 3_000, interval: 10 }).toContain('close');
    expect((await usageOf(store)).map(({ requests }) => requests)).toEqual([2, 1]);
    close();
    await down;
  });

  it('is kept until the store takes it', async () => {
    const { store, manager } = managed();
    const subject = subjectOf(manager);
    store.fail({ operation: 'addUsage' });
    const failed = new Promise<unknown>((resolve) => manager.on('degraded', resolve));
    manager.report('acme/main', 'success', { costUsd: 1 });
    manager.report('acme/2', 'rejected');
    await failed;
    manager.report('acme/main', 'success');
    await expect
      .poll(() => usageOf(store), { timeout: 3_000, interval: 10 })
      .toMatchObject([
        { subject, requests: 2, failures: 0, costUsd: 1 },
        { subject: subjectOf(manager, 1), requests: 1, failures: 1, costUsd: 0 },
      ]);
  });

  it('of a thread that shares the table is reported by the leader, its costs by itself', async () => {
    const before = process.listeners('exit');
    const leader = managed();
    await leader.manager.ready;
    const other = managed({
      options: { store: leader.store },
      seams: { table: leader.manager.table, configuration: leader.manager.configuration },
    });
    await other.manager.ready;
    other.manager.report('acme/main', 'success', { costUsd: 2 });
    await expect
      .poll(() => usageOf(leader.store), { timeout: 3_000 })
      .toMatchObject([{ requests: 1, costUsd: 2 }]);
    other.manager.report('acme/main', 'success');
    for (const atExit of process.listeners('exit').filter((one) => !before.includes(one))) atExit(0);
    expect(await usageOf(leader.store)).toMatchObject([{ requests: 2, costUsd: 2 }]);
  });
});
