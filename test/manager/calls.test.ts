import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ok, refuse, reset, silence, softError, stream } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import type { SimulatorOptions } from '#keymux/testing/simulator-api.js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acmeManager } from './acme.js';

const AUTH = { in: 'header', name: 'x-api-key' } as const;

async function simulate(keys: SimulatorOptions['keys'], options: SimulatorOptions = {}) {
  const simulator = await startSimulator({ auth: AUTH, ...options, keys: keys ?? {} });
  onTestFinished(() => simulator.close());
  return simulator;
}

/** The status of an answer whose body was read. */
async function statusOf(answer: Promise<Response>): Promise<number> {
  const response = await answer;
  await response.text();
  return response.status;
}

/** A server whose answers are given by hand. */
async function serve(
  answer: (attempt: number) => { status: number; headers?: Record<string, string>; body?: string },
) {
  const seen: { url: string; headers: NodeJS.Dict<string | string[]>; body: string }[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      seen.push({ url: request.url ?? '', headers: request.headers, body });
      const { status, headers, body: text } = answer(seen.length);
      response.writeHead(status, headers);
      response.end(text);
    })();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

describe('fetch', () => {
  it('goes on with the next key after a 429 and a 401, and returns the one good answer', async () => {
    const simulator = await simulate({
      'key-one': { name: 'limited', always: refuse(429, { retryAfterSeconds: 30 }) },
      'key-two': { name: 'revoked', always: refuse(401) },
      'key-three': { name: 'good', always: ok() },
    });
    const manager = acmeManager({ keys: ['key-one', 'key-two', 'key-three'], baseUrl: simulator.origin });
    const failovers: string[] = [];
    manager.on('failover', ({ from, to, reason }) => failovers.push(`${from} -> ${to}: ${reason}`));
    for (let i = 0; i < 20; i++) {
      const response = await manager.fetch('acme', '/quote', {
        method: 'POST',
        body: JSON.stringify({ id: `o${i}` }),
      });
      expect(response.status).toBe(200);
      await response.text();
    }
    expect(simulator.requests.slice(0, 3).map(({ key, status }) => [key, status])).toEqual([
      ['limited', 429],
      ['revoked', 401],
      ['good', 200],
    ]);
    expect(simulator.requests).toHaveLength(22);
    expect(simulator.duplicates).toEqual([]);
    expect(failovers).toEqual(['acme/main -> acme/2: rate-limited', 'acme/2 -> acme/3: rejected']);
    expect(manager.inspect().keys.map(({ state }) => state)).toEqual(['resting', 'rejected', 'ready']);
  });

  it('never repeats a POST after a reset or a 5xx, but a GET', async () => {
    const simulator = await simulate({
      'key-one': { name: 'flaky', first: [reset('after-headers'), refuse(503), refuse(503)], then: ok() },
    });
    const manager = acmeManager({ keys: ['key-one'], baseUrl: simulator.origin });
    await expect(
      manager.fetch('acme', '/order', { method: 'POST', body: '{"id":"a"}' }).then((answer) => answer.text()),
    ).rejects.toThrow();
    expect(await statusOf(manager.fetch('acme', '/order', { method: 'POST', body: '{"id":"b"}' }))).toBe(503);
    expect(simulator.requests).toHaveLength(2);
    expect(await statusOf(manager.fetch('acme', '/quote'))).toBe(200);
    expect(simulator.requests).toHaveLength(4);
  });

  it('repeats a POST that carries an Idempotency-Key, or goes to a route that is marked', async () => {
    const simulator = await simulate({
      'key-one': { name: 'flaky', first: [refuse(503), ok(), refuse(503), ok()], then: ok() },
    });
    const manager = acmeManager({
      keys: ['key-one'],
      baseUrl: simulator.origin,
      provider: { retry: { repeatable: ['POST /search/*'] } },
    });
    const keyed = { method: 'POST', body: '{"id":"a"}', headers: { 'idempotency-key': 'a' } };
    expect(await statusOf(manager.fetch('acme', '/order', keyed))).toBe(200);
    expect(
      await statusOf(manager.fetch('acme', '/search/all?q=1', { method: 'POST', body: '{"id":"b"}' })),
    ).toBe(200);
    expect(simulator.requests).toHaveLength(4);
  });

  it.each([
    ['a 402', 402, '{}', 'resting'],
    ['a 403 that says the quota is spent', 403, '{"error":"monthly quota used up"}', 'resting'],
    ['a 403 for a route that the plan lacks', 403, '{"error":"upgrade"}', 'unproven'],
  ])('answers with a good key after %s, whatever the method', async (_what, status, body, state) => {
    const server = await serve((attempt) => (attempt === 1 ? { status, body } : { status: 200, body: 'ok' }));
    const manager = acmeManager({
      baseUrl: server.baseUrl,
      provider: { errors: [{ status: 403, match: 'quota', outcome: 'quota-exhausted', window: 'month' }] },
    });
    expect(await statusOf(manager.fetch('acme', '/order', { method: 'POST', body: '{}' }))).toBe(200);
    expect(server.seen.map(({ headers }) => headers['x-api-key'])).toEqual(['key-one', 'key-two']);
    expect(manager.inspect().keys[0]?.state).toBe(state);
  });

  it('sends a streaming body once', async () => {
    const simulator = await simulate({
      'key-one': { name: 'limited', always: refuse(429) },
      'key-two': { name: 'good' },
    });
    const manager = acmeManager({ baseUrl: simulator.origin });
    const body = new Blob(['{"id":"a"}']).stream();
    const init = { method: 'POST', body, duplex: 'half' } as RequestInit;
    expect(await statusOf(manager.fetch('acme', '/order', init))).toBe(429);
    expect(simulator.requests).toHaveLength(1);
  });

  it('answers as the provider would when every key is out, and asks nobody', async () => {
    const simulator = await simulate({
      'key-one': { name: 'limited', always: refuse(429, { retryAfterSeconds: 40 }) },
    });
    const manager = acmeManager({ keys: ['key-one'], baseUrl: simulator.origin });
    const first = await manager.fetch('acme', '/quote');
    expect(first.status).toBe(429);
    expect(first.headers.get('x-should-retry')).toBe('false');
    expect(Number(first.headers.get('retry-after'))).toBeGreaterThanOrEqual(39);
    await first.text();
    const second = await manager.fetch('acme', '/quote');
    expect(second.status).toBe(429);
    expect(await second.json()).toMatchObject({ error: { code: 'KEYMUX_NO_USABLE_KEY' } });
    expect(Number(second.headers.get('retry-after'))).toBeGreaterThan(30);
    expect(simulator.requests).toHaveLength(1);
  });

  it('waits for a key that returns within maxWaitMs', async () => {
    const simulator = await simulate({
      'key-one': { name: 'soon', first: [refuse(429, { headers: { 'retry-after-ms': '80' } })], then: ok() },
    });
    const manager = acmeManager({ keys: ['key-one'], baseUrl: simulator.origin });
    expect(await statusOf(manager.fetch('acme', '/quote'))).toBe(200);
    expect(simulator.requests.map(({ status }) => status)).toEqual([429, 200]);
  });

  it('finds an error inside a 200, and hands over the whole body otherwise', async () => {
    const simulator = await simulate(
      {
        'key-one': { name: 'soft', always: softError() },
        'key-two': { name: 'good', always: ok({ body: { n: 'x'.repeat(9_000) } }) },
      },
      { flavour: 'alpha_vantage' },
    );
    const manager = acmeManager({
      baseUrl: simulator.origin,
      provider: {
        errors: [{ status: 200, match: 'call frequency|rate limit|Thank you', outcome: 'rate-limited' }],
      },
    });
    const response = await manager.fetch('acme', '/query');
    expect(await response.json()).toEqual({ n: 'x'.repeat(9_000) });
    expect(simulator.requests.map(({ key }) => key)).toEqual(['soft', 'good']);
  });

  it('passes a stream on as it comes, and ends the lease with it', async () => {
    const simulator = await simulate({ 'key-one': { name: 'good', always: stream() } });
    const manager = acmeManager({ keys: ['key-one'], baseUrl: simulator.origin });
    const response = await manager.fetch('acme', '/stream');
    expect(manager.inspect().keys[0]?.inFlight).toBe(1);
    expect(await response.text()).toContain('data:');
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('stops when the caller aborts, and blames nobody', async () => {
    const simulator = await simulate({ 'key-one': { name: 'mute', always: silence() } });
    const manager = acmeManager({ baseUrl: simulator.origin });
    const controller = new AbortController();
    const answer = manager.fetch('acme', '/quote', { signal: controller.signal });
    await simulator.waitFor(() => simulator.requests.length === 1);
    controller.abort();
    await expect(answer).rejects.toMatchObject({ name: 'AbortError' });
    expect(simulator.requests).toHaveLength(1);
    expect(manager.inspect().keys[0]).toMatchObject({ state: 'unproven', failures: 0, inFlight: 0 });
  });

  it('puts the key where the provider wants it', async () => {
    const server = await serve(() => ({ status: 200, body: 'ok' }));
    for (const [auth, expected] of [
      [{ in: 'header', name: 'authorization', scheme: 'Bearer' }, { authorization: 'Bearer key-one' }],
      [{ in: 'basic', field: 'username' }, { authorization: `Basic ${btoa('key-one:')}` }],
      [{ in: 'basic', field: 'password' }, { authorization: `Basic ${btoa(':key-one')}` }],
    ] as const) {
      const manager = acmeManager({ keys: ['key-one'], baseUrl: server.baseUrl, provider: { auth } });
      await (await manager.fetch('acme', 'x')).text();
      expect(server.seen.at(-1)?.headers).toMatchObject(expected);
    }
    const query = acmeManager({
      keys: ['k&1'],
      baseUrl: server.baseUrl,
      provider: { auth: { in: 'query', name: 'key' } },
    });
    await (await query.fetch('acme', '/x?a=1')).text();
    const path = acmeManager({ keys: ['k/1'], baseUrl: server.baseUrl, provider: { auth: { in: 'path' } } });
    await (await path.fetch('acme', '/bot{key}/send')).text();
    expect(server.seen.slice(-2).map(({ url }) => url)).toEqual(['/x?a=1&key=k%261', '/botk%2F1/send']);
    const answers = await Promise.all([query.fetch('acme', '/x?a=1'), path.fetch('acme', '/bot{key}/send')]);
    await Promise.all(answers.map((answer) => answer.text()));
    expect(answers.map(({ url }) => url.slice(server.baseUrl.length))).toEqual([
      '/x?a=1&key={key}',
      '/bot{key}/send',
    ]);
  });

  it('uses the HTTP client that was passed in', async () => {
    const urls: unknown[] = [];
    const manager = acmeManager({
      options: {
        fetch: (url) => {
          urls.push(url);
          return Promise.resolve(new Response(null, { status: 204 }));
        },
      },
    });
    expect(await statusOf(manager.fetch('acme', '/ping'))).toBe(204);
    expect(urls).toEqual(['http://127.0.0.1:9/ping']);
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('opens the circuit of a provider that is down, and spares its keys', async () => {
    const simulator = await simulate({ 'key-one': {}, 'key-two': {} });
    const manager = acmeManager({ baseUrl: simulator.origin });
    simulator.outage(503);
    for (let i = 0; i < 3; i++) await (await manager.fetch('acme', '/quote')).text();
    const { providers, keys } = manager.inspect();
    expect(providers[0]?.circuit).toBe('open');
    expect(keys.map(({ reason }) => reason)).toEqual([
      expect.stringContaining('overloaded'),
      expect.stringContaining('overloaded'),
    ]);
    const hits = simulator.requests.length;
    const response = await manager.fetch('acme', '/order', { method: 'POST', body: '{}' });
    expect([503, 200]).toContain(response.status);
    expect(simulator.requests.length - hits).toBeLessThanOrEqual(1);
  });
});

describe("a provider's trouble", () => {
  it('is waited out as long as the provider says, if that is within maxWaitMs', async () => {
    const simulator = await simulate({
      'key-one': { name: 'one', first: [refuse(503, { headers: { 'retry-after-ms': '400' } })], then: ok() },
    });
    const manager = acmeManager({ keys: ['key-one'], baseUrl: simulator.origin });
    expect(await statusOf(manager.fetch('acme', '/quote'))).toBe(200);
    const [first, second] = simulator.requests;
    expect(second!.at - first!.at).toBeGreaterThanOrEqual(390);
  });

  it('is passed on where the provider says to come back much later', async () => {
    const simulator = await simulate({
      'key-one': { name: 'one', always: refuse(503, { retryAfterSeconds: 60 }) },
    });
    const manager = acmeManager({ keys: ['key-one'], baseUrl: simulator.origin });
    expect(await statusOf(manager.fetch('acme', '/quote'))).toBe(503);
    expect(simulator.requests).toHaveLength(1);
  });
});

describe('run', () => {
  const refusedWith = (status: number): Error =>
    Object.assign(new Error(`HTTP ${status}`), { status, headers: {} });

  it('goes on with other keys around any code', async () => {
    const manager = acmeManager({ keys: ['key-one', 'key-two', 'key-three'] });
    const used: string[] = [];
    const result = await manager.run('acme', (lease) => {
      used.push(lease.apiKey);
      if (used.length === 1) return Promise.reject(refusedWith(429));
      if (used.length === 2)
        return Promise.reject(Object.assign(new Error('no'), { response: { status: 401 } }));
      return Promise.resolve('done');
    });
    expect(result).toBe('done');
    expect(used).toEqual(['key-one', 'key-two', 'key-three']);
  });

  it('throws the original error where repeating may do harm, unless the work is idempotent', async () => {
    const manager = acmeManager();
    const broken = Object.assign(new Error('reset'), { code: 'ECONNRESET' });
    let calls = 0;
    const work = (): Promise<string> => (++calls % 2 === 1 ? Promise.reject(broken) : Promise.resolve('ok'));
    await expect(manager.run('acme', work)).rejects.toBe(broken);
    expect(calls).toBe(1);
    calls = 0;
    await expect(manager.run('acme', work, { idempotent: true })).resolves.toBe('ok');
  });

  it("leaves the application's own errors alone", async () => {
    const manager = acmeManager();
    const own = new TypeError('a mistake in the adapter');
    await expect(manager.run('acme', () => Promise.reject(own))).rejects.toBe(own);
    expect(manager.inspect().keys[0]).toMatchObject({ failures: 0, inFlight: 0 });
  });

  it('moves on to the next provider with its own adapter', async () => {
    const manager = acmeManager({
      keys: ['key-one'],
      services: { quotes: { providers: ['acme', 'other'] } },
      options: {
        env: { ACME_API_KEY: 'key-one', OTHER_API_KEY: 'key-other' },
        config: {
          services: { quotes: { providers: ['acme', 'other'] } },
          providers: {
            acme: {
              baseUrl: 'http://127.0.0.1:9',
              auth: { in: 'header', name: 'x-api-key' },
              env: ['ACME_API_KEY'],
            },
            other: {
              baseUrl: 'http://127.0.0.1:10',
              auth: { in: 'header', name: 'x-api-key' },
              env: ['OTHER_API_KEY'],
            },
          },
        },
      },
    });
    const result = await manager.run('quotes', {
      acme: () => Promise.reject(refusedWith(402)),
      other: (lease) => Promise.resolve(`${lease.provider} ${lease.apiKey}`),
    });
    expect(result).toBe('other key-other');
    await expect(manager.run('quotes', { acme: () => Promise.resolve('x') })).rejects.toMatchObject({
      code: 'KEYMUX_USAGE',
    });
  });

  it('throws a typed error with the time of return when every key is out', async () => {
    const manager = acmeManager({ keys: ['key-one'] });
    const refused = Object.assign(new Error('later'), { status: 429, headers: { 'retry-after': '50' } });
    await expect(manager.run('acme', () => Promise.reject(refused))).rejects.toBe(refused);
    await expect(manager.run('acme', () => Promise.resolve(1))).rejects.toMatchObject({
      code: 'KEYMUX_NO_USABLE_KEY',
      retryAt: expect.any(Number) as number,
    });
  });
});

describe('what an answer says of the allowance', () => {
  it('spares a key whose window is spent, before it is refused', async () => {
    const server = await serve((attempt) => ({
      status: 200,
      headers: { 'x-ratelimit-remaining': attempt === 1 ? '0' : '7', 'x-ratelimit-reset': '30' },
      body: 'ok',
    }));
    const manager = acmeManager({ baseUrl: server.baseUrl });
    const quotas: string[] = [];
    manager.on('quota', ({ bucket }) => quotas.push(bucket));
    for (let i = 0; i < 3; i++) expect(await statusOf(manager.fetch('acme', '/quote'))).toBe(200);
    expect(server.seen.map(({ headers }) => headers['x-api-key'])).toEqual(['key-one', 'key-two', 'key-two']);
    expect(quotas).toEqual(['acme/main']);
    expect(manager.inspect().keys[0]).toMatchObject({ state: 'out-of-permits' });
    expect(manager.inspect().keys[0]?.until).toBeGreaterThan(manager.now() + 29_000);
  });

  it('sends nothing before a bucket that refills little by little has refilled a little', async () => {
    const server = await serve(() => ({
      status: 200,
      headers: {
        'x-ratelimit-limit-requests': '60',
        'x-ratelimit-remaining-requests': '0',
        'x-ratelimit-reset-requests': '60s',
      },
      body: 'ok',
    }));
    const manager = acmeManager({ baseUrl: server.baseUrl });
    for (let i = 0; i < 2; i++) await statusOf(manager.fetch('acme', '/quote'));
    expect(server.seen.map(({ headers }) => headers['x-api-key'])).toEqual(['key-one', 'key-two']);
    expect(manager.inspect().keys[0]?.until).toBeLessThan(manager.now() + 5_000);
  });
});
