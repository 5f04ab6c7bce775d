import { explanationReport, statusReport } from '#keymux/cli/status-report.js';
import { KeymuxError } from '#keymux/core/errors.js';
import type { Store } from '#keymux/core/ports.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { describe, expect, it, onTestFinished } from 'vitest';

/** A store that others share, or would, and that answers with `failure` if there is one. */
function managerOn(failure?: Error): KeyManager {
  const inner = createMemoryStore({
    now: () => performance.timeOrigin + performance.now(),
    onNotice: () => {},
  });
  const orFail =
    <Args extends unknown[], Result>(method: (...args: Args) => Result) =>
    (...args: Args): Result => {
      if (failure !== undefined) throw failure;
      return method(...args);
    };
  const store: Store = {
    kind: 'redis',
    shared: true,
    open: () => inner.open(),
    now: () => inner.now(),
    publish: (records) => inner.publish(records),
    watch: (onChange) => inner.watch(onChange),
    lease: orFail((request) => inner.lease(request)),
    settle: (settlements) => inner.settle(settlements),
    addUsage: (deltas) => inner.addUsage(deltas),
    charge: (charges, options) => inner.charge(charges, options),
    usage: orFail(() => inner.usage()),
    beat: (presence) => inner.beat(presence),
    leave: (memberId) => inner.leave(memberId),
    census: () => inner.census(),
    close: () => inner.close(),
  };
  const keys = ['a', 'b'].map((id) => ({ id, value: `env:KEY_${id.toUpperCase()}`, bucket: 'shared' }));
  const manager = new KeyManager({
    env: { KEY_A: 'key-a', KEY_B: 'key-b' },
    cwd: '/nonexistent',
    config: {
      providers: {
        acme: { baseUrl: 'https://acme.example', keys, limits: [{ requests: 2, per: 'hour' }] },
        other: { baseUrl: 'https://other.example', keys: [{ id: 'free', value: 'env:KEY_A' }] },
      },
    },
    store,
  });
  onTestFinished(() => manager.shutdown());
  return manager;
}

const lost = new KeymuxError('KEYMUX_STORE_UNAVAILABLE', 'The store is gone.', { fix: 'Bring it back.' });

describe('statusReport', () => {
  it('tells what is left of each bucket, and nothing where there is no limit', async () => {
    const manager = managerOn();
    const lease = await manager.acquire('acme');
    lease.report({ kind: 'success', scope: 'request', executed: 'yes' });
    lease.end();
    const { keys } = await statusReport({ manager, troubles: [] });
    expect(keys.map(({ id, permitsLeft, limits }) => [id, permitsLeft, limits])).toEqual([
      ['acme/a', 1, [{ requests: 2, perMs: 3_600_000, left: 1 }]],
      ['acme/b', 1, [{ requests: 2, perMs: 3_600_000, left: 1 }]],
      ['other/free', undefined, []],
    ]);
  });

  it('spends nothing by asking', async () => {
    const manager = managerOn();
    for (let count = 0; count < 3; count += 1) await statusReport({ manager, troubles: [] });
    const { keys } = await statusReport({ manager, troubles: [] });
    expect(keys[0]?.permitsLeft).toBe(2);
  });

  it('tells what is known without the store', async () => {
    const manager = managerOn(lost);
    const trouble = {
      kind: 'degraded',
      message: 'The store is gone.',
      fix: 'Bring it back.',
      at: 0,
    } as const;
    const { keys, store } = await statusReport({ manager, troubles: [trouble] });
    expect(store.trouble).toBe('The store is gone.');
    expect(keys.map(({ uses, permitsLeft }) => [uses, permitsLeft])).toEqual(Array(3).fill([0, undefined]));
  });

  it('does not hide a fault of another kind', async () => {
    const manager = managerOn(new TypeError('a fault'));
    await expect(statusReport({ manager, troubles: [] })).rejects.toThrow('a fault');
  });
});

describe('explanationReport', () => {
  it('adds where each key was found', async () => {
    const { candidates, next } = await explanationReport(managerOn(lost), 'other');
    expect(next).toBe('other/free');
    expect(candidates).toEqual([
      expect.objectContaining({ key: 'other/free', foundIn: expect.any(String) as string }),
    ]);
  });
});
