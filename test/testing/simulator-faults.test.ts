import { once } from 'node:events';
import http from 'node:http';
import { describe, expect, it } from 'vitest';
import { parseEvents } from '#keymux/testing/event-stream.js';
import type { Action } from '#keymux/testing/script.js';
import {
  echo,
  malformedChunk,
  ok,
  redirect,
  refuse,
  reply,
  reset,
  silence,
  softError,
  stream,
  streamError,
} from '#keymux/testing/script.js';
import type { Simulator } from '#keymux/testing/simulator-api.js';
import { startSimulator } from '#keymux/testing/simulator.js';
import { bearer, send } from './http-client.js';

const asOne = { headers: bearer('sk-one') };

function simulating(...first: Action[]): Promise<Simulator> {
  return startSimulator({ keys: { 'sk-one': { name: 'one', first } } });
}

/** Reads until the connection breaks; what came before, and the error. */
async function readBroken(response: Response): Promise<{ text: string; error: unknown }> {
  const decoder = new TextDecoder();
  let text = '';
  try {
    for await (const chunk of response.body ?? [])
      text += decoder.decode(chunk as Uint8Array, { stream: true });
  } catch (error) {
    return { text, error };
  }
  return { text, error: undefined };
}

describe('a broken connection', () => {
  it('before the headers reaches the client as a reset', async () => {
    await using simulator = await simulating(reset());
    await expect(send(simulator.origin, asOne)).rejects.toMatchObject({ code: 'ECONNRESET' });
    await simulator.waitFor(({ requests }) => requests[0]?.endedAt !== undefined);
    expect(simulator.requests[0]).toMatchObject({
      did: 'reset before-headers',
      status: undefined,
      executed: true,
    });
    expect(simulator.requests[0]?.aborted).toBe(false);
  });

  it('after the headers leaves the client with a status and no body', async () => {
    await using simulator = await simulating(reset('after-headers'));
    const error: unknown = await send(simulator.origin, asOne).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'ECONNRESET', status: 200, received: '' });
    expect(simulator.requests[0]).toMatchObject({ status: 200, aborted: false });
  });

  it('within the body leaves the client with half of it', async () => {
    await using simulator = await simulating(reset('mid-body'));
    const response = await fetch(simulator.origin, asOne);
    const { text, error } = await readBroken(response);
    expect(error).toBeInstanceOf(TypeError);
    expect(text).toHaveLength(Math.ceil(Number(response.headers.get('content-length')) / 2));
  });

  it('does not disturb the next request', async () => {
    await using simulator = await simulating(reset(), reset('mid-body'));
    for (let n = 0; n < 2; n += 1) await send(simulator.origin, asOne).catch(() => undefined);
    expect((await send(simulator.origin, asOne)).status).toBe(200);
  });

  it('may be a chunk that is none', async () => {
    await using simulator = await simulating(malformedChunk());
    await expect(send(simulator.origin, asOne)).rejects.toMatchObject({ code: 'HPE_INVALID_CHUNK_SIZE' });
  });
});

describe('slow answers', () => {
  it('hold the first byte back', async () => {
    await using simulator = await simulating(ok({ delayMs: 60 }));
    const start = performance.now();
    await fetch(simulator.origin, asOne);
    expect(performance.now() - start).toBeGreaterThanOrEqual(59);
  });

  it.each([silence(), ok({ delayMs: 60_000 })])('may never come: %o', async (action) => {
    await using simulator = await simulating(action);
    const abort = new AbortController();
    const pending = fetch(simulator.origin, { ...asOne, signal: abort.signal });
    await simulator.waitFor(({ requests }) => requests.length === 1);
    abort.abort();
    await expect(pending).rejects.toMatchObject({ name: 'AbortError' });
    await simulator.waitFor(({ requests }) => requests[0]?.endedAt !== undefined);
    expect(simulator.requests[0]).toMatchObject({ status: undefined, aborted: true });
  });
});

