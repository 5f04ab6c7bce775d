import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { WebSocket } from 'ws';
import { describe, expect, it, onTestFinished } from 'vitest';
import { echo, ok, refuse, reply, silence, softError, stream } from '#keymux/testing/script.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { BAD_BAD_GOOD, CAPTURED, bearer, managed, managerFor, until } from '../managed.js';
import { answerTo, record, textOf } from './requests.js';

const PATCHED = [
  [http, 'request'],
  [http, 'get'],
  [https, 'request'],
  [https, 'get'],
  [http.ClientRequest.prototype, '_send'],
  [http.ClientRequest.prototype, 'onSocket'],
  [http.Agent.prototype, 'addRequest'],
] as const;

function descriptors(): unknown[] {
  return PATCHED.map(([target, property]) => Object.getOwnPropertyDescriptor(target, property));
}

describe('installHttp', () => {
  it('puts everything back', async () => {
    const before = descriptors();
    const { manager } = await managed({ keys: BAD_BAD_GOOD });
    expect(descriptors()).not.toEqual(before);
    await manager.shutdown();
    const after = descriptors();
    expect(after).toEqual(before);
    expect((after[0] as PropertyDescriptor).value).toBe((before[0] as PropertyDescriptor).value);
  });

  it('serves two managers, each with its own provider', async () => {
    const one = await managed({ keys: BAD_BAD_GOOD });
    const two = await managed({ keys: { 'key-two': { always: refuse(429) }, 'key-three': {} } });
    expect((await answerTo(http.get(one.origin, { headers: bearer() }))).statusCode).toBe(200);
    expect((await answerTo(http.get(two.origin, { headers: bearer('key-two') }))).statusCode).toBe(200);
    expect(one.seen()).toEqual(['key-limited', 'key-revoked', 'key-good']);
    expect(two.seen()).toEqual(['key-two', 'key-three']);
  });

  it('lets one of two managers of the same origin handle a request', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    managerFor(origin, Object.keys(BAD_BAD_GOOD));
    expect((await answerTo(http.get(origin, { headers: bearer() }))).statusCode).toBe(200);
    expect(seen()).toEqual(['key-limited', 'key-revoked', 'key-good']);
  });
});

describe('a request that is none of its business', () => {
  it('goes through the same events and keeps no trace', async () => {
    await using other = await startSimulator({ keys: { [CAPTURED]: {} } });
    const run = async (): Promise<unknown> => {
      const request = http.request(other.origin, { method: 'POST', headers: bearer() });
      const events = record(request);
      request.end('body');
      const answer = await answerTo(request);
      answer.resume();
      await once(request, 'close');
      return { events, own: Reflect.ownKeys(request).map(String) };
    };
    const bare = await run();
    const { manager } = await managed({ keys: BAD_BAD_GOOD });
    expect(await run()).toEqual(bare);
    await manager.shutdown();
  });
});

