import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createGateway } from '#keymux/gateway.js';
import { KeyManager } from '#keymux/manager/key-manager.js';
import { makeCanary, makePlainCanary } from './canary.js';
import type { Canary } from './canary.js';
import { Sinks } from './sinks.js';
import { mirroring, refusing, startProvider, temporaryFolder } from './stage.js';
import type { Answer, Provider } from './stage.js';

type Role = 'use' | 'read' | 'admin';

interface Served {
  readonly origin: string;
  readonly provider: Provider;
  readonly sinks: Sinks;
  readonly keys: readonly [Canary, Canary];
  /** Tokens are secrets as well. */
  readonly tokens: Readonly<Record<Role, Canary>>;
  readonly all: readonly Canary[];
  /** Sends a request, and keeps all of its answer but the body of a provider. */
  ask(path: string, role: Role | 'none', init?: RequestInit): Promise<Response>;
}

async function serve(answer: (bad: Canary, good: Canary) => Answer, auth: object): Promise<Served> {
  const keys = [makeCanary('bad'), makeCanary('good')] as const;
  const token = (role: Role): Canary => ({ name: role, text: `kmx_${role}_${makePlainCanary(role).text}` });
  const tokens = { use: token('use'), read: token('read'), admin: token('admin') };
  const provider = await startProvider(answer(...keys));
  const sinks = new Sinks();
  const folder = temporaryFolder();
  const note = (message: string): void => sinks.add('log', message);
  const manager = new KeyManager({
    env: {
      ACME_API_KEY: keys[0].text,
      ACME_API_KEY_2: keys[1].text,
      KEYMUX_STATE_DIR: join(folder, 'state'),
    },
    cwd: folder,
    config: {
      store: { type: 'sqlite', path: join(folder, 'store/state.db') },
      services: { data: { providers: ['acme'] } },
      providers: { acme: { baseUrl: provider.origin, auth: auth as { in: 'header'; name: string } } },
    },
    logger: { warn: note, info: note },
    random: () => 0,
    drainMs: 1,
  });
  sinks.follow('manager', manager);
  const gateway = createGateway({ manager, port: 0, tokens: Object.values(tokens).map(({ text }) => text) });
  onTestFinished(async () => {
    await gateway.close(0);
    await manager.shutdown();
  });
  const { origin } = await gateway.listen();
  return {
    origin,
    provider,
    sinks,
    keys,
    tokens,
    all: [...keys, ...Object.values(tokens)],
    async ask(path, role, init = {}) {
      const headers = role === 'none' ? {} : { authorization: `Bearer ${tokens[role].text}` };
      const response = await fetch(origin + path, {
        redirect: 'manual',
        ...init,
        headers: { ...headers, ...(init.headers as Record<string, string> | undefined) },
      });
      const place = `${init.method ?? 'GET'} ${path.replaceAll(/[^/]*sk-[^/?]*/g, '…')} as ${role}`;
      sinks.addValue(`${place}: head`, [response.status, response.statusText, [...response.headers]]);
      if (!path.startsWith('/acme/') || response.status !== 200)
        sinks.add(`${place}: body`, await response.clone().text());
      return response;
    },
  };
}

const PLACES = {
  header: { in: 'header', name: 'x-api-key' },
  query: { in: 'query', name: 'apikey' },
  basic: { in: 'basic', field: 'password' },
};

