/** How long a provider may take to answer a request of node:http. */
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { silence, stream } from '#keymux/testing/script.js';
import { createCertificate } from '#keymux/testing/self-signed-certificate.js';
import { CAPTURED, bearer, managed, managerFor, until } from '../managed.js';
import { answerTo, errorOf, serve, textOf } from './requests.js';

const LIMIT_MS = 60;
const firstByte = { stream: { firstByteMs: LIMIT_MS } };
const idle = { stream: { idleMs: LIMIT_MS } };
const EVENTS = ['data: 1\n\n', 'data: 2\n\n'];
const stalled = stream({ events: EVENTS, ends: 'stalled', after: 1 });

describe('a provider that does not answer in time', () => {
  it('is asked again with another key, if the request may be repeated', async () => {
    const { origin, seen } = await managed({
      keys: { [CAPTURED]: { always: silence() }, 'key-good': {} },
      provider: firstByte,
    });
    expect((await answerTo(http.get(origin, { headers: bearer() }))).statusCode).toBe(200);
    expect(seen()).toEqual([CAPTURED, 'key-good']);
  });

  it('fails the request, if it may not', async () => {
    const { origin, seen, manager } = await managed({
      keys: { [CAPTURED]: { always: silence() }, 'key-good': {} },
      provider: firstByte,
    });
    const request = http.request(origin, { method: 'POST', headers: bearer() });
    request.end('{}');
    const events: string[] = [];
    for (const event of ['error', 'close'] as const) request.on(event, () => events.push(event));
    const error = await errorOf(request);
    expect(error).toMatchObject({ name: 'KeymuxError', code: 'KEYMUX_TIMEOUT' });
    expect(error.message).toContain(`${LIMIT_MS} ms`);
    await until(() => request.closed);
    expect(events).toEqual(['error', 'close']);
    expect(request.destroyed).toBe(true);
    expect(request.socket?.destroyed).toBe(true);
    expect(seen()).toEqual([CAPTURED]);
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('has until the first byte of its body, where the answer is held back', async () => {
    const origin = await serve((request, answer) => {
      answer.writeHead(200, { 'content-type': 'text/event-stream' });
      if (request.headers.authorization === `Bearer ${CAPTURED}`) answer.flushHeaders();
      else answer.end(EVENTS[0]);
    });
    managerFor(origin, [CAPTURED, 'key-good'], {
      provider: { ...firstByte, errors: [{ status: 200, sse: '$.error', outcome: 'overloaded' }] },
    });
    expect(await textOf(await answerTo(http.get(origin, { headers: bearer() })))).toBe(EVENTS[0]);
  });

  it('may take its time for the body of an answer that is not held back', async () => {
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: stream({ events: EVENTS, everyMs: 2 * LIMIT_MS }) } },
      provider: firstByte,
    });
    expect(await textOf(await answerTo(http.get(origin, { headers: bearer() })))).toBe(EVENTS.join(''));
  });

  it('is not blamed while the application still sends', async () => {
    const { origin } = await managed({ keys: { [CAPTURED]: {} }, provider: firstByte });
    const request = http.request(origin, { method: 'POST', headers: bearer() });
    request.write('the beginning');
    await new Promise((resolve) => setTimeout(resolve, 3 * LIMIT_MS));
    request.end('the end');
    expect((await answerTo(request)).statusCode).toBe(200);
  });

  it('is not blamed while the request waits for its turn', async () => {
    const origin = await serve((_request, answer) => void setTimeout(() => answer.end('late'), LIMIT_MS / 2));
    managerFor(origin, [CAPTURED], { provider: firstByte });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const texts = await Promise.all(
      Array.from({ length: 5 }, async () =>
        textOf(await answerTo(http.get(origin, { agent, headers: bearer() }))),
      ),
    );
    expect(texts).toEqual(Array(5).fill('late'));
  });

  it('has not got the request where no connection stood', async () => {
    const tls = createCertificate();
    const server = https.createServer(tls, (_request, answer) => answer.end('late'));
    let connections = 0;
    const listener = net.createServer((socket) => {
      connections += 1;
      // The first one gets no word of TLS.
      if (connections > 1) server.emit('connection', socket);
      else onTestFinished(() => void socket.destroy());
    });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    onTestFinished(() => void listener.close());
    const origin = `https://127.0.0.1:${(listener.address() as AddressInfo).port}`;
    managerFor(origin, [CAPTURED, 'key-good'], { provider: firstByte });
    const request = https.request(origin, { ca: tls.cert, method: 'POST', headers: bearer() });
    expect(await textOf(await answerTo(request.end('{}')))).toBe('late');
    expect(connections).toBe(2);
  });
});