describe('a request to a managed origin', () => {
  it('goes through the same events where the key is good', async () => {
    const { origin, manager } = await managed({ keys: { [CAPTURED]: {} } });
    const run = async (): Promise<string[]> => {
      const request = http.request(origin, { method: 'POST', headers: bearer() });
      const events = record(request);
      request.end('body');
      (await answerTo(request)).resume();
      await once(request, 'close');
      return events;
    };
    const withKeymux = await run();
    await manager.shutdown();
    expect(withKeymux).toEqual(await run());
  });

  it('shows the application no key but its own', async () => {
    const { origin, simulator } = await managed({ keys: BAD_BAD_GOOD });
    const request = http.get(`${origin}/a`, { headers: bearer() });
    const answer = await answerTo(request);
    expect(simulator.requests.at(-1)?.key).toBe('key-good');
    const visible = [request.getHeader('authorization'), Reflect.get(request, '_header')];
    expect(JSON.stringify(visible)).not.toContain('key-good');
    expect(JSON.stringify([Reflect.get(answer, 'req')._header])).not.toContain('key-good');
    answer.resume();
  });

  it('is told by its connection, not by its Host header', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    await using other = await startSimulator({ keys: { [CAPTURED]: {}, 'key-good': {} } });
    const lured = http.get(other.origin, { headers: { ...bearer(), host: new URL(origin).host } });
    expect((await answerTo(lured)).statusCode).toBe(200);
    expect(other.requests.map(({ carries }) => carries.length)).toEqual([1]);
    const disguised = http.get(origin, { headers: { ...bearer(), host: 'elsewhere.example' } });
    expect((await answerTo(disguised)).statusCode).toBe(200);
    expect(seen()).toEqual(['key-limited', 'key-revoked', 'key-good']);
  });

  it('over a Unix socket is left alone', async () => {
    const { origin } = await managed({ keys: BAD_BAD_GOOD });
    const path = `/tmp/keymux-test-${process.pid}.sock`;
    const server = http
      .createServer((request, response) => response.end(request.headers.authorization))
      .listen(path);
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    const answer = await answerTo(http.get(origin, { socketPath: path, headers: bearer() }));
    expect(await textOf(answer)).toBe(`Bearer ${CAPTURED}`);
  });

  it('whose agent connects elsewhere is left alone', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    await using other = await startSimulator({ keys: { [CAPTURED]: {} } });
    const agent = new http.Agent({ host: '127.0.0.1', port: other.port });
    expect((await answerTo(http.get(origin, { agent, headers: bearer() }))).statusCode).toBe(200);
    expect(seen()).toEqual([]);
    expect(other.requests).toHaveLength(1);
  });

  it('is found through an agent of another make, and without one', async () => {
    const { origin, seen, forget } = await managed({ keys: BAD_BAD_GOOD });
    const { port } = new URL(origin);
    const foreign = {
      addRequest(request: http.ClientRequest & { onSocket(socket: net.Socket): void }) {
        request.onSocket(net.connect(Number(port), '127.0.0.1'));
      },
      defaultPort: 80,
      protocol: 'http:',
    } as unknown as http.Agent;
    const request = http.request({ host: '127.0.0.1', port, agent: foreign, headers: bearer() });
    expect((await answerTo(request.end())).statusCode).toBe(200);
    forget();
    const createConnection = (): net.Socket => net.connect(Number(port), '127.0.0.1');
    expect((await answerTo(http.get(origin, { createConnection, headers: bearer() }))).statusCode).toBe(200);
    expect(seen()).toEqual([...Object.keys(BAD_BAD_GOOD), ...Object.keys(BAD_BAD_GOOD)]);
  });

  it('made with `new ClientRequest` gets the key of the moment, and is not repeated', async () => {
    const { origin, seen } = await managed({ keys: { [CAPTURED]: { always: refuse(429) }, 'key-good': {} } });
    const make = (): http.ClientRequest => new http.ClientRequest(new URL(origin), () => {});
    const first = make();
    first.setHeader('authorization', `Bearer ${CAPTURED}`);
    expect((await answerTo(first.end())).statusCode).toBe(429);
    const second = make();
    second.setHeader('authorization', `Bearer ${CAPTURED}`);
    expect((await answerTo(second.end())).statusCode).toBe(200);
    expect(seen()).toEqual([CAPTURED, 'key-good']);
  });

  it('that expects a 100 is left alone', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    const request = http.request(origin, {
      method: 'POST',
      headers: { ...bearer(), expect: '100-continue' },
    });
    request.on('continue', () => request.end('body'));
    expect((await answerTo(request)).statusCode).toBe(429);
    expect(seen()).toEqual(['key-limited']);
  });

  it('gets informational answers as they come', async () => {
    const { origin } = await managed({ keys: { [CAPTURED]: { always: ok({ informational: 103 }) } } });
    const request = http.get(origin, { headers: bearer() });
    const statuses: number[] = [];
    request.on('information', ({ statusCode }) => statuses.push(statusCode));
    expect((await answerTo(request)).statusCode).toBe(200);
    expect(statuses).toEqual([103]);
  });

  it('whose answer nobody wants frees its connection', async () => {
    const { origin } = await managed({ keys: BAD_BAD_GOOD });
    const request = http.get(origin, { headers: bearer() });
    await once(request, 'close');
    expect(request.destroyed).toBe(true);
  });

  it('answered before its body is sent keeps the refusal', async () => {
    const { origin, seen } = await managed({
      keys: { [CAPTURED]: { always: refuse(429, { early: true }) }, 'key-good': {} },
    });
    const request = http.request(origin, { method: 'POST', headers: bearer() });
    request.write('the beginning');
    expect((await answerTo(request)).statusCode).toBe(429);
    expect(seen()).toEqual([CAPTURED]);
    request.destroy();
  });

  it('repeats a chunked body byte for byte', async () => {
    const { origin, simulator } = await managed({
      keys: { ...BAD_BAD_GOOD, 'key-good': { always: echo() } },
    });
    const request = http.request(origin, { method: 'POST', headers: bearer() });
    await pipeline(Readable.from(['ä', Buffer.from('ö'), 'ü'.repeat(9_000)]), request);
    const answer = await answerTo(request);
    const echoed = JSON.parse(await textOf(answer)) as { body: string };
    expect(echoed.body).toBe(`äö${'ü'.repeat(9_000)}`);
    expect(simulator.requests.map(({ headers }) => headers['transfer-encoding'])).toEqual(
      Array(3).fill('chunked'),
    );
  });

  it('hears of an idle time-out in a later attempt too', async () => {
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: refuse(429) }, 'key-good': { always: silence() } },
    });
    const request = http.get(origin, { headers: bearer() });
    request.setTimeout(50);
    await once(request, 'timeout');
    request.destroy();
    const [error] = (await once(request, 'error')) as [Error & { code: string }];
    expect(error.code).toBe('ECONNRESET');
  });

  it('destroyed while its answer is held back fails', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { always: stream({ events: ['data: half'], ends: 'stalled', after: 1 }) } },
      provider: { errors: [{ status: 200, sse: '$.error', outcome: 'overloaded' }] },
    });
    const request = http.get(origin, { headers: bearer() });
    request.on('response', () => expect.unreachable('the answer is held back'));
    await until(() => simulator.requests[0]?.status === 200);
    const failed = once(request, 'error');
    request.destroy(new Error('enough'));
    await expect(failed).resolves.toMatchObject([{ message: 'enough' }]);
    expect(request.destroyed).toBe(true);
  });

  it('whose answer breaks while it is held back is repeated if it is safe', async () => {
    const { origin, seen } = await managed({
      keys: {
        [CAPTURED]: { first: [stream({ events: ['data: half', 'x'], ends: 'cut', after: 1 })] },
        'key-good': {},
      },
      provider: { errors: [{ status: 200, sse: '$.error', outcome: 'overloaded' }] },
    });
    expect((await answerTo(http.get(origin, { headers: bearer() }))).statusCode).toBe(200);
    expect(seen()).toHaveLength(2);
  });

  it('gives its connection back when it must wait, so that others go on', async () => {
    const { origin } = await managed({
      keys: { [CAPTURED]: {} },
      provider: { limits: [{ requests: 2, perMs: 400 }] },
    });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const statuses = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const answer = await answerTo(http.get(origin, { agent, headers: bearer() }));
        answer.resume();
        return answer.statusCode;
      }),
    );
    expect(statuses).toEqual([200, 200, 200, 200]);
  });

  it('is refused while its body is still coming, and the rest of it goes nowhere', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { always: refuse(429, { retryAfterSeconds: 60 }) } },
    });
    (await answerTo(http.get(origin, { headers: bearer() }))).resume();
    const request = http.request(origin, { method: 'POST', headers: bearer() });
    const sent = pipeline(Readable.from(Array(100).fill(Buffer.alloc(65_536))), request);
    const answer = await answerTo(request);
    expect(answer.statusCode).toBe(429);
    expect(answer.socket.remoteAddress).toBeUndefined();
    expect(JSON.parse(await textOf(answer))).toMatchObject({ error: { code: 'KEYMUX_NO_USABLE_KEY' } });
    await sent;
    expect(simulator.requests).toHaveLength(1);
  });

  it('hides a dead key behind the wait for the living', async () => {
    const { origin } = await managed({
      keys: {
        [CAPTURED]: { always: refuse(401) },
        'key-limited-2': { always: refuse(429, { retryAfterSeconds: 60 }) },
      },
    });
    const answers = [];
    for (let time = 0; time < 2; time += 1) {
      const answer = await answerTo(http.get(origin, { headers: bearer() }));
      answers.push(answer.statusCode);
      await textOf(answer);
    }
    expect(answers).toEqual([429, 429]);
  });

  it('discards a long refusal without reading it to its end', async () => {
    const body = 'x'.repeat(1_000_000);
    const { origin, seen } = await managed({
      keys: {
        [CAPTURED]: { always: reply(429, { body }) },
        'key-chunked': { always: reply(429, { body, chunked: true }) },
        'key-good': {},
      },
    });
    const answer = await answerTo(http.get(origin, { headers: bearer() }));
    expect(answer.statusCode).toBe(200);
    expect(seen()).toEqual([CAPTURED, 'key-chunked', 'key-good']);
  });

  it('keeps no lease when all is over', async () => {
    const { origin, manager } = await managed({
      keys: { [CAPTURED]: { always: softError() }, 'key-good': {} },
      provider: { errors: [{ status: 200, json: '$.error', outcome: 'rate-limited' }] },
    });
    const request = http.get(origin, { headers: bearer() });
    await textOf(await answerTo(request));
    if (!request.closed) await once(request, 'close');
    expect(manager.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
  });
});