describe.each(Object.entries(PLACES))('the gateway, with the key in the place "%s"', (_place, auth) => {
  it('shows no key and no token in any answer of its own', async () => {
    const { ask, sinks, all, origin, provider, keys } = await serve((bad) => refusing(bad, 401), auth);
    const events = await follow(
      origin,
      all.find(({ name }) => name === 'read')!,
      sinks,
    );
    expect((await ask('/acme/v1/x', 'use')).status).toBe(200);
    expect((await ask('/data/v1/x', 'use', { method: 'POST', body: 'x' })).status).toBe(200);
    const requests = (await (await ask('/-/api/requests', 'read')).json()) as {
      decisions: readonly { requestId: string }[];
    };
    const document = (await (await ask('/-/api/openapi.json', 'read')).json()) as {
      paths: Record<string, Record<string, unknown>>;
    };
    const added = makeCanary('added');
    const body = JSON.stringify({ provider: 'acme', id: 'added', secret: added.text });
    const json = { 'content-type': 'application/json' };
    expect((await ask('/-/api/keys', 'admin', { method: 'POST', body, headers: json })).status).toBe(201);
    const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => ({ path, method: method.toUpperCase() })),
    );
    expect(routes.length).toBeGreaterThan(12);
    for (const { path, method } of routes) {
      const filled = path
        .replace('{provider}/{id}', 'acme/added')
        .replace('{name}', 'data')
        .replace('{id}', requests.decisions[0]?.requestId ?? '');
      const misplaced = path.replaceAll(/\{\w+\}/g, encodeURIComponent(keys[0].text));
      for (const role of ['none', 'use', 'read', 'admin'] as const)
        for (const each of [
          filled,
          `${filled}?last=1`,
          `${misplaced}?key=${encodeURIComponent(keys[0].text)}`,
        ]) {
          if (method === 'GET') await ask(each, role);
          else
            await ask(each, role, {
              method,
              body: JSON.stringify({ [keys[0].text]: keys[0].text }),
              headers: json,
            });
        }
    }
    for (const bad of [
      keys[0].text,
      `{"secret":"${added.text}`,
      '{"provider":"acme","id":"x","value":"env:ABSENT"}',
    ])
      await ask('/-/api/keys', 'admin', { method: 'POST', body: bad, headers: json });
    const value = JSON.stringify({ provider: 'acme', id: 'y', value: added.text });
    await ask('/-/api/keys', 'admin', { method: 'POST', body: value, headers: json });
    for (const path of ['health', 'metrics', 'dashboard/', 'dashboard', 'nothing'])
      await ask(`/-/${path}`, 'admin');
    events.end();
    expect(provider.seen(keys)).toEqual(expect.arrayContaining(['bad', 'good']));
    sinks.expectNone(
      [...all, added],
      'GET /-/api/state as admin: body',
      'GET /-/metrics as admin: body',
      'GET /-/dashboard/ as admin: body',
      'POST /-/api/keys as admin: body',
      'stream of events',
      'manager: event attempt',
    );
  });

  it('takes the key out of every header of an answer that repeats it', async () => {
    const { ask, sinks, all } = await serve((_bad, good) => mirroring(good), auth);
    await ask('/-/api/keys/acme/main/disable', 'admin', { method: 'POST' });
    const { headers } = await ask('/acme/v1/x', 'use');
    expect(headers.get('x-used-key')).toBe('{key}');
    sinks.expectNone(all, 'GET /acme/v1/x as use: head');
  });

  it('says nothing of what it refuses', async () => {
    const { origin, sinks, all, ask, tokens } = await serve((bad) => refusing(bad, 401), auth);
    // Not a key of a provider: what the provider answers to one that it knows is its own.
    const typed = makeCanary('typed');
    const { text } = typed;
    const encoded = encodeURIComponent(text);
    for (const path of [
      `/${encoded}`,
      `/${encoded}/x`,
      `/acme/x?token=${encoded}`,
      `/-/${encoded}`,
      `/-/api/${encoded}`,
    ])
      for (const role of ['none', 'use', 'admin'] as const) await ask(path, role);
    await ask('/acme/x', 'none', { headers: { authorization: `Bearer ${text}` } });
    await ask('/acme/x', 'none', { headers: { 'x-api-key': tokens.read.text } });
    const heads = [
      `GET ${text} HTTP/1.1\r\n\r\n`,
      `${text} / HTTP/1.1\r\nHost: x\r\n\r\n`,
      `GET /acme/x HTTP/1.1\r\nHost: ${text}\r\n\r\n`,
      `GET /acme/x HTTP/1.1\r\n${text}: ${text}\r\n\r\n`,
      `POST /acme/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${text}\r\n\r\n`,
      `GET https://${text}/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`,
      `\u0016\u0003\u0001${text}\r\n\r\n`,
    ];
    for (const head of heads) sinks.add('raw answer', await sendRaw(origin, head));
    sinks.expectNone([...all, typed], 'raw answer');
  });
});

/** Keeps what the event stream says, until it is ended. */
async function follow(origin: string, { text }: Canary, sinks: Sinks): Promise<{ end(): void }> {
  const request = http.get(`${origin}/-/events`, { headers: { authorization: `Bearer ${text}` } });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  expect(response.statusCode).toBe(200);
  response.on('data', (bytes: Buffer) => sinks.add('stream of events', bytes));
  response.on('error', () => {});
  request.on('error', () => {});
  return { end: () => void request.destroy() };
}

function sendRaw(origin: string, head: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = net.connect(Number(new URL(origin).port), '127.0.0.1');
    socket.setEncoding('latin1').on('data', (text: string) => (answer += text));
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
    socket.end(head);
  });
}
