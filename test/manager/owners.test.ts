import { SUCCESS } from '#keymux/core/outcome.js';
import { readConfiguration } from '#keymux/manager/discovery.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { Store } from '#keymux/core/ports.js';
import type { Lease } from '#keymux/manager/lease.js';
import { Owners } from '#keymux/manager/owners.js';
import { StateTable } from '#keymux/state/table.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeConfig, acmeEnv, memoryStore } from './acme.js';

interface Owned {
  readonly keys?: readonly string[];
  readonly provider?: object;
  readonly env?: Record<string, string>;
  readonly table?: StateTable;
  readonly store?: Store;
}

/** A manager for `acme`, whose answers name the owner in `x-owner`. */
function ownedManager({ keys = ['one', 'two', 'three'], provider = {}, env, table, store }: Owned = {}) {
  const options = { env: env ?? acmeEnv(keys), cwd: '/nonexistent', config: acmeConfig({ provider }) };
  const configuration = readConfiguration(options);
  const acme = { ...configuration.providers.get('acme')!, ownerHeader: 'x-owner' };
  const manager = new KeyManager(
    { ...options, store: store ?? memoryStore(), random: () => 0 },
    {
      configuration: { ...configuration, providers: new Map([['acme', acme]]) },
      ...(table === undefined ? {} : { table }),
    },
  );
  onTestFinished(() => manager.shutdown());
  return manager;
}

function head(headers: Record<string, string>, status = 200) {
  return { status, header: (name: string) => headers[name] };
}

/** A request through the key, of which the answer names the owner. */
async function answered(manager: KeyManager, keyId: string, owner: string, status = 200): Promise<void> {
  const lease = await leaseOn(manager, keyId);
  manager.poolOf('acme').learn(lease, head({ 'x-owner': owner }, status));
  lease.report(SUCCESS);
  lease.end();
  await Promise.resolve();
}

async function leaseOn(manager: KeyManager, keyId: string): Promise<Lease> {
  const pool = manager.poolOf('acme');
  const others = pool.contenders.flatMap(({ member }) => (member.keyId === keyId ? [] : [member]));
  const lease = await pool.acquire({ excluded: new Set(others), waitUntil: 0 });
  if (!('keyId' in lease)) throw new Error(`no lease on ${keyId}`);
  return lease;
}

function buckets(manager: KeyManager): string[] {
  return manager.inspect().keys.map(({ id, bucket, bucketSource }) => `${id} ${bucket} ${bucketSource}`);
}