describe('a request whose key must be waited for', () => {
  const oneAtATime = { limits: [{ requests: 1, perMs: 300 }] };

  it('goes on over the connection that it has already', async () => {
    const { origin, simulator } = await managed({ keys: { [CAPTURED]: {} }, provider: oneAtATime });
    (await answerTo(http.get(origin, { headers: bearer() }))).resume();
    const request = http.request(origin, { method: 'POST', headers: bearer() });
    await once(request, 'socket');
    await once(request.socket!, 'connect');
    request.write('one ');
    request.end('two');
    const answer = await answerTo(request);
    expect(JSON.parse(await textOf(answer))).toMatchObject({ bodyBytes: 7 });
    expect(simulator.requests).toHaveLength(2);
  });

  it('goes on over another connection when its own breaks meanwhile', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { always: echo() } },
      provider: oneAtATime,
    });
    (await answerTo(http.get(origin, { headers: bearer() }))).resume();
    const request = http.request(origin, { method: 'POST', headers: bearer() });
    await once(request, 'socket');
    const socket = request.socket!;
    await once(socket, 'connect');
    request.end('body');
    simulator.dropConnections();
    await until(() => socket.destroyed);
    const answer = await answerTo(request);
    expect(JSON.parse(await textOf(answer))).toMatchObject({ body: 'body' });
    expect(simulator.requests).toHaveLength(2);
  });

  it('is told when its connection breaks meanwhile and its body is not at hand', async () => {
    const { origin, simulator, manager } = await managed({ keys: { [CAPTURED]: {} }, provider: oneAtATime });
    (await answerTo(http.get(origin, { headers: bearer() }))).resume();
    const request = http.request(origin, { method: 'POST', headers: bearer() });
    await once(request, 'socket');
    await once(request.socket!, 'connect');
    request.write('the beginning');
    const failed = once(request, 'error');
    simulator.dropConnections();
    await expect(failed).resolves.toMatchObject([{ code: 'ECONNRESET' }]);
    await until(() => manager.poolOf('acme').room.size === 0);
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
    expect(simulator.requests).toHaveLength(1);
  });
});

