import { createRequire } from 'node:module';
import { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { echo, refuse, reply, silence, softError, stream } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { BAD_BAD_GOOD, CAPTURED, bearer, managed, managerFor, until } from '../managed.js';

const undici = createRequire(import.meta.url)('undici') as typeof import('undici');
const ALL = ['key-limited', 'key-revoked', 'key-good'];

/** The prototype that all dispatchers of an undici inherit from; a wrapper of another undici has none. */
function baseOf(dispatcher: unknown): object | undefined {
  let object: unknown = dispatcher;
  while (typeof object === 'object' && object !== null) {
    if (Object.hasOwn(object, 'dispatch') && object.constructor.name === 'DispatcherBase') return object;
    object = Object.getPrototypeOf(object);
  }
  return undefined;
}

function descriptors(): unknown[] {
  const builtIn = ['1', '2'].map((version) =>
    Reflect.get(globalThis, Symbol.for(`undici.globalDispatcher.${version}`)),
  );
  const bases = [...builtIn, new undici.Agent()].map(baseOf).filter((base) => base !== undefined);
  return [
    Object.getOwnPropertyDescriptor(globalThis, 'fetch'),
    ...bases.map((base) => Object.getOwnPropertyDescriptor(base, 'dispatch')),
  ];
}

describe('installUndici', () => {
  it('puts everything back', async () => {
    await fetch('data:,');
    const before = descriptors();
    expect(before.length).toBeGreaterThanOrEqual(3);
    const { manager, origin } = await managed({ keys: BAD_BAD_GOOD });
    expect(descriptors()).not.toEqual(before);
    await (await fetch(origin, { headers: bearer() })).text();
    await manager.shutdown();
    expect(descriptors()).toEqual(before);
  });

  it('lets one of two managers of the same origin handle a request', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    managerFor(origin, Object.keys(BAD_BAD_GOOD));
    expect((await fetch(origin, { headers: bearer() })).status).toBe(200);
    expect(seen()).toEqual(ALL);
  });
});

