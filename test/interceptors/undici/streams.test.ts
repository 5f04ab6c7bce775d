/** Answers that are collected before they are delivered, and the time limits of answers. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { DEFAULT_STREAM } from '#keymux/core/provider.js';
import type { Exchange } from '#keymux/manager/attempt.js';
import { StallWatch, watchOf } from '#keymux/manager/stall-watch.js';
import { reply, reset, silence, stream } from '#keymux/testing/script.js';
import { BAD_BAD_GOOD, CAPTURED, bearer, managed, managerFor, until } from '../managed.js';
import { Recorder, dispatch } from './recorder.js';
import { VERSIONS, functionsOf, load } from './versions.js';

const undici = load(6);
const collected = { stream: { commit: 'complete' } };

/** A server that answers as it likes. */
async function serve(answer: http.RequestListener): Promise<string> {
  const server = http.createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function client(origin: string) {
  const made = new undici.Client(origin);
  onTestFinished(() => made.destroy());
  return made;
}

async function errorOf(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  return promise.then(
    () => {
      throw new Error('It did not fail.');
    },
    (error: unknown) => {
      const { cause } = error as Error;
      return (cause ?? error) as Error;
    },
  );
}

describe.each(VERSIONS)('undici %i, an answer that is collected', (version) => {
  const undici = load(version);
  const { request } = functionsOf(undici);

  it('is asked for again where it was cut', async () => {
    const { origin, seen } = await managed({
      keys: {
        [CAPTURED]: { always: stream({ events: ['data: 1\n\n', 'data: 2\n\n'], ends: 'cut', after: 1 }) },
        'key-good': { always: stream({ events: ['data: 1\n\n', 'data: 2\n\n'] }) },
      },
      provider: collected,
    });
    const { statusCode, body } = await request(origin, { headers: bearer() });
    expect(statusCode).toBe(200);
    expect(await body.text()).toBe('data: 1\n\ndata: 2\n\n');
    expect(seen()).toEqual([CAPTURED, 'key-good']);
  });

  it('is an error where it was cut and must not be asked for again', async () => {
    const { origin, seen, manager } = await managed({
      keys: { [CAPTURED]: { always: reset('mid-body') }, 'key-good': {} },
      provider: collected,
    });
    const error = await errorOf(request(origin, { headers: bearer(), method: 'POST', body: '{}' }));
    expect(error.code).toBe('UND_ERR_SOCKET');
    expect(seen()).toEqual([CAPTURED]);
    expect(manager.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
  });

  it('comes as it was, trailers and all, at the pace of its reader', async () => {
    const origin = await serve((_request, answer) => {
      answer.writeHead(200, { trailer: 'x-sum' });
      for (let part = 0; part < 5; part++) answer.write('x'.repeat(20_000));
      answer.addTrailers({ 'x-sum': '5' });
      answer.end();
    });
    managerFor(origin, [CAPTURED], { provider: collected });
    const made = new undici.Client(origin);
    onTestFinished(() => made.destroy());
    const { body, trailers } = await made.request({ path: '/', method: 'GET', headers: bearer() });
    let text = '';
    for await (const chunk of body) {
      text += String(chunk);
      await new Promise(setImmediate);
    }
    expect(text).toBe('x'.repeat(100_000));
    expect(trailers).toEqual({ 'x-sum': '5' });
  });

  it('is an error where it is too long', async () => {
    const { origin, simulator, manager } = await managed({
      keys: { [CAPTURED]: { always: reply(200, { body: 'x'.repeat(300_000) }) } },
      provider: { stream: { commit: 'complete', maxBytes: 100_000 } },
    });
    const error = await errorOf(request(origin, { headers: bearer(), method: 'POST', body: '{}' }));
    expect(error).toMatchObject({ code: 'KEYMUX_ANSWER_INCOMPLETE' });
    expect(error.message).toContain('100000 bytes');
    expect(simulator.requests).toHaveLength(1);
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('is aborted by a reader that it waits for', async () => {
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: reply(200, { body: 'x'.repeat(300_000) }) } },
      provider: collected,
    });
    const controller = new AbortController();
    const { body } = await request(origin, { headers: bearer(), signal: controller.signal });
    // The whole of it is there, and nobody has read it.
    const reading = body.text();
    controller.abort();
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('ends a request that was aborted while it is collected', async () => {
    const { origin, simulator, manager } = await managed({
      keys: { [CAPTURED]: { always: stream({ events: ['data: 1\n\n'], ends: 'stalled', after: 1 }) } },
      provider: collected,
    });
    const controller = new AbortController();
    const waiting = request(origin, { headers: bearer(), signal: controller.signal });
    await until(() => simulator.requests[0]?.status === 200);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
    await simulator.waitFor(({ requests }) => requests[0]?.aborted === true);
    expect(manager.inspect().keys[0]).toMatchObject({ inFlight: 0, failures: 0 });
  });
});

describe.each(VERSIONS)('undici %i, a provider with time limits', (version) => {
  const { request } = functionsOf(load(version));

  it('is asked again after no first byte', async () => {
    const { origin, seen, simulator } = await managed({
      keys: { [CAPTURED]: { always: silence() }, 'key-good': {} },
      provider: { stream: { firstByteMs: 100 } },
    });
    const { statusCode, body } = await request(origin, { headers: bearer() });
    await body.dump();
    expect(statusCode).toBe(200);
    expect(seen()).toEqual([CAPTURED, 'key-good']);
    await simulator.waitFor(({ requests }) => requests[0]?.aborted === true);
  });

  it('is not asked again for what may have happened', async () => {
    const { origin, simulator, manager } = await managed({
      keys: { [CAPTURED]: { always: silence() }, 'key-good': {} },
      provider: { stream: { firstByteMs: 100 } },
    });
    const error = await errorOf(request(origin, { headers: bearer(), method: 'POST', body: '{}' }));
    expect(error).toMatchObject({ code: 'KEYMUX_TIMEOUT' });
    expect(error.message).toMatch(/^acme sent no byte of an answer within 100 ms/);
    await simulator.waitFor(({ requests }) => requests[0]?.aborted === true);
    expect(simulator.requests).toHaveLength(1);
    expect(manager.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
  });

  it('must send a byte of a body that is held back', async () => {
    const { origin, seen } = await managed({
      keys: {
        [CAPTURED]: { always: stream({ events: ['data: 1\n\n'], ends: 'stalled', after: 0 }) },
        'key-good': { always: stream({ events: ['data: 1\n\n'] }) },
      },
      provider: {
        stream: { firstByteMs: 200 },
        errors: [{ status: 200, sse: '$.error', outcome: 'overloaded' }],
      },
    });
    const { body } = await request(origin, { headers: bearer() });
    expect(await body.text()).toBe('data: 1\n\n');
    expect(seen()).toEqual([CAPTURED, 'key-good']);
  });

  it('must not pause within an answer that is collected', async () => {
    const { origin, seen } = await managed({
      keys: {
        [CAPTURED]: { always: stream({ events: ['data: 1\n\n', 'x'], ends: 'stalled', after: 1 }) },
        'key-good': { always: stream({ events: ['data: 1\n\n'] }) },
      },
      provider: { stream: { commit: 'complete', idleMs: 100 } },
    });
    const { body } = await request(origin, { headers: bearer() });
    expect(await body.text()).toBe('data: 1\n\n');
    expect(seen()).toEqual([CAPTURED, 'key-good']);
  });

  it('breaks off where it pauses within an answer that is delivered', async () => {
    const { origin, simulator, manager } = await managed({
      keys: { [CAPTURED]: { always: stream({ events: ['one', 'two'], ends: 'stalled', after: 1 }) } },
      provider: { stream: { idleMs: 100 } },
    });
    const { statusCode, body } = await request(origin, { headers: bearer() });
    expect(statusCode).toBe(200);
    expect(await errorOf(body.text())).toMatchObject({ code: 'KEYMUX_TIMEOUT' });
    await simulator.waitFor(({ requests }) => requests[0]?.aborted === true);
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('may take its time while something comes', async () => {
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: stream({ events: ['1', '2', '3', '4', '5', '6'], everyMs: 80 }) } },
      provider: { stream: { firstByteMs: 400, idleMs: 400 } },
    });
    const { body } = await request(origin, { headers: bearer() });
    expect(await body.text()).toBe('123456');
  });
});

describe('the time limit of a pause', () => {
  it('does not count what the reader takes', async () => {
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: reply(200, { body: 'x'.repeat(600_000) }) } },
      provider: { stream: { idleMs: 60 } },
    });
    const recorder = new Recorder();
    recorder.wantsMore = false;
    dispatch(client(origin), { headers: bearer() }, recorder);
    await until(() => recorder.events.includes('200'));
    // The time itself is what is tested.
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(recorder.events).toEqual(['connect', '200']);
    recorder.wantsMore = true;
    recorder.resume();
    await recorder.over;
    expect(recorder.events).toEqual(['connect', '200', 'complete']);
    expect(recorder.text).toHaveLength(600_000);
  });

  it('begins anew when the reader wants more', async () => {
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: stream({ events: ['one', 'two'], ends: 'stalled', after: 1 }) } },
      provider: { stream: { idleMs: 60 } },
    });
    const recorder = new Recorder();
    recorder.wantsMore = false;
    dispatch(client(origin), { headers: bearer() }, recorder);
    await until(() => recorder.events.includes('200'));
    recorder.wantsMore = true;
    recorder.resume();
    await recorder.over;
    expect(recorder.error).toMatchObject({ code: 'KEYMUX_TIMEOUT' });
    expect(recorder.text).toBe('one');
  });

  it('reaches the reader of a fetch as the error of its body', async () => {
    const { origin } = await managed({
      keys: { [CAPTURED]: { always: stream({ events: ['one', 'two'], ends: 'stalled', after: 1 }) } },
      provider: { stream: { idleMs: 100 } },
    });
    const response = await fetch(origin, { headers: bearer() });
    expect(await errorOf(response.text())).toMatchObject({ code: 'KEYMUX_TIMEOUT' });
  });

  it('needs no timer where there is no limit', () => {
    expect(watchOf(DEFAULT_STREAM, { onSilence: () => {} })).toBeUndefined();
    expect(watchOf({ ...DEFAULT_STREAM, idleMs: 1 }, { onSilence: () => {} })).toBeInstanceOf(StallWatch);
  });

  it('is not taken for exceeded where only this thread was busy', async () => {
    const onSilence = vi.fn();
    const watch = new StallWatch({ ...DEFAULT_STREAM, idleMs: 5 }, { onSilence });
    watch.arrived();
    const busyUntil = performance.now() + 20;
    while (performance.now() < busyUntil);
    // As an answer that lies in the socket: it is read after the timers.
    await new Promise<void>((resolve) => setImmediate(resolve));
    watch.arrived();
    expect(onSilence).not.toHaveBeenCalled();
    await vi.waitFor(() => expect(onSilence).toHaveBeenCalledExactlyOnceWith('idle'));
    watch.stop();
  });
});

