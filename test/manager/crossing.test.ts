import type { ServerResponse } from 'node:http';
import { isRefusal } from '#keymux/manager/refusal.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { describe, expect, it } from 'vitest';
import { acmeManager } from './acme.js';
import { serveProvider } from './provider-server.js';
import type { Seen } from './provider-server.js';

interface Answers {
  readonly first?: number | ((seen: Seen, response: ServerResponse) => void);
  readonly second?: number;
}

const MODELS = [{ first: 'big-1', second: 'other/big' }, { first: 'small-1' }];

async function partners(
  answers: Answers = {},
  more: { models?: object[]; first?: object; second?: object } = {},
) {
  const serve = (answer: Answers['first']) =>
    serveProvider((seen, response) => {
      if (typeof answer === 'function') return answer(seen, response);
      response.writeHead(answer ?? 200, { 'content-type': 'application/json' }).end(seen.body || '{}');
    });
  const [first, second] = [await serve(answers.first), await serve(answers.second)];
  const manager = acmeManager({
    options: {
      env: { FIRST_API_KEY: 'first-key', SECOND_API_KEY: 'second-key' },
      config: {
        services: {
          ai: { providers: ['first', 'second'], rewrite: { models: more.models ?? MODELS } },
        },
        providers: {
          first: { baseUrl: `${first.origin}/v1`, protocol: { name: 'openai' }, ...more.first },
          second: {
            baseUrl: second.origin,
            protocol: { name: 'openai', pathPrefix: '/openai/v1' },
            auth: { in: 'header', name: 'x-api-key' },
            ...more.second,
          },
        },
      } as never,
    },
  });
  return { first, second, manager };
}

function chat(model: string, init: RequestInit = {}): RequestInit {
  return { method: 'POST', body: JSON.stringify({ model, temperature: 0.5 }), ...init };
}

function crossingOf(manager: KeyManager, provider: 'first' | 'second') {
  const origin = new URL(manager.configuration.providers.get(provider)!.baseUrl).origin;
  const { crossing } = manager.origins.find(origin)!;
  return crossing!;
}

async function translated(manager: KeyManager, provider: 'first' | 'second', path: string, body?: string) {
  const crossing = crossingOf(manager, provider);
  const lease = await manager.acquire(provider === 'first' ? 'second' : 'first');
  const bytes = body === undefined ? undefined : Buffer.from(body);
  try {
    return crossing.translate(path, bytes, lease);
  } finally {
    lease.end();
  }
}

