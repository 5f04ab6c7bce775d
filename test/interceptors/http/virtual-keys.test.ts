/** Virtual keys over node:http: turned real on the wire alone, and only towards the provider itself. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import type { LookupFunction } from 'node:net';
import tls from 'node:tls';
import { inspect } from 'node:util';
import { echo, redirect } from '#keymux/testing/script.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import type { Simulator, SimulatorOptions } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { BAD_BAD_GOOD, bearer, managerFor, until } from '../managed.js';
import { virtualKeyOf, virtualProvider } from '../virtual.js';
import { answerTo, errorOf, record, serve, textOf } from './requests.js';

const KEYS = { ...BAD_BAD_GOOD, 'key-good': { always: echo() } } as const;
const ALL = Object.keys(KEYS);
const certificate = createCertificate(['localhost', '127.0.0.1']);
const ca = certificate.cert;

interface Virtual {
  readonly simulator: Simulator;
  readonly origin: string;
  readonly key: string;
  readonly headers: { readonly authorization: string };
}

async function virtual(options: Partial<SimulatorOptions> = {}, provider: object = {}): Promise<Virtual> {
  const keys = Object.fromEntries(
    Object.entries(KEYS).map(([text, script]) => [text, { name: text, ...script }]),
  );
  const simulator = await startSimulator({ keys, ...options });
  onTestFinished(() => simulator.close());
  const manager = managerFor(simulator.origin, [], { provider: { ...virtualProvider(ALL), ...provider } });
  const key = virtualKeyOf(manager);
  return { simulator, origin: simulator.origin, key, headers: bearer(key) };
}

interface Provider {
  readonly origin: string;
  readonly headers: { readonly authorization: string };
  /** What the provider saw. */
  readonly authorizations: string[];
}

/** A provider that answers with the body of the request, and with no header of it. */
async function bodyEcho(): Promise<Provider> {
  const authorizations: string[] = [];
  const origin = await serve((request, answer) => {
    authorizations.push(request.headers.authorization ?? '');
    if (request.headers.authorization === 'Bearer key-good') return void request.pipe(answer);
    answer.writeHead(request.headers.authorization === 'Bearer key-limited' ? 429 : 401).end('{}');
  });
  const manager = managerFor(origin, [], { provider: virtualProvider(ALL) });
  return { origin, headers: bearer(virtualKeyOf(manager)), authorizations };
}

/** Whether a real key can be read of the request, however deep it is printed. */
function shows(request: http.ClientRequest): boolean {
  const views = [
    inspect(request, { depth: 10, showHidden: true }),
    inspect(request, { depth: 10, customInspect: false }),
    JSON.stringify((request as unknown as { outputData: unknown }).outputData),
    JSON.stringify((request.socket as { _pendingData?: unknown } | null)?._pendingData ?? null),
  ];
  return views.some((view) => ALL.some((key) => view.includes(key)));
}

describe('a request that waits for its connection', () => {
  it('shows no real key at any moment, and sends head and body whole and in order', async () => {
    const { origin, headers, authorizations } = await bodyEcho();
    const request = http.request(`${origin}/v1/a`, { method: 'POST', headers });
    const seen: boolean[] = [];
    for (const event of ['socket', 'drain', 'finish', 'response', 'close'])
      request.on(event, () => void seen.push(shows(request)));
    const events = record(request);
    request.write('one ');
    seen.push(shows(request));
    await once(request, 'socket');
    request.write('two ');
    seen.push(shows(request));
    request.end('three');
    seen.push(shows(request));
    const answer = await answerTo(request);
    expect(await textOf(answer)).toBe('one two three');
    await until(() => request.closed);
    expect(seen.length).toBeGreaterThan(5);
    expect(seen).not.toContain(true);
    expect(authorizations).toEqual(ALL.map((key) => `Bearer ${key}`));
    expect(events.filter((event) => ['finish', 'response', 'close'].includes(event))).toEqual([
      'finish',
      'response',
      'close',
    ]);
  });

  it('sends its body in pieces over one that is made later, or that is there', async () => {
    const { origin, headers } = await bodyEcho();
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    for (let round = 0; round < 3; round++) {
      const request = http.request(origin, { method: 'POST', headers, agent });
      request.flushHeaders();
      await until(() => request.socket?.connecting === false);
      request.write(Buffer.from('early '));
      await new Promise(setImmediate);
      request.end(`late ${round}`);
      expect(await textOf(await answerTo(request))).toBe(`early late ${round}`);
      expect(shows(request)).toBe(false);
    }
  });

  it('shows none after the connection failed', async () => {
    const gone = net.createServer().listen(0, '127.0.0.1');
    await once(gone, 'listening');
    const { port } = gone.address() as net.AddressInfo;
    gone.close();
    const manager = managerFor(`http://127.0.0.1:${port}`, [], { provider: virtualProvider(['key-good']) });
    const request = http.request({ port, host: '127.0.0.1', headers: bearer(virtualKeyOf(manager)) });
    const events = record(request);
    request.end();
    expect(await errorOf(request)).toMatchObject({ code: 'ECONNREFUSED' });
    expect(shows(request)).toBe(false);
    await until(() => request.closed);
    expect(events.at(-1)).toBe('close');
  });

  it('sends nothing where it is destroyed while it connects', async () => {
    const { origin, headers, simulator } = await virtual();
    const request = http.request(origin, { headers });
    request.end();
    const [socket] = (await once(request, 'socket')) as [net.Socket];
    const failed = errorOf(request);
    request.destroy(new Error('enough'));
    expect(await failed).toMatchObject({ message: 'enough' });
    await until(() => socket.closed);
    expect(simulator.requests).toEqual([]);
  });

  it('works over TLS', async () => {
    const { origin, headers } = await virtual({ tls: certificate });
    const request = https.request(origin, { method: 'POST', headers, ca });
    request.end('body');
    expect(shows(request)).toBe(false);
    await once(request, 'socket');
    expect(shows(request)).toBe(false);
    expect(JSON.parse(await textOf(await answerTo(request)))).toMatchObject({ body: 'body' });
  });
});

