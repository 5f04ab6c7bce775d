/** What holds for every transport, shown through built-in fetch and through node:http. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { describe, expect, it } from 'vitest';
import {
  echo,
  ok,
  redirect,
  refuse,
  reply,
  reset,
  silence,
  softError,
  stream,
  streamError,
} from '#keymux/testing/script.js';
import type { Exchange } from '#keymux/manager/attempt.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { onTestFinished } from 'vitest';
import { BAD_BAD_GOOD, CAPTURED, bearer, managed, until } from './managed.js';

interface Call {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

type Transport = (url: string, call?: Call) => Promise<Answer>;

const viaFetch: Transport = async (url, call = {}) => {
  const response = await fetch(url, { headers: bearer(), ...call });
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    text: await response.text(),
  };
};

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

const viaNode: Transport = (url, { body, ...call } = {}) =>
  new Promise((resolve, reject) => {
    const request = http.request(url, { headers: bearer(), agent, ...call }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => (text += chunk));
      answer.on('error', reject);
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers as Record<string, string>, text }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });

const transports: readonly (readonly [string, Transport])[] = [
  ['fetch', viaFetch],
  ['node:http', viaNode],
];

const post = { method: 'POST', body: '{"n":1}' } as const;

describe.each(transports)('a request through %s', (_name, send) => {
  it('with a good key is sent once, and its answer is handed on as it is', async () => {
    const { origin, simulator } = await managed({ keys: { [CAPTURED]: { always: echo() } } });
    const answer = await send(`${origin}/a?b=c`);
    expect(answer.status).toBe(200);
    expect(answer.text).toContain(`Bearer ${CAPTURED}`);
    expect(simulator.requests).toHaveLength(1);
  });

  it('gets the key of the moment in place of the one the application captured', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    await send(origin);
    await send(origin);
    expect(seen()).toEqual(['key-limited', 'key-revoked', 'key-good', 'key-good']);
  });

  it('to another host is left alone, key and all', async () => {
    await managed({ keys: BAD_BAD_GOOD });
    await using other = await startSimulator({ keys: { [CAPTURED]: { name: 'theirs' } } });
    expect((await send(`${other.origin}/a`)).status).toBe(200);
    expect(other.requests.map(({ carries }) => carries)).toEqual([['theirs']]);
  });

  it('without a known key is left alone', async () => {
    const { origin, seen, simulator } = await managed({ keys: BAD_BAD_GOOD });
    expect((await send(origin, { headers: bearer('key-foreign') })).status).toBe(401);
    expect(seen()).toEqual([undefined]);
    expect(simulator.requests).toHaveLength(1);
  });

  it('goes on after a soft error in a 200', async () => {
    const errors = [{ status: 200, json: '$.error.kind', match: 'rate-limited', outcome: 'rate-limited' }];
    const { origin, seen } = await managed({
      keys: { [CAPTURED]: { always: softError() }, 'key-good': {} },
      provider: { errors },
    });
    const answer = await send(origin);
    expect(JSON.parse(answer.text)).toMatchObject({ key: 'key-good' });
    expect(seen()).toEqual([CAPTURED, 'key-good']);
  });

  it('goes on after a soft error that is compressed and chunked', async () => {
    const errors = [{ status: 200, json: '$.error.kind', match: 'rate-limited', outcome: 'rate-limited' }];
    const { origin, seen } = await managed({
      keys: {
        [CAPTURED]: { always: softError('rate-limited', { gzip: true, chunked: true }) },
        'key-good': {},
      },
      provider: { errors },
    });
    await send(origin);
    expect(seen()).toEqual([CAPTURED, 'key-good']);
  });

  it('goes on after an error in the first event of a stream', async () => {
    const errors = [{ status: 200, sse: '$.error.kind', match: 'overloaded', outcome: 'overloaded' }];
    const { origin, seen } = await managed({
      keys: { [CAPTURED]: { always: streamError() }, 'key-good': { always: stream() } },
      provider: { errors, retry: { repeatable: ['GET /s'] } },
    });
    const answer = await send(`${origin}/s`);
    expect(answer.text).not.toContain('overloaded');
    expect(seen()).toEqual([CAPTURED, 'key-good']);
  });

  it('that is long and held back for a look arrives whole', async () => {
    const errors = [{ status: 200, json: '$.error', match: 'never', outcome: 'rate-limited' }];
    const body = { text: 'x'.repeat(300_000) };
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: reply(200, { body }) } },
      provider: { errors },
    });
    expect(JSON.parse((await send(origin)).text)).toEqual(body);
  });

  it('is not repeated after a 5xx or a reset if it is a POST', async () => {
    for (const trouble of [refuse(503), reset('before-headers')]) {
      const { origin, simulator } = await managed({
        keys: { [CAPTURED]: { always: trouble }, 'key-good': {} },
      });
      await send(origin, post).catch(() => {});
      expect(simulator.requests).toHaveLength(1);
      expect([...simulator.executions.values()].map(({ count }) => count)).toEqual([1]);
    }
  });

  it('is repeated after a 5xx or a reset if it is a GET', async () => {
    for (const trouble of [refuse(503), reset('before-headers')]) {
      const { origin, seen } = await managed({ keys: { [CAPTURED]: { first: [trouble] }, 'key-good': {} } });
      expect((await send(origin)).status).toBe(200);
      expect(seen()).toHaveLength(2);
    }
  });

  it('is repeated after a 5xx with an Idempotency-Key, and executed once', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { first: [refuse(503)] }, 'key-good': {} },
    });
    const answer = await send(origin, { ...post, headers: { ...bearer(), 'idempotency-key': 'order-1' } });
    expect(answer.status).toBe(200);
    expect(simulator.duplicates).toEqual([]);
  });

  it.each([429, 401, 402])('is repeated after a %d if it is a POST, and executed once', async (status) => {
    const { origin, simulator, seen } = await managed({
      keys: { [CAPTURED]: { always: refuse(status) }, 'key-good': {} },
    });
    const answer = await send(origin, post);
    expect(JSON.parse(answer.text)).toMatchObject({ key: 'key-good', bodyBytes: 7 });
    expect(seen()).toEqual([CAPTURED, 'key-good']);
    expect([...simulator.executions.values()].map(({ count }) => count)).toEqual([1]);
  });

  it('whose body is over the limit is not repeated', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { always: refuse(429) }, 'key-good': {} },
      provider: { retry: { maxBodyBytes: 10 } },
    });
    expect((await send(origin, { method: 'POST', body: 'x'.repeat(11) })).status).toBe(429);
    expect(simulator.requests).toHaveLength(1);
  });

  it('meets a true refusal when every key is out, and the provider is not asked', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { always: refuse(429, { retryAfterSeconds: 60 }) } },
    });
    const first = await send(origin);
    expect(first.status).toBe(429);
    expect(first.headers).toMatchObject({ 'x-should-retry': 'false' });
    expect(Number(first.headers['retry-after'])).toBeGreaterThanOrEqual(60);
    const second = await send(origin, post);
    expect(second.status).toBe(429);
    expect(second.headers).toMatchObject({ 'x-should-retry': 'false', 'content-type': 'application/json' });
    expect(Number(second.headers['retry-after'])).toBeGreaterThan(50);
    expect(JSON.parse(second.text)).toMatchObject({
      error: { type: 'keymux', code: 'KEYMUX_NO_USABLE_KEY' },
    });
    expect(simulator.requests).toHaveLength(1);
  });

  it('waits for a key that returns in time', async () => {
    const { origin, seen } = await managed({
      keys: { [CAPTURED]: { limits: [{ requests: 1, perMs: 200 }] } },
      // The provider states its reset in whole seconds.
      provider: { limits: [{ requests: 1, perMs: 200 }], retry: { maxWaitMs: 5_000 } },
    });
    const answers = await Promise.all([send(origin, post), send(origin, post), send(origin)]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(seen()).toHaveLength(3);
  });

  it('that is aborted while it waits fails at once, and nothing is sent', async () => {
    const { origin, simulator, manager } = await managed({
      keys: { [CAPTURED]: {} },
      provider: { limits: [{ requests: 1, perMs: 1_500 }] },
    });
    await send(origin);
    const controller = new AbortController();
    const waiting = send(origin, { signal: controller.signal });
    await until(() => manager.poolOf('acme').room.size === 1);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
    await new Promise(setImmediate);
    expect(manager.poolOf('acme').room.size).toBe(0);
    expect(simulator.requests).toHaveLength(1);
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0 });
  });

  it('that is aborted during an attempt is not sent again, and blames nobody', async () => {
    const { origin, simulator, manager } = await managed({
      keys: { [CAPTURED]: { always: silence() }, 'key-good': {} },
    });
    const controller = new AbortController();
    const waiting = send(origin, { signal: controller.signal });
    await simulator.waitFor(({ requests }) => requests.length === 1);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
    await simulator.waitFor(({ requests }) => requests[0]?.aborted === true);
    expect(simulator.requests).toHaveLength(1);
    expect(manager.inspect().keys).toMatchObject([{ state: 'unproven', inFlight: 0 }, {}]);
  });

  it('that is aborted during the second attempt goes no further', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { always: refuse(429) }, 'key-slow': { always: silence() }, 'key-good': {} },
    });
    const controller = new AbortController();
    const waiting = send(origin, { signal: controller.signal });
    await simulator.waitFor(({ requests }) => requests.length === 2);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
    await simulator.waitFor(({ requests }) => requests[1]?.aborted === true);
    expect(simulator.requests).toHaveLength(2);
  });

  it('that is aborted while it waits for the next key fails at once', async () => {
    const { origin, simulator, manager } = await managed({
      keys: { [CAPTURED]: { first: [ok()], then: refuse(429, { retryAfterSeconds: 60 }) }, 'key-good': {} },
      provider: { limits: [{ requests: 1, perMs: 1_500 }] },
    });
    const [first = '', second = ''] = manager.inspect().keys.map(({ id }) => id);
    manager.disable(first);
    await send(origin);
    manager.enable(first);
    simulator.key(CAPTURED).behave(refuse(429, { retryAfterSeconds: 60 }));
    const controller = new AbortController();
    const waiting = send(origin, { signal: controller.signal });
    await until(() => manager.poolOf('acme').room.size === 1);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
    await until(() => manager.poolOf('acme').room.size === 0);
    expect(simulator.requests).toHaveLength(2);
    expect(manager.inspect().keys).toMatchObject([
      { id: first, inFlight: 0 },
      { id: second, inFlight: 0 },
    ]);
  });

  it('wastes few requests on a bad key when many are sent at once', async () => {
    const { origin, seen } = await managed({ keys: { [CAPTURED]: { always: refuse(401) }, 'key-good': {} } });
    const answers = await Promise.all(Array.from({ length: 100 }, () => send(origin)));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(seen().filter((key) => key === CAPTURED).length).toBeLessThanOrEqual(8);
  });

  it('gets the error of the network as it is when nothing else helps', async () => {
    const { origin, simulator } = await managed({ keys: { [CAPTURED]: {} } });
    await simulator.close();
    await expect(send(origin, post)).rejects.toSatisfy(
      (error: Error & { code?: string }) =>
        error.code === 'ECONNREFUSED' ||
        (error.cause as { code?: string } | undefined)?.code === 'ECONNREFUSED',
    );
  });
});

type Sabotage = (exchange: Exchange) => void;

/** As if keymux had a bug: what the engine is asked for fails. */
function sabotage(manager: KeyManager, break_: Sabotage): void {
  const exchange = manager.exchange.bind(manager);
  manager.exchange = (pool, facts) => {
    const whole = exchange(pool, facts);
    break_(whole);
    return whole;
  };
}

