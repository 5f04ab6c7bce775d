/** What a client sees of a request that keymux repeats is what it sees of one that nobody touched. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import type { KeyManager } from '#keymux/manager/key-manager.js';
import { BAD_BAD_GOOD, CAPTURED, bearer, managed, managerFor, until } from '../managed.js';
import { echo, refuse, silence } from '#keymux/testing/script.js';
import { answerTo, errorOf, record, serve, textOf } from './requests.js';

const GOOD = bearer('key-good').authorization;
const tls = createCertificate();

/** Refuses every key but one; what the good one gets is the test's. */
function refusing(answer: http.RequestListener): http.RequestListener {
  return (request, response) => {
    if (request.headers.authorization === GOOD) return answer(request, response);
    request.resume();
    response.writeHead(429, { 'retry-after': '60' }).end('{"error":"limited"}');
  };
}

type Run = (origin: string, headers: { authorization: string }) => Promise<unknown>;

/** Without keymux and with the good key; then with keymux, and a key that is over its limit. */
async function both(answer: http.RequestListener, run: Run, secure = false): Promise<[unknown, unknown]> {
  const origin = await serve(refusing(answer), secure ? tls : undefined);
  const bare = await run(origin, bearer('key-good'));
  const manager = managerFor(origin, [CAPTURED, 'key-good']);
  const repeated = await run(origin, bearer());
  await expectNothingLeft(manager);
  expect(manager.inspect().keys.map(({ state }) => state)).toContain('resting');
  return [bare, repeated];
}

async function expectNothingLeft(manager: KeyManager): Promise<void> {
  await until(() => manager.inspect().keys.every(({ inFlight }) => inFlight === 0));
}

/** How a request and its answer look at each of its events. */
async function story(
  request: http.ClientRequest,
  read: (answer: http.IncomingMessage) => void,
): Promise<unknown> {
  const events = record(request);
  const looks: unknown[] = [];
  const look = (event: string): void => {
    const { destroyed, aborted, closed, finished, writableEnded, writableFinished, headersSent } =
      request as http.ClientRequest & { aborted: boolean; finished: boolean };
    looks.push({ event, destroyed, aborted, closed, finished, writableEnded, writableFinished, headersSent });
  };
  for (const event of [
    'finish',
    'response',
    'close',
    'abort',
    'timeout',
    'upgrade',
    'information',
    'continue',
    'error',
  ])
    request.on(event, () => look(event));
  request.on('response', (answer) => {
    for (const event of ['end', 'close', 'aborted', 'error'])
      answer.on(event, () => looks.push(`answer ${event}`));
    read(answer);
  });
  request.end(request.method === 'POST' ? 'body' : undefined);
  await until(() => request.closed);
  await turn();
  const names = ['newListener', 'removeListener'];
  return { events: events.filter((event) => !names.includes(event)), looks };
}

const ANSWERS: Record<string, http.RequestListener> = {
  short: (_request, response) => response.end('short'),
  empty: (_request, response) => response.writeHead(204).end(),
  'not modified': (_request, response) => response.writeHead(304).end(),
  chunked: (_request, response) => {
    response.write('one');
    response.end('two');
  },
  'with trailers': (request, response) => {
    if (request.method === 'HEAD') return response.end();
    response.writeHead(200, { trailer: 'x-sum' });
    response.write('one');
    response.addTrailers({ 'x-sum': '1' });
    return response.end();
  },
  'with an informational one before': (_request, response) => {
    response.writeEarlyHints({ link: '</a>; rel=preload' }, () => response.end('late'));
  },
  'that closes its connection': (_request, response) =>
    response.writeHead(200, { connection: 'close' }).end('bye'),
  'ended by its connection': (_request, response) => {
    response.useChunkedEncodingByDefault = false;
    response.removeHeader('transfer-encoding');
    response.shouldKeepAlive = false;
    response.write('to the end');
    response.end();
  },
};