describe('an answer that pauses for too long', () => {
  it('is an error for its reader, and counts against the provider', async () => {
    const { origin, manager } = await managed({ keys: { [CAPTURED]: { always: stalled } }, provider: idle });
    const exchange = vi.spyOn(manager, 'exchange');
    const request = http.get(origin, { headers: bearer() });
    const answer = await answerTo(request);
    const broken = vi.spyOn(exchange.mock.results[0]!.value as ReturnType<typeof manager.exchange>, 'broken');
    answer.resume();
    expect(await errorOf(answer)).toMatchObject({ code: 'KEYMUX_TIMEOUT' });
    await until(() => request.closed);
    expect(broken).toHaveBeenCalledOnce();
    expect(answer.aborted).toBe(true);
    expect(request.socket?.destroyed).toBe(true);
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('is asked for again while it is held back', async () => {
    const { origin, seen } = await managed({
      keys: { [CAPTURED]: { always: stalled }, 'key-good': { always: stream({ events: EVENTS }) } },
      provider: { stream: { commit: 'complete', idleMs: LIMIT_MS } },
    });
    expect(await textOf(await answerTo(http.get(origin, { headers: bearer() })))).toBe(EVENTS.join(''));
    expect(seen()).toEqual([CAPTURED, 'key-good']);
  });

  it('is whole where each pause is short enough', async () => {
    const events = Array.from({ length: 12 }, (_, at) => `data: ${at}\n\n`);
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: stream({ events, everyMs: 40 }) } },
      provider: { stream: { idleMs: 300 } },
    });
    expect(await textOf(await answerTo(http.get(origin, { headers: bearer() })))).toBe(events.join(''));
  });

  it('is not blamed on the provider where the application is busy', async () => {
    const origin = await serve((_request, answer) => {
      answer.write('one');
      answer.write('two', () => {
        const busyUntil = performance.now() + 3 * LIMIT_MS;
        while (performance.now() < busyUntil);
        answer.end('three');
      });
    });
    managerFor(origin, [CAPTURED], { provider: idle });
    expect(await textOf(await answerTo(http.get(origin, { headers: bearer() })))).toBe('onetwothree');
  });

  it('is not blamed on the provider where the application does not read', async () => {
    const origin = await serve((_request, answer) => {
      answer.writeHead(200);
      for (let part = 0; part < 100; part += 1) answer.write('x'.repeat(100_000));
      answer.end();
    });
    managerFor(origin, [CAPTURED], { provider: idle });
    const answer = await answerTo(http.get(origin, { headers: bearer() }));
    await new Promise((resolve) => setTimeout(resolve, 3 * LIMIT_MS));
    let bytes = 0;
    for await (const chunk of answer) bytes += (chunk as Buffer).length;
    expect(bytes).toBe(10_000_000);
  });
});

describe('an answer that breaks off', () => {
  it('counts against the provider', async () => {
    const { origin, manager } = await managed({
      keys: { [CAPTURED]: { always: stream({ events: EVENTS, ends: 'cut', after: 1 }) } },
    });
    const exchange = vi.spyOn(manager, 'exchange');
    const request = http.get(origin, { headers: bearer() });
    const answer = await answerTo(request);
    const broken = vi.spyOn(exchange.mock.results[0]!.value as ReturnType<typeof manager.exchange>, 'broken');
    answer.resume();
    expect(await errorOf(answer)).toMatchObject({ code: 'ECONNRESET' });
    await until(() => request.closed);
    expect(broken).toHaveBeenCalledOnce();
  });

  it.each(['the answer', 'the request', 'by a signal'])(
    'does not, where the application ended %s',
    async (how) => {
      const { origin, manager } = await managed({
        keys: { [CAPTURED]: { always: stalled } },
        provider: idle,
      });
      const exchange = vi.spyOn(manager, 'exchange');
      const gone = new AbortController();
      const request = http.get(origin, { headers: bearer(), signal: gone.signal });
      const answer = await answerTo(request);
      const broken = vi.spyOn(
        exchange.mock.results[0]!.value as ReturnType<typeof manager.exchange>,
        'broken',
      );
      request.on('error', () => {});
      answer.on('error', () => {});
      if (how === 'the answer') answer.destroy();
      else if (how === 'the request') request.destroy();
      else gone.abort();
      await until(() => request.closed);
      expect(broken).not.toHaveBeenCalled();
      await until(() => manager.inspect().keys[0]?.inFlight === 0);
    },
  );
});

describe('a provider without limits', () => {
  it('costs no timer', async () => {
    const { origin } = await managed({ keys: { [CAPTURED]: { always: stream({ events: EVENTS }) } } });
    const set = vi.spyOn(globalThis, 'setTimeout');
    onTestFinished(() => set.mockRestore());
    const request = http.get(origin, { headers: bearer() });
    const answer = await answerTo(request);
    const before = Reflect.ownKeys(answer).filter((name) => name === 'push' || name === '_read');
    await textOf(answer);
    expect(before).toEqual([]);
    expect(set.mock.calls.filter(([, ms]) => ms === LIMIT_MS)).toEqual([]);
  });
});