describe.each(transports)('an error of keymux itself does no harm to a request through %s', (_name, send) => {
  const bug = new Error('a bug');
  const bugs: Record<string, Sabotage> = {
    'before there is anything': () => {
      throw bug;
    },
    'while a key is chosen': (exchange) => {
      exchange.first = () => {
        throw bug;
      };
    },
    'while a key is waited for': (exchange) => {
      exchange.first = () => Promise.reject(bug);
    },
    'while an answer is judged': (exchange) => {
      exchange.afterHead = () => {
        throw bug;
      };
    },
    'while the next key is waited for': (exchange) => {
      exchange.afterHead = () => Promise.reject(bug);
    },
  };

  it.each(Object.entries(bugs))('%s', async (_when, break_) => {
    const { origin, manager, seen } = await managed({ keys: { [CAPTURED]: {}, 'key-other': {} } });
    sabotage(manager, break_);
    const answer = await send(origin, post);
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toMatchObject({ key: CAPTURED, bodyBytes: 7 });
    expect(seen()).toEqual([CAPTURED]);
  });
});

describe.each(transports)('a request through %s', (_name, send) => {
  it('waits until the state is recovered', async () => {
    const store = createMemoryStore({ now: Date.now, onNotice: () => {} });
    let recover = (): void => {};
    const open = store.open.bind(store);
    let isAsked = false;
    store.open = async () => {
      isAsked = true;
      await new Promise<void>((resolve) => (recover = resolve));
      return open();
    };
    const { origin, simulator } = await managed({ keys: BAD_BAD_GOOD, manager: { store } });
    const answered = send(origin, post);
    await until(() => isAsked);
    const recoveredAt = performance.timeOrigin + performance.now();
    recover();
    const answer = await answered;
    expect(simulator.requests[0]?.at).toBeGreaterThan(recoveredAt);
    expect(JSON.parse(answer.text)).toMatchObject({ key: 'key-good', bodyBytes: 7 });
  });
});

