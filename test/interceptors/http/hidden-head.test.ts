/** A virtual key becomes a real one on the wire alone: nobody who looks at a request finds it. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { inspect } from 'node:util';
import { echo } from '#keymux/testing/script.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import type { Simulator, SimulatorOptions } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { describe, expect, it, onTestFinished } from 'vitest';
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
  readonly headers: { readonly authorization: string };
}

async function virtual(options: Partial<SimulatorOptions> = {}): Promise<Virtual> {
  const keys = Object.fromEntries(
    Object.entries(KEYS).map(([text, script]) => [text, { name: text, ...script }]),
  );
  const simulator = await startSimulator({ keys, ...options });
  onTestFinished(() => simulator.close());
  const manager = managerFor(simulator.origin, [], { provider: virtualProvider(ALL) });
  return { simulator, origin: simulator.origin, headers: bearer(virtualKeyOf(manager)) };
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

  it('gets its head while it connects, in the midst of being handed its connection', async () => {
    const { origin, headers, authorizations } = await bodyEcho();
    const request = http.request(origin, { method: 'POST', headers });
    const seen: boolean[] = [];
    const socket = await new Promise<net.Socket>((resolve) =>
      request.once('socket', (handed) => {
        request.write('one ');
        seen.push(shows(request));
        resolve(handed);
      }),
    );
    expect(socket.connecting).toBe(true);
    request.end('two');
    seen.push(shows(request));
    await once(socket, 'connect');
    seen.push(shows(request));
    expect(await textOf(await answerTo(request))).toBe('one two');
    expect([...seen, shows(request)]).toEqual([false, false, false, false]);
    expect(authorizations).toEqual(ALL.map((key) => `Bearer ${key}`));
  });

  it('gets its head when its connection stands', async () => {
    const { origin, headers, authorizations } = await bodyEcho();
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    for (let round = 0; round < 2; round++) {
      const request = http.request(origin, { method: 'POST', headers, agent });
      const [socket] = (await once(request, 'socket')) as [net.Socket];
      await until(() => !socket.connecting);
      request.end('whole');
      expect(shows(request)).toBe(false);
      expect(await textOf(await answerTo(request))).toBe('whole');
    }
    expect(authorizations.at(-1)).toBe('Bearer key-good');
  });

  it('keeps its head to itself where the application ends the connection first', async () => {
    const { origin, headers, authorizations } = await bodyEcho();
    const request = http.request(origin, { method: 'POST', headers });
    request.once('socket', (socket) => socket.destroy());
    const failed = errorOf(request);
    request.end('body');
    expect(await failed).toMatchObject({ code: 'ECONNRESET' });
    expect(shows(request)).toBe(false);
    expect(authorizations).toEqual([]);
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
