/** Virtual keys, and where a connection must lead before one is turned real. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { UndiciConnection } from '#keymux/interceptors/undici-trust.js';
import { virtualKeysOf } from '#keymux/manager/virtual-keys.js';
import { echo, redirect } from '#keymux/testing/script.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import type { Simulator } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { BAD_BAD_GOOD, bearer, managerFor } from '../managed.js';
import { VERSIONS, load, untyped } from './versions.js';
import type { Undici } from './versions.js';

const certificate = createCertificate(['localhost', '127.0.0.1']);
const ca = certificate.cert;
const KEYS = { ...BAD_BAD_GOOD, 'key-good': { always: echo() } } as const;
const ALL = Object.keys(KEYS);

interface Virtual {
  readonly simulator: Simulator;
  readonly origin: string;
  readonly headers: { readonly authorization: string };
  readonly virtualKey: string;
}

const folder = mkdtempSync(join(tmpdir(), 'keymux-trust-'));
afterAll(() => rmSync(folder, { recursive: true }));
for (const key of ALL) writeFileSync(join(folder, key), key, { mode: 0o600 });

/** Starts a manager whose real keys were never in the environment. */
function virtualKeyFor(origin: string, options: object = {}): string {
  const keys = ALL.map((id) => ({ id, value: `file:${join(folder, id)}` }));
  const manager = managerFor(origin, [], { provider: { mode: 'virtual', keys, ...options } });
  const { text } = virtualKeysOf(manager).of('acme') ?? { text: '' };
  expect(text).not.toBe('');
  return text;
}

async function virtual({ secure = true, host = '127.0.0.1' } = {}): Promise<Virtual> {
  const simulator = await startSimulator({
    ...(secure ? { tls: certificate } : {}),
    keys: Object.fromEntries(Object.entries(KEYS).map(([text, script]) => [text, { name: text, ...script }])),
  });
  onTestFinished(() => simulator.close());
  const origin = simulator.origin.replace('127.0.0.1', host);
  const virtualKey = virtualKeyFor(origin);
  return { simulator, origin, virtualKey, headers: bearer(virtualKey) };
}

type Dispatcher = InstanceType<Undici['Client']>;
type Maker = (undici: Undici, origin: string) => unknown;

function make(undici: Undici, maker: Maker, origin: string): Dispatcher {
  const dispatcher = maker(undici, origin) as Dispatcher;
  onTestFinished(() => dispatcher.destroy());
  return dispatcher;
}

const TRUSTED: Readonly<Record<string, Maker>> = {
  'an agent': ({ Agent }) => new Agent({ connect: { ca } }),
  'an agent of clients': ({ Agent }) => new Agent({ connections: 1, connect: { ca } }),
  'a pool': ({ Pool }, origin) => new Pool(origin, { connect: { ca } }),
  'a client': ({ Client }, origin) => new Client(origin, { connect: { ca } }),
  'a balanced pool': ({ BalancedPool }, origin) => new BalancedPool(origin, { connect: { ca } }),
};

const elsewhere = (_host: string, _options: object, callback: (error: null, found: unknown) => void): void =>
  callback(null, [{ address: '127.0.0.1', family: 4 }]);