describe('a repeated request', () => {
  for (const method of ['GET', 'HEAD', 'POST'])
    for (const [what, answer] of Object.entries(ANSWERS))
      it(`${method} tells the same of an answer ${what}`, async () => {
        const [bare, repeated] = await both(answer, async (origin, headers) => {
          const agent = new http.Agent({ keepAlive: true });
          onTestFinished(() => agent.destroy());
          const request = http.request(origin, { agent, method, headers });
          return story(request, (message) => message.resume());
        });
        expect(repeated).toEqual(bare);
      });

  it.each(['request', 'answer', 'abort'])(
    'tells the same where the application ends it by its %s',
    async (how) => {
      const [bare, repeated] = await both(
        (_request, response) => void response.write('the beginning'),
        async (origin, headers) => {
          const request = http.request(origin, { agent: false, headers });
          return story(request, (answer) => {
            answer.once('data', () => {
              if (how === 'request') request.destroy();
              else if (how === 'answer') answer.destroy();
              else request.abort();
            });
          });
        },
      );
      expect(repeated).toEqual(bare);
    },
  );

  it('tells the same of an answer that breaks off', async () => {
    const [bare, repeated] = await both(
      (_request, response) => {
        response.writeHead(200, { 'content-length': 100 }).write('the beginning');
        setImmediate(() => response.socket?.destroy());
      },
      async (origin, headers) => story(http.request(origin, { headers }), (answer) => answer.resume()),
    );
    expect(repeated).toEqual(bare);
  });

  it('tells the same over TLS', async () => {
    const [bare, repeated] = await both(
      ANSWERS.chunked!,
      async (origin, headers) =>
        story(https.request(origin, { agent: new https.Agent({ ca: tls.cert }), headers }), (answer) =>
          answer.resume(),
        ),
      true,
    );
    expect(repeated).toEqual(bare);
  });

  it('calls back once when it is sent, and hands out what was asked of the call', async () => {
    const calls: string[] = [];
    const [bare, repeated] = await both(ANSWERS.short!, async (origin, headers) => {
      calls.length = 0;
      const request = http.request(origin, { method: 'POST', headers }, () => calls.push('response'));
      request.write('one', () => calls.push('written'));
      request.end('two', () => calls.push('sent'));
      (await answerTo(request)).resume();
      await until(() => request.closed);
      return [...calls];
    });
    expect(bare).toEqual(['written', 'sent', 'response']);
    expect(repeated).toEqual(bare);
  });

  it('keeps few connections, frees them, and uses them again', async () => {
    const { origin, seen } = await managed({ keys: BAD_BAD_GOOD });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const sockets = new Set<unknown>();
    await Promise.all(
      Array.from({ length: 6 }, async () => {
        const request = http.get(origin, { agent, headers: bearer() });
        const answer = await answerTo(request);
        sockets.add(answer.socket.localPort);
        await textOf(answer);
        await until(() => request.closed);
      }),
    );
    expect(seen().slice(-1)).toEqual(['key-good']);
    expect(sockets.size).toBe(1);
    expect(Object.values(agent.sockets).flat()).toEqual([]);
    expect(Object.values(agent.freeSockets).flat()).toHaveLength(1);
    expect(agent.requests).toEqual({});
  });

  it('leaves no listener on a connection that is used again and again, nor on a signal', async () => {
    const { origin } = await managed({ keys: BAD_BAD_GOOD });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const warnings: Error[] = [];
    const warn = (warning: Error): number => warnings.push(warning);
    process.on('warning', warn);
    onTestFinished(() => void process.off('warning', warn));
    const { signal } = new AbortController();
    for (let time = 0; time < 30; time += 1) {
      const request = http.get(origin, { agent, headers: bearer(), signal, timeout: 60_000 });
      await textOf(await answerTo(request));
      await until(() => request.closed);
    }
    await turn();
    const [socket] = Object.values(agent.freeSockets).flat();
    for (const event of ['timeout', 'error', 'close', 'data', 'end', 'drain'])
      expect(socket?.listenerCount(event)).toBeLessThan(4);
    expect(warnings.filter(({ name }) => name === 'MaxListenersExceededWarning')).toEqual([]);
  });

  it.each(['before', 'during', 'between', 'after'])('obeys a signal %s it', async (when) => {
    const { origin, manager, simulator } = await managed({
      keys:
        when === 'between'
          ? { [CAPTURED]: { always: refuse(503) } }
          : { [CAPTURED]: { always: refuse(429) }, 'key-good': { always: silence() } },
    });
    const gone = new AbortController();
    if (when === 'before') gone.abort();
    const request = http.get(origin, { headers: bearer(), signal: gone.signal });
    const failed = errorOf(request);
    if (when === 'during') await until(() => simulator.requests.length === 2);
    if (when === 'between') {
      await new Promise<void>((resolve) => void manager.on('failover', () => resolve()));
      await turn();
    }
    if (when === 'after') {
      request.destroy();
      expect((await failed).code).toBe('ECONNRESET');
    }
    gone.abort();
    if (when !== 'after') expect((await failed).name).toBe('AbortError');
    await until(() => request.closed);
    expect(request.destroyed).toBe(true);
    await expectNothingLeft(manager);
  });

  it('is not over between two attempts', async () => {
    const { origin, manager } = await managed({ keys: { [CAPTURED]: { first: [refuse(503)] } } });
    const request = http.get(origin, { headers: bearer() });
    await new Promise<void>((resolve) => void manager.on('failover', () => resolve()));
    for (let time = 0; time < 5; time += 1) {
      await turn();
      expect([request.destroyed, request.closed, request.aborted]).toEqual([false, false, false]);
    }
    expect((await answerTo(request)).statusCode).toBe(200);
  });

  it('times out in each attempt anew, on the connection of that attempt', async () => {
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: refuse(429) }, 'key-good': { always: silence() } },
    });
    const request = http.get(origin, { headers: bearer(), timeout: 50 });
    await once(request, 'timeout');
    request.destroy();
    expect((await errorOf(request)).code).toBe('ECONNRESET');
  });

  it('takes a time-out that is set while it is repeated', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { always: refuse(429) }, 'key-good': { always: silence() } },
    });
    const request = http.get(origin, { headers: bearer() });
    await until(() => simulator.requests.length === 2);
    let times = 0;
    request.setTimeout(50, () => (times += 1));
    await once(request, 'timeout');
    expect(times).toBe(1);
    request.destroy();
    await errorOf(request);
  });

  it('takes a body at the pace of the connection', async () => {
    const { origin } = await managed({ keys: { ...BAD_BAD_GOOD, 'key-good': { always: echo() } } });
    const request = http.request(origin, { method: 'POST', headers: bearer() });
    const body = Array.from({ length: 200 }, (_, at) => String(at % 10).repeat(4_000));
    await pipeline(Readable.from(body), request);
    const echoed = JSON.parse(await textOf(await answerTo(request))) as { body: string };
    expect(echoed.body).toBe(body.join(''));
  });

  it('reads what a lenient parser reads', async () => {
    const server = net.createServer((socket) => {
      socket.on('data', (data) => {
        const isGood = data.includes('key-good');
        const line = isGood ? 'HTTP/1.1 200 OK' : 'HTTP/1.1 429 No';
        socket.write(`${line}\r\nx-odd: a\x01b\r\ncontent-length: 2\r\n\r\nok`);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const origin = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
    managerFor(origin, [CAPTURED, 'key-good']);
    const request = http.get(origin, { headers: bearer(), insecureHTTPParser: true, agent: false });
    const answer = await answerTo(request);
    expect(answer.statusCode).toBe(200);
    expect(answer.headers['x-odd']).toBe('a\x01b');
    expect(await textOf(answer)).toBe('ok');
  });

  it('is upgraded, and closes as any other', async () => {
    const upgrade = async (origin: string, headers: object): Promise<unknown> => {
      const request = http.request(origin, {
        headers: { ...headers, connection: 'Upgrade', upgrade: 'echo' },
      });
      const events = record(request);
      request.end();
      const [answer, socket, head] = (await once(request, 'upgrade')) as [
        http.IncomingMessage,
        net.Socket,
        Buffer,
      ];
      socket.write('hello');
      const [echoed] = (await once(socket, 'data')) as [Buffer];
      await until(() => request.closed);
      socket.destroy();
      const { destroyed } = request;
      const own = events.filter((event) => !event.endsWith('Listener'));
      return [answer.statusCode, head.length, echoed.toString(), destroyed, own];
    };
    const server = http.createServer(refusing(ANSWERS.short!));
    server.on('upgrade', (request, socket) => {
      if (request.headers.authorization === GOOD) {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
        socket.pipe(socket);
      } else socket.end('HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const origin = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
    const bare = await upgrade(origin, bearer('key-good'));
    managerFor(origin, [CAPTURED, 'key-good']);
    expect(await upgrade(origin, bearer())).toEqual(bare);
  });
});

describe('an answer that breaks while another key is waited for', () => {
  it('is followed by one attempt, not by two', async () => {
    const requests: (string | undefined)[] = [];
    const origin = await serve((request, answer) => {
      requests.push(request.headers.authorization);
      if (requests.length > 1) return answer.end('good');
      answer.writeHead(429, { 'retry-after': '1', 'content-length': 100 }).write('half');
      setTimeout(() => answer.socket?.resetAndDestroy(), 20);
    });
    const manager = managerFor(origin, [CAPTURED]);
    const request = http.get(origin, { headers: bearer() });
    expect(await textOf(await answerTo(request))).toBe('good');
    expect(requests).toHaveLength(2);
    await expectNothingLeft(manager);
  });
});
