/** Answers of node:http that are collected and checked before the application gets them. */
import { once } from 'node:events';
import http from 'node:http';
import { describe, expect, it } from 'vitest';
import { malformedChunk, refuse, reply, reset, softError, stream } from '#keymux/testing/script.js';
import { CAPTURED, bearer, managed, managerFor, until } from '../managed.js';
import { answerTo, errorOf, record, serve, textOf } from './requests.js';

const collected = { stream: { commit: 'complete' } };
const EVENTS = ['data: 1\n\n', 'data: 2\n\n'];
const cut = stream({ events: EVENTS, ends: 'cut', after: 1 });

describe('an answer that is collected', () => {
  it('comes as it was, trailers and all, and frees its connection', async () => {
    const origin = await serve((_request, answer) => {
      answer.writeHead(200, 'Fine', { trailer: 'x-sum', 'x-many': ['a', 'b'] });
      for (let part = 0; part < 5; part += 1) answer.write('x'.repeat(100_000));
      answer.addTrailers({ 'x-sum': '5' });
      answer.end();
    });
    managerFor(origin, [CAPTURED], { provider: collected });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (const isReused of [false, true]) {
      const request = http.get(origin, { agent, headers: bearer() });
      const answer = await answerTo(request);
      expect(answer.complete).toBe(true);
      expect(answer.statusMessage).toBe('Fine');
      expect(answer.headersDistinct['x-many']).toEqual(['a', 'b']);
      expect(answer.socket.remoteAddress).toBe('127.0.0.1');
      expect(await textOf(answer)).toBe('x'.repeat(500_000));
      expect(answer.trailers).toEqual({ 'x-sum': '5' });
      expect(request.reusedSocket).toBe(isReused);
      if (!request.closed) await once(request, 'close');
    }
    agent.destroy();
  });

  it('goes through the same events as without keymux', async () => {
    const run = async (): Promise<unknown> => {
      const request = http.request(origin, { method: 'POST', headers: bearer() });
      const events = record(request);
      request.end('body');
      const answer = await answerTo(request);
      const heard: string[] = [];
      for (const event of ['end', 'close', 'aborted', 'error']) answer.on(event, () => heard.push(event));
      answer.resume();
      await once(request, 'close');
      await new Promise(setImmediate);
      return { events, heard };
    };
    const { origin, manager } = await managed({
      keys: { [CAPTURED]: { always: stream({ events: EVENTS }) } },
      provider: collected,
    });
    const withKeymux = await run();
    await manager.shutdown();
    expect(withKeymux).toEqual(await run());
  });

  it('is asked for again where it was cut', async () => {
    const { origin, seen } = await managed({
      keys: { [CAPTURED]: { always: cut }, 'key-good': { always: stream({ events: EVENTS }) } },
      provider: collected,
    });
    const answer = await answerTo(http.get(origin, { headers: bearer() }));
    expect(await textOf(answer)).toBe(EVENTS.join(''));
    expect(seen()).toEqual([CAPTURED, 'key-good']);
  });

  it.each([
    ['cut', cut],
    ['reset', reset('mid-body')],
    ['broken in its coding', malformedChunk()],
  ])('is an error where it was %s and must not be asked for again', async (_how, always) => {
    const { origin, seen, manager } = await managed({
      keys: { [CAPTURED]: { always }, 'key-good': {} },
      provider: collected,
    });
    const request = http.request(origin, { method: 'POST', headers: bearer() });
    request.on('response', () => expect.unreachable('it is not whole'));
    request.end('{}');
    expect((await errorOf(request)).code).toMatch(/^ECONNRESET$|^HPE_/);
    await until(() => request.closed);
    expect(seen()).toEqual([CAPTURED]);
    await until(() => manager.inspect().keys.every(({ inFlight }) => inFlight === 0));
  });

  it('is refused where it looks whole and is not', async () => {
    const { origin, seen } = await managed({
      keys: { [CAPTURED]: { always: stream({ events: EVENTS }) } },
      provider: { stream: { commit: 'complete', endMark: '\\[DONE\\]' } },
    });
    const answer = await answerTo(http.request(origin, { method: 'POST', headers: bearer() }).end('{}'));
    expect(answer.statusCode).toBeGreaterThanOrEqual(500);
    expect(await textOf(answer)).toContain('end mark');
    expect(seen()).toEqual([CAPTURED]);
  });

  it('that hides an error is repeated with another key', async () => {
    const { origin, seen } = await managed({
      keys: { [CAPTURED]: { always: softError() }, 'key-good': {} },
      provider: {
        ...collected,
        errors: [{ status: 200, json: '$.error', outcome: 'rate-limited', scope: 'key' }],
      },
    });
    expect((await answerTo(http.get(origin, { headers: bearer() }))).statusCode).toBe(200);
    expect(seen()).toEqual([CAPTURED, 'key-good']);
  });

  it('is an error where it is longer than allowed, and ends its connection', async () => {
    const { origin, seen, manager } = await managed({
      keys: {
        [CAPTURED]: {
          always: stream({ events: ['data: 12345\n\n', 'data: 67890\n\n'], ends: 'stalled', after: 2 }),
        },
      },
      provider: { stream: { commit: 'complete', maxBytes: 20 } },
    });
    const request = http.request(origin, { method: 'POST', headers: bearer() });
    request.end('{}');
    const error = await errorOf(request);
    expect(error).toMatchObject({
      code: 'KEYMUX_ANSWER_INCOMPLETE',
      message: expect.stringContaining('20 bytes') as string,
    });
    await until(() => request.closed);
    expect(request.destroyed).toBe(true);
    expect(request.socket?.destroyed).toBe(true);
    expect(seen()).toEqual([CAPTURED]);
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('ends in an error when the application goes away', async () => {
    const { origin, simulator, manager } = await managed({
      keys: { [CAPTURED]: { always: stream({ events: EVENTS, ends: 'stalled', after: 1 }) } },
      provider: collected,
    });
    const gone = new AbortController();
    const request = http.get(origin, { headers: bearer(), signal: gone.signal });
    request.on('response', () => expect.unreachable('it is not whole'));
    await until(() => simulator.requests[0]?.status === 200);
    const failed = errorOf(request);
    gone.abort();
    expect((await failed).name).toBe('AbortError');
    await until(() => request.closed);
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0 });
  });

  it('without a body is delivered at once', async () => {
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: reply(204) } },
      provider: collected,
    });
    for (const method of ['HEAD', 'GET']) {
      const answer = await answerTo(http.request(origin, { method, headers: bearer() }).end());
      expect(answer.statusCode).toBe(204);
      expect(await textOf(answer)).toBe('');
    }
  });

  it('that is a refusal is repeated as ever', async () => {
    const { origin, seen } = await managed({
      keys: { [CAPTURED]: { always: refuse(429) }, 'key-good': {} },
      provider: collected,
    });
    expect((await answerTo(http.get(origin, { headers: bearer() }))).statusCode).toBe(200);
    expect(seen()).toEqual([CAPTURED, 'key-good']);
  });
});
