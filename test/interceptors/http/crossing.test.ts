/** Requests of node:http to one provider of a service that another one answers. */
import { once } from 'node:events';
import dns from 'node:dns';
import http from 'node:http';
import net from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { installHttp } from '#keymux/interceptors/http.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeyManagerOptions } from '#keymux/manager/options.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import type { Behaviour } from '#keymux/testing/script.js';
import { echo, refuse, reset } from '#keymux/testing/script.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import type { Simulator } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { until } from '../managed.js';
import { virtualProvider } from '../virtual.js';
import { answerTo, errorOf, record, textOf } from './requests.js';

const DOWN = refuse(429, { retryAfterSeconds: 60 });
const tls = createCertificate();

interface PairOptions {
  readonly home?: Behaviour;
  readonly other?: Behaviour;
  /** Whether the other provider speaks HTTPS. */
  readonly isSecure?: boolean;
  /** Of both providers. */
  readonly provider?: object;
  readonly otherProvider?: object;
}

interface Pair {
  readonly home: Simulator;
  readonly other: Simulator;
  readonly manager: KeyManager;
  /** An address of `home`. */
  readonly url: string;
}

/** Two providers of one protocol; the application speaks to the first. */
async function pair(options: PairOptions = {}): Promise<Pair> {
  const home = await startSimulator({ keys: { 'home-key': { always: options.home ?? DOWN } } });
  const other = await startSimulator({
    auth: { in: 'header', name: 'x-api-key' },
    keys: { 'other-key': { always: options.other ?? echo() } },
    ...(options.isSecure === true ? { tls } : {}),
  });
  onTestFinished(async () => {
    await home.close();
    await other.close();
  });
  const config = {
    services: {
      llm: { providers: ['home', 'other'], rewrite: { models: [{ home: 'big', other: 'large' }] } },
    },
    providers: {
      home: {
        baseUrl: `${home.origin}/v1`,
        env: ['HOME_API_KEY'],
        protocol: { name: 'openai', pathPrefix: '/v1' },
        ...options.provider,
      },
      other: {
        baseUrl: `${other.origin}/api`,
        env: ['OTHER_API_KEY'],
        auth: { in: 'header', name: 'x-api-key' },
        protocol: { name: 'openai', pathPrefix: '/api' },
        ...options.provider,
        ...options.otherProvider,
      },
    },
  } as NonNullable<KeyManagerOptions['config']>;
  const manager = new KeyManager(
    {
      env: { HOME_API_KEY: 'home-key', OTHER_API_KEY: 'other-key' },
      cwd: '/nonexistent',
      config,
      store: createMemoryStore({ now: Date.now, onNotice: () => {} }),
      random: () => 0,
      drainMs: 1,
    },
    { integrate: installHttp },
  );
  onTestFinished(() => manager.shutdown());
  return { home, other, manager, url: `${home.origin}/v1/chat?stream=no` };
}

const ORDER = JSON.stringify({ model: 'big', messages: [] });
const TRANSLATED = JSON.stringify({ model: 'large', messages: [] });
const post = {
  method: 'POST',
  headers: { authorization: 'Bearer home-key', 'content-type': 'application/json', 'x-mine': 'kept' },
};