const UNTRUSTED: Readonly<Record<string, readonly [Maker, RegExp]>> = {
  'a connector of its own': [
    (undici) => {
      const connect = undici.buildConnector({ ca });
      return new undici.Agent({ connect: (options, callback) => connect(options, callback) });
    },
    /a function of the application connects it/,
  ],
  'a connector of its own, in a client': [
    ({ Client, buildConnector }, origin) => {
      const connect = buildConnector({ ca });
      return new Client(origin, { connect: (options, callback) => connect(options, callback) });
    },
    /a function of the application connects it/,
  ],
  'a connector of its own, in a pool of an agent': [
    ({ Agent, Pool, buildConnector }) => {
      const connect = buildConnector({ ca });
      return new Agent({
        factory: (url) => new Pool(url, { connect: (options, callback) => connect(options, callback) }),
      });
    },
    /a function of the application connects it/,
  ],
  'a lookup': [
    ({ Agent }) => new Agent({ connect: { ca, lookup: elsewhere as never } }),
    /a `lookup` of the application/,
  ],
  'a lookup hidden in a client': [
    ({ Client }, origin) => new Client(origin, { connect: { ca, lookup: elsewhere as never } }),
    /a `lookup` of the application/,
  ],
  'no check of certificates': [
    ({ Agent }) => new Agent({ connect: { rejectUnauthorized: false } }),
    /the check of certificates is switched off/,
  ],
  'no check of certificates, in a pool': [
    ({ Pool }, origin) => new Pool(origin, { connect: { rejectUnauthorized: false } }),
    /the check of certificates is switched off/,
  ],
  'another name': [
    ({ Client }, origin) => new Client(origin, { connect: { ca, servername: 'localhost' } }),
    /`servername` is not the host/,
  ],
  'an identity check of its own': [
    ({ Pool }, origin) => new Pool(origin, { connect: { ca, checkServerIdentity: () => undefined } }),
    /a `checkServerIdentity` of the application/,
  ],
};

async function refusalOf(promise: Promise<unknown>): Promise<Error> {
  const error: unknown = await promise.then(
    () => new Error('It was not refused.'),
    (reason: unknown) => (reason as Error).cause ?? reason,
  );
  expect(error).toMatchObject({ code: 'KEYMUX_ORIGIN_REFUSED' });
  return error as Error;
}

describe.each(VERSIONS)('undici %i, a virtual key', (version) => {
  const undici = load(version);

  it.each(Object.entries(TRUSTED))('is turned real through %s', async (_kind, maker) => {
    const { origin, headers, simulator } = await virtual();
    const dispatcher = make(undici, maker, origin);
    for (let round = 0; round < 2; round++) {
      const { body } = await dispatcher.request({ origin, path: '/', method: 'GET', headers });
      expect(await body.json()).toMatchObject({ headers: { authorization: 'Bearer key-good' } });
    }
    expect(simulator.requests.map(({ key }) => key)).toEqual([...ALL, 'key-good']);
  });

  it.each(Object.entries(UNTRUSTED))('is refused with %s', async (_kind, [maker, why]) => {
    const { origin, headers, simulator, virtualKey } = await virtual();
    const dispatcher = make(undici, maker, origin);
    const error = await refusalOf(dispatcher.request({ origin, path: '/', method: 'GET', headers }));
    expect(error.message).toMatch(why);
    expect(error.message).toContain(origin);
    expect(error.message).not.toContain(virtualKey);
    expect(simulator.requests).toEqual([]);
  });

  it('is refused through a Unix socket', async () => {
    const { headers } = await virtual();
    const path = `\0keymux-test-${process.pid}-${Math.random()}`;
    const seen: string[] = [];
    const server = http.createServer((request, answer) => {
      seen.push(request.headers.authorization ?? '');
      answer.end();
    });
    server.listen(path);
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const plain = await virtual({ secure: false });
    for (const maker of [
      () => new undici.Client(plain.origin, { socketPath: path }),
      () => new undici.Agent({ connect: { socketPath: path } }),
    ]) {
      const dispatcher = make(undici, maker, plain.origin);
      const options = { origin: plain.origin, path: '/', method: 'GET', headers: plain.headers } as const;
      expect((await refusalOf(dispatcher.request(options))).message).toContain('`socketPath`');
    }
    expect(headers.authorization).not.toBe('');
    expect(seen).toEqual([]);
  });

  it('is refused where a client may have resolved the name as it likes', async () => {
    const { simulator } = await virtual({ secure: false });
    const origin = `http://keymux.test:${simulator.port}`;
    const headers = bearer(virtualKeyFor(origin, { allowInsecure: true }));
    const lookup = elsewhere as never;
    const dispatcher = make(undici, ({ Client }) => new Client(origin, { connect: { lookup } }), origin);
    const error = await refusalOf(dispatcher.request({ path: '/', method: 'GET', headers }));
    expect(error.message).toContain('nothing tells who resolves the name of its host');
    expect(simulator.requests).toEqual([]);
  });

  const tunnels = version < 6 ? ['ProxyAgent'] : ['ProxyAgent', 'EnvHttpProxyAgent'];
  it.each(tunnels)('is turned real behind a tunnel of a %s', async (name) => {
    const { origin, headers } = await virtual();
    const proxy = await startProxy();
    const Agent = untyped(undici)[name] as new (options: object) => Dispatcher;
    const options = { uri: proxy.origin, httpsProxy: proxy.origin, noProxy: '', requestTls: { ca } };
    const dispatcher = make(undici, () => new Agent(options), origin);
    const { body } = await dispatcher.request({ origin, path: '/', method: 'GET', headers });
    expect(await body.json()).toMatchObject({ headers: { authorization: 'Bearer key-good' } });
    expect(proxy.tunnels.length).toBeGreaterThan(0);
    expect(proxy.read).toEqual([]);
  });

  it.each([true, false])('is refused to a proxy that can read it (tunnel: %s)', async (proxyTunnel) => {
    const { origin, headers, simulator } = await virtual({ secure: false });
    const proxy = await startProxy();
    const Agent = untyped(undici)['ProxyAgent'] as new (options: object) => Dispatcher;
    const dispatcher = make(undici, () => new Agent({ uri: proxy.origin, proxyTunnel }), origin);
    const error = await refusalOf(dispatcher.request({ origin, path: '/', method: 'GET', headers }));
    expect(error.message).toContain('a proxy would read it');
    expect(simulator.requests).toEqual([]);
    expect(proxy.read).toEqual([]);
  });
});