describe('a redirect', () => {
  it('never takes a key to another origin', async () => {
    await using other = await startSimulator({
      keys: { [CAPTURED]: {}, 'key-good': {} },
      unknownKey: ok(),
    });
    const { origin, seen } = await managed({
      keys: {
        [CAPTURED]: { always: refuse(429) },
        'key-good': { always: redirect(`${other.origin}/there`) },
      },
    });
    expect((await fetch(origin, { headers: bearer() })).status).toBe(200);
    expect(seen()).toEqual([CAPTURED, 'key-good']);
    expect(other.requests.map(({ carries }) => carries)).toEqual([[]]);
  });

  it('within the origin gets the key of the moment at each hop', async () => {
    const { origin, seen } = await managed({
      keys: {
        [CAPTURED]: { always: refuse(429) },
        'key-good': { first: [redirect('/there')] },
      },
    });
    expect((await fetch(origin, { headers: bearer() })).status).toBe(200);
    expect(seen()).toEqual([CAPTURED, 'key-good', 'key-good']);
  });
});

describe('a stream', () => {
  it('reaches fetch event by event', async () => {
    const { origin, simulator } = await managed({
      keys: {
        [CAPTURED]: { always: refuse(429) },
        'key-good': { always: stream({ ends: 'stalled', after: 2 }) },
      },
    });
    const response = await fetch(origin, { headers: bearer() });
    const reader = response.body!.getReader();
    const first = await reader.read();
    expect(first.done).toBe(false);
    expect(simulator.requests[1]?.endedAt).toBeUndefined();
    await reader.cancel();
  });

  it('reaches node:http event by event', async () => {
    const { origin, simulator } = await managed({
      keys: {
        [CAPTURED]: { always: refuse(429) },
        'key-good': { always: stream({ ends: 'stalled', after: 2 }) },
      },
    });
    const request = http.get(origin, { headers: bearer() });
    const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
    await once(answer, 'data');
    expect(simulator.requests[1]?.endedAt).toBeUndefined();
    answer.on('error', () => {});
    request.destroy();
    await once(request, 'close');
  });

  it('that breaks after its first event is not sent again', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { always: stream({ ends: 'cut', after: 2 }) }, 'key-good': {} },
    });
    await expect(viaFetch(origin)).rejects.toThrow();
    await expect(viaNode(origin)).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(simulator.requests).toHaveLength(2);
  });
});

