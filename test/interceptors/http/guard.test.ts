/** Requests of node:http and node:https with virtual keys, and redirects. */
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { inspect } from 'node:util';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { echo, redirect } from '#keymux/testing/script.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import type { Simulator, SimulatorOptions } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { CAPTURED, bearer, managed, managerFor, until } from '../managed.js';
import { virtualKeyOf, virtualProvider } from '../virtual.js';
import { answerTo, errorOf, textOf } from './requests.js';

const certificate = createCertificate(['localhost', '127.0.0.1']);
const ca = certificate.cert;
const REAL = 'real-key-0001';

interface Guarded {
  readonly simulator: Simulator;
  readonly origin: string;
  readonly key: string;
  readonly headers: { authorization: string };
}

async function guarded(options: SimulatorOptions = {}): Promise<Guarded> {
  const simulator = await startSimulator({ keys: { [REAL]: { name: 'real' } }, ...options });
  onTestFinished(() => simulator.close());
  const manager = managerFor(simulator.origin, [], { provider: virtualProvider([REAL]) });
  const key = virtualKeyOf(manager);
  return { simulator, origin: simulator.origin, key, headers: bearer(key) };
}

async function other(): Promise<Simulator> {
  const simulator = await startSimulator({ unknownKey: { do: 'ok' } });
  onTestFinished(() => simulator.close());
  return simulator;
}

async function expectRefused(request: http.ClientRequest, ...parts: string[]): Promise<void> {
  request.on('response', () => expect.unreachable('it is not sent'));
  request.end();
  const error = await errorOf(request);
  expect(error).toMatchObject({ name: 'KeymuxError', code: 'KEYMUX_ORIGIN_REFUSED' });
  const [, key = REAL] = String(request.getHeader('authorization')).split(' ');
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(key);
  for (const part of parts) expect(error.message).toContain(part);
  await until(() => request.closed);
  expect(request.destroyed).toBe(true);
}