describe('a refused request', () => {
  async function refusing() {
    const all = await managed({ keys: { [CAPTURED]: { always: refuse(429, { retryAfterSeconds: 60 }) } } });
    (await answerTo(http.get(all.origin, { headers: bearer() }))).resume();
    return all;
  }

  it('gives up the connection that it has already', async () => {
    const { origin } = await refusing();
    const request = http.request(origin, { method: 'POST', headers: bearer() });
    await once(request, 'socket');
    const { socket } = request;
    request.end('body');
    expect((await answerTo(request)).statusCode).toBe(429);
    if (!socket!.destroyed) await once(socket!, 'close');
  });

  it('closes once, whether its answer is read, dropped or not wanted', async () => {
    const { origin } = await refusing();
    for (const use of ['read', 'drop', 'ignore']) {
      const request = http.get(origin, { headers: bearer() });
      const events: string[] = [];
      for (const event of ['close', 'error']) request.on(event, () => events.push(event));
      if (use === 'read') request.on('response', (answer) => answer.resume());
      if (use === 'drop') request.on('response', () => request.destroy());
      await once(request, 'close');
      expect(request.destroyed).toBe(true);
      expect(request.closed).toBe(true);
      await new Promise(setImmediate);
      expect(events).toEqual(['close']);
    }
  });
});

describe('a request between two attempts', () => {
  it('can be destroyed, and fails at once', async () => {
    const { origin, manager, simulator } = await managed({ keys: { [CAPTURED]: { always: refuse(503) } } });
    const request = http.get(origin, { headers: bearer() });
    const failed = once(request, 'error');
    const closed = new Promise<void>((resolve) => request.once('close', resolve));
    await new Promise<void>((resolve) => void manager.on('failover', () => resolve()));
    await new Promise(setImmediate);
    request.destroy(new Error('enough'));
    await expect(failed).resolves.toMatchObject([{ message: 'enough' }]);
    await closed;
    expect(simulator.requests).toHaveLength(1);
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('emits what the application wishes', async () => {
    const { origin } = await managed({ keys: BAD_BAD_GOOD });
    const request = http.get(origin, { headers: bearer() });
    const answer = await answerTo(request);
    const heard: unknown[] = [];
    request.on('mine', (value) => heard.push(value));
    expect(request.emit('mine', 7)).toBe(true);
    expect(heard).toEqual([7]);
    answer.destroy();
  });
});

describe('a WebSocket of ws', () => {
  it('opens with the key of the moment', async () => {
    const { simulator, seen } = await managed({ keys: BAD_BAD_GOOD });
    const socket = new WebSocket(simulator.webSocketOrigin, { headers: bearer() });
    await once(socket, 'open');
    expect(seen()).toEqual(['key-limited', 'key-revoked', 'key-good']);
    socket.terminate();
    await once(socket, 'close');
  });

  it('opens at once where the key is good, and holds its lease while it lives', async () => {
    const { simulator, manager } = await managed({ keys: { [CAPTURED]: {} } });
    const socket = new WebSocket(simulator.webSocketOrigin, { headers: bearer() });
    await once(socket, 'open');
    expect(manager.inspect().keys[0]?.inFlight).toBe(1);
    socket.terminate();
    await once(socket, 'close');
    await until(() => manager.inspect().keys[0]?.inFlight === 0);
  });
});
