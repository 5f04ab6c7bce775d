import { execFile as execFileWithCallback } from 'node:child_process';
import http from 'node:http';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { at, behave, limit, outage, recover, restore, revoke, times } from '#keymux/testing/script-key.js';
import { ok, refuse, reset, silence } from '#keymux/testing/script.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import { Timeline } from '#keymux/testing/simulator-timeline.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { bearer, send } from './http-client.js';

const execFile = promisify(execFileWithCallback);

const one = { keys: { 'sk-one': { name: 'one' } } };
const asOne = { headers: bearer('sk-one') };

function coded(code: string): Error {
  return expect.objectContaining({ code }) as Error;
}

describe('a request', () => {
  it('is answered with the name of its key and taken down', async () => {
    await using simulator = await startSimulator(one);
    const before = Date.now();
    const response = await fetch(`${simulator.origin}/any/path?q=1`, {
      ...asOne,
      method: 'PUT',
      body: 'hello',
    });
    expect(response.headers.get('x-simulator-key')).toBe('one');
    expect(await response.json()).toEqual({
      ok: true,
      key: 'one',
      n: 1,
      path: '/any/path',
      method: 'PUT',
      bodyBytes: 5,
    });
    await simulator.waitFor(({ requests }) => requests[0]?.endedAt !== undefined);
    const [record] = simulator.requests;
    expect(record).toMatchObject({
      n: 1,
      method: 'PUT',
      path: '/any/path?q=1',
      key: 'one',
      carries: ['one'],
      did: 'ok',
      status: 200,
      executed: true,
      bodyBytes: 5,
      aborted: false,
      overshoot: false,
      webSocket: false,
    });
    expect(record!.at).toBeGreaterThan(before - 50);
    expect(record!.endedAt).toBeGreaterThanOrEqual(record!.at);
  });

  it('without a key that the provider knows is refused', async () => {
    await using simulator = await startSimulator(one);
    expect((await fetch(simulator.origin)).status).toBe(401);
    expect((await fetch(simulator.origin, { headers: bearer('sk-stranger') })).status).toBe(401);
    expect((await fetch(simulator.origin, { headers: { authorization: 'Token sk-one' } })).status).toBe(401);
    expect(simulator.requests.map(({ key }) => key)).toEqual([undefined, undefined, undefined]);
    expect(simulator.key('one').seen).toBe(0);
  });

  it('without a known key gets what the simulator was told to give', async () => {
    await using simulator = await startSimulator({ unknownKey: ok({ body: { public: true } }) });
    expect(await (await fetch(simulator.origin)).json()).toEqual({ public: true });
  });

  it('that the client abandons is taken down as aborted', async () => {
    await using simulator = await startSimulator({ keys: { 'sk-one': { name: 'one', always: silence() } } });
    const abort = new AbortController();
    const pending = fetch(simulator.origin, { ...asOne, signal: abort.signal });
    await simulator.waitFor(({ requests }) => requests.length === 1);
    abort.abort();
    await expect(pending).rejects.toThrow('aborted');
    await simulator.waitFor(({ requests }) => requests[0]?.aborted === true);
    expect(simulator.key('one').inFlight).toBe(0);
  });

  it('that breaks off in its body is aborted and not executed', async () => {
    await using simulator = await startSimulator(one);
    const request = http.request(simulator.origin, { ...asOne, method: 'POST' });
    request.on('error', () => undefined);
    request.write('{"id":');
    await simulator.waitFor(({ requests }) => requests.length === 1);
    request.destroy();
    await simulator.waitFor(({ requests }) => requests[0]?.aborted === true);
    expect(simulator.executions.size).toBe(0);
  });

  it('that is no HTTP loses its connection and nothing else', async () => {
    await using simulator = await startSimulator(one);
    const socket = connect(simulator.port, '127.0.0.1');
    const closed = new Promise((resolve) => socket.on('close', resolve));
    socket.on('error', () => undefined);
    socket.write('nonsense\r\n\r\n');
    await closed;
    expect((await fetch(simulator.origin, asOne)).status).toBe(200);
  });
});