describe('a key in another place', () => {
  it('is found in the query', async () => {
    const { origin, simulator } = await managed({
      keys: { 'key/a=': { always: refuse(429) }, 'key/b=': {} },
      provider: { auth: { in: 'query', name: 'apikey' } },
      simulator: { auth: { in: 'query', name: 'apikey' } },
    });
    const path = `/q?x=1&apikey=${encodeURIComponent('key/a=')}&y=2`;
    for (const [, send] of transports) {
      expect((await send(origin + path, { headers: {} })).status).toBe(200);
    }
    expect(simulator.requests.at(-1)).toMatchObject({
      path: '/q?x=1&apikey=<key/b=>&y=2',
      carries: ['key/b='],
    });
  });

  it('is found in Basic authentication', async () => {
    const { origin, seen } = await managed({
      keys: { [CAPTURED]: { always: refuse(429) }, 'key-good': {} },
      provider: { auth: { in: 'basic', field: 'username' } },
      simulator: { auth: { in: 'basic', field: 'username' } },
    });
    const headers = { authorization: `Basic ${Buffer.from(`${CAPTURED}:`).toString('base64')}` };
    for (const [, send] of transports) expect((await send(origin, { headers })).status).toBe(200);
    expect(seen()).toEqual([CAPTURED, 'key-good', 'key-good']);
  });
});

describe('node:https', () => {
  it('gets a good answer over one kept connection', async () => {
    const certificate = createCertificate();
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD, simulator: { tls: certificate } });
    const secure = new https.Agent({ keepAlive: true, maxSockets: 1, ca: certificate.cert });
    onTestFinished(() => secure.destroy());
    for (let time = 0; time < 2; time += 1) {
      const request = https.get(origin, { agent: secure, headers: bearer() });
      const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
      expect(answer.statusCode).toBe(200);
      answer.resume();
      await once(request, 'close');
      expect(request.reusedSocket).toBe(true);
    }
    expect(seen()).toEqual(['key-limited', 'key-revoked', 'key-good', 'key-good']);
  });

  it('tells of a certificate that it does not trust, without a second attempt', async () => {
    const { origin, simulator } = await managed({
      keys: BAD_BAD_GOOD,
      simulator: { tls: createCertificate() },
    });
    const request = https.request(origin, { method: 'POST', headers: bearer() }).end('x');
    const [error] = (await once(request, 'error')) as [Error & { code: string }];
    expect(error.code).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
    expect(simulator.requests).toEqual([]);
  });
});
