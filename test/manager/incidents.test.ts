import type { ServerResponse } from 'node:http';
import { FRESH, PROVEN_SUCCESSES } from '#keymux/core/health.js';
import type { RestEvent } from '#keymux/manager/events.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { createFakeClock } from '#keymux/testing/fake-clock.js';
import { describe, expect, it } from 'vitest';
import { acmeManager } from './acme.js';
import type { AcmeOptions } from './acme.js';
import { serveProvider } from './provider-server.js';

const MANY = 20;

/** A provider that answers when it is told to, and a manager whose first key is proven. */
async function held(acme: AcmeOptions = {}) {
  const open: { readonly key: unknown; readonly response: ServerResponse }[] = [];
  const server = await serveProvider(({ headers }, response) => {
    open.push({ key: headers['x-api-key'], response });
  });
  const manager = acmeManager({
    baseUrl: server.origin,
    ...acme,
    provider: { retry: { maxWaitMs: 0 }, ...acme.provider },
  });
  for (let i = 0; i < PROVEN_SUCCESSES; i++) manager.report('acme/main', 'success');
  const rests: RestEvent[] = [];
  manager.on('cooldown', (event) => rests.push(event));
  const arrived = (count: number) => expect.poll(() => open.length, { interval: 5 }).toBe(count);
  const answer = (status: number, count = open.length) => {
    for (const { response } of open.splice(0, count)) response.writeHead(status).end();
  };
  return { manager, open, rests, arrived, answer };
}

function ask(manager: KeyManager, count: number, init: RequestInit = {}): Promise<number>[] {
  return Array.from({ length: count }, async () => {
    const response = await manager.fetch('acme', '/x', init);
    await response.text();
    return response.status;
  });
}

describe('many requests at once', () => {
  it('that see one refusal of a key advance its back-off once', async () => {
    const { manager, rests, arrived, answer } = await held({ keys: ['key-one'] });
    const answers = ask(manager, MANY);
    await arrived(MANY);
    answer(429);
    expect(new Set(await Promise.all(answers))).toEqual(new Set([429]));
    expect(rests).toMatchObject([{ subject: 'acme/main', reason: 'rate-limited' }]);
    expect(manager.table.health(manager.poolOf('acme').contenders[0]!.member.rows.key)).toMatchObject({
      status: 'resting',
      version: 1,
    });
  });

  it("that see a provider's trouble open its circuit once, and no key is blamed", async () => {
    const { manager, rests, arrived, answer } = await held();
    const answers = ask(manager, MANY, { method: 'POST', body: '1' });
    await arrived(MANY);
    answer(503);
    await Promise.all(answers);
    expect(rests.map(({ subject, reason }) => [subject, reason])).toEqual([['acme', 'overloaded']]);
    const { member } = manager.poolOf('acme').contenders[0]!;
    expect(manager.table.health(member.rows.provider)).toMatchObject({ version: 1, level: 1 });
    for (const { member: one } of manager.poolOf('acme').contenders) {
      expect(manager.table.health(one.rows.key)).toEqual(FRESH);
    }
  });

  it('that are aborted count neither way: they add no strike and wipe none out', async () => {
    const { manager, rests, arrived, answer } = await held();
    const trouble = async (): Promise<void> => {
      const [one] = ask(manager, 1, { method: 'POST', body: '1' });
      await arrived(1);
      answer(503);
      expect(await one).toBe(503);
    };
    for (let i = 0; i < 4; i++) await trouble();
    const controller = new AbortController();
    const answers = ask(manager, MANY, { signal: controller.signal });
    await arrived(MANY);
    controller.abort();
    for (const { status } of await Promise.allSettled(answers)) expect(status).toBe('rejected');
    answer(200);
    expect(rests).toEqual([]);
    await trouble();
    expect(rests.map(({ subject }) => subject)).toEqual(['acme']);
  });
});

describe('a late answer', () => {
  it('of an earlier state changes nothing', async () => {
    const { manager, rests, arrived, answer } = await held({ keys: ['key-one'] });
    const late = ask(manager, 2);
    await arrived(2);
    answer(429, 1);
    await Promise.race(late);
    expect(rests).toHaveLength(1);
    manager.reset('acme/main');
    answer(429);
    // The key stands as if nothing had come, so that it is asked again.
    await arrived(1);
    expect(rests).toHaveLength(1);
    answer(200);
    expect((await Promise.all(late)).sort()).toEqual([200, 429]);
    expect(manager.inspect().keys[0]?.state).not.toBe('resting');
  });
});

