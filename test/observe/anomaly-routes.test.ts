/** Where requests go to, as real clients send them: what was refused, and what was never seen. */
import { once } from 'node:events';
import http from 'node:http';
import { createRequire } from 'node:module';
import { channel } from 'node:diagnostics_channel';
import { newBaselines } from '#keymux/core/anomaly-baselines.js';
import { meetName, newNames } from '#keymux/core/anomaly-newcomers.js';
import { guardOf } from '#keymux/interceptors/key-guard.js';
import type { AnomalyEvent } from '#keymux/manager/events.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import type { KeyManagerOptions } from '#keymux/manager/options.js';
import { Routes } from '#keymux/observe/anomaly-routes.js';
import { AnomalyWatch } from '#keymux/observe/anomaly-watch.js';
import { echo, refuse } from '#keymux/testing/script.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import type { SimulatorOptions } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { forwarded } from '../gateway/forwarded.js';
import { errorOf } from '../interceptors/http/requests.js';
import { manage, provider } from '../interceptors/http2/provider.js';
import { ask, connect } from '../interceptors/http2/streams.js';
import { bearer, managerFor, until } from '../interceptors/managed.js';
import { virtualManager, virtualProvider } from '../interceptors/virtual.js';
import { acmeManager } from '../manager/acme.js';

const builtIn = createRequire(import.meta.url)('undici') as typeof import('undici');
const HOME = 'https://api.acme.example';
const START = Date.UTC(2027, 0, 4);
const DAY_MS = 86_400_000;
const REFUSED = { code: 'KEYMUX_ORIGIN_REFUSED' };

/** What a watch finds at its next look. */
function watching(manager: KeyManager): () => readonly AnomalyEvent[] {
  const watch = new AnomalyWatch(manager, newBaselines());
  onTestFinished(() => watch.close());
  return () => watch.look(START, undefined);
}

const told = (provider: string, place: string): object => ({
  kind: 'new-origin',
  subject: provider,
  evidence: `A key of ${provider} was to go to ${place}; the request was refused and not sent.`,
});

/** A provider whose only key rests, and another one that may answer for it. */
async function partners(otherProvider: object, otherSimulator: SimulatorOptions = {}) {
  const home = await startSimulator({
    keys: { 'home-key': { always: refuse(429, { retryAfterSeconds: 60 }) } },
  });
  const other = await startSimulator({ keys: { 'other-key': {} }, ...otherSimulator });
  onTestFinished(async () => {
    await home.close();
    await other.close();
  });
  const protocol = { name: 'openai', pathPrefix: '/v1' };
  const config = {
    services: { llm: { providers: ['home', 'other'], rewrite: { models: [] } } },
    providers: {
      home: { baseUrl: `${home.origin}/v1`, env: ['HOME_API_KEY'], protocol },
      other: { baseUrl: `${other.origin}/v1`, protocol, ...otherProvider },
    },
  } as NonNullable<KeyManagerOptions['config']>;
  const env = { HOME_API_KEY: 'home-key', OTHER_API_KEY: 'other-key' };
  const manager = managerFor(home.origin, [], { manager: { env, config } });
  return { manager, home, other, headers: bearer('home-key') };
}