interface Echo {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

async function echoOf(request: http.ClientRequest): Promise<Echo> {
  const answer = await answerTo(request);
  expect(answer.statusCode).toBe(200);
  expect(answer.headers['x-keymux-provider']).toBe('other');
  return JSON.parse(await textOf(answer)) as Echo;
}

function expectTranslated(answer: Echo, { other }: Pair): void {
  expect(answer).toMatchObject({ method: 'POST', path: '/api/chat?stream=no', body: TRANSLATED });
  expect(answer.headers).toMatchObject({
    host: new URL(other.origin).host,
    'x-api-key': 'other-key',
    'x-mine': 'kept',
    'content-type': 'application/json',
    'content-length': String(TRANSLATED.length),
  });
  expect(answer.headers).not.toHaveProperty('authorization');
  expect(answer.headers).not.toHaveProperty('transfer-encoding');
}

/** From now on the first provider is known to be out. */
async function exhaust({ url }: Pair): Promise<void> {
  await textOf(await answerTo(http.request(url, post).end(ORDER)));
}

describe('a request that another provider answers', () => {
  it('is translated, and shows the application nothing of it', async () => {
    const both = await pair();
    const request = http.request(both.url, post);
    request.end(ORDER);
    expectTranslated(await echoOf(request), both);
    expect(both.home.requests).toHaveLength(1);
    expect(both.other.requests).toHaveLength(1);
    const visible = [request.getHeaders(), Reflect.get(request, '_header'), request.path, request.host];
    expect(JSON.stringify(visible)).toContain('home-key');
    expect(JSON.stringify(visible)).not.toContain('other');
  });

  it('leaves every header behind that holds a key of the first one', async () => {
    const both = await pair();
    const headers = {
      ...post.headers,
      'x-forwarded-key': 'Token home-key',
      referer: `${both.url}&key=home-key`,
    };
    const answer = await echoOf(http.request(both.url, { ...post, headers }).end(ORDER));
    expectTranslated(answer, both);
    expect(JSON.stringify(answer.headers)).not.toContain('home-key');
  });

  it.each(['as one piece', 'in chunks', 'from a stream'])('with a body %s', async (how) => {
    const both = await pair();
    const request = http.request(both.url, post);
    if (how === 'as one piece') request.end(ORDER);
    if (how === 'in chunks') {
      request.flushHeaders();
      request.write(ORDER.slice(0, 5));
      request.end(ORDER.slice(5));
    }
    if (how === 'from a stream') await pipeline(Readable.from([...ORDER].map(Buffer.from)), request);
    expectTranslated(await echoOf(request), both);
  });

  it('as the first attempt, where the first provider is known to be out', async () => {
    const both = await pair();
    await exhaust(both);
    const request = http.request(both.url, post);
    const events = record(request);
    let finishedAt = -1;
    request.on('finish', () => (finishedAt = events.length));
    const ended = vi.fn();
    request.end(ORDER, ended);
    expectTranslated(await echoOf(request), both);
    await until(() => request.closed);
    expect(events.filter((event) => event !== 'newListener' && event !== 'removeListener')).toEqual([
      'socket',
      'finish',
      'response',
      'close',
    ]);
    expect(finishedAt).toBeGreaterThan(0);
    expect(ended).toHaveBeenCalledOnce();
    expect(request.writableFinished).toBe(true);
    expect(request.socket?.remotePort ?? both.other.port).toBe(both.other.port);
    expect(both.home.requests).toHaveLength(1);
    expect(both.other.requests).toHaveLength(2);
  });

  it('goes back to the first provider where the other one fails', async () => {
    const both = await pair({
      home: echo(),
      other: reset(),
      provider: { retry: { repeatable: ['POST /v1/*', 'POST /api/*'] } },
    });
    const id = keyOf(both, 'home');
    both.manager.disable(id);
    const request = http.request(both.url, post);
    both.other.on('request', () => both.manager.enable(id));
    const answer = await answerTo(request.end(ORDER));
    expect(answer.headers['x-keymux-provider']).toBe('home');
    const echoed = JSON.parse(await textOf(answer)) as Echo;
    expect(echoed).toMatchObject({ path: '/v1/chat?stream=no', body: ORDER });
    expect(echoed.headers).toMatchObject({ authorization: 'Bearer home-key' });
  });

  it('without a body', async () => {
    const both = await pair();
    await exhaust(both);
    const answer = await echoOf(http.get(both.url, { headers: post.headers }));
    expect(answer).toMatchObject({ method: 'GET', path: '/api/chat?stream=no', body: '' });
    expect(answer.headers).not.toHaveProperty('content-length');
  });

  it('over a connection that the first provider does not have', async () => {
    const both = await pair();
    await both.home.close();
    expectTranslated(await echoOf(http.request(both.url, post).end(ORDER)), both);
  });

  it.each([
    ['its own agent', true, () => new http.Agent({ keepAlive: true })],
    [
      'another agent than one that has a place to go',
      false,
      ({ home }: Pair) => agentFor({ port: home.port }),
    ],
    ['another agent than one with a lookup', false, () => agentFor({ lookup: dns.lookup })],
    ['another agent than one that connects by itself', false, () => ownAgent()],
  ])('through %s', async (_what, isUsed, make) => {
    const both = await pair();
    const agent = make(both);
    onTestFinished(() => agent.destroy());
    const used: string[] = [];
    agent.getName = (options) => {
      const name = http.Agent.prototype.getName.call(agent, options);
      used.push(name);
      return name;
    };
    expectTranslated(await echoOf(http.request(both.url, { ...post, agent }).end(ORDER)), both);
    expect(used.some((name) => name.includes(`:${both.home.port}:`))).toBe(true);
    expect(used.some((name) => name.includes(`:${both.other.port}:`))).toBe(isUsed);
  });

  it.each([false, undefined])('over HTTPS, with `agent: %s`', async (agent) => {
    const both = await pair({ isSecure: true });
    const request = http.request(both.url, {
      ...post,
      ...(agent === undefined ? {} : { agent }),
      ...{ ca: tls.cert },
    });
    expectTranslated(await echoOf(request.end(ORDER)), both);
  });

  it('does not go to another one whose certificate cannot be trusted', async () => {
    const both = await pair({ isSecure: true });
    const request = http.request(both.url, post);
    request.end(ORDER);
    expect((await errorOf(request)).code).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
    expect(both.other.requests).toHaveLength(0);
  });

  it('hears of a time-out that it asked for', async () => {
    const both = await pair({ home: { do: 'silence' }, other: { do: 'silence' } });
    both.manager.disable(keyOf(both, 'home'));
    const request = http.request(both.url, { ...post, timeout: 50 });
    request.end(ORDER);
    await once(request, 'timeout');
    request.destroy();
    expect((await errorOf(request)).code).toBe('ECONNRESET');
    await until(() => both.manager.inspect().keys.every(({ inFlight }) => inFlight === 0));
  });

  it('keeps the limit of the agent for those that go to the first provider', async () => {
    const both = await pair();
    await exhaust(both);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const answers = await Promise.all(
      Array.from({ length: 3 }, () => echoOf(http.request(both.url, { ...post, agent }).end(ORDER))),
    );
    for (const answer of answers) expectTranslated(answer, both);
    expect(Object.values(agent.requests).flat()).toEqual([]);
  });
});

describe('a request that no other provider can answer', () => {
  it.each([
    ['names a model of the first one alone', JSON.stringify({ model: 'odd' })],
    ['is longer than what is kept', JSON.stringify({ model: 'big', text: 'x'.repeat(3_000) })],
  ])('since it %s goes to the first one', async (_why, body) => {
    const both = await pair({ home: echo(), provider: { retry: { maxBodyBytes: 2_000 } } });
    const request = http.request(both.url, post);
    await pipeline(Readable.from([Buffer.from(body.slice(0, 9)), Buffer.from(body.slice(9))]), request);
    const answer = await answerTo(request);
    expect(answer.headers['x-keymux-provider']).toBe('home');
    expect((JSON.parse(await textOf(answer)) as Echo).body).toBe(body);
    expect(both.other.requests).toHaveLength(0);
  });

  it('since it is too long is sent with all that follows, at the pace of the provider', async () => {
    const both = await pair({ home: echo(), provider: { retry: { maxBodyBytes: 100_000 } } });
    const request = http.request(both.url, post);
    const body = new PassThrough();
    const sent = pipeline(body, request);
    for (let part = 0; part < 40; part += 1)
      if (!body.write(String(part % 10).repeat(50_000))) await once(body, 'drain');
    body.end();
    await sent;
    const echoed = JSON.parse(await textOf(await answerTo(request))) as Echo;
    expect(echoed.body.length).toBe(2_000_000);
    expect(echoed.headers).toMatchObject({ authorization: 'Bearer home-key' });
  });

  it('is refused where the first one is out', async () => {
    const both = await pair();
    await exhaust(both);
    const answer = await answerTo(http.request(both.url, post).end(JSON.stringify({ model: 'odd' })));
    expect(answer.statusCode).toBe(429);
    expect(both.home.requests).toHaveLength(1);
  });

  it('since it expects a 100 is left alone', async () => {
    const both = await pair({ home: echo() });
    const request = http.request(both.url, { ...post, headers: { ...post.headers, expect: '100-continue' } });
    request.on('continue', () => request.end(ORDER));
    const answer = await answerTo(request);
    expect(answer.headers).not.toHaveProperty('x-keymux-provider');
    expect((JSON.parse(await textOf(answer)) as Echo).body).toBe(ORDER);
  });

  it('since nobody knows how it was made goes to the first one', async () => {
    const both = await pair({ home: echo() });
    const request = new http.ClientRequest(new URL(both.url), () => {});
    request.setHeader('authorization', 'Bearer home-key');
    const answer = await answerTo(request.end());
    expect(answer.headers).not.toHaveProperty('x-keymux-provider');
    expect(both.home.requests).toHaveLength(1);
  });
});

describe('a request whose body is being collected', () => {
  it('can be destroyed', async () => {
    const both = await pair();
    const request = http.request(both.url, post);
    request.write('the beginning');
    await new Promise(setImmediate);
    request.destroy(new Error('enough'));
    expect((await errorOf(request)).message).toBe('enough');
    await until(() => request.closed);
    request.end('ignored').on('error', () => {});
    await new Promise(setImmediate);
    expect(both.home.requests).toHaveLength(0);
    expect(both.manager.inspect().keys.every(({ inFlight }) => inFlight === 0)).toBe(true);
  });

  it('takes more than a stream keeps', async () => {
    const both = await pair();
    const text = 'x'.repeat(500_000);
    const body = JSON.stringify({ model: 'big', text });
    const request = http.request(both.url, post);
    await pipeline(
      Readable.from(
        Buffer.from(body)
          .toString()
          .match(/.{1,10000}/g)!,
      ),
      request,
    );
    expect((await echoOf(request)).body).toBe(JSON.stringify({ model: 'large', text }));
  });

  it('goes to the first provider where keymux fails', async () => {
    const both = await pair({ home: echo() });
    const { crossing } = both.manager.origins.find(both.home.origin)!;
    vi.spyOn(crossing!, 'unfit').mockImplementation(() => {
      throw new Error('a bug');
    });
    const answer = await answerTo(http.request(both.url, post).end(ORDER));
    expect((JSON.parse(await textOf(answer)) as Echo).body).toBe(ORDER);
  });

  it('fails where it cannot be translated', async () => {
    const both = await pair();
    both.manager.disable(keyOf(both, 'home'));
    const { crossing } = both.manager.origins.find(both.home.origin)!;
    vi.spyOn(crossing!, 'translate').mockImplementation(() => {
      throw new Error('no words');
    });
    const request = http.request(both.url, post);
    request.end(ORDER);
    expect((await errorOf(request)).message).toBe('no words');
    await until(() => request.closed);
    expect(both.home.requests).toHaveLength(0);
    expect(both.manager.inspect().keys.every(({ inFlight }) => inFlight === 0)).toBe(true);
  });
});

describe('a provider with virtual keys', () => {
  it('answers for another one over a connection that can be trusted', async () => {
    const both = await pair({ isSecure: true, otherProvider: virtualProvider(['other-key']) });
    const options = { ...post, ...{ ca: tls.cert } };
    expectTranslated(await echoOf(http.request(both.url, options).end(ORDER)), both);
  });

  it('gets nothing while certificates are not checked', async () => {
    const both = await pair({ isSecure: true, otherProvider: virtualProvider(['other-key']) });
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    const request = http.request(both.url, post);
    request.end(ORDER);
    expect((await errorOf(request)).code).toBe('KEYMUX_ORIGIN_REFUSED');
    expect(both.other.requests).toHaveLength(0);
  });
});

function agentFor(options: object): http.Agent {
  return new http.Agent({ keepAlive: true, ...options });
}

function ownAgent(): http.Agent {
  return Object.assign(agentFor({}), { createConnection: net.createConnection.bind(net) });
}

function keyOf({ manager }: Pair, provider: string): string {
  return manager.inspect().keys.find((key) => key.provider === provider)!.id;
}