describe('undici from npm', () => {
  it.each([
    ['a record', bearer()],
    ['a record of lists', { authorization: [`Bearer ${CAPTURED}`] }],
    ['a flat list', ['authorization', `Bearer ${CAPTURED}`]],
    ['a Map', new Map([['authorization', `Bearer ${CAPTURED}`]])],
  ])('is understood with headers as %s', async (_form, headers) => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    const { statusCode, body } = await undici.request(origin, { headers: headers as Record<string, string> });
    await body.dump();
    expect(statusCode).toBe(200);
    expect(seen()).toEqual(ALL);
  });

  it('is understood with a query beside the path', async () => {
    const { origin, seen } = await managed({
      keys: BAD_BAD_GOOD,
      provider: { auth: { in: 'query', name: 'k' } },
      simulator: { auth: { in: 'query', name: 'k' } },
    });
    const { body } = await undici.request(origin, { query: { k: CAPTURED, other: '1' } });
    await body.dump();
    expect(seen()).toEqual(ALL);
  });

  it.each(['Agent', 'Pool', 'Client', 'BalancedPool', 'composed'])('is covered through %s', async (kind) => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    const dispatcher = {
      Agent: () => new undici.Agent({ connections: 1 }),
      Pool: () => new undici.Pool(origin),
      Client: () => new undici.Client(origin),
      BalancedPool: () => new undici.BalancedPool(origin),
      composed: () => new undici.Agent().compose(undici.interceptors.redirect({ maxRedirections: 1 })),
    }[kind]!();
    onTestFinished(() => dispatcher.close());
    const { statusCode, body } = await dispatcher.request({
      origin,
      path: '/',
      method: 'POST',
      headers: bearer(),
      body: 'text',
    });
    await body.dump();
    expect(statusCode).toBe(200);
    expect(seen()).toEqual(ALL);
  });

  it('goes where its client connects, whatever origin is stated', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    await using other = await startSimulator({ keys: { [CAPTURED]: {} } });
    const client = new undici.Client(other.origin);
    onTestFinished(() => client.close());
    const options = { origin, path: '/', method: 'GET', headers: bearer() } as const;
    await (await client.request(options)).body.dump();
    expect(seen()).toEqual([]);
    expect(other.requests.map(({ carries }) => carries)).toEqual([['key-1']]);
  });

  it('sends a stream once', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    const { statusCode, body } = await undici.request(origin, {
      method: 'POST',
      headers: bearer(),
      body: Readable.from(['a', 'b']),
    });
    await body.dump();
    expect(statusCode).toBe(429);
    expect(seen()).toEqual(['key-limited']);
  });

  it('keeps its pace: a slow reader gets every byte of an answer that was held back', async () => {
    const text = 'x'.repeat(400_000);
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: reply(200, { body: { text } }) } },
      provider: { errors: [{ status: 200, json: '$.error', outcome: 'rate-limited' }] },
    });
    const { body } = await undici.request(origin, { headers: bearer(), highWaterMark: 1_000 });
    let received = '';
    for await (const chunk of body) {
      received += String(chunk);
      await new Promise(setImmediate);
    }
    expect(JSON.parse(received)).toEqual({ text });
  });

  it('lets an answer go on that is decided upon after a wait', async () => {
    const { origin, seen } = await managed({
      keys: {
        [CAPTURED]: { always: refuse(429, { body: 'y'.repeat(200_000) }) },
        'key-good': { limits: [] },
      },
      provider: { limits: [{ requests: 1, perMs: 300 }] },
    });
    const statuses = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const { statusCode, body } = await undici.request(origin, { headers: bearer() });
        await body.dump();
        return statusCode;
      }),
    );
    expect(statuses).toEqual([200, 200, 200]);
    expect(seen().filter((key) => key === 'key-good')).toHaveLength(3);
  });

  it('aborts a request whose answer is held back', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { always: stream({ events: ['data: half'], ends: 'stalled', after: 1 }) } },
      provider: { errors: [{ status: 200, sse: '$.error', outcome: 'overloaded' }] },
    });
    const controller = new AbortController();
    const waiting = undici.request(origin, { headers: bearer(), signal: controller.signal });
    await until(() => simulator.requests[0]?.status === 200);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
    await simulator.waitFor(({ requests }) => requests[0]?.aborted === true);
  });

  it('tells of a time-out as it is, and repeats what is safe', async () => {
    const { origin, seen } = await managed({ keys: { [CAPTURED]: { first: [silence()] }, 'key-good': {} } });
    const options = { headers: bearer(), headersTimeout: 100 } as const;
    const answer = await undici.request(origin, options);
    await answer.body.dump();
    expect(answer.statusCode).toBe(200);
    expect(seen()).toHaveLength(2);
  });

  it('tells of a time-out as it is, and repeats no POST', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { always: silence() }, 'key-good': {} },
    });
    await expect(
      undici.request(origin, { method: 'POST', body: '{}', headers: bearer(), headersTimeout: 100 }),
    ).rejects.toMatchObject({ code: 'UND_ERR_HEADERS_TIMEOUT' });
    expect(simulator.requests).toHaveLength(1);
  });

  it('refuses wrong arguments as ever', async () => {
    const { origin, manager } = await managed({ keys: BAD_BAD_GOOD });
    await expect(
      undici.request(origin, { headers: { ...bearer(), 'content-length': 'many' } }),
    ).rejects.toMatchObject({ code: 'UND_ERR_INVALID_ARG' });
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, failures: 0 });
  });

  it('does not repeat through an agent that was closed meanwhile', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    const client = new undici.Client(origin);
    const answered = client.request({ path: '/', method: 'GET', headers: bearer() });
    const closed = client.close();
    const { statusCode, body } = await answered;
    await body.dump();
    await closed;
    expect(statusCode).toBe(429);
    expect(seen()).toEqual(['key-limited']);
  });

  it('streams to a writable', async () => {
    const { origin } = await managed({ keys: { ...BAD_BAD_GOOD, 'key-good': { always: echo() } } });
    const { PassThrough } = await import('node:stream');
    const target = new PassThrough();
    await undici.stream(origin, { method: 'GET', headers: bearer() }, () => target);
    let text = '';
    for await (const chunk of target) text += String(chunk);
    expect(text).toContain('Bearer key-good');
  });
});

describe('fetch', () => {
  it('is refused without a request, and rejects nothing', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { always: refuse(429, { retryAfterSeconds: 60 }) } },
    });
    await (await fetch(origin, { headers: bearer() })).text();
    const response = await fetch(origin, { headers: bearer(), method: 'HEAD' });
    expect(response.status).toBe(429);
    expect(await response.text()).toBe('');
    expect(simulator.requests).toHaveLength(1);
  });

  it('fails over when the first answer hides its refusal in a 200', async () => {
    const { origin, seen } = await managed({
      keys: { [CAPTURED]: { always: softError('rejected') }, 'key-good': {} },
      provider: { errors: [{ status: 200, json: '$.error.kind', match: 'rejected', outcome: 'rejected' }] },
    });
    expect(
      await (await fetch(origin, { headers: bearer(), method: 'POST', body: '{}' })).json(),
    ).toMatchObject({
      key: 'key-good',
    });
    expect(seen()).toEqual([CAPTURED, 'key-good']);
  });

  it('keeps no lease when all is over', async () => {
    const { origin, manager } = await managed({ keys: BAD_BAD_GOOD });
    await (await fetch(origin, { headers: bearer() })).text();
    expect(manager.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0, 0, 0]);
  });
});