describe('an answer that breaks off after it was delivered', () => {
  it('counts against its provider', async () => {
    const { origin, manager, forget } = await managed({
      keys: { [CAPTURED]: { always: reset('mid-body') } },
    });
    forget();
    const broken = vi.spyOn(await exchangePrototype(), 'broken');
    onTestFinished(() => broken.mockRestore());
    const { body } = await undici.request(origin, { headers: bearer() });
    await expect(body.text()).rejects.toMatchObject({ code: 'UND_ERR_SOCKET' });
    expect(broken).toHaveBeenCalledOnce();
    expect(broken.mock.calls[0]?.[1]).toBe('UND_ERR_SOCKET');
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('counts where it was delivered after a wait, in which it broke off', async () => {
    let breakOff = (): void => {};
    const origin = await serve((_request, answer) => {
      answer.writeHead(200, { 'content-length': '100' });
      answer.write('part');
      breakOff = () => answer.destroy();
    });
    const manager = managerFor(origin, [CAPTURED]);
    const prototype = await exchangePrototype();
    const broken = vi.spyOn(prototype, 'broken');
    const { afterHead } = prototype;
    let decide = (): void => {};
    const decision = new Promise<void>((resolve) => (decide = resolve));
    const waiting = vi.spyOn(prototype, 'afterHead').mockImplementation(async function (
      this: Exchange,
      ...head
    ) {
      breakOff();
      await decision;
      return afterHead.apply(this, head);
    });
    onTestFinished(() => {
      broken.mockRestore();
      waiting.mockRestore();
    });
    const made = client(origin);
    const disconnected = once(made, 'disconnect');
    const recorder = dispatch(made, { headers: bearer() });
    await disconnected;
    expect(broken).not.toHaveBeenCalled();
    decide();
    await recorder.over;
    expect(recorder.events).toEqual(['connect', '200', 'error']);
    expect(recorder.text).toBe('part');
    expect(recorder.error).toMatchObject({ code: 'UND_ERR_SOCKET' });
    expect(broken).toHaveBeenCalledExactlyOnceWith(expect.anything(), 'UND_ERR_SOCKET');
    expect(manager.inspect().keys[0]?.inFlight).toBe(0);
  });

  it('does not where the application ended it', async () => {
    const { origin, simulator } = await managed({
      keys: { [CAPTURED]: { always: stream({ events: ['one', 'two'], ends: 'stalled', after: 1 }) } },
    });
    const broken = vi.spyOn(await exchangePrototype(), 'broken');
    onTestFinished(() => broken.mockRestore());
    const { body } = await undici.request(origin, { headers: bearer() });
    body.on('error', () => {});
    body.destroy();
    await simulator.waitFor(({ requests }) => requests[0]?.aborted === true);
    expect(broken).not.toHaveBeenCalled();
  });
});

async function exchangePrototype() {
  const { Exchange } = await import('#keymux/manager/attempt.js');
  return Exchange.prototype;
}

describe('a handler that throws', () => {
  it.each(['onHeaders', 'onData'] as const)('gets it back as its error: %s', async (method) => {
    const { origin, manager } = await managed({ keys: BAD_BAD_GOOD, provider: collected });
    const recorder = new Recorder();
    const thrown = new Error('of the application');
    recorder[method] = () => {
      throw thrown;
    };
    dispatch(client(origin), { headers: bearer() }, recorder);
    await recorder.over;
    expect(recorder.error).toBe(thrown);
    expect(manager.inspect().keys.map(({ inFlight }) => inFlight)).toEqual([0, 0, 0]);
  });

  it('gets it back at the end of an answer', async () => {
    const { origin } = await managed({ keys: BAD_BAD_GOOD });
    const recorder = new Recorder();
    const thrown = new Error('of the application');
    recorder.onComplete = () => {
      throw thrown;
    };
    dispatch(client(origin), { headers: bearer() }, recorder);
    await recorder.over;
    expect(recorder.error).toBe(thrown);
  });
});