describe('a virtual key', () => {
  it('becomes a real one where it belongs, and nowhere else', async () => {
    const { simulator, origin, headers } = await guarded();
    const request = http.get(origin, { headers });
    expect((await answerTo(request)).statusCode).toBe(200);
    expect(simulator.requests[0]?.key).toBe('real');
    expect(JSON.stringify([request.getHeaders(), Reflect.get(request, '_header')])).not.toContain(REAL);
  });

  it('is not sent to another origin, in whatever place', async () => {
    const { key, headers } = await guarded();
    const elsewhere = await other();
    await expectRefused(http.request(elsewhere.origin, { headers }), 'acme', elsewhere.origin);
    await expectRefused(http.request(`${elsewhere.origin}/?q=${key}`), 'query');
    await expectRefused(http.request(`${elsewhere.origin}/${key}`), 'the path');
    await expectRefused(http.request(elsewhere.origin, { headers: { 'x-odd': [`a ${key}`] } }), 'x-odd');
    await expectRefused(new http.ClientRequest(new URL(`${elsewhere.origin}/${key}`), () => {}), 'the path');
    expect(elsewhere.requests).toHaveLength(0);
  });

  it.each<[string, (key: string) => [string, Record<string, string>]]>([
    ['the header "x-trace"', (key) => ['/', { 'x-trace': key }]],
    ['query parameter "mine"', (key) => [`/?mine=${key}`, {}]],
    ['the path', (key) => [`/${key}`, {}]],
  ])('is not sent to its own provider in %s', async (place, requestWith) => {
    const { simulator, origin, key } = await guarded();
    const [path, headers] = requestWith(key);
    const where = 'It may stand in the header "authorization" only';
    await expectRefused(http.request(origin + path, { headers }), place, origin, where);
    expect(simulator.requests).toHaveLength(0);
  });

  it('is judged by where the request connects, whatever its Host header says', async () => {
    const { origin, headers } = await guarded();
    const elsewhere = await other();
    const request = http.request(elsewhere.origin, { headers: { ...headers, host: new URL(origin).host } });
    await expectRefused(request, `to ${elsewhere.origin}`);
    expect(elsewhere.requests).toHaveLength(0);
  });

  it('does not hinder requests without one', async () => {
    await guarded();
    const elsewhere = await other();
    const lookup: net.LookupFunction = (_host, _options, callback) => callback(null, '127.0.0.1', 4);
    const headers = bearer('something else');
    const request = http.request(elsewhere.origin, { method: 'POST', headers, lookup });
    request.write('one ');
    request.end('two');
    expect(JSON.parse(await textOf(await answerTo(request)))).toMatchObject({ bodyBytes: 7 });
  });

  it('frees the connection of a refused request', async () => {
    const { headers } = await guarded();
    const elsewhere = await other();
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const refused = http.request(elsewhere.origin, { agent, headers });
    const queued = http.request(elsewhere.origin, { agent });
    await expectRefused(refused);
    expect((await answerTo(queued.end())).statusCode).toBe(200);
  });

  const FOREIGN_AGENT = {
    addRequest: (request: http.ClientRequest & { onSocket(socket: net.Socket): void }) =>
      request.onSocket(new net.Socket()),
    protocol: 'http:',
    defaultPort: 80,
  } as unknown as http.Agent;
  const own = {
    lookup: { lookup: net.Socket as never },
    socketPath: { socketPath: '/nowhere' },
    createConnection: { createConnection: () => net.connect(1) },
    'an agent that connects by itself': {
      agent: Object.assign(new http.Agent(), { createConnection: () => net.connect(1) }),
    },
    'an agent of another make': {
      agent: FOREIGN_AGENT,
    },
    'an agent with a lookup': { agent: new http.Agent({ lookup: net.Socket as never }) },
  } as const;

  it.each(Object.entries(own))('is not turned into a real one with %s', async (_what, options) => {
    const { simulator, origin, headers } = await guarded();
    await expectRefused(http.request(origin, { ...options, headers } as http.RequestOptions), 'acme');
    expect(simulator.requests).toHaveLength(0);
  });
});

describe('a virtual key over TLS', () => {
  it.each([
    ['a certificate authority of the application', { ca }],
    ['a Host header of another name', { ca, headers: { host: '127.0.0.1' } }],
    ['an agent of its own', { agent: new https.Agent({ ca, keepAlive: true }) }],
  ])('becomes a real one with %s', async (_what, options) => {
    const { simulator, origin, headers } = await guarded({ tls: certificate });
    const request = https.get(origin, {
      ...options,
      headers: { ...headers, ...('headers' in options ? options.headers : {}) },
    });
    expect((await answerTo(request)).statusCode).toBe(200);
    expect(simulator.requests[0]?.key).toBe('real');
  });

  const anybody = (): undefined => undefined;
  it.each([
    ['unchecked certificates', { rejectUnauthorized: false }, 'certificates'],
    ['a check of its own', { ca, checkServerIdentity: anybody }, 'checkServerIdentity'],
    ['another server name', { ca, servername: 'localhost' }, 'servername'],
    ['a Host header that gives another server name', { ca, headers: { host: 'localhost' } }, 'servername'],
    ['a Host header that is no host', { ca, headers: { host: 'a b' } }, 'servername'],
    [
      'an agent that does not check',
      { agent: new https.Agent({ rejectUnauthorized: false }) },
      'certificates',
    ],
    [
      'an agent with a server name',
      { agent: new https.Agent({ ca, servername: 'localhost' }) },
      'servername',
    ],
  ])('is not turned into a real one with %s', async (_what, options, why) => {
    const { simulator, origin, headers } = await guarded({ tls: certificate });
    const all = { ...headers, ...('headers' in options ? options.headers : {}) };
    await expectRefused(https.request(origin, { ...options, headers: all }), origin, why);
    expect(simulator.requests).toHaveLength(0);
  });

  it('is not turned into a real one while nothing is checked in the whole process', async () => {
    const { simulator, origin, headers } = await guarded({ tls: certificate });
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    await expectRefused(https.request(origin, { headers }), 'certificates');
    expect(simulator.requests).toHaveLength(0);
  });
});