const elsewhere: LookupFunction = (_host, _options, callback) => callback(null, '127.0.0.1', 4);
class OwnAgent extends https.Agent {
  override createConnection(options: tls.ConnectionOptions): tls.TLSSocket {
    return tls.connect(options);
  }
}

describe('a virtual key', () => {
  it.each<[string, https.RequestOptions, RegExp]>([
    ['a lookup', { lookup: elsewhere }, /`lookup`/],
    ['a lookup of its agent', { agent: new https.Agent({ lookup: elsewhere, ca }) }, /`lookup`/],
    ['a socket path', { socketPath: '/nonexistent/socket' }, /cannot see|socketPath/],
    [
      'a connection function',
      { createConnection: () => new net.Socket() },
      /function of the application|agent/,
    ],
    ['an agent of another make', { agent: new OwnAgent() }, /agent/],
    ['no check of certificates', { rejectUnauthorized: false }, /switched off/],
    [
      'no check of certificates by its agent',
      { agent: new https.Agent({ rejectUnauthorized: false }) },
      /switched off/,
    ],
    ['the name of another host', { servername: 'localhost' }, /servername/],
    ['an identity check of its own', { checkServerIdentity: () => undefined }, /checkServerIdentity/],
  ])('is refused with %s, and nothing is sent', async (_what, options, why) => {
    const { origin, headers, key, simulator } = await virtual({ tls: certificate });
    const request = https.request(origin, { ca, headers, ...options });
    const failed = errorOf(request);
    request.end();
    const error = await failed;
    expect(error).toMatchObject({
      code: 'KEYMUX_ORIGIN_REFUSED',
      message: expect.stringMatching(why) as string,
    });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(key);
    await until(() => request.closed);
    expect(simulator.requests).toEqual([]);
  });

  it('is refused where the environment switches the check of certificates off', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    const { origin, headers, simulator } = await virtual({ tls: certificate });
    const request = https.get(origin, { headers });
    expect(await errorOf(request)).toMatchObject({ code: 'KEYMUX_ORIGIN_REFUSED' });
    expect(simulator.requests).toEqual([]);
  });

  it('is refused by where it connects, whatever its Host header says', async () => {
    const { origin, headers } = await virtual();
    await using other = await startSimulator({ keys: {} });
    const request = http.get(other.origin, { headers: { ...headers, host: new URL(origin).host } });
    expect((await errorOf(request)).message).toContain(`to ${other.origin}`);
    expect(other.requests).toEqual([]);
  });

  it.each<[string, (key: string) => [string, Record<string, string>]]>([
    ['another header', (key) => ['/', { 'x-trace': key }]],
    ['the query', (key) => [`/?key=${key}`, {}]],
    ['the path', (key) => [`/${key}`, {}]],
  ])('is refused in %s, also to its own provider', async (_place, requestWith) => {
    const { origin, key, simulator } = await virtual();
    const [path, headers] = requestWith(key);
    const error = await errorOf(http.get(origin + path, { headers }));
    expect(error).toMatchObject({ code: 'KEYMUX_ORIGIN_REFUSED' });
    expect(error.message).toContain('It may stand in the header "authorization" only');
    expect(simulator.requests).toEqual([]);
  });

  it('lets all other requests pass', async () => {
    await virtual();
    await using other = await startSimulator({ keys: { 'own-key': {} } });
    const request = http.get(other.origin, { headers: bearer('own-key'), lookup: elsewhere });
    expect((await answerTo(request)).statusCode).toBe(200);
  });
});

describe('a redirect of a virtual provider', () => {
  it('shows no real key, and what follows it takes none along', async () => {
    const auth = { in: 'header', name: 'x-api-key' } as const;
    await using other = await startSimulator({ auth, keys: {}, unknownKey: echo() });
    const { origin, key } = await virtual(
      { auth, keys: { 'key-good': { always: redirect(`${other.origin}/there?k=key-good`) } } },
      { auth, ...virtualProvider(['key-good']) },
    );
    const answer = await answerTo(http.get(origin, { headers: { 'x-api-key': key } }));
    expect(answer.headers.location).toBe(`${other.origin}/there?k=`);
    expect(inspect([answer.headers, answer.rawHeaders])).not.toContain('key-good');
    const headers = { 'x-api-key': key, 'x-other': '1' };
    const followed = JSON.parse(
      await textOf(await answerTo(http.get(answer.headers.location ?? '', { headers }))),
    ) as {
      headers: Record<string, string>;
    };
    expect(followed.headers).toMatchObject({ 'x-other': '1' });
    expect(followed.headers).not.toHaveProperty('x-api-key');
    const third = await startSimulator({ auth, keys: {} });
    onTestFinished(() => third.close());
    expect(await errorOf(http.get(third.origin, { headers }))).toMatchObject({
      code: 'KEYMUX_ORIGIN_REFUSED',
    });
    expect(third.requests).toEqual([]);
  });
});
