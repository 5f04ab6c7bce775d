import { SUCCESS } from '#keymux/core/outcome.js';
import type { StrategyName } from '#keymux/core/select.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { createFakeClock, seededRandom } from '#keymux/testing/fake-clock.js';
import { describe, expect, it } from 'vitest';
import { acmeManager } from './acme.js';

function managed(strategy: StrategyName, keys: readonly object[] = [{}, {}, {}], provider: object = {}) {
  const clock = createFakeClock();
  const named = keys.map((key, index) => ({
    id: 'abc'[index],
    value: `env:KEY_${index}`,
    priority: 1,
    ...key,
  }));
  const manager = acmeManager({
    provider: { keys: named, ...provider },
    services: { quotes: { providers: ['acme'], strategy } },
    options: {
      clock: clock.now,
      random: seededRandom(7),
      env: Object.fromEntries(keys.map((_, index) => [`KEY_${index}`, `key-number-${index}`])),
    },
  });
  return { manager, clock };
}

async function use(
  manager: KeyManager,
  times: number,
  during: (keyId: string) => void = () => {},
): Promise<string> {
  let used = '';
  for (let i = 0; i < times; i++) {
    await using lease = await manager.acquire('quotes');
    used += lease.keyId.slice(-1);
    during(lease.keyId);
    lease.report(SUCCESS);
  }
  return used;
}

function share(used: string, key: string): number {
  return [...used].filter((one) => one === key).length / used.length;
}

describe('a pool chooses', () => {
  it('the lowest priority number', async () => {
    const { manager } = managed('priority', [{ priority: 3 }, { priority: 1 }, { priority: 2 }]);
    expect(await use(manager, 4)).toBe('bbbb');
    manager.disable('acme/b');
    expect(await use(manager, 2)).toBe('cc');
  });

  it('in turn, by weight, and looking takes no turn', async () => {
    const { manager } = managed('round-robin', [{ weight: 2 }, {}, {}]);
    let told = '';
    let used = '';
    for (let i = 0; i < 8; i++) {
      told += manager.explain('quotes').next?.slice(-1) ?? '?';
      expect(manager.inspect().services.find(({ name }) => name === 'quotes')?.next).toBe(
        `acme/${told.at(-1)}`,
      );
      used += await use(manager, 1);
    }
    expect(used).toBe(told);
    expect(used.slice(0, 4)).toBe(used.slice(4));
    expect([...used].sort().join('')).toBe('aaaabbcc');
  });

  it('by chance, with the share of the weight', async () => {
    const { manager } = managed('weighted', [{ weight: 6 }, { weight: 3 }, { weight: 1 }]);
    const used = await use(manager, 400);
    expect(share(used, 'a')).toBeCloseTo(0.6, 1);
    expect(share(used, 'b')).toBeCloseTo(0.3, 1);
  });

  it('the least used for its weight', async () => {
    const { manager } = managed('least-used', [{ weight: 3 }, {}]);
    manager.report('acme/a', 'success');
    const used = await use(manager, 15);
    expect(share(used, 'a')).toBeCloseTo(11 / 15);
    expect(used[0]).toBe('b');
  });

  it('the quicker of two, the requests under way considered', async () => {
    const { manager, clock } = managed('lowest-latency', [{}, {}]);
    const latencies: Record<string, number> = { 'acme/a': 40, 'acme/b': 10 };
    await use(manager, 20, (keyId) => clock.advance(latencies[keyId] ?? 0));
    expect(await use(manager, 5, () => clock.advance(10))).toBe('bbbbb');
    const held = await Promise.all(Array.from({ length: 4 }, () => manager.acquire('quotes')));
    const states = new Map(
      manager.inspect().keys.map(({ id, latencyMs, inFlight }) => [id, { latencyMs, inFlight }]),
    );
    expect(states.get('acme/b')!.latencyMs).toBeLessThan(states.get('acme/a')!.latencyMs);
    expect(held.some(({ keyId }) => keyId === 'acme/a')).toBe(true);
    for (const lease of held) lease.end();
  });

  it('the most of its allowance left', async () => {
    const { manager } = managed('most-remaining', [
      { limits: [{ requests: 4, per: 'minute' }] },
      { limits: [{ requests: 10, per: 'minute' }] },
    ]);
    expect(await use(manager, 12)).toMatch(/^a/);
    expect(manager.inspect().keys.map(({ permitsLeft }) => permitsLeft)).toEqual([
      expect.any(Number) as number,
      expect.any(Number) as number,
    ]);
    const left = manager.inspect().keys.map(({ permitsLeft = 0 }) => permitsLeft);
    expect(left[0]! + left[1]!).toBe(2);
    expect(Math.abs(left[0]! / 4 - left[1]! / 10)).toBeLessThanOrEqual(0.25);
  });

  it('a key without known limits as if half of it were left', async () => {
    const { manager } = managed('most-remaining', [{ limits: [{ requests: 4, per: 'minute' }] }, {}]);
    expect(await use(manager, 5)).toBe('aaabb');
  });
});