describe('keys of one owner', () => {
  it('share a bucket as soon as answers name the same owner, and those of another owner do not', async () => {
    const manager = ownedManager();
    const events: unknown[] = [];
    manager.on('shared-bucket', (event) => events.push(event));
    await answered(manager, 'acme/main', 'org-one');
    await answered(manager, 'acme/2', 'org-two');
    expect(buckets(manager)).toEqual(['acme/main acme/main own', 'acme/2 acme/2 own', 'acme/3 acme/3 own']);
    await answered(manager, 'acme/3', ' org-one ');
    manager.getApiKey('acme');
    await Promise.resolve();
    expect(buckets(manager)).toEqual([
      'acme/main acme/main learnt',
      'acme/2 acme/2 own',
      'acme/3 acme/main learnt',
    ]);
    expect(events).toEqual([
      {
        bucket: 'acme/main',
        keys: ['acme/main', 'acme/3'],
        header: 'x-owner',
        at: expect.any(Number) as number,
      },
    ]);
    expect(JSON.stringify([events, manager.inspect(), manager.explain('acme')])).not.toContain('org-');
  });

  it('spend one allowance, in which what each spent before is counted', async () => {
    const manager = ownedManager({
      keys: ['one', 'two'],
      provider: { limits: [{ requests: 5, per: 'hour' }] },
    });
    await answered(manager, 'acme/main', 'org-one');
    await answered(manager, 'acme/main', 'org-one');
    await answered(manager, 'acme/2', 'org-one');
    manager.getApiKey('acme');
    await Promise.resolve();
    const out: Lease[] = [];
    for (let i = 0; i < 4; i++) {
      const lease = await manager.acquire('acme', { timeoutMs: 0 }).catch(() => undefined);
      if (lease !== undefined) out.push(lease);
    }
    expect(out).toHaveLength(2);
    for (const lease of out) lease.end();
  });

  it('rest together where one was resting with its bucket', async () => {
    const manager = ownedManager({ keys: ['one', 'two'] });
    await answered(manager, 'acme/main', 'org-one');
    const lease = await leaseOn(manager, 'acme/2');
    manager.poolOf('acme').learn(lease, head({ 'x-owner': 'org-one' }, 429));
    const retryAt = manager.now() + 60_000;
    lease.report({ kind: 'rate-limited', scope: 'bucket', executed: 'no', retryAt });
    lease.end();
    expect(manager.getApiKey('acme')).toBe('one');
    await Promise.resolve();
    expect(() => manager.getApiKey('acme')).toThrow(/^Every key of "acme" is out/);
    expect(manager.inspect().keys.map(({ state }) => state)).toEqual(['resting', 'resting']);
  });

  it('are nobody’s where an answer names nobody, a refusal does, or the name is no name', async () => {
    const manager = ownedManager();
    await answered(manager, 'acme/main', 'org-one');
    const lease = await leaseOn(manager, 'acme/2');
    manager.poolOf('acme').learn(lease, head({}));
    lease.cancel();
    for (const [owner, status] of [
      ['org-one', 401],
      ['  ', 200],
      ['o'.repeat(257), 200],
    ] as const) {
      await answered(manager, 'acme/2', owner, status);
    }
    expect(manager.table.ownersKnown).toBe(1);
    expect(buckets(manager)).toContain('acme/2 acme/2 own');
    await answered(manager, 'acme/2', 'org-one', 429);
    expect(buckets(manager)).toContain('acme/2 acme/main learnt');
  });

  it('are not changed by records of keys that nobody has here, nor by what is no record of an owner', () => {
    const table = StateTable.create();
    const published: string[] = [];
    const owners = new Owners({
      table,
      fingerprintKey: () => new Uint8Array(32),
      publish: (subject) => published.push(subject),
    });
    const row = table.subject('key:ab');
    const rowOf = (subject: string) => (subject === 'key:ab' ? row : undefined);
    for (const subject of ['owner:acme/x:cd', 'owner:acme/x', 'key:ab', 'bucket:acme/main']) {
      owners.hear(subject, rowOf);
    }
    expect(table.ownersKnown).toBe(0);
    owners.hear('owner:acme/x:ab', rowOf);
    owners.hear('owner:acme/y:ab', rowOf);
    expect(table.ownersKnown).toBe(1);
    expect(published).toEqual([]);
  });

  it('stay where the configuration puts them', async () => {
    const manager = ownedManager({
      env: { ONE: 'one', TWO: 'two', THREE: 'three' },
      provider: {
        keys: [
          { id: 'a', value: 'env:ONE' },
          { id: 'b', value: 'env:TWO', bucket: 'b' },
          { id: 'c', value: 'env:THREE' },
        ],
      },
    });
    for (const id of ['a', 'b', 'c']) await answered(manager, `acme/${id}`, 'org-one');
    manager.getApiKey('acme');
    await Promise.resolve();
    expect(buckets(manager)).toEqual([
      'acme/a acme/a learnt',
      'acme/b acme/b declared',
      'acme/c acme/a learnt',
    ]);
  });

  it('are under the lowest limit that any of them has', async () => {
    const manager = ownedManager({
      env: { ONE: 'one', TWO: 'two' },
      provider: {
        keys: [
          { id: 'a', value: 'env:ONE', limits: [{ requests: 9, per: 'minute' }] },
          {
            id: 'b',
            value: 'env:TWO',
            limits: [
              { requests: 3, per: 'minute' },
              { requests: 50, per: 'hour' },
            ],
          },
        ],
      },
    });
    for (const id of ['a', 'b']) await answered(manager, `acme/${id}`, 'org-one');
    manager.getApiKey('acme');
    await Promise.resolve();
    const limits = manager.inspect().keys.map((key) => key.limits.map(({ requests }) => requests));
    expect(limits).toEqual([
      [3, 50],
      [3, 50],
    ]);
  });

  it.each([
    ['a refused key', 'org-one', 401],
    ['an empty name', '  ', 200],
    ['a name beyond all measure', 'x'.repeat(300), 200],
  ])('are not told by %s', async (_title, owner, status) => {
    const manager = ownedManager({ keys: ['one', 'two'] });
    await answered(manager, 'acme/main', owner, status);
    await answered(manager, 'acme/2', owner, status);
    manager.getApiKey('acme');
    await Promise.resolve();
    expect(buckets(manager)).toEqual(['acme/main acme/main own', 'acme/2 acme/2 own']);
  });

  it('are known to every thread that shares the table', async () => {
    const first = ownedManager();
    const second = ownedManager({ table: StateTable.attach(first.table.buffer) });
    await answered(first, 'acme/main', 'org-one');
    await answered(second, 'acme/2', 'org-one');
    for (const manager of [first, second]) {
      manager.getApiKey('acme');
      await Promise.resolve();
      expect(buckets(manager).slice(0, 2)).toEqual(['acme/main acme/main learnt', 'acme/2 acme/main learnt']);
    }
  });

  it('are known again to whoever opens the store later', async () => {
    const store = memoryStore();
    const first = ownedManager({ store: keptOpen(store) });
    await answered(first, 'acme/main', 'org-one');
    await answered(first, 'acme/2', 'org-one');
    await first.shutdown();
    const second = ownedManager({ store: keptOpen(store) });
    await second.ready;
    second.getApiKey('acme');
    await Promise.resolve();
    expect(buckets(second).slice(0, 2)).toEqual(['acme/main acme/main learnt', 'acme/2 acme/main learnt']);
  });
});

/** The memory of a store outlives its manager here. */
function keptOpen(store: Store): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (name === 'close') return () => undefined;
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
