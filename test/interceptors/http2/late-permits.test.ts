/** Permits of a store that takes its time: a stream does not wait for them. */
import { once } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import net from 'node:net';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { faultyStore } from '#keymux/testing/faulty-store.js';
import type { FaultyStore } from '#keymux/testing/faulty-store.js';
import { describe, expect, it } from 'vitest';
import { memoryStore } from '../../manager/acme.js';
import { until } from '../managed.js';
import { answers, manage, provider } from './provider.js';
import { answerTo, ask, connect, send } from './streams.js';

interface Setting {
  readonly manager: KeyManager;
  readonly store: FaultyStore;
  /** What the store was told of the permits that it gave. */
  settled(): Promise<{ readonly spent: number; readonly returned: number }[]>;
}

async function shared(origin: string, keys: readonly string[]): Promise<Setting> {
  const store = faultyStore(memoryStore(), { shared: true });
  const limits = [{ requests: 2, per: 'day' }];
  const manager = manage(origin, { provider: { limits }, keys, manager: { store } });
  await manager.ready;
  const settled = async () => {
    await manager.shutdown();
    return store.asked.settle.flat().map(({ spent, returned }) => ({ spent, returned }));
  };
  return { manager, store, settled };
}

const HEADERS = { authorization: 'Bearer key-one' };
const SPENT = { spent: 1, returned: 0 };
const RETURNED = { spent: 0, returned: 1 };

/** Uses and requests under way, by key. */
function counts(manager: KeyManager): [uses: number, inFlight: number][] {
  return manager.inspect().keys.map(({ uses, inFlight }) => [uses, inFlight]);
}

describe('a permit that comes late', () => {
  it('before the stream is sent, is as one that came at once', async () => {
    const { origin, seen } = await provider({ 'key-one': answers.limited });
    const { manager, store, settled } = await shared(origin, ['key-one', 'key-two']);
    const session = connect(origin);
    const go = store.hold('lease');
    const stream = send(session, HEADERS);
    go();
    expect((await answerTo(stream))[':status']).toBe(429);
    expect(counts(manager)).toEqual([
      [1, 0],
      [0, 0],
    ]);
    // The refusal counted.
    expect(await ask(session, HEADERS)).toBe(200);
    expect(seen()).toEqual(['key-one', 'key-two']);
    expect(await settled()).toEqual([SPENT, SPENT]);
  });

  it('while the answer is under way, is charged, and the answer counts', async () => {
    let waiting: ServerHttp2Stream | undefined;
    const { origin, seen } = await provider({ 'key-one': (stream) => void (waiting = stream) });
    const { manager, store, settled } = await shared(origin, ['key-one', 'key-two']);
    const session = connect(origin);
    const go = store.hold('lease');
    const stream = send(session, HEADERS);
    await until(() => waiting !== undefined);
    expect(counts(manager)[0]).toEqual([0, 0]);
    go();
    await until(() => counts(manager)[0]?.[1] === 1);
    waiting?.respond({ ':status': 429 }, { endStream: true });
    expect((await answerTo(stream))[':status']).toBe(429);
    expect(counts(manager)[0]).toEqual([1, 0]);
    expect(await ask(session, HEADERS)).toBe(200);
    expect(seen()).toEqual(['key-one', 'key-two']);
    expect(await settled()).toEqual([SPENT, SPENT]);
  });

  it('after the answer, is charged all the same', async () => {
    const { origin, seen } = await provider({});
    const { manager, store, settled } = await shared(origin, ['key-one']);
    const go = store.hold('lease');
    expect(await ask(connect(origin), HEADERS)).toBe(200);
    expect(counts(manager)).toEqual([[0, 0]]);
    go();
    await until(() => counts(manager)[0]?.[0] === 1);
    expect(counts(manager)).toEqual([[1, 0]]);
    expect(seen()).toEqual(['key-one']);
    expect(await settled()).toEqual([SPENT]);
  });

  it('goes back where nothing was sent', async () => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    server.close();
    await once(server, 'close');
    const origin = `http://127.0.0.1:${port}`;
    const { manager, store, settled } = await shared(origin, ['key-one']);
    const go = store.hold('lease');
    const stream = send(connect(origin), HEADERS);
    await expect(once(stream, 'response')).rejects.toThrow();
    await until(() => stream.closed);
    go();
    await until(() => counts(manager)[0]?.[0] === 1);
    expect(counts(manager)).toEqual([[1, 0]]);
    expect(await settled()).toEqual([RETURNED]);
  });

  it('goes back where it is one of another key', async () => {
    const { origin, seen } = await provider({});
    const { manager, store, settled } = await shared(origin, ['key-one', 'key-two']);
    await spendElsewhere(store, origin);
    const go = store.hold('lease');
    expect(await ask(connect(origin), HEADERS)).toBe(200);
    go();
    await until(() => counts(manager)[1]?.[0] === 1);
    expect(counts(manager)).toEqual([
      [1, 0],
      [1, 0],
    ]);
    expect(seen()).toEqual(['key-one', 'key-one']);
    expect(await settled()).toEqual([SPENT, RETURNED]);
  });
});

describe('a permit that is refused late', () => {
  it('counts for the next stream', async () => {
    const { origin, seen } = await provider({});
    const { manager, store } = await shared(origin, ['key-one']);
    await spendElsewhere(store, origin);
    const exhausted = new Promise((resolve) => manager.on('exhausted', resolve));
    const go = store.hold('lease');
    const session = connect(origin);
    expect(await ask(session, HEADERS)).toBe(200);
    go();
    await exhausted;
    expect(counts(manager)).toEqual([[1, 0]]);
    await expect(once(send(session, HEADERS), 'response')).rejects.toMatchObject({
      code: 'KEYMUX_NO_USABLE_KEY',
    });
    expect(seen()).toEqual(['key-one', 'key-one']);
  });
});

describe('many streams at once over a key that is not proven yet', () => {
  const MANY = 30;

  async function askAtOnce(retry: object) {
    const { origin, seen } = await provider({});
    const manager = manage(origin, { provider: { retry }, keys: ['key-one'] });
    const session = connect(origin);
    const statuses = await Promise.all(Array.from({ length: MANY }, () => ask(session, HEADERS)));
    expect(statuses).toEqual(Array.from({ length: MANY }, () => 200));
    expect(seen().length).toBe(MANY);
    return manager;
  }

  it('are all sent, and all counted', async () => {
    const manager = await askAtOnce({});
    await until(() => counts(manager)[0]?.[0] === MANY);
    expect(counts(manager)).toEqual([[MANY, 0]]);
  });

  it('are all sent also where nobody may wait, and those counted that had a place', async () => {
    const [[uses = 0, inFlight] = []] = counts(await askAtOnce({ maxWaitMs: 0 }));
    expect(uses).toBeGreaterThan(0);
    expect(uses).toBeLessThan(MANY);
    expect(inFlight).toBe(0);
  });
});

/** Of the two permits of the first key, this process spends one and another process the other. */
async function spendElsewhere(store: FaultyStore, origin: string): Promise<void> {
  expect(await ask(connect(origin), HEADERS)).toBe(200);
  const [request] = store.asked.lease;
  if (request === undefined) return expect.unreachable('nothing was leased');
  expect(await store.lease(request)).toMatchObject({ granted: 1, left: 0 });
}