describe('a refused request is found', () => {
  it.each([
    ['goes to another origin', 'https://evil.test', {}, 'https://evil.test'],
    ['goes where nobody can see', undefined, {}, 'a destination that cannot be seen'],
    [
      'goes to its provider over a connection that may lead elsewhere',
      HOME,
      { hasLookup: true },
      `${HOME} (a \`lookup\` of the application decides where it goes)`,
    ],
  ])('whose virtual key %s', (_, origin, facts, place) => {
    const { manager, key } = virtualManager(HOME);
    const look = watching(manager);
    const request = { origin, path: '/', headers: Object.entries(bearer(key)), connection: () => facts };
    expect(() => guardOf(manager).check(request)).toThrow(expect.objectContaining(REFUSED));
    expect(look()).toMatchObject([told('acme', place)]);
  });

  it('whose virtual key stands elsewhere in it, without the words of the application', () => {
    const { manager, key } = virtualManager(HOME);
    const look = watching(manager);
    const request = { origin: HOME, path: `/?secret-name=${key}`, headers: [], connection: () => ({}) };
    expect(() => guardOf(manager).check(request)).toThrow(expect.objectContaining(REFUSED));
    expect(look()).toMatchObject([told('acme', `${HOME} (it stands in the query parameter)`)]);
  });

  it('that another provider was to answer through an agent of undici that leads to one host only', async () => {
    const { manager, home, other, headers } = await partners({ env: ['OTHER_API_KEY'] });
    const look = watching(manager);
    const agent = new builtIn.Agent({ factory: () => new builtIn.Pool(home.origin) });
    onTestFinished(() => agent.close());
    const answer = builtIn.request(`${home.origin}/v1/chat`, { headers, dispatcher: agent });
    await expect(answer).rejects.toMatchObject(REFUSED);
    expect(other.requests).toEqual([]);
    expect(look()).toMatchObject([told('other', `${other.origin} (its agent leads elsewhere)`)]);
  });

  it('that another provider was to answer while certificates are not checked', async () => {
    const tls = createCertificate();
    const { manager, home, other, headers } = await partners(virtualProvider(['other-key']), { tls });
    const look = watching(manager);
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    const request = http.request(`${home.origin}/v1/chat`, { headers });
    request.end();
    expect(await errorOf(request)).toMatchObject(REFUSED);
    await until(() => request.closed);
    expect(other.requests).toEqual([]);
    const place = `${other.origin} (the check of certificates is switched off)`;
    expect(look()).toMatchObject([told('other', place)]);
  });

  it('that a caller of the gateway led out of what its provider shares with others', async () => {
    const { url, manager, simulator } = await forwarded({
      providers: {
        openai: {
          keys: { 'sk-one': { always: refuse(429, { retryAfterSeconds: 60 }) } },
          provider: { protocol: { name: 'openai', pathPrefix: '/v1' } },
        },
        groq: {
          keys: { 'gsk-one': { always: echo() } },
          provider: { protocol: { name: 'openai', pathPrefix: '/openai/v1' } },
        },
      },
      service: { rewrite: { models: [] } },
    });
    const look = watching(manager);
    const request = http.get(`${url}/llm`, { path: '/llm/{key}x' });
    const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
    const text = (await answer.setEncoding('utf8').toArray()).join('');
    expect(text).toContain('KEYMUX_ORIGIN_REFUSED');
    const { origin, requests } = simulator('groq');
    expect(requests).toEqual([]);
    expect(look()).toMatchObject([told('openai', origin)]);
  });

  it('by the manager that has its provider alone', () => {
    const look = watching(acmeManager());
    channel('keymux:origin-refused').publish({ provider: 'other', origin: 'https://evil.test' });
    expect(look()).toEqual([]);
  });
});

/** Routes of the requests to come, by a manager that learnt for a week that they go to `/v1/chat`. */
function learntRoutes(manager: KeyManager, origin: string): (at?: number) => string[] {
  const baselines = newBaselines();
  const known = newNames(START);
  for (let day = 0; day < 7; day += 1) meetName(known, `${origin}/v1/chat`, 10, START + day * DAY_MS);
  baselines.routes.set('acme', known);
  const watch = new AnomalyWatch(manager, baselines);
  onTestFinished(() => watch.close());
  return (at = START + 8 * DAY_MS) => watch.look(at, undefined).map(({ evidence }) => evidence);
}

describe('a new route', () => {
  it('is found in requests of node:http2', async () => {
    const { origin, seen } = await provider({});
    const look = learntRoutes(manage(origin, { keys: ['key-one'] }), origin);
    const session = connect(origin);
    const authorization = 'Bearer key-one';
    await ask(session, { ':path': '/v1/chat/7?x=1', authorization });
    expect(look()).toEqual([]);
    await ask(session, { ':path': '/v1/files/key-one', authorization });
    expect(seen()).toEqual(['key-one', 'key-one']);
    expect(look()).toEqual([
      `Requests go to ${origin}/v1/files for the first time; 1 other routes are known.`,
    ]);
  });

  it('is told apart where a program states its host several times, in odd ways, or not at all', () => {
    const manager = acmeManager({ baseUrl: 'https://api.acme.test' });
    const routes = new Routes(manager);
    onTestFinished(() => routes.close());
    const sent = (host: unknown): void => {
      const request = { protocol: 'https:', host: 'api.acme.test', path: '/v1/x', getHeader: () => host };
      channel('http.client.request.start').publish({ request });
    };
    sent(['api.acme.test', 'other']);
    sent(undefined);
    sent('not a host');
    sent('elsewhere.test');
    channel('undici:request:create').publish({ request: { origin: 'no origin', path: '/v1/x' } });
    channel('undici:request:create').publish({
      request: { origin: new URL('https://api.acme.test'), path: 7 },
    });
    expect(routes.drain().routes).toEqual([
      { provider: 'acme', route: 'https://api.acme.test/v1/x', count: 2 },
      { provider: 'acme', route: 'https://api.acme.test', count: 1 },
    ]);
  });

  it('is one of 500 at most between two looks, as refused origins are', () => {
    const manager = acmeManager({ baseUrl: 'https://api.acme.test' });
    const routes = new Routes(manager);
    onTestFinished(() => routes.close());
    for (let count = 0; count < 600; count += 1) {
      const name = [...String(count)].map((digit) => 'abcdefghij'[Number(digit)]).join('');
      channel('undici:request:create').publish({
        request: { origin: 'https://api.acme.test', path: `/${name}` },
      });
      channel('keymux:origin-refused').publish({ provider: 'acme', origin: `https://${name}.test` });
    }
    const { routes: counted, refused } = routes.drain();
    expect([counted.length, refused.length]).toEqual([500, 500]);
    expect(routes.drain()).toEqual({ routes: [], refused: [] });
  });
});
