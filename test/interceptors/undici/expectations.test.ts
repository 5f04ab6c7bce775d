/** What programs expect of undici, whatever happens to the keys below. */
import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { echo, ok, redirect, refuse, reply, silence, stream } from '#keymux/testing/script.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import { BAD_BAD_GOOD, CAPTURED, bearer, managed, managerFor, until } from '../managed.js';
import { Recorder, dispatch } from './recorder.js';
import type { Undici } from './versions.js';
import { VERSIONS, functionsOf, load, untyped } from './versions.js';

const ALL = Object.keys(BAD_BAD_GOOD);
const ECHOING = { ...BAD_BAD_GOOD, 'key-good': { always: echo() } } as const;

type Client = InstanceType<Undici['Client']>;
type Interceptor = Parameters<Client['compose']>[0];

function closing<T extends { destroy(): Promise<void> }>(dispatcher: T): T {
  onTestFinished(() => dispatcher.destroy());
  return dispatcher;
}

interface Echo {
  readonly headers: Record<string, string>;
  readonly body: string;
}

describe.each(VERSIONS)('undici %i', (version) => {
  const undici = load(version);
  const { request, ...functions } = functionsOf(undici);
  const { Agent, Client, Pool } = undici;
  // The handlers of undici 8 have the newer interface only.
  const old = (title: string, test: () => Promise<void>): void => {
    if (version < 8) it(title, test);
  };

  old('tells a handler of one request, whatever became of its attempts', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    const recorder = dispatch(closing(new Client(origin)), {
      method: 'POST',
      body: 'text',
      headers: bearer(),
    });
    await recorder.over;
    expect(recorder.events).toEqual(['connect', 'sent', '200', 'complete']);
    expect(seen()).toEqual(ALL);
  });

  old('tells a handler of informational answers, and of an abort before it is sent', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { always: ok({ informational: 103 }) } },
    });
    const client = closing(new Client(origin));
    const recorder = dispatch(client, { headers: bearer() });
    await recorder.over;
    expect(recorder.events).toEqual(['connect', '103', '200', 'complete']);
    const aborted = new Recorder();
    aborted.onConnect = (abort) => abort(new Error('not now'));
    dispatch(client, { headers: bearer() }, aborted);
    await aborted.over;
    expect(aborted.error?.message).toBe('not now');
    expect(simulator.requests).toHaveLength(1);
  });

  old('aborts while a refusal waits for its reader', async () => {
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: refuse(429, { retryAfterSeconds: 60 }) } },
    });
    const client = closing(new Client(origin));
    await dispatch(client, { headers: bearer() }).over;
    const recorder = new Recorder();
    recorder.wantsMore = false;
    dispatch(client, { headers: bearer() }, recorder);
    await until(() => recorder.events.includes('429'));
    recorder.abort();
    await recorder.over;
    expect(recorder.events).toEqual(['connect', '429', 'error']);
    recorder.resume();
    expect(recorder.text).toBe('');
  });

  old('gives a handler that throws at a refusal its error', async () => {
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: refuse(429, { retryAfterSeconds: 60 }) } },
    });
    const client = closing(new Client(origin));
    await dispatch(client, { headers: bearer() }).over;
    const recorder = new Recorder();
    recorder.onHeaders = () => {
      throw new Error('unexpected');
    };
    dispatch(client, { headers: bearer() }, recorder);
    await recorder.over;
    expect(recorder.error?.message).toBe('unexpected');
  });

  old('gives a handler that throws at the beginning its error', async () => {
    const { origin, manager } = await managed({ keys: BAD_BAD_GOOD });
    const recorder = new Recorder();
    recorder.onConnect = () => {
      throw new Error('unexpected');
    };
    dispatch(closing(new Client(origin)), { headers: bearer() }, recorder);
    await recorder.over;
    expect(recorder.error?.message).toBe('unexpected');
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, failures: 0 });
  });

  it.each([
    ['text', () => 'text'],
    ['a Buffer', () => Buffer.from('text')],
    ['bytes', () => new TextEncoder().encode('-text').subarray(1)],
    ['an ArrayBuffer', () => new TextEncoder().encode('text').buffer],
    ['a Blob', () => new Blob(['text'])],
  ])('repeats a body that is %s', async (_kind, body) => {
    const { origin, seen } = await managed({ keys: ECHOING });
    const answer = await request(origin, { method: 'POST', headers: bearer(), body: body() as never });
    expect(((await answer.body.json()) as Echo).body).toBe('text');
    expect(seen()).toEqual(ALL);
  });

  it('repeats a form', async () => {
    const { origin, seen } = await managed({ keys: ECHOING });
    const body = new undici.FormData();
    body.set('name', 'value');
    const answer = await request(origin, { method: 'POST', headers: bearer(), body });
    const { headers, body: text } = (await answer.body.json()) as Echo;
    expect(headers['content-type']).toMatch(/^multipart\/form-data/);
    expect(text).toContain('name="name"');
    expect(seen()).toEqual(ALL);
  });

  it.each([
    ['a Readable', () => Readable.from(['te', 'xt'])],
    [
      'a generator',
      async function* () {
        await Promise.resolve();
        yield 'text';
      },
    ],
  ])('sends a body once that is %s', async (_kind, body) => {
    const { origin, seen } = await managed({ keys: { [CAPTURED]: { always: echo() } } });
    const answer = await request(origin, { method: 'POST', headers: bearer(), body: body() as never });
    expect(((await answer.body.json()) as Echo).body).toBe('text');
    expect(seen()).toEqual([CAPTURED]);
  });

  it('repeats a body that is generated, if it says that it is short', async () => {
    const { origin, seen } = await managed({ keys: ECHOING });
    async function* generate() {
      await Promise.resolve();
      yield Buffer.from('te');
      yield Buffer.from('xt');
    }
    const headers = { ...bearer(), 'content-length': '4' };
    const answer = await request(origin, { method: 'POST', headers, body: generate() as never });
    expect(((await answer.body.json()) as Echo).body).toBe('text');
    expect(seen()).toEqual(ALL);
  });

  it('passes the error of a body on', async () => {
    const { origin, manager } = await managed({ keys: BAD_BAD_GOOD });
    async function* generate() {
      await Promise.resolve();
      yield Buffer.from('te');
      throw new Error('no more');
    }
    const headers = { ...bearer(), 'content-length': '4' };
    const answer = request(origin, { method: 'POST', headers, body: generate() as never });
    await expect(answer).rejects.toThrow('no more');
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, failures: 0 });
  });

  it('is aborted by a signal before, while and after', async () => {
    const { origin, simulator, manager } = await managed({ keys: { [CAPTURED]: { first: [silence()] } } });
    const before = request(origin, { headers: bearer(), signal: AbortSignal.abort() });
    await expect(before).rejects.toMatchObject({ name: 'AbortError' });
    expect(simulator.requests).toHaveLength(0);
    const controller = new AbortController();
    const during = request(origin, { headers: bearer(), signal: controller.signal });
    await simulator.waitFor(({ requests }) => requests.length === 1);
    controller.abort();
    await expect(during).rejects.toMatchObject({ name: 'AbortError' });
    const late = new AbortController();
    const { body } = await request(origin, { headers: bearer(), signal: late.signal });
    await body.dump();
    late.abort();
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, failures: 0 });
  });

  it('is aborted by a signal while a body is collected', async () => {
    const { origin, simulator } = await managed({ keys: BAD_BAD_GOOD });
    const controller = new AbortController();
    async function* generate() {
      await new Promise<void>(() => {});
      yield Buffer.from('text');
    }
    const headers = { ...bearer(), 'content-length': '4' };
    const { signal } = controller;
    const answer = request(origin, { method: 'POST', headers, body: generate() as never, signal });
    controller.abort();
    await expect(answer).rejects.toMatchObject({ name: 'AbortError' });
    expect(simulator.requests).toHaveLength(0);
  });

  it('keeps its own time limits, for each attempt', async () => {
    const { origin, seen } = await managed({
      keys: {
        [CAPTURED]: { always: stream({ events: ['one', 'two'], ends: 'stalled', after: 1 }) },
      },
    });
    const { body } = await request(origin, { headers: bearer(), bodyTimeout: 200 });
    await expect(body.text()).rejects.toMatchObject({ code: 'UND_ERR_BODY_TIMEOUT' });
    expect(seen()).toHaveLength(1);
  });

  it('waits for its requests when it is closed', async () => {
    const { origin } = await managed({ keys: { [CAPTURED]: { always: ok({ delayMs: 50 }) } } });
    const pool = new Pool(origin, { connections: 1 });
    const answers = [1, 2, 3].map(() => pool.request({ path: '/', method: 'GET', headers: bearer() }));
    const closed = pool.close();
    for (const answer of answers) {
      const { statusCode, body } = await answer;
      await body.dump();
      expect(statusCode).toBe(200);
    }
    await closed;
  });

  old('says when it is busy, and when no longer', async () => {
    const { origin } = await managed({ keys: { [CAPTURED]: { always: ok({ delayMs: 20 }) } } });
    const client = closing(new Client(origin));
    const drained = new Promise<void>((resolve) => client.once('drain', () => resolve()));
    const takesMore = [1, 2].map(() =>
      client.dispatch({ path: '/', method: 'GET', headers: bearer() }, new Recorder() as never),
    );
    expect(takesMore).toContain(false);
    await drained;
  });

  it('upgrades', async () => {
    const { origin, seen, manager } = await managed({ keys: BAD_BAD_GOOD });
    const headers = {
      ...bearer(),
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'sec-websocket-version': '13',
    };
    const client = closing(new Client(origin));
    const { socket } = await client.upgrade({ path: '/', headers, protocol: 'websocket' });
    expect(seen()).toEqual(ALL);
    socket.destroy();
    await until(() => manager.inspect().keys.every(({ inFlight }) => inFlight === 0));
  });

  it('is refused after an answer that would hide when to come back', async () => {
    const { origin, seen } = await managed({
      keys: {
        [CAPTURED]: { always: refuse(429, { retryAfterSeconds: 60 }) },
        'key-revoked': { always: refuse(401) },
      },
    });
    const { statusCode, headers, body } = await request(origin, { headers: bearer() });
    await body.dump();
    expect(statusCode).toBe(429);
    expect(Number(headers['retry-after'])).toBeGreaterThan(50);
    expect(seen()).toEqual([CAPTURED, 'key-revoked']);
  });

  it('is aborted while it waits for another key', async () => {
    const { origin, seen, manager } = await managed({
      keys: { [CAPTURED]: { always: refuse(429, { retryAfterSeconds: 60 }) }, 'key-good': {} },
      provider: { limits: [{ requests: 1, perMs: 1_500 }] },
    });
    // Uses up what both keys may do.
    await (await request(origin, { headers: bearer() })).body.dump();
    const controller = new AbortController();
    const waiting = request(origin, { headers: bearer(), signal: controller.signal });
    await new Promise(setImmediate);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
    expect(seen()).toEqual([CAPTURED, 'key-good']);
    await until(() => manager.inspect().keys.every(({ inFlight }) => inFlight === 0));
  });

  it('is told that it was closed while a request waited for a key, which was never sent', async () => {
    const { origin, simulator, manager } = await managed({
      keys: { [CAPTURED]: {} },
      provider: { limits: [{ requests: 1, perMs: 300 }] },
    });
    const pool = new Pool(origin);
    await (await pool.request({ path: '/', method: 'GET', headers: bearer() })).body.dump();
    const waiting = pool.request({ path: '/', method: 'GET', headers: bearer() });
    const closed = pool.close();
    // The one while it closes, the other when it has.
    await expect(waiting).rejects.toHaveProperty(
      'code',
      expect.stringMatching(/^UND_ERR_(CLOSED|DESTROYED)$/),
    );
    await closed;
    expect(simulator.requests).toHaveLength(1);
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, failures: 0 });
  });

  it('sends what waited for a key although its agent closed the pool meanwhile', async () => {
    const { origin, seen } = await managed({
      keys: { [CAPTURED]: { always: ok({ headers: { connection: 'close' } }) } },
      provider: { limits: [{ requests: 1, perMs: 500 }] },
    });
    const dispatcher = closing(new Agent());
    const disconnected = new Promise<void>((resolve) => dispatcher.once('disconnect', () => resolve()));
    const first = request(origin, { headers: bearer(), dispatcher });
    const second = request(origin, { headers: bearer(), dispatcher });
    await (await first).body.dump();
    await disconnected;
    const { statusCode, body } = await second;
    await body.dump();
    expect(statusCode).toBe(200);
    expect(seen()).toEqual([CAPTURED, CAPTURED]);
  });

  it('is told of a connection that cannot be made', async () => {
    const { origin, simulator, manager } = await managed({ keys: BAD_BAD_GOOD });
    await simulator.close();
    const answer = request(origin, { method: 'POST', body: 'text', headers: bearer() });
    await expect(answer).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(manager.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0, 0, 0]);
  });

  it('is told that it was destroyed', async () => {
    const { origin, simulator, manager } = await managed({ keys: { [CAPTURED]: { always: silence() } } });
    const client = new Client(origin);
    const answer = client.request({ path: '/', method: 'GET', headers: bearer() });
    await simulator.waitFor(({ requests }) => requests.length === 1);
    await Promise.all([
      expect(answer).rejects.toMatchObject({ code: 'UND_ERR_DESTROYED' }),
      client.destroy(),
    ]);
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, failures: 0 });
  });

  it('streams and pipes', async () => {
    const { origin, seen } = await managed({ keys: ECHOING });
    const target = new PassThrough();
    await functions.stream(origin, { method: 'GET', headers: bearer() }, () => target);
    let text = '';
    for await (const chunk of target) text += String(chunk);
    expect(text).toContain('Bearer key-good');
    const pipe = functions.pipeline(
      origin,
      { method: 'POST', headers: bearer('key-good') },
      ({ body }) => body,
    );
    pipe.end('text');
    text = '';
    for await (const chunk of pipe) text += String(chunk);
    expect((JSON.parse(text) as Echo).body).toBe('text');
    expect(seen()).toEqual([...ALL, 'key-good']);
  });

  it('passes on what a stream factory throws at a refusal', async () => {
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: refuse(429, { retryAfterSeconds: 60 }) } },
    });
    await (await request(origin, { headers: bearer() })).body.dump();
    const streamed = functions.stream(origin, { method: 'GET', headers: bearer() }, () => {
      throw new Error('unexpected');
    });
    await expect(streamed).rejects.toThrow('unexpected');
  });

  it('repeats within the origin that a redirect leads to', async () => {
    const { origin, seen } = await managed({
      keys: {
        ...BAD_BAD_GOOD,
        'key-good': { always: ({ path }) => (path === '/' ? redirect('/there') : echo()) },
      },
    });
    const following =
      version < 7
        ? { maxRedirections: 2 }
        : { dispatcher: closing(new Agent().compose(undici.interceptors.redirect({ maxRedirections: 2 }))) };
    const { body } = await request(origin, { headers: bearer(), ...following });
    expect(await body.json()).toMatchObject({ path: '/there' });
    expect(seen()).toEqual([...ALL, 'key-good']);
  });

  if (version < 7) {
    it('throws on an error if it is told to', async () => {
      const { origin } = await managed({ keys: { [CAPTURED]: { always: reply(404, { body: {} }) } } });
      const answer = request(origin, { headers: bearer(), throwOnError: true });
      await expect(answer).rejects.toMatchObject({ statusCode: 404 });
    });
    return;
  }

  it.each(['retry', 'dump', 'cache', 'responseError', 'decompress'])('works below %s', async (name) => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    const made = (untyped(undici)['interceptors'] as Record<string, () => Interceptor>)[name];
    expect(made).toBeTypeOf('function');
    if (made === undefined) return;
    const dispatcher = closing(new Agent().compose(made()));
    const { statusCode, body } = await request(origin, { headers: bearer(), dispatcher });
    await body.dump();
    expect(statusCode).toBe(200);
    expect(seen()).toEqual(ALL);
  });
});

describe.each(VERSIONS.filter((version) => version >= 6))('the dns interceptor of undici %i', (version) => {
  const { Agent, interceptors, request } = load(version);

  it('leads to the same provider under TLS', async () => {
    const certificate = createCertificate(['localhost']);
    const { simulator } = await managed({ keys: BAD_BAD_GOOD, simulator: { tls: certificate } });
    const origin = simulator.origin.replace('127.0.0.1', 'localhost');
    managerFor(origin, ALL);
    const agent = new Agent({ connect: { ca: certificate.cert } });
    const dispatcher = closing(agent.compose(interceptors.dns({ affinity: 4 })));
    const { statusCode, body } = await request(origin, { headers: bearer(), dispatcher });
    await body.dump();
    expect(statusCode).toBe(200);
    expect(simulator.requests.map(({ key }) => key)).toEqual(ALL);
  });
});