describe('a key that returns', () => {
  it('meets one request first, and more with each good answer', async () => {
    const clock = createFakeClock();
    const { manager, open, arrived, answer } = await held({
      keys: ['key-one'],
      options: { clock: clock.now },
      provider: { retry: { maxWaitMs: 60_000, deadlineMs: 60_000 } },
    });
    manager.report('acme/main', {
      kind: 'rate-limited',
      scope: 'key',
      executed: 'no',
      retryAt: clock.now() + 20,
    });
    clock.advance(60);
    const answers = ask(manager, 6);
    const waves: number[] = [];
    for (let served = 0; served < 6; served += waves.at(-1) ?? 6) {
      const expected = Math.min(waves.length === 0 ? 1 : served + 1, 6 - served);
      await arrived(expected);
      waves.push(open.length);
      answer(200);
    }
    expect(waves).toEqual([1, 2, 3]);
    await Promise.all(answers);
  });

  it('does so a little later than others, by chance', async () => {
    const untils = [0, 0.5, 0.999].map((chance) => {
      const clock = createFakeClock();
      const manager = acmeManager({ options: { clock: clock.now, random: () => chance } });
      manager.report('acme/main', 'rejected');
      return (manager.inspect().keys[0]?.until ?? 0) - clock.now();
    });
    expect(untils[0]).toBeLessThan(untils[1]!);
    expect(untils[1]).toBeLessThan(untils[2]!);
    await Promise.resolve();
  });
});

describe("retry policies of a service's providers", () => {
  const two = (origin: string, acme: object, other: object): AcmeOptions => ({
    options: {
      env: { ACME_API_KEY: 'key-one', OTHER_API_KEY: 'other-one', OTHER_API_KEY_2: 'other-two' },
      config: {
        services: { both: { providers: ['acme', 'other'] } },
        providers: {
          acme: { baseUrl: origin, auth: { in: 'header', name: 'x-api-key' }, ...acme },
          other: { baseUrl: origin, auth: { in: 'header', name: 'x-api-key' }, ...other },
        },
      } as never,
    },
  });

  it('hold for the attempts of their own provider: repeatable routes', async () => {
    const server = await serveProvider(({ headers }, response) => {
      response.writeHead(headers['x-api-key'] === 'key-one' ? 429 : 503).end();
    });
    const post = { method: 'POST', body: '1' };
    const manager = acmeManager(two(server.origin, { retry: { repeatable: ['POST /x'] } }, {}));
    expect((await manager.fetch('both', '/x', post)).status).toBe(503);
    expect(server.keys()).toEqual(['key-one', 'other-one']);
    const other = acmeManager(two(server.origin, {}, { retry: { repeatable: ['POST /x'] } }));
    server.seen.length = 0;
    expect((await other.fetch('both', '/x', post)).status).toBe(503);
    expect(server.keys().slice(0, 3)).toEqual(['key-one', 'other-one', 'other-two']);
  });

  it('hold for the attempts of their own provider: how many there are', async () => {
    const server = await serveProvider((_, response) => void response.writeHead(429).end());
    const manager = acmeManager(two(server.origin, {}, { retry: { maxAttempts: 2 } }));
    expect((await manager.fetch('both', '/x')).status).toBe(429);
    expect(server.keys()).toEqual(['key-one', 'other-one']);
  });

  it('bound the whole by the one that was asked first', async () => {
    const clock = createFakeClock();
    const server = await serveProvider((_, response) => {
      clock.advance(20);
      response.writeHead(429).end();
    });
    const options = two(server.origin, { retry: { deadlineMs: 30 } }, { retry: { deadlineMs: 1 } });
    const manager = acmeManager({ options: { ...options.options, clock: clock.now } });
    expect((await manager.fetch('both', '/x')).status).toBe(429);
    expect(server.keys()).toEqual(['key-one', 'other-one']);
  });

  it('leave a provider in trouble for another one before they try its other keys', async () => {
    const server = await serveProvider(({ headers }, response) => {
      response.writeHead(headers['x-api-key'] === 'key-one' ? 503 : 200).end();
    });
    const options = two(server.origin, {}, {});
    const env = { ...options.options?.env, ACME_API_KEY_2: 'key-two', ACME_API_KEY_3: 'key-three' };
    const manager = acmeManager({ options: { ...options.options, env } });
    expect((await manager.fetch('both', '/x')).status).toBe(200);
    expect(server.keys()).toEqual(['key-one', 'other-one']);
  });
});