describe('a redirect of a managed origin', () => {
  it('takes no key along', async () => {
    const elsewhere = await other();
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: redirect(`${elsewhere.origin}/there?again=${CAPTURED}`) } },
    });
    const answer = await answerTo(http.get(origin, { headers: bearer() }));
    answer.resume();
    const location = answer.headers.location!;
    expect(location).toBe(`${elsewhere.origin}/there?again=`);
    expect(answer.rawHeaders).toContain(location);
    // As clients do that do not care.
    const followed = http.request(location, { method: 'POST', headers: { ...bearer(), 'x-mine': 'kept' } });
    followed.write('one ');
    followed.end('two');
    const echoed = await answerTo(followed);
    expect(echoed.statusCode).toBe(200);
    expect(JSON.parse(await textOf(echoed))).toMatchObject({ bodyBytes: 7 });
    expect(elsewhere.requests[0]?.headers).not.toHaveProperty('authorization');
    expect(elsewhere.requests[0]?.headers).toMatchObject({ 'x-mine': 'kept' });
    expect(followed.getHeader('authorization')).toBe(`Bearer ${CAPTURED}`);
  });

  it('takes no virtual key along either, and shows no real one', async () => {
    const auth = { in: 'header', name: 'x-api-key' } as const;
    const elsewhere = await startSimulator({ auth, keys: {}, unknownKey: echo() });
    const third = await startSimulator({ auth, keys: {} });
    const echoing = { [REAL]: { always: redirect(`${elsewhere.origin}/there?k=${REAL}`) } };
    const simulator = await startSimulator({ auth, keys: echoing });
    for (const server of [elsewhere, third, simulator]) onTestFinished(() => server.close());
    const manager = managerFor(simulator.origin, [], { provider: { auth, ...virtualProvider([REAL]) } });
    const headers = { 'x-api-key': virtualKeyOf(manager), 'x-mine': 'kept' };
    const answer = await answerTo(http.get(simulator.origin, { headers }));
    answer.resume();
    expect(answer.headers.location).toBe(`${elsewhere.origin}/there?k=`);
    expect(inspect([answer.headers, answer.rawHeaders])).not.toContain(REAL);
    const followed = await textOf(await answerTo(http.get(answer.headers.location!, { headers })));
    const { headers: arrived } = JSON.parse(followed) as { headers: Record<string, string> };
    expect(arrived).toMatchObject({ 'x-mine': 'kept' });
    expect(arrived).not.toHaveProperty('x-api-key');
    await expectRefused(http.request(third.origin, { headers }), 'acme');
    expect(third.requests).toHaveLength(0);
  });

  it('within its own origins leads where it says', async () => {
    const { origin } = await managed({ keys: { [CAPTURED]: { always: redirect('/there') } } });
    expect((await answerTo(http.get(origin, { headers: bearer() }))).headers.location).toBe('/there');
  });

  it("to another managed origin takes no key but that one's along", async () => {
    const second = await managed({ keys: { 'key-second': {} } });
    const first = await startSimulator({
      keys: { [CAPTURED]: { always: redirect(second.origin) } },
    });
    onTestFinished(() => first.close());
    managerFor(first.origin, [CAPTURED]);
    (await answerTo(http.get(first.origin, { headers: bearer() }))).resume();
    const followed = http.get(second.origin, { headers: { ...bearer('key-second'), 'x-api-key': CAPTURED } });
    expect((await answerTo(followed)).statusCode).toBe(200);
    expect(second.simulator.requests[0]?.headers).toHaveProperty('authorization');
    expect(second.seen()).toEqual(['key-second']);
    expect(second.simulator.requests[0]?.headers).not.toHaveProperty('x-api-key');
  });
});