/** Makes tunnels, and writes down what it is given to read. */
async function startProxy() {
  const tunnels: string[] = [];
  const read: string[] = [];
  const server = http.createServer((request, answer) => {
    read.push(request.url ?? '');
    answer.end();
  });
  server.on('connect', (request, socket: net.Socket) => {
    tunnels.push(request.url ?? '');
    const [host, port] = (request.url ?? '').split(':');
    const target = net.connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      target.pipe(socket).pipe(target);
    });
    for (const end of [socket, target]) end.on('error', () => {});
    onTestFinished(() => void target.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, tunnels, read };
}

describe('a virtual key in a fetch', () => {
  it.each(['127.0.0.1', 'localhost'])('is turned real by the global agent, to %s', async (host) => {
    const { origin, headers, simulator } = await virtual({ secure: false, host });
    const response = await fetch(origin, { headers });
    expect(await response.json()).toMatchObject({ headers: { authorization: 'Bearer key-good' } });
    expect(simulator.requests.map(({ key }) => key)).toEqual(ALL);
  });

  it('is refused where certificates are not checked', async () => {
    const { origin, headers, simulator } = await virtual();
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    expect((await refusalOf(fetch(origin, { headers }))).message).toMatch(/certificates is switched off/);
    expect(simulator.requests).toEqual([]);
  });

  it('is refused in a place where it does not belong', async () => {
    const { origin, virtualKey, simulator } = await virtual({ secure: false });
    const error = await refusalOf(fetch(`${origin}/?key=${virtualKey}`));
    expect(error.message).toContain('the query parameter "key"');
    expect(simulator.requests).toEqual([]);
  });

  it('is refused to an origin that is not its own', async () => {
    const { headers } = await virtual({ secure: false });
    await using other = await startSimulator({ keys: {} });
    const error = await refusalOf(fetch(other.origin, { headers }));
    expect(error.message).toContain(other.origin);
    expect(other.requests).toEqual([]);
  });

  it('lets other requests pass', async () => {
    await virtual({ secure: false });
    await using other = await startSimulator({ keys: { 'own-key': {} } });
    expect((await fetch(other.origin, { headers: bearer('own-key') })).status).toBe(200);
  });

  it('is refused by a certificate for another host', async () => {
    const wrong = createCertificate(['elsewhere.test']);
    const server = tls.createServer(wrong, () => {}).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const origin = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const headers = bearer(virtualKeyFor(origin));
    await expect(fetch(origin, { headers })).rejects.toThrow('fetch failed');
  });
});