describe('a service with rewrite', () => {
  it('sends a refused request to the other provider, in its own words', async () => {
    const { first, second, manager } = await partners({ first: 429 });
    const failovers: unknown[] = [];
    manager.on('failover', ({ from, to }) => failovers.push([from, to]));
    const response = await manager.fetch(
      'ai',
      '/chat/completions?stream=false',
      chat('big-1', {
        headers: {
          'openai-organization': 'org-of-first',
          cookie: 'a=1',
          'x-trace': 't',
          'x-note': 'first-key!',
        },
      }),
    );
    expect(first.seen).toMatchObject([
      { url: '/v1/chat/completions?stream=false', headers: { authorization: 'Bearer first-key' } },
    ]);
    expect(response.status).toBe(200);
    expect(response.headers.get('x-keymux-provider')).toBe('second');
    expect(await response.json()).toEqual({ model: 'other/big', temperature: 0.5 });
    expect(second.seen).toHaveLength(1);
    const { url, headers } = second.seen[0]!;
    expect(url).toBe('/openai/v1/chat/completions?stream=false');
    expect(headers).toMatchObject({ 'x-api-key': 'second-key', 'x-trace': 't' });
    expect(JSON.stringify(headers)).not.toMatch(/first-key|org-of-first|cookie/);
    expect(failovers).toEqual([['first/main', 'second/main']]);
  });

  it('tells who served also where nobody had to step in', async () => {
    const { second, manager } = await partners();
    const response = await manager.fetch('ai', 'chat/completions', chat('big-1'));
    expect(response.headers.get('x-keymux-provider')).toBe('first');
    expect(await response.json()).toEqual({ model: 'big-1', temperature: 0.5 });
    expect(second.seen).toEqual([]);
  });

  it.each([
    ['the others do not have', 'small-1'],
    ['nobody declared', 'unknown'],
  ])('keeps a model that %s with its provider', async (_, model) => {
    const { first, second, manager } = await partners({ first: 401 });
    const response = await manager.fetch('ai', '/chat/completions', chat(model));
    expect([response.status, response.headers.get('x-keymux-provider')]).toEqual([401, 'first']);
    expect(first.seen).toHaveLength(1);
    expect(second.seen).toEqual([]);
  });

  it('moves a request without a model to anybody', async () => {
    const { second, manager } = await partners({ first: 429 });
    for (const init of [{}, { method: 'POST', body: '{"query":1}' }, { method: 'POST', body: '[1]' }])
      expect((await manager.fetch('ai', '/models', init)).headers.get('x-keymux-provider')).toBe('second');
    expect(second.seen.map(({ url }) => url)).toEqual(Array(3).fill('/openai/v1/models'));
  });

  it('keeps a body that it cannot read with its provider, unless models have one name everywhere', async () => {
    const form = () => {
      const body = new FormData();
      body.set('model', 'whisper');
      return { method: 'POST', body };
    };
    const { second, manager } = await partners({ first: 429 });
    expect((await manager.fetch('ai', '/audio', form())).status).toBe(429);
    expect((await manager.fetch('ai', '/audio', { method: 'POST', body: 'not JSON' })).status).toBe(429);
    expect(second.seen).toEqual([]);
    const mirrors = await partners({ first: 429 }, { models: [] });
    expect((await mirrors.manager.fetch('ai', '/audio', form())).status).toBe(200);
    expect(mirrors.second.seen[0]?.body).toContain('whisper');
    const bytes = new TextEncoder().encode('raw');
    for (const body of [bytes, bytes.buffer])
      expect(await (await mirrors.manager.fetch('ai', '/x', { method: 'POST', body })).text()).toBe('raw');
  });

  it('repeats nothing elsewhere that may have happened', async () => {
    const { second, manager } = await partners({ first: 500 });
    expect((await manager.fetch('ai', '/chat/completions', chat('big-1'))).status).toBe(500);
    expect(second.seen).toEqual([]);
    expect((await manager.fetch('ai', '/models')).headers.get('x-keymux-provider')).toBe('second');
  });

  it('knows what may be repeated by the paths of the provider in hand', async () => {
    const { manager, second } = await partners(
      { first: 429, second: 500 },
      { second: { retry: { repeatable: ['POST /openai/v1/chat/*'] } } },
    );
    expect((await manager.fetch('ai', '/chat/completions', chat('big-1'))).status).toBe(500);
    expect(second.seen.length).toBeGreaterThan(1);
  });

  it('judges the answers of each provider by its own rules', async () => {
    const { manager } = await partners(
      { first: 429, second: 418 },
      { second: { errors: [{ status: 418, outcome: 'rejected' }] } },
    );
    expect((await manager.fetch('ai', '/models')).status).toBe(429);
    expect(manager.inspect().keys.map(({ state }) => state)).toEqual(['resting', 'rejected']);
  });

  it('refuses in the name of those only that could have answered', async () => {
    const { manager, second } = await partners();
    manager.disable('first/main');
    const response = await manager.fetch('ai', '/chat/completions', chat('small-1'));
    expect(response.status).toBe(401);
    expect(JSON.stringify(await response.json())).not.toContain('second/main');
    expect(second.seen).toEqual([]);
  });

  it('places keys in query, path and basic authentication of either side', async () => {
    const inQuery = await partners({ first: 429 }, { second: { auth: { in: 'query', name: 'token' } } });
    await inQuery.manager.fetch('ai', '/models?a=1');
    expect(inQuery.second.seen[0]?.url).toBe('/openai/v1/models?a=1&token=second-key');
    const inPath = await partners(
      { first: 429 },
      { first: { auth: { in: 'path' } }, second: { auth: { in: 'path' } } },
    );
    await inPath.manager.fetch('ai', '/{key}/models');
    expect(inPath.first.seen[0]?.url).toBe('/v1/first-key/models');
    expect(inPath.second.seen[0]?.url).toBe('/openai/v1/second-key/models');
    const basic = await partners({ first: 429 }, { second: { auth: { in: 'basic' } } });
    await basic.manager.fetch('ai', '/models');
    expect(basic.second.seen[0]?.headers.authorization).toBe(`Basic ${btoa('second-key:')}`);
  });

  it('has no part in requests to one of its providers by name', async () => {
    const { manager, second } = await partners({ first: 429 });
    const response = await manager.fetch('first', '/chat/completions', chat('big-1'));
    expect([response.status, response.headers.get('x-keymux-provider')]).toEqual([429, null]);
    expect(second.seen).toEqual([]);
  });
});

