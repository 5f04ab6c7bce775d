/** Requests to one provider of a service that another one answers. */
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { installUndici } from '#keymux/interceptors/undici.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeyManagerOptions } from '#keymux/manager/options.js';
import { createMemoryStore } from '#keymux/stores/memory.js';
import type { Behaviour } from '#keymux/testing/script.js';
import { echo, refuse } from '#keymux/testing/script.js';
import type { Simulator } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { VERSIONS, load } from './versions.js';

const builtIn = createRequire(import.meta.url)('undici') as typeof import('undici');
const DOWN = refuse(429, { retryAfterSeconds: 60 });

interface Pair {
  readonly home: Simulator;
  readonly other: Simulator;
  readonly manager: KeyManager;
  /** An address of `home`. */
  readonly url: string;
}

/** Two providers of one protocol; the application speaks to the first. */
async function pair(
  answers: { home?: Behaviour; other?: Behaviour } = {},
  options: object = {},
): Promise<Pair> {
  const home = await startSimulator({ keys: { 'home-key': { always: answers.home ?? DOWN } } });
  const other = await startSimulator({
    auth: { in: 'header', name: 'x-api-key' },
    keys: { 'other-key': { always: answers.other ?? echo() } },
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
        ...options,
      },
      other: {
        baseUrl: `${other.origin}/api`,
        env: ['OTHER_API_KEY'],
        auth: { in: 'header', name: 'x-api-key' },
        protocol: { name: 'openai', pathPrefix: '/api' },
        ...options,
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
    { integrate: installUndici },
  );
  onTestFinished(() => manager.shutdown());
  return { home, other, manager, url: `${home.origin}/v1/chat?stream=no` };
}

const ORDER = JSON.stringify({ model: 'big', messages: [] });
const post = {
  method: 'POST',
  headers: { authorization: 'Bearer home-key', 'content-type': 'application/json' },
  body: ORDER,
} as const;

interface Echo {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

function expectTranslated(answer: Echo, { other }: Pair): void {
  const body = JSON.stringify({ model: 'large', messages: [] });
  expect(answer).toMatchObject({ method: 'POST', path: '/api/chat?stream=no', body });
  expect(answer.headers).toMatchObject({
    host: new URL(other.origin).host,
    'x-api-key': 'other-key',
    'content-type': 'application/json',
    'content-length': String(body.length),
  });
  expect(answer.headers).not.toHaveProperty('authorization');
}

describe('a request that another provider answers', () => {
  it('through fetch', async () => {
    const both = await pair();
    const response = await fetch(both.url, post);
    expectTranslated((await response.json()) as Echo, both);
    expect(response.headers.get('x-keymux-provider')).toBe('other');
    expect(both.home.requests).toHaveLength(1);
    expect(both.other.requests).toHaveLength(1);
  });

  it('leaves every header behind that holds a key of the first one', async () => {
    const both = await pair();
    const headers = { ...post.headers, 'x-forwarded-key': 'Token home-key' };
    const answer = (await (await fetch(both.url, { ...post, headers })).json()) as Echo;
    expectTranslated(answer, both);
    expect(JSON.stringify(answer.headers)).not.toContain('home-key');
  });

  it.each(VERSIONS)('through undici %i', async (version) => {
    const both = await pair();
    const { Agent, request } = load(version);
    const dispatcher = new Agent();
    onTestFinished(() => dispatcher.close());
    const { body, headers } = await request(both.url, { ...post, dispatcher });
    expectTranslated((await body.json()) as Echo, both);
    expect(headers['x-keymux-provider']).toBe('other');
    expect(both.home.requests).toHaveLength(1);
  });

  it('as the first attempt, where the first provider is known to be out', async () => {
    const both = await pair();
    await (await fetch(both.url, post)).text();
    expectTranslated((await (await fetch(both.url, post)).json()) as Echo, both);
    expect(both.home.requests).toHaveLength(1);
  });

  it('without a body', async () => {
    const both = await pair();
    const response = await fetch(both.url, { headers: post.headers });
    expect(await response.json()).toMatchObject({ path: '/api/chat?stream=no', body: '' });
  });

  it('with bytes as its body, and parameters beside the path', async () => {
    const both = await pair();
    const { body } = await builtIn.request(`${both.home.origin}/v1/chat`, {
      ...post,
      body: new TextEncoder().encode(ORDER),
      query: { stream: 'no' },
    });
    expectTranslated((await body.json()) as Echo, both);
  });

  it('with an ArrayBuffer as its body', async () => {
    const both = await pair();
    const body = new TextEncoder().encode(ORDER).buffer;
    const answer = await builtIn.request(both.url, { ...post, body: body as never });
    expectTranslated((await answer.body.json()) as Echo, both);
  });

  it('with headers as a flat list and a length that no longer fits', async () => {
    const both = await pair();
    const { body } = await builtIn.request(both.url, {
      ...post,
      headers: [...Object.entries(post.headers).flat(), 'Content-Length', String(ORDER.length)],
    });
    expectTranslated((await body.json()) as Echo, both);
  });

  it('takes no key from one to the other', async () => {
    const both = await pair();
    expect(await (await fetch(both.url, post)).text()).not.toContain('home-key');
    expect(both.home.requests.map(({ carries }) => carries)).toEqual([['key-1']]);
    expect(both.other.requests.map(({ carries }) => carries)).toEqual([['key-1']]);
  });
});

describe('a request that only its own provider can answer', () => {
  it.each([
    ['a client of one origin', 'Client'],
    ['a pool of one origin', 'Pool'],
    ['a pool of several hosts', 'BalancedPool'],
  ] as const)('since it goes through %s', async (_what, kind) => {
    const both = await pair();
    const dispatcher = new builtIn[kind](both.home.origin);
    onTestFinished(() => dispatcher.close());
    const { statusCode, body } = await dispatcher.request({
      ...post,
      origin: both.home.origin,
      path: '/v1/chat',
    });
    await body.dump();
    expect(statusCode).toBe(429);
    expect(both.other.requests).toHaveLength(0);
  });

  it('since its path is not of the protocol', async () => {
    const both = await pair();
    expect((await fetch(`${both.home.origin}/admin`, post)).status).toBe(429);
    expect(both.other.requests).toHaveLength(0);
  });

  it('since its body is a stream or a form', async () => {
    const both = await pair();
    const form = new builtIn.FormData();
    form.set('a', 'b');
    for (const body of [Readable.from(['a']), form]) {
      const answer = await builtIn.request(both.url, {
        ...post,
        headers: { authorization: 'Bearer home-key' },
        body,
      });
      await answer.body.dump();
      expect(answer.statusCode).toBe(429);
    }
    expect(both.other.requests).toHaveLength(0);
  });

  it('since its body is too long', async () => {
    const both = await pair({}, { retry: { maxBodyBytes: 10 } });
    expect((await fetch(both.url, post)).status).toBe(429);
    expect(both.other.requests).toHaveLength(0);
  });

  it('since its agent leads to one host only', async () => {
    const both = await pair();
    const agent = new builtIn.Agent({ factory: () => new builtIn.Pool(both.home.origin) });
    onTestFinished(() => agent.close());
    const answer = builtIn.request(both.url, { ...post, dispatcher: agent });
    await expect(answer).rejects.toMatchObject({ code: 'KEYMUX_ORIGIN_REFUSED' });
    expect(both.home.requests.flatMap(({ carries }) => carries)).toEqual(['key-1']);
    expect(both.other.requests).toHaveLength(0);
  });
});