describe('a redirect of a managed origin', () => {
  it.each(VERSIONS)('takes no key elsewhere: undici %i', async (version) => {
    const undici = load(version);
    await using other = await startSimulator({
      auth: { in: 'header', name: 'x-api-key' },
      keys: { 'key-real': {} },
      unknownKey: echo(),
    });
    await using home = await startSimulator({
      auth: { in: 'header', name: 'x-api-key' },
      keys: { 'key-real': { always: redirect(`${other.origin}/there?key=key-real`) } },
    });
    managerFor(home.origin, ['key-real'], { provider: { auth: { in: 'header', name: 'x-api-key' } } });
    const dispatcher = make(undici, ({ Agent }) => new Agent(), home.origin);
    const headers = { 'x-api-key': 'key-real', 'x-other': '1' };
    const response = await undici.fetch(home.origin, { headers, dispatcher });
    const seen = (await response.json()) as { path: string; headers: Record<string, string> };
    expect(seen.headers).toMatchObject({ 'x-other': '1' });
    expect(seen.headers).not.toHaveProperty('x-api-key');
    expect(seen.path).toBe('/there?key=');
    expect(other.requests.flatMap(({ carries }) => carries)).toEqual([]);
  });
});

describe('the socket of a client', () => {
  const { Agent, Client } = load(6);

  function refusalOfSocket(origin: string, socket: unknown, ofAgent = false): string | undefined {
    const client = make({} as Undici, () => new Client(origin), origin);
    Object.defineProperty(client, Symbol('socket'), { value: socket });
    const agent = ofAgent ? make({} as Undici, () => new Agent(), origin) : client;
    return new UndiciConnection('acme', origin, agent, client, true).refusal()?.message;
  }

  const socketTo = (remoteAddress: string, remotePort: number): net.Socket =>
    Object.defineProperties(new net.Socket(), {
      remoteAddress: { value: remoteAddress },
      remotePort: { value: remotePort },
    });

  function unproven(): tls.TLSSocket {
    const socket = tls.connect({ host: '127.0.0.1', port: 1 });
    socket.on('error', () => {});
    return socket.destroy();
  }

  it.each([
    ['http://127.0.0.1', socketTo('127.0.0.1', 80)],
    ['http://[::1]:81', socketTo('::1', 81)],
    ['http://localhost', socketTo('::ffff:127.0.0.1', 80)],
    ['http://localhost', socketTo('::1', 80)],
  ])('is trusted where it leads to %s', (origin, socket) => {
    expect(refusalOfSocket(origin, socket)).toBeUndefined();
    // What was proved once is remembered.
    expect(refusalOfSocket(origin, socket)).toBeUndefined();
  });

  it('is trusted by its name where an agent is known to have no lookup of its own', () => {
    expect(refusalOfSocket('http://acme.test', socketTo('192.0.2.1', 80), true)).toBeUndefined();
  });

  it.each([
    ['http://127.0.0.1:81', socketTo('127.0.0.1', 82), 'it is connected to another port'],
    ['http://127.0.0.1', socketTo('127.0.0.2', 80), 'it is connected to another address'],
    ['http://localhost', socketTo('192.0.2.1', 80), 'it is connected to another address'],
    ['http://acme.test', socketTo('192.0.2.1', 80), 'nothing tells who resolves the name of its host'],
    ['http://127.0.0.1', new net.Socket(), '`socketPath` decides where it goes'],
    ['http://127.0.0.1', {}, 'its connection cannot be seen'],
    ['https://127.0.0.1', socketTo('127.0.0.1', 443), 'its connection is not one of TLS'],
    ['https://127.0.0.1', unproven(), 'no certificate proves where it leads'],
  ])('is not trusted for %s: %#', (origin, socket, why) => {
    expect(refusalOfSocket(origin, socket)).toContain(why);
  });

  it('is not trusted where its dispatcher is of no known kind', () => {
    const client = { [Symbol('url')]: new URL('http://127.0.0.1'), [Symbol('connector')]: () => {} };
    const unknown = { [Symbol('url')]: new URL('http://127.0.0.1') };
    for (const dispatcher of [client, unknown]) {
      const connection = new UndiciConnection('acme', 'http://127.0.0.1', dispatcher, dispatcher, true);
      expect(connection.refusal()?.message).toContain('a function of the application connects it');
    }
  });
});