describe('the shape of an answer', () => {
  it('may be compressed', async () => {
    await using simulator = await simulating(ok({ gzip: true, body: { a: 1 } }));
    const response = await fetch(simulator.origin, asOne);
    expect(response.headers.get('content-encoding')).toBe('gzip');
    expect(await response.json()).toEqual({ a: 1 });
  });

  it('may be chunked', async () => {
    await using simulator = await simulating(ok({ chunked: true }));
    const answer = await send(simulator.origin, asOne);
    expect(answer.headers).toMatchObject({ 'transfer-encoding': 'chunked' });
    expect(answer.headers).not.toHaveProperty('content-length');
    expect(JSON.parse(answer.body)).toMatchObject({ ok: true });
  });

  it('may be any status, headers and body', async () => {
    await using simulator = await simulating(
      reply(418, { body: 'teapot', headers: { 'retry-after': 'soon' } }),
      reply(204),
    );
    expect(await send(simulator.origin, asOne)).toMatchObject({
      status: 418,
      body: 'teapot',
      headers: { 'retry-after': 'soon' },
    });
    expect(await send(simulator.origin, asOne)).toMatchObject({ status: 204, body: '' });
    expect(simulator.requests.map(({ did }) => did)).toEqual(['reply 418', 'reply 204']);
  });

  it.each([100, 102, 103] as const)('may follow an informational %i', async (informational) => {
    await using simulator = await simulating(ok({ informational }));
    expect(await send(simulator.origin, asOne)).toMatchObject({
      status: 200,
      informational: [informational],
    });
  });

  it('has no body for HEAD, but its length', async () => {
    await using simulator = await simulating();
    const answer = await send(simulator.origin, { ...asOne, method: 'HEAD' });
    expect(answer.body).toBe('');
    expect(Number(answer.headers['content-length'])).toBeGreaterThan(0);
  });

  it('is the request itself when it echoes, real key included', async () => {
    await using simulator = await simulating(echo());
    const response = await fetch(`${simulator.origin}/a?b=1`, { ...asOne, method: 'POST', body: 'hi' });
    expect(await response.json()).toMatchObject({
      key: 'one',
      method: 'POST',
      path: '/a?b=1',
      body: 'hi',
      headers: { authorization: 'Bearer sk-one' },
    });
  });
});

describe('refusals', () => {
  it('state when to come back', async () => {
    await using simulator = await simulating(refuse(429, { retryAfterSeconds: 2 }), refuse(503));
    expect((await send(simulator.origin, asOne)).headers['retry-after']).toBe('2');
    const second = await send(simulator.origin, asOne);
    expect(second.status).toBe(503);
    expect(second.headers).not.toHaveProperty('retry-after');
  });

  it('take another body', async () => {
    await using simulator = await simulating(refuse(403, { body: '<html>no</html>' }));
    expect(await send(simulator.origin, asOne)).toMatchObject({ status: 403, body: '<html>no</html>' });
  });

  it('may hide in a 200', async () => {
    await using simulator = await simulating(softError());
    const response = await fetch(simulator.origin, asOne);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ error: { kind: 'rate-limited' } });
    expect(simulator.requests[0]).toMatchObject({ did: 'refuse rate-limited', executed: false });
    expect(simulator.key('one').refusals['rate-limited']).toBe(1);
  });

  it('may come before the body was read', async () => {
    await using simulator = await simulating(refuse(429, { early: true }));
    const request = http.request(simulator.origin, { ...asOne, method: 'POST' });
    const answered = once(request, 'response') as Promise<[http.IncomingMessage]>;
    request.write('the first part of a body that never ends');
    const [response] = await answered;
    expect(response.statusCode).toBe(429);
    request.on('error', () => undefined);
    request.destroy();
    expect(simulator.requests[0]).toMatchObject({ executed: false, bodyBytes: 0 });
  });
});