describe('a crossing', () => {
  it('covers the paths under the prefix of its provider', async () => {
    const { manager } = await partners();
    const crossing = crossingOf(manager, 'second');
    expect(crossing.pool).toBe(manager.poolOf('ai'));
    const paths = ['/openai/v1/x', '/openai/v1', '/openai/v1?a', '/openai/v12', '/v1/x', '/'];
    expect(paths.map((path) => crossing.covers(path))).toEqual([true, true, true, false, false, false]);
    expect([...crossing.unfit('/v1/x', undefined)]).toEqual(['first']);
    await expect(translated(manager, 'second', '/v1/x')).rejects.toMatchObject({
      code: 'KEYMUX_ORIGIN_REFUSED',
    });
  });

  it('translates for others alone', async () => {
    const { manager, first } = await partners();
    const lease = await manager.acquire('second');
    expect(crossingOf(manager, 'second').translate('/openai/v1/x', undefined, lease)).toBeUndefined();
    lease.end();
    const body = '{"model":"other/big","n":1}';
    const translation = await translated(manager, 'second', '/openai/v1/x?b=2', body);
    expect(translation).toMatchObject({
      origin: first.origin,
      path: '/v1/x?b=2',
      setHeaders: { authorization: 'Bearer first-key' },
    });
    expect(Buffer.from(translation!.body!).toString()).toBe('{"model":"big-1","n":1}');
    expect([...translation!.dropHeaders]).toEqual(
      expect.arrayContaining(['authorization', 'x-api-key', 'cookie']),
    );
  });

  it('lets nothing go elsewhere that still holds a key of its provider', async () => {
    const { manager } = await partners();
    const crossing = crossingOf(manager, 'first');
    const unfit = (path: string, body?: string) => [
      ...crossing.unfit(path, body === undefined ? undefined : Buffer.from(body)),
    ];
    expect(unfit('/v1/x')).toEqual([]);
    expect(unfit('/v1/x?token=first-key')).toEqual([]);
    expect(unfit('/v1/first-key/x')).toEqual([]);
    expect(unfit('/v1/botfirst-key/x')).toEqual(['second']);
    expect(unfit('/v1/x?q=about-first-key')).toEqual(['second']);
    expect(unfit('/v1/x', '{"api_key":"first-key"}')).toEqual(['second']);
    expect(unfit('/v1/x', '{"model":"big-1"}')).toEqual([]);
    expect(['Token first-key', 'first', 'second-key'].map((text) => crossing.holdsKey(text))).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('is nothing that providers have which share no service with rewrite', () => {
    const manager = acmeManager();
    expect(manager.origins.find('http://127.0.0.1:9')?.crossing).toBeUndefined();
    expect(manager.origins.crossingOf('acme')).toBeUndefined();
  });

  it('says so where every provider is out before anything was sent', async () => {
    const { manager } = await partners();
    manager.disable('first/main');
    manager.disable('second/main');
    const exchange = manager.exchange(manager.poolOf('ai'), {
      method: 'GET',
      path: '/v1/x',
      hasIdempotencyKey: false,
      canReplay: () => true,
      unfit: new Set(),
    });
    const refusal = await exchange.first();
    expect(isRefusal(refusal) && refusal.error.message).toContain('second/main');
  });
});

describe('a service that is called like a provider', () => {
  it('holds keys that do not reach the origin of that provider', () => {
    const manager = acmeManager({
      options: {
        env: { ACME_API_KEY: 'key-one', OTHER_API_KEY: 'other-one' },
        config: {
          services: { acme: { providers: ['acme', 'other'] } },
          providers: {
            acme: { baseUrl: 'http://127.0.0.1:9' },
            other: { baseUrl: 'http://127.0.0.1:10' },
          },
        },
      },
    });
    const keysAt = (origin: string): string[] | undefined =>
      manager.origins.find(origin)?.pool.contenders.map(({ member }) => member.keyId);
    expect(manager.poolOf('acme').contenders).toHaveLength(2);
    expect(keysAt('http://127.0.0.1:9')).toEqual(['acme/main']);
    expect(keysAt('http://127.0.0.1:10')).toEqual(['other/main']);
  });
});
