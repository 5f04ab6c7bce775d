import { describe, expect, it, vi } from 'vitest';
import { acmeManager } from './acme.js';

const DAY_MS = 86_400_000;
const START = Date.UTC(2027, 0, 1);

interface Stated {
  readonly id: string;
  readonly expires?: string;
}

/** A manager whose clock stands still until it is set. */
function managerAt(keys: readonly Stated[], start = START) {
  const clock = { at: start };
  const env = Object.fromEntries(keys.map(({ id }) => [`KEY_${id.toUpperCase()}`, `secret-of-${id}`]));
  const provider = {
    discover: false,
    env: ['ACME_API_KEY'],
    keys: keys.map((key) => ({ ...key, value: `env:KEY_${key.id.toUpperCase()}` })),
  };
  const manager = acmeManager({ provider, options: { env, clock: () => clock.at } });
  return { manager, clock };
}

describe('a key with a planned end', () => {
  it('is used until then, and the next one from that moment on', async () => {
    const { manager, clock } = managerAt([{ id: 'one', expires: '2027-01-02' }, { id: 'two' }]);
    const end = START + 2 * DAY_MS;
    const taken = async (): Promise<string> => {
      const lease = await manager.acquire('acme');
      lease.cancel();
      return lease.keyId;
    };
    expect(await taken()).toBe('acme/one');
    clock.at = end - 1;
    expect(await taken()).toBe('acme/one');
    expect(manager.inspect().keys[0]).toMatchObject({ state: 'unproven', expiresAt: end });
    clock.at = end;
    expect(await taken()).toBe('acme/two');
    expect(manager.inspect().keys[0]).toMatchObject({
      state: 'expired',
      reason: 'expired as planned, 2027-01-03T00:00:00.000Z',
      expiresAt: end,
    });
    expect(manager.inspect().keys[1]).not.toHaveProperty('expiresAt');
    expect(manager.explain('acme').candidates[0]).toMatchObject({
      key: 'acme/one',
      usable: false,
      because: 'expired as planned, 2027-01-03T00:00:00.000Z',
      fact: { subject: 'acme/one', source: 'person' },
    });
  });

  it('is named by the error where it was the last one', async () => {
    const { manager, clock } = managerAt([{ id: 'one', expires: '2027-01-02' }]);
    clock.at = START + 3 * DAY_MS;
    const error = {
      code: 'KEYMUX_NO_USABLE_KEY',
      message: expect.stringContaining('acme/one: expired as planned, 2027-01-03T00:00:00.000Z') as string,
    };
    await expect(manager.acquire('acme')).rejects.toMatchObject(error);
    expect(() => manager.getApiKey('acme')).toThrow(expect.objectContaining(error));
    expect(manager.poolOf('acme').leastBad()).toBeUndefined();
  });

  it('is left by cached choices when the moment comes', async () => {
    const end = Date.now() + 400;
    const provider = {
      discover: false,
      keys: [
        { id: 'one', value: 'env:ONE', expires: new Date(end).toISOString() },
        { id: 'two', value: 'env:TWO' },
      ],
    };
    const manager = acmeManager({ provider, options: { env: { ONE: 'key-one', TWO: 'key-two' } } });
    expect(manager.getApiKey('acme')).toBe('key-one');
    await expect.poll(() => manager.getApiKey('acme'), { interval: 10, timeout: 10_000 }).toBe('key-two');
    expect(Date.now()).toBeGreaterThanOrEqual(end - 2);
  });

  it('is warned of fourteen days, three days and one day before, once each', async () => {
    const { manager, clock } = managerAt([
      { id: 'one', expires: '2027-01-31' },
      { id: 'two', expires: '2028-01-31' },
      { id: 'three' },
    ]);
    const end = START + 31 * DAY_MS;
    const told: unknown[] = [];
    manager.on('expiring', (event) => told.push(event));
    await manager.ready;
    const lookAt = async (at: number): Promise<void> => {
      clock.at = at;
      manager.reload();
      await expect.poll(() => told.at(-1), { timeout: 10_000 }).toMatchObject({ at });
    };
    await lookAt(end - 14 * DAY_MS);
    await lookAt(end - 3 * DAY_MS);
    await lookAt(end - DAY_MS);
    const events = [14, 3, 1].map((days) => ({
      key: 'acme/one',
      expiresAt: end,
      at: end - days * DAY_MS,
    }));
    expect(told).toEqual(events);
    const seen = vi.fn();
    manager.on('expiring', seen);
    for (const at of [end - DAY_MS + 5, end]) {
      clock.at = at;
      manager.reload();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(seen).not.toHaveBeenCalled();
  });
});