describe('the place of the key', () => {
  const keys = { 'k/y one': { name: 'one' } };
  const encoded = encodeURIComponent('k/y one');

  it.each([
    ['a header', { in: 'header', name: 'X-Api-Key' } as const, '/', { 'x-api-key': 'k/y one' }],
    [
      'a header with a scheme',
      { in: 'header', name: 'X-Auth', scheme: 'Token' } as const,
      '/',
      { 'x-auth': 'token k/y one' },
    ],
    ['the query', { in: 'query', name: 'apikey' } as const, `/?apikey=${encoded}`, {}],
    ['the path', { in: 'path' } as const, `/bot${encoded}/send`, {}],
    [
      'basic auth, as user',
      { in: 'basic', field: 'username' } as const,
      '/',
      { authorization: `Basic ${btoa('k/y one:')}` },
    ],
    [
      'basic auth, as password',
      { in: 'basic', field: 'password' } as const,
      '/',
      { authorization: `Basic ${btoa('u:k/y one')}` },
    ],
    [
      'basic auth without a colon',
      { in: 'basic', field: 'username' } as const,
      '/',
      { authorization: `Basic ${btoa('k/y one')}` },
    ],
  ])('may be %s, and never shows in the records', async (_place, auth, path, headers) => {
    await using simulator = await startSimulator({ auth, keys });
    const answer = await send(`${simulator.origin}${path}`, { headers: { ...headers } });
    expect(answer.headers['x-simulator-key']).toBe('one');
    expect(simulator.requests[0]).toMatchObject({ key: 'one', carries: ['one'] });
    const recorded = JSON.stringify(simulator.requests);
    for (const secret of ['k/y one', encoded, btoa('k/y one:'), btoa('u:k/y one')]) {
      expect(recorded).not.toContain(secret);
    }
    expect(recorded).toContain('<one>');
  });

  it('may be one of several; the first that holds a key counts', async () => {
    await using simulator = await startSimulator({
      flavour: 'finnhub',
      keys: { a: { name: 'A' }, b: { name: 'B' } },
    });
    await fetch(`${simulator.origin}/?token=b`);
    await fetch(`${simulator.origin}/?token=b`, { headers: { 'x-finnhub-token': 'a' } });
    expect(simulator.requests.map(({ key }) => key)).toEqual(['B', 'A']);
  });

  it('does not matter for the canary: every known key is noticed wherever it travels', async () => {
    await using simulator = await startSimulator({
      keys: { 'sk-a': { name: 'a' }, 'sk-b': { name: 'b' }, 'sk-c': { name: 'c' }, 'sk-d': { name: 'd' } },
    });
    await fetch(`${simulator.origin}/?next=sk-b`, {
      method: 'POST',
      headers: { ...bearer('sk-a'), cookie: 'last=sk-c' },
      body: 'sk-d',
    });
    expect(simulator.requests[0]?.carries).toEqual(['a', 'b', 'c', 'd']);
  });

  it('shows an unknown key only as unknown', async () => {
    await using simulator = await startSimulator({ auth: { in: 'query', name: 'key' } });
    await fetch(`${simulator.origin}/x?key=stranger%2F1`);
    expect(simulator.requests[0]?.path).toBe('/x?key=<unknown>');
  });

  it('masks a key before another that is a part of it', async () => {
    await using simulator = await startSimulator({
      keys: { sk: { name: 'short' }, 'sk-long': { name: 'long' } },
    });
    await fetch(simulator.origin, { headers: bearer('sk-long') });
    expect(simulator.requests[0]?.headers['authorization']).toBe('Bearer <long>');
  });

  it('survives a path that is not properly encoded', async () => {
    await using simulator = await startSimulator({
      auth: { in: 'path' },
      keys: { 'sk-one': { name: 'one' } },
    });
    expect((await send(`${simulator.origin}/sk-one/%zz`)).status).toBe(200);
    await send(simulator.origin, { path: '//' });
    expect(simulator.requests.map(({ key }) => key)).toEqual(['one', undefined]);
  });
});