describe('an action that cannot be carried out', () => {
  it('shows as a 500 with the reason', async () => {
    await using simulator = await simulating(ok({ headers: { 'x-broken': 'line\nbreak' } }));
    const answer = await send(simulator.origin, asOne);
    expect(answer.status).toBe(500);
    expect(answer.body).toContain('x-broken');
    expect(simulator.requests[0]?.status).toBe(500);
  });

  it('breaks the connection if the answer had begun', async () => {
    const events = ['data: a\n\n', JSON.parse('1') as string];
    await using simulator = await simulating(stream({ events, everyMs: 1 }));
    await expect(send(simulator.origin, asOne)).rejects.toMatchObject({ received: 'data: a\n\n' });
  });
});

describe('redirects', () => {
  it('lead to another path', async () => {
    await using simulator = await simulating(redirect('/moved'));
    const response = await fetch(`${simulator.origin}/start`, asOne);
    expect(response.redirected).toBe(true);
    expect(simulator.requests.map(({ path }) => path)).toEqual(['/start', '/moved']);
  });

  it('lead to another origin, where a key that followed is noticed', async () => {
    await using other = await startSimulator({ keys: { 'sk-one': { name: 'one' } }, unknownKey: ok() });
    await using simulator = await simulating(redirect(`${other.origin}/landed`, { status: 307 }));
    expect((await fetch(simulator.origin, asOne)).status).toBe(200);
    await fetch(`${other.origin}/careless`, asOne);
    expect(other.requests.map(({ path, carries }) => [path, carries])).toEqual([
      ['/landed', []],
      ['/careless', ['one']],
    ]);
    expect(simulator.requests[0]?.status).toBe(307);
  });
});

describe('streams', () => {
  it('send one event after the other', async () => {
    await using simulator = await simulating(stream({ everyMs: 15 }));
    const arrivals: number[] = [];
    const response = await fetch(simulator.origin, asOne);
    let text = '';
    for await (const chunk of response.body ?? []) {
      arrivals.push(performance.now());
      text += Buffer.from(chunk as Uint8Array).toString();
    }
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(parseEvents(text).map(({ data }) => JSON.parse(data) as unknown)).toEqual(
      [1, 2, 3, 4, 5].map((n) => ({ n, key: 'one' })),
    );
    expect(arrivals.length).toBeGreaterThan(1);
    expect(arrivals.at(-1)! - arrivals[0]!).toBeGreaterThan(15);
  });

  it('may be cut', async () => {
    await using simulator = await simulating(stream({ ends: 'cut', after: 2, everyMs: 5 }));
    const { text, error } = await readBroken(await fetch(simulator.origin, asOne));
    expect(parseEvents(text)).toHaveLength(2);
    expect(error).toBeInstanceOf(TypeError);
    await simulator.waitFor(({ requests }) => requests[0]?.endedAt !== undefined);
    expect(simulator.requests[0]).toMatchObject({ did: 'stream cut', aborted: false });
  });

  it('may stall', async () => {
    await using simulator = await simulating(
      stream({ ends: 'stalled', events: ['data: a\n\n', 'data: b\n\n'] }),
    );
    const abort = new AbortController();
    const response = await fetch(simulator.origin, { ...asOne, signal: abort.signal });
    const reader = response.body!.getReader();
    const first = await reader.read();
    expect(Buffer.from(first.value as Uint8Array).toString()).toBe('data: a\n\n');
    const second = reader.read();
    abort.abort();
    await expect(second).rejects.toMatchObject({ name: 'AbortError' });
    await simulator.waitFor(({ requests }) => requests[0]?.aborted === true);
  });

  it('may begin with an error', async () => {
    await using simulator = await simulating(streamError('rate-limited', { headers: { 'x-extra': '1' } }));
    const response = await fetch(simulator.origin, asOne);
    expect(response.status).toBe(200);
    expect(response.headers.get('x-extra')).toBe('1');
    expect(parseEvents(await response.text())).toEqual([
      { event: 'error', data: expect.stringContaining('rate-limited') as string },
    ]);
    expect(simulator.requests[0]).toMatchObject({ did: 'stream-error rate-limited', executed: false });
  });
});