describe('executions', () => {
  const post = (origin: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${origin}/orders`, { method: 'POST', body, headers: { ...bearer('sk-one'), ...headers } });

  it('are counted by the id in the body', async () => {
    await using simulator = await startSimulator(one);
    for (const body of ['{"id":"order-1"}', '{"id":2}', '{"id":"order-1"}'])
      await post(simulator.origin, body);
    expect([...simulator.executions.values()].map(({ orderId, count }) => [orderId, count])).toEqual([
      ['order-1', 2],
      ['2', 1],
    ]);
    expect(
      simulator.duplicates.map(({ orderId, requests }) => [orderId, requests.map(({ n }) => n)]),
    ).toEqual([['order-1', [1, 3]]]);
  });

  it('happen once for one Idempotency-Key', async () => {
    await using simulator = await startSimulator(one);
    await post(simulator.origin, 'a', { 'idempotency-key': 'i-1' });
    const second = await post(simulator.origin, 'a', { 'idempotency-key': 'i-1' });
    expect(second.status).toBe(200);
    expect(simulator.executions.get('i-1')?.count).toBe(1);
    expect(simulator.requests.map(({ executed, replayed }) => [executed, replayed])).toEqual([
      [true, false],
      [false, true],
    ]);
    expect(simulator.key('one')).toMatchObject({ seen: 2, executed: 1 });
  });

  it('are told apart by what was sent where there is no id', async () => {
    await using simulator = await startSimulator(one);
    for (const body of ['a', 'b', 'a', '{broken']) await post(simulator.origin, body);
    const executions = [...simulator.executions.values()];
    expect(executions.map(({ count, named }) => [count, named])).toEqual([
      [2, false],
      [1, false],
      [1, false],
    ]);
    expect(simulator.duplicates).toEqual([]);
  });

  it('show an order that was repeated with another key after the provider broke off', async () => {
    await using simulator = await startSimulator({
      keys: { 'sk-one': { name: 'one', always: reset() }, 'sk-two': { name: 'two' } },
    });
    const body = '{"id":"order-1"}';
    await expect(post(simulator.origin, body)).rejects.toThrow();
    await post(simulator.origin, body, bearer('sk-two'));
    expect(simulator.duplicates).toMatchObject([{ orderId: 'order-1', count: 2 }]);
  });

  it('do not happen for refusals, and reading executes no order', async () => {
    await using simulator = await startSimulator({ keys: { 'sk-one': { first: [refuse(429)] } } });
    await post(simulator.origin, '{"id":1}');
    await fetch(simulator.origin, asOne);
    expect(simulator.executions.size).toBe(0);
    expect(simulator.requests.map(({ executed, orderId }) => [executed, orderId])).toEqual([
      [false, '1'],
      [true, undefined],
    ]);
  });

  it('count a big body without looking into it', async () => {
    await using simulator = await startSimulator(one);
    const big = `{"id":"big","pad":"${'x'.repeat(5 * 1_048_576)}"}`;
    await post(simulator.origin, big);
    expect(simulator.requests[0]?.bodyBytes).toBe(big.length);
    expect([...simulator.executions.keys()]).toEqual([expect.stringMatching(/^sha256:/)]);
  });
});

describe('the counters of a key', () => {
  it('hold what it did, by kind, and how many requests it had at once', async () => {
    await using simulator = await startSimulator({
      keys: {
        'sk-one': { name: 'one', first: [refuse(429), refuse('rejected')], then: ok({ delayMs: 30 }) },
      },
    });
    const statuses = await Promise.all([1, 2].map(async () => (await fetch(simulator.origin, asOne)).status));
    expect(statuses.sort()).toEqual([401, 429]);
    await Promise.all([1, 2, 3].map(async () => (await fetch(simulator.origin, asOne)).text()));
    await simulator.waitFor((sim) => sim.key('one').inFlight === 0);
    const key = simulator.key('one');
    expect(key).toMatchObject({ seen: 5, executed: 3, overshoots: 0 });
    expect(key.refusals).toMatchObject({ 'rate-limited': 1, rejected: 1, overloaded: 0 });
    expect(key.maxConcurrent).toBe(3);
    expect(key.firstAt).toBe(simulator.requests[0]?.at);
    expect(key.lastAt).toBe(simulator.requests.at(-1)?.at);
  });

  it('go on where old requests are forgotten', async () => {
    await using simulator = await startSimulator({ ...one, keepRequests: 2 });
    for (let n = 0; n < 5; n += 1) await (await fetch(simulator.origin, asOne)).text();
    expect(simulator.requests.map(({ n }) => n)).toEqual([3, 4, 5]);
    expect(simulator.key('one').seen).toBe(5);
  });
});

describe('a behaviour that is a function', () => {
  it('sees the request, with names for keys, and chooses', async () => {
    await using simulator = await startSimulator({
      answer: ({ method, path, headers, body }) =>
        ok({ body: { method, path, auth: headers['authorization'], body } }),
      keys: { 'sk-one': { name: 'one' } },
    });
    const response = await fetch(`${simulator.origin}/x?a=1`, { ...asOne, method: 'POST', body: 'text' });
    expect(await response.json()).toEqual({
      method: 'POST',
      path: '/x?a=1',
      auth: 'Bearer <one>',
      body: 'text',
    });
  });

  it('that throws shows as a 500 with the reason', async () => {
    await using simulator = await startSimulator({
      answer: () => {
        throw new Error('a slip');
      },
      ...one,
    });
    const response = await fetch(simulator.origin, asOne);
    expect(response.status).toBe(500);
    expect(await response.text()).toContain('a slip');
  });
});

describe('live control', () => {
  it('revokes and restores a key', async () => {
    await using simulator = await startSimulator({
      keys: { 'sk-one': { name: 'one', quota: { requests: 1 } } },
    });
    const status = async (): Promise<number> => (await fetch(simulator.origin, asOne)).status;
    const key = simulator.key('one');
    expect(await status()).toBe(200);
    expect(await status()).toBe(402);
    key.revoke();
    expect(key.revoked).toBe(true);
    expect(await status()).toBe(401);
    key.behave(refuse(403));
    key.restore();
    expect(await status()).toBe(200);
  });

  it('changes what a key does', async () => {
    await using simulator = await startSimulator(one);
    simulator.key('one').behave(refuse(403));
    expect((await fetch(simulator.origin, asOne)).status).toBe(403);
  });

  it('adds a key', async () => {
    await using simulator = await startSimulator(one);
    const added = simulator.addKey('sk-new');
    expect(added.name).toBe('key-2');
    expect((await fetch(simulator.origin, { headers: bearer('sk-new') })).status).toBe(200);
    expect(simulator.keys.map(({ name }) => name)).toEqual(['one', 'key-2']);
  });

  it.each([
    [undefined, 503],
    [500, 500],
    [refuse(529), 529],
  ])('puts the whole provider out with %o, unknown keys included', async (how, status) => {
    await using simulator = await startSimulator(one);
    simulator.outage(how);
    expect((await fetch(simulator.origin, asOne)).status).toBe(status);
    expect((await fetch(simulator.origin)).status).toBe(status);
    simulator.recover();
    expect((await fetch(simulator.origin, asOne)).status).toBe(200);
  });

  it('ends an outage by itself', async () => {
    await using simulator = await startSimulator(one);
    simulator.outage('reset', { forMs: 40 });
    await expect(send(simulator.origin, asOne)).rejects.toMatchObject({ code: 'ECONNRESET' });
    await new Promise<void>((resolve) =>
      simulator.on('change', ({ change }) => change === 'recover' && resolve()),
    );
    expect((await fetch(simulator.origin, asOne)).status).toBe(200);
  });

  it('lets a new outage replace the end of the one before', async () => {
    await using simulator = await startSimulator(one);
    simulator.outage(500, { forMs: 20 });
    simulator.outage(502);
    const changes: string[] = [];
    simulator.on('change', ({ change }) => changes.push(change));
    const firstIsOver = Date.now() + 40;
    let status = 0;
    while (Date.now() < firstIsOver) status = (await fetch(simulator.origin, asOne)).status;
    expect(status).toBe(502);
    expect(changes).toEqual([]);
  });

  it('drops every connection', async () => {
    await using simulator = await startSimulator({ keys: { 'sk-one': { always: silence() } } });
    const pending = send(simulator.origin, asOne);
    await simulator.waitFor(({ requests }) => requests.length === 1);
    simulator.dropConnections();
    await expect(pending).rejects.toMatchObject({ code: 'ECONNRESET' });
    await simulator.waitFor(({ requests }) => requests[0]?.endedAt !== undefined);
    expect(simulator.requests[0]?.aborted).toBe(false);
  });
});

describe('the timeline', () => {
  it('changes keys and the provider when it is time, and tells', async () => {
    const changes: string[] = [];
    await using simulator = await startSimulator({
      timeline: [at(60, recover()), at(40, outage('silence', { forMs: 10_000 }))],
      keys: {
        'sk-one': {
          name: 'one',
          timeline: [
            at(10, revoke()),
            at(20, behave(ok())),
            at(30, limit([{ requests: 9, perMs: 1_000 }])),
            at(50, restore()),
          ],
        },
      },
    });
    simulator.on('change', ({ change, key }) => changes.push(`${change} ${key ?? 'all'}`));
    await simulator.waitFor(() => changes.length === 6);
    expect(changes).toEqual([
      'revoke one',
      'behave one',
      'limit one',
      'outage all',
      'restore one',
      'recover all',
    ]);
    expect((await fetch(simulator.origin, asOne)).headers.get('x-ratelimit-limit')).toBe('9');
  });

  it('is on time for a request even if the timer is late', () => {
    const timeline = new Timeline();
    const ran: string[] = [];
    timeline.add(2_000, () => ran.push('second'));
    timeline.add(1_000, () => ran.push('first'));
    const cancel = timeline.add(1_500, () => ran.push('cancelled'));
    cancel();
    timeline.runDue(999);
    expect(ran).toEqual([]);
    timeline.runDue(2_000);
    expect(ran).toEqual(['first', 'second']);
  });
});

describe('a planned change', () => {
  it('holds for a request that is read before the late timer runs', async () => {
    await using simulator = await startSimulator(one);
    const agent = new http.Agent({ keepAlive: true });
    const both = (): Promise<number[]> =>
      Promise.all([1, 2].map(async () => (await send(simulator.origin, { ...asOne, agent })).status));
    await both();
    simulator.outage(503, { forMs: 20 });
    const off = simulator.on('request', () => {
      off();
      // Both requests are readable by now; the second is read right after this, before any timer.
      const busyUntil = performance.now() + 50;
      while (performance.now() < busyUntil);
    });
    expect((await both()).sort()).toEqual([200, 503]);
    agent.destroy();
  });
});

describe('events and waits', () => {
  it('tell of arrival and end, until the listener is taken off', async () => {
    await using simulator = await startSimulator(one);
    const seen: string[] = [];
    const off = simulator.on('request', ({ n, endedAt }) => seen.push(`request ${n} ${endedAt}`));
    simulator.on('answer', ({ n, status }) => seen.push(`answer ${n} ${status}`));
    await fetch(simulator.origin, asOne);
    await simulator.waitFor(() => seen.length === 2);
    off();
    await fetch(simulator.origin, asOne);
    await simulator.waitFor(() => seen.length === 3);
    expect(seen).toEqual(['request 1 undefined', 'answer 1 200', 'answer 2 200']);
  });

  it('give up in time and say how far it got', async () => {
    await using simulator = await startSimulator(one);
    await fetch(simulator.origin, asOne);
    await expect(simulator.waitFor(() => false, { timeoutMs: 5 })).rejects.toMatchObject({
      code: 'KEYMUX_TIMEOUT',
      message: expect.stringContaining('1 requests; one 1 seen, 1 executed') as string,
    });
  });

  it('fail with what the condition throws', async () => {
    await using simulator = await startSimulator(one);
    await expect(
      simulator.waitFor(() => {
        throw new TypeError('a slip');
      }),
    ).rejects.toThrow('a slip');
    await expect(simulator.waitFor((sim) => sim.key('nobody').revoked)).rejects.toThrow(
      coded('KEYMUX_UNKNOWN_KEY'),
    );
  });

  it('end when the simulator is closed', async () => {
    const simulator = await startSimulator(one);
    const waiting = simulator.waitFor(() => false);
    const ended = expect(waiting).rejects.toThrow(coded('KEYMUX_CLOSED'));
    await simulator.close();
    await ended;
  });
});

describe('close', () => {
  it('ends open requests, waits and timers, and may be called twice', async () => {
    const simulator = await startSimulator({
      timeline: [at(3_600_000, outage())],
      keys: { 'sk-one': { first: [silence()], then: ok({ delayMs: 3_600_000 }) } },
    });
    const ended = Promise.allSettled([send(simulator.origin, asOne), send(simulator.origin, asOne)]);
    await simulator.waitFor(({ requests }) => requests.length === 2);
    await Promise.all([simulator.close(), simulator.close()]);
    expect((await ended).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect(send(simulator.origin, asOne)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  // A process of its own shows it best, and that one needs the build.
  it.skipIf(process.env['KEYMUX_TEST_SOURCE'] === '1')(
    'leaves nothing that keeps a process alive',
    async () => {
      const module = new URL('../../dist/testing/', import.meta.url);
      const program = `
      import http from 'node:http';
      import { startSimulator } from '${new URL('simulator.js', module).href}';
      import { at, outage } from '${new URL('script-key.js', module).href}';
      import { silence } from '${new URL('script.js', module).href}';
      const simulator = await startSimulator({
        timeline: [at(3_600_000, outage())],
        keys: { k: { always: silence() } },
      });
      const request = http.get(simulator.origin, { headers: { authorization: 'Bearer k' } });
      request.on('error', ({ code }) => console.log(code));
      await simulator.waitFor(({ requests }) => requests.length === 1);
      await simulator.close();
      console.log('closed');`;
      const { stdout } = await execFile(process.execPath, ['--input-type=module', '-e', program], {
        timeout: 10_000,
      });
      expect(stdout.split('\n').sort()).toEqual(['', 'ECONNRESET', 'closed']);
    },
  );
});

describe('HTTPS', () => {
  it('serves with a certificate made on the spot', async () => {
    const tls = createCertificate();
    await using simulator = await startSimulator({ ...one, tls });
    expect(simulator.origin).toMatch(/^https:/);
    expect((await send(simulator.origin, { ...asOne, ca: tls.cert })).status).toBe(200);
    const byName = simulator.origin.replace('127.0.0.1', 'localhost');
    expect((await send(byName, { ...asOne, ca: tls.cert })).status).toBe(200);
    await expect(send(simulator.origin, asOne)).rejects.toMatchObject({
      code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    });
  });

  it('breaks connections too', async () => {
    const tls = createCertificate();
    await using simulator = await startSimulator({
      tls,
      keys: { 'sk-one': { first: [reset()], then: silence() } },
    });
    await expect(send(simulator.origin, { ...asOne, ca: tls.cert })).rejects.toMatchObject({
      code: 'ECONNRESET',
    });
    const pending = send(simulator.origin, { ...asOne, ca: tls.cert });
    await simulator.waitFor(({ requests }) => requests.length === 2);
    simulator.dropConnections();
    await expect(pending).rejects.toMatchObject({ code: 'ECONNRESET' });
  });
});

describe('options that make no sense', () => {
  it.each([
    ['two keys with one name', { keys: { a: { name: 'x' }, b: { name: 'x' } } }],
    ['an unknown bucket', { keys: { a: { bucket: 'nowhere' } } }],
    ['a key without text', { keys: { '': {} } }],
    ['a script that contradicts itself', { keys: { a: { always: ok(), first: [times(2, ok())] } } }],
  ])('are refused: %s', async (_what, options) => {
    await expect(startSimulator(options)).rejects.toThrow(coded('KEYMUX_USAGE'));
  });

  it('are refused when a key is added: one that is there already', async () => {
    await using simulator = await startSimulator(one);
    expect(() => simulator.addKey('sk-one', { name: 'other' })).toThrow(coded('KEYMUX_USAGE'));
    await using empty = await startSimulator();
    expect(() => empty.key('x')).toThrow(coded('KEYMUX_UNKNOWN_KEY'));
  });

  it('are refused by the system: a port that is taken', async () => {
    await using simulator = await startSimulator({ timeline: [at(3_600_000, outage())] });
    await expect(startSimulator({ port: simulator.port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});
